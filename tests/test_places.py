"""Where and how the program is started: variables, folders, threads and limits other than on a developer's machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from accelmnist.cli import invoke
from accelmnist.cli.helper_process import HelperProcess, start_python

SHADOWS = ("random", "token", "numpy", "sklearn", "matplotlib", "pickle", "logging", "runpy", "accelmnist")
QUICK = ["run", "--synthetic", "--hidden", "16", "--epochs", "2", "--batch-size", "64", "--device", "cpu"]


def program(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """The whole program in a new process."""
    command = [sys.executable, "-m", "accelmnist", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **settings)  # type: ignore[call-overload]


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense", "tkagg"])
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
