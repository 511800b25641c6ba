"""Where and how the program is started: variables, folders, threads and limits other than on a developer's machine."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from accelmnist.cli import invoke
from accelmnist.cli.helper_process import HelperProcess, start_python
from accelmnist.core.config import ModelConfig, RunConfig, TrainingConfig
from accelmnist.core.errors import DeviceError
from accelmnist.core.files import encode
from accelmnist.data.split import load_images
from accelmnist.data.types import Dataset
from accelmnist.device import cgroups, free_memory_bytes, resolve
from accelmnist.device.environment import describe_environment
from accelmnist.device.loading import prepare_for_torch, usable_threads
from accelmnist.engines.step.rules import require_memory
from accelmnist.show.render.console import as_text
from accelmnist.show.summary import run_page
from tests.samples import sample_record

SHADOWS = ("random", "token", "numpy", "sklearn", "matplotlib", "pickle", "logging", "runpy", "accelmnist")
QUICK = ["run", "--synthetic", "--hidden", "16", "--epochs", "2", "--batch-size", "64", "--device", "cpu"]


def program(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """The whole program in a new process."""
    command = [sys.executable, "-m", "accelmnist", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **settings)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "backend",
    ["module://matplotlib_inline.backend_inline", "nonsense", "tkagg"],
)
@pytest.mark.slow
def test_no_backend_of_the_users_keeps_a_figure_from_being_drawn(backend: str, tmp_path: Path) -> None:
    """Whichever module of ours is the first to need matplotlib."""
    (tmp_path / "matplotlibrc").write_text("backend: nonsense\nfigure.frobnicate: 7\n")
    for first in ("show.pictures", "show.report.experiments", "show.render.report", "show.render.pictures"):
        code = f"""
import os, accelmnist.{first}
from accelmnist.show.figures.sheet import FigureSheet, figure_style, png_bytes
with figure_style():
    png_bytes(FigureSheet.headed(400, 50, title="x").figure)
print(os.environ["MPLBACKEND"])
"""
        environment = {**os.environ, "MPLBACKEND": backend}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.stdout, done.stderr) == (f"{backend}\n", "")


def test_what_lies_in_the_current_folder_is_no_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setenv("PYTHONPATH", f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{os.pathsep}.")
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text(f"print('{name} of the current folder', flush=True)\n")
    with HelperProcess(("sklearn.metrics", "accelmnist.show.pictures")) as helper:
        helper.wait_until_ready()
        assert helper.start("os:getpid")() != os.getpid()
        assert str(tmp_path) not in helper.start("builtins:eval", "__import__('sys').path")()
        child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import random, token'])"
        helper.start("builtins:exec", child)()
    assert start_python(["accelmnist", "--version"]).wait() == 0
    assert "current folder" not in "".join(capfd.readouterr())


def test_a_module_of_the_current_folder_hides_none_of_the_programs(tmp_path: Path) -> None:
    for name in (*SHADOWS, "contextlib", "click"):
        if name not in ("runpy", "accelmnist"):  # Python itself loads these before any line of ours
            (tmp_path / f"{name}.py").write_text("raise SystemExit('of the current folder')\n")
    done = program("run", "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_current_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = program("run", cwd=gone, preexec_fn=gone.rmdir)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: the current folder is not there any more. Change to one that is\n"


@pytest.mark.slow
def test_ctrl_c_at_the_start_prints_no_traceback(tmp_path: Path) -> None:
    for step in range(20):
        with subprocess.Popen(
            [sys.executable, "-c", "from accelmnist.__main__ import start; print(flush=True); start()", *QUICK],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.02 * step)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate()
        assert "Traceback" not in errors, step
        assert process.returncode == 130, step


def test_ctrl_c_while_something_is_taken_apart_is_not_lost() -> None:
    """Python drops it there: imports do such things."""
    code = """
import os, signal, sys, time, weakref
from accelmnist import cli

class Any: pass

def invoke(_):
    try:
        one = Any()
        reference = weakref.ref(one, lambda _: [os.kill(os.getpid(), signal.SIGINT), len("")])
        del one
        time.sleep(60)
    except KeyboardInterrupt:
        return 130

cli.invoke = invoke
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (130, "")


def test_a_command_can_be_run_in_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(invoke([*QUICK, "--no-save", "--quiet"])))
    thread.start()
    thread.join()
    assert codes in ([0], [1])
    assert capsys.readouterr().err == ""


def limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, **files: str) -> None:
    """As if this process were in the groups `own`, whose settings are `files` (`__` for /, `_of_` for a dot)."""
    for name, content in files.items():
        file = tmp_path / name.replace("__", "/").replace("_of_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    (tmp_path / "own").write_text(own)
    monkeypatch.setattr(cgroups, "_ROOT", tmp_path)
    monkeypatch.setattr(cgroups, "_OWN", tmp_path / "own")


GROUPS = {
    "version 2, by the outer group": (
        "0::/outer/inner\n",
        {
            "outer__inner__cpu_of_max": "max 100000\n",
            "outer__cpu_of_max": "50000 100000\n",
            "outer__memory_of_max": "1400000000\n",
            "outer__memory_of_current": "1000000000\n",
            "outer__memory_of_stat": "anon 700000000\ninactive_file 300000000\n",
            "outer__inner__memory_of_max": "max\n",
            "outer__inner__memory_of_current": "5\n",
        },
    ),
    "version 2, by its own group": (
        "0::/mine\n",
        {
            "mine__cpu_of_max": "50000 100000\n",
            "mine__memory_of_max": "1400000000\n",
            "mine__memory_of_current": "1000000000\n",
            "mine__memory_of_stat": "anon 700000000\ninactive_file 300000000\n",
        },
    ),
    "version 1, in a container that sees only its own group": (
        "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n",
        {
            "cpu__cpu_of_cfs_quota_us": "50000\n",
            "cpu__cpu_of_cfs_period_us": "100000\n",
            "memory__memory_of_limit_in_bytes": "1400000000\n",
            "memory__memory_of_usage_in_bytes": "1000000000\n",
            "memory__memory_of_stat": "inactive_file 1\ntotal_inactive_file 300000000\n",
        },
    ),
}


@pytest.mark.parametrize("groups", GROUPS)
def test_a_containers_limits_count_as_the_machines(
    groups: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, files = GROUPS[groups]
    limited(tmp_path, monkeypatch, own, **files)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    assert (cgroups.cpu_quota(), usable_threads()) == (0.5, 1)
    assert free_memory_bytes(None) == 700_000_000
    environment = describe_environment(resolve("cpu"))
    assert (environment.cores, environment.logical_cores, environment.memory_bytes) == (1, 1, 1_400_000_000)
    with pytest.raises(DeviceError, match=r"this machine has 0\.7 GB free"):
        require_memory(RunConfig(model=ModelConfig(hidden=(4096, 4096))), resolve("cpu"))
    monkeypatch.delitem(sys.modules, "torch")
    prepare_for_torch()
    assert os.environ["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize("own", ["", "nonsense\n", "0::/\n", "2:cpu:/\n1:memory:/\n"])
def test_without_limits_the_machine_is_what_it_is(own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(
        tmp_path,
        monkeypatch,
        own,
        cpu__cpu_of_cfs_quota_us="-1\n",
        cpu__cpu_of_cfs_period_us="100000\n",
        memory__memory_of_limit_in_bytes="9223372036854771712\n",
        memory__memory_of_usage_in_bytes="1\n",
    )
    environment = describe_environment(resolve("cpu"))
    assert environment.memory_bytes == psutil.virtual_memory().total
    assert environment.logical_cores == psutil.cpu_count()


LONG, NOT_UTF8, LOOP = "x" * 300, "\udcff", "loop"
COMMANDS_WITH_PATHS = (
    ["run", "--out"],
    ["run", "--resume"],
    ["run", "--data"],
    ["bench", "--out"],
    ["bench", "--resume"],
    ["bench", "--data"],
    ["sweep", "--out"],
    ["sweep", "--resume"],
    ["neurons"],
    ["neurons", "run", "--out"],
    ["compare", "one"],
    ["report"],
    ["report", "--notes"],
    ["predict", "picture.png", "--model"],
)


@pytest.mark.parametrize("path", [LONG, NOT_UTF8, LOOP, f"{LOOP}/below", "locked", "locked/below", "a\0b"])
def test_a_path_that_cannot_be_used_is_one_line_before_any_work(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / LOOP).symlink_to(LOOP)
    (tmp_path / "locked").mkdir()
    real = os.stat

    def may_not_search(asked: object, **options: object) -> os.stat_result:  # this test's user may be allowed all
        if str(asked).startswith("locked/"):
            raise PermissionError(errno.EACCES, "Permission denied", str(asked))
        return real(asked, **options)

    monkeypatch.setattr(os, "stat", may_not_search)
    for command in COMMANDS_WITH_PATHS:
        assert invoke([*command, path]) == 2, command
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("error: "), command
        assert captured.err.count("\n") == 1
        assert len(captured.err) < 400
        captured.err.encode()


def test_a_record_with_a_name_that_is_not_utf8_is_written_all_the_same() -> None:
    assert encode({"command": f"accelmnist {NOT_UTF8}"}) == b'{\n  "command": "accelmnist ?"\n}\n'


@pytest.mark.parametrize(
    "command", [["run"], ["bench"], ["sweep", "--preset", "lab"], ["doctor"], ["neurons", "run"], ["predict", "x"]]
)
def test_too_few_addresses_for_torch_are_one_line(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr("resource.getrlimit", lambda _: (1_000_000_000, -1))
    assert invoke(command) == 2
    assert capsys.readouterr().err == (
        "error: ulimit -v leaves 1.0 GB of addresses, and torch takes about 4 GB. Raise it: ulimit -v unlimited\n"
    )
    assert not list(tmp_path.iterdir())


def test_test_images_among_the_training_images_are_counted_and_told(synthetic: Dataset) -> None:
    same = replace(synthetic, source="folder x/", test=synthetic.train.part(np.arange(100)))
    config = RunConfig(training=TrainingConfig(batch_size=64))
    found = load_images(config, lambda: same).summary
    assert (found.test_in_training, load_images(config, lambda: synthetic).summary.test_in_training) == (100, 0)
    text = as_text(run_page(replace(sample_record(), data=found)), width=100)
    assert "doubt: 100 of 100 test images are training images too, known by heart" in text
    assert "PASS" in text
    assert "doubt" not in as_text(run_page(sample_record()), width=100)
