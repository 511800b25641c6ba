"""`accelmnist soak` as it is typed: planted faults are named, whatever happens to a device or to the soak itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from accelmnist.cli import invoke
from accelmnist.cli.soak import soak
from accelmnist.core import files
from accelmnist.core.errors import ConfigError, OutputError
from accelmnist.measure.soak.plan import SoakConfig, parse_duration, targets_of
from accelmnist.measure.soak.record import Fault, SoakDevice, SoakRecord
from accelmnist.measure.soak.recount import load_soak
from accelmnist.measure.soak.session import SoakObserver, SoakRequest, _Soak, new_record
from accelmnist.show.soak.page import soak_line

ROOT = Path(__file__).parents[1]
ENGINE = f"{ROOT / 'tests' / 'soak_engines.py'}:Faulty"
CORE = f"cpu:{min(os.sched_getaffinity(0))}" if hasattr(os, "sched_getaffinity") else "cpu"
TRAINING = ("--synthetic", "--hidden", "8", "--epochs", "1", "--batch-size", "512", "--threads", "1")
FLIP = {"kind": "flip", "replays": [3], "step": 5, "tensor": "layers.0.weight", "index": 400, "bit": 22}


def start(folder: Path, *words: str, **faults: Any) -> subprocess.Popen[str]:
    """A soak in a process of its own, as it is typed, in `folder`."""
    own = {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache"), "COLUMNS": "80"}
    command = [sys.executable, "-m", "accelmnist", "soak", *words]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | own | {"ACCELMNIST_TEST_FAULT": json.dumps(faults)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def soaked(folder: Path, *words: str, **faults: Any) -> tuple[int, str, SoakRecord]:
    """The exit code, what was said, and the record in `folder`/out."""
    process = start(folder, *TRAINING, "--out", "out", *words, **faults)
    said, errors = process.communicate()
    assert "Traceback" not in errors, errors
    return process.returncode, said + errors, load_soak(folder / "out")


def device_of(record: SoakRecord, name: str) -> SoakDevice:
    return next(device for device in record.devices if device.name == name)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172800), ("0.5 h", 1800), ("5min", 300)]
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["0", "0s", "10", "", "m", "-5m", "10x", "10m!", "52w", "365d", "1e3s", "nan", "10 m 5"]
)
def test_a_duration_that_cant_be_is_one_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["soak", f"--for={text}", "--no-save"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--for" in line
    assert "Give one such as 90s, 10m, 8h or 2d" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--replays", "1"], "--replays: 1 is out of range"),
        (["--for", "10m", "--replays", "5"], "--for contradicts --replays"),
        (["--devices", "cpu,cpu"], "one of them twice"),
        (["--devices", "cpu:9999"], "there is no core cpu:9999"),
        (["--devices", "tpu"], "error: --devices: 'tpu' is not a device"),
        (["--cores", "--devices", "cpu"], "--cores contradicts --devices"),
        (["--tolerance", "0"], "--tolerance"),
        (["--metrics", "/proc/none/metrics.prom"], "--metrics: cannot write /proc/none/metrics.prom"),
    ],
)
def test_wrong_use_is_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["soak", "--no-save", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--threads", "4000"), "error: --threads: 4000 is too many"),
        (("--batch-size", "5000"), "error: --batch-size: 5000 is larger than the 4096 training images"),
        (("--engine", "cuda_graph"), "error: --engine cuda_graph can't run this on cpu"),
        (("--engine", "broken.py:Mine"), "error: the engine broken.Mine: its import failed: ModuleNotFoundError"),
    ],
)
@pytest.mark.slow
def test_what_no_device_does_is_wrong_use_and_condemns_none(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    """A prolog of Slurm would drain the node."""
    (tmp_path / "broken.py").write_text("import no_such_thing")
    process = start(tmp_path, *TRAINING, "--devices", "cpu", "--replays", "2", "--out", "out", "--quiet", *words)
    _, errors = process.communicate()
    assert process.returncode == 2
    (line,) = errors.splitlines()
    assert line.startswith(said)


def test_every_core_is_a_device_of_its_own_and_the_rest_share_the_processor() -> None:
    cores = targets_of(SoakConfig(replays=2, cores=True))
    assert [target.core for target in cores] == sorted(os.sched_getaffinity(0))
    assert {target.threads for target in cores} == {1}
    with pytest.raises(ConfigError):
        targets_of(SoakConfig(replays=2, devices=("cpu:x",)))


@pytest.mark.slow
def test_a_flipped_bit_and_a_device_that_hangs_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    words = ("--devices", f"{CORE},cpu", "--engine", ENGINE, "--replays", "40", "--patience", "1s")
    code, said, record = soaked(tmp_path, *words, core=FLIP, cpu={"kind": "hang", "replays": [2]})
    core, cpu = device_of(record, CORE), device_of(record, "cpu")
    assert code == 1
    assert (core.replays, core.wrong) == (40, 1)
    fault = core.faults[0]
    assert (fault.replay, fault.epoch, fault.tensor) == (3, 1, "layers.0.weight")
    assert fault.after_step < 5 <= fault.step
    assert core.proof is not None
    assert core.proof.passed
    assert cpu.status in ("lost", "refused")
    assert "did not come within" in (cpu.error or "")
    assert f"failed: {CORE}: same" in said
    assert "failed: cpu: there" in said
    assert "layers.0.weight" in said


def test_a_lock_of_the_machine_is_seen_by_every_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_OF_ALL_USERS", tmp_path)
    first = files.lock_on_machine("soak", "cuda:0")
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) & 0o444 == 0o444  # who may read it may lock it
    with pytest.raises(BlockingIOError):
        files.lock_on_machine("soak", "cuda:0")
    os.close(files.lock_on_machine("soak", "cuda:1"))
    os.close(first)
    os.close(files.lock_on_machine("soak", "cuda:0"))


def test_two_soaks_on_a_device_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_OF_ALL_USERS", tmp_path)
    config = SoakConfig(devices=(CORE,), replays=2)
    other = files.lock_on_machine("soak", CORE)
    with ExitStack() as until_over:
        soaking = _Soak(SoakRequest(record=new_record(config)), SoakObserver())
        soaking._tell_of_others(until_over)
        assert soaking.record.notes == (f"another soak is at work on {CORE}: what its speed is, can't be told",)
    os.close(other)
    with ExitStack() as until_over:
        soaking = _Soak(SoakRequest(record=new_record(config)), SoakObserver())
        soaking._tell_of_others(until_over)
        assert soaking.record.notes == ()
        with pytest.raises(BlockingIOError):
            files.lock_on_machine("soak", CORE)


@pytest.mark.parametrize("first", ["cpu", CORE])
def test_a_core_and_the_processor_that_has_it_are_shared(
    first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_OF_ALL_USERS", tmp_path)

    def begun(until_over: ExitStack, *devices: str) -> tuple[str, ...]:
        soaking = _Soak(SoakRequest(record=new_record(SoakConfig(devices=devices, replays=2))), SoakObserver())
        soaking._tell_of_others(until_over)
        return soaking.record.notes

    both = tuple(dict.fromkeys((CORE, "cpu")))
    with ExitStack() as until_over:
        assert begun(until_over, first) == ()
        assert begun(until_over, *both) == tuple(
            f"another soak is at work on {name}: what its speed is, can't be told" for name in both
        )
    with ExitStack() as until_over:
        assert begun(until_over, *both) == ()  # what it has twice is no other soak


def test_what_cant_be_written_on_the_way_is_noted_and_ends_nothing(tmp_path: Path) -> None:
    def publish(_record: SoakRecord) -> None:
        raise OutputError("--metrics: cannot write soak.prom: no space left on device")

    (tmp_path / "out").touch()
    record = new_record(SoakConfig(devices=(CORE,), replays=2))
    soaking = _Soak(SoakRequest(record=record, folder=tmp_path / "out", publish=publish), SoakObserver())
    soaking._save()
    told = "; --metrics: cannot write soak.prom: no space left on device; the record could not be saved on the way: "
    assert told in soak_line(soaking.record)
    with pytest.raises(OutputError, match="not a directory"):
        soaking._save(at_once=True)  # in the end it has to be


@pytest.mark.slow
@pytest.mark.parametrize("flipped", [(), (3,)], ids=["nothing", "a flip"])
def test_a_minute_finds_what_is_planted_and_nothing_else(tmp_path: Path, flipped: tuple[int, ...]) -> None:
    """On the cores, of which others may use one: by how much a core may be slower is not the question here."""
    words = ("--cores", "--for", "1m", "--tolerance", "90%", *(("--engine", ENGINE) if flipped else ()))
    code, said, record = soaked(tmp_path, *words, core=FLIP | {"replays": flipped})
    found = {(fault.replay, fault.epoch, fault.step, fault.tensor, fault.bit) for fault in faults_in(record)}
    assert code == (1 if flipped else 0), said
    assert found == {(replay, 1, 5, "layers.0.weight", 22) for replay in flipped}
    assert record.elapsed_s >= 60
    for device in record.devices:
        assert (device.wrong, device.deterministic) == (len(flipped), True)
        assert device.replays > 20
        assert device.proof is not None
        assert device.proof.passed


def faults_in(record: SoakRecord) -> list[Fault]:
    return [fault for device in record.devices for fault in device.faults]


@pytest.mark.slow
def test_a_device_that_vanishes_is_told_and_one_that_rounds_by_chance_is_not_failed(tmp_path: Path) -> None:
    words = ("--devices", f"{CORE},cpu", "--engine", ENGINE, "--replays", "6", "--quiet")
    code, said, record = soaked(tmp_path, *words, core={"kind": "roundings"}, cpu={"kind": "vanish", "replays": [2]})
    core, cpu = device_of(record, CORE), device_of(record, "cpu")
    assert code == 1
    assert (core.replays, core.wrong, core.deterministic) == (6, 0, False)
    assert "SIGKILL" in (cpu.error or "")
    assert said.startswith("FAIL 2 devices")
    assert "failed: cpu: there" in said
    assert f"{CORE}: same" not in said


@pytest.mark.slow
def test_a_soak_that_is_killed_leaves_what_it_found_and_goes_on(tmp_path: Path) -> None:
    words = ("--devices", "cpu", "--engine", ENGINE, "--for", "1h", "--metrics", "soak.prom")
    process = start(tmp_path, *TRAINING, "--out", "out", *words, cpu=FLIP)
    while not (tmp_path / "out" / "soak.json").exists() or not load_soak(tmp_path / "out").rounds:
        assert process.poll() is None
        time.sleep(0.2)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    psutil.wait_procs(family, timeout=60)
    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    record = load_soak(tmp_path / "out")
    assert record.status == "running"
    assert record.devices[0].wrong == 1
    read_metrics(tmp_path / "soak.prom")
    again = start(tmp_path, "--resume", "out", "--metrics", "soak.prom")
    while load_soak(tmp_path / "out").devices[0].replays <= record.devices[0].replays:
        assert again.poll() is None
        time.sleep(0.2)
    again.send_signal(signal.SIGTERM)
    _, errors = again.communicate()
    ended = load_soak(tmp_path / "out")
    assert again.returncode == 130
    assert "Go on with: accelmnist soak --resume out" in errors
    assert ended.status == "interrupted"
    assert ended.devices[0].wrong == 1
    assert len(set(ended.devices[0].fingerprints)) == 1
    assert len(ended.devices[0].fingerprints) == 2
    figures = read_metrics(tmp_path / "soak.prom")
    assert figures["accelmnist_soak_different_replays"] == 1


def read_metrics(file: Path) -> dict[str, float]:
    """The figures of a file by Prometheus' own parser."""
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    families = parser.text_string_to_metric_families(file.read_text(encoding="utf-8"))
    return {sample.name: sample.value for family in families for sample in family.samples}


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core")
def test_a_slow_core_is_named(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    words = ("--cores", "--engine", ENGINE, "--replays", "30")
    code, said, record = soaked(tmp_path, *words, core={"kind": "slow", "slow": core})
    assert code == 1
    assert f"failed: cpu:{core}: speed" in said
    slow = [device.name for device in record.devices if any(beside.is_slow for beside in device.beside)]
    assert slow == [f"cpu:{core}"]


@pytest.fixture
def canned(tmp_path: Path) -> Path:
    """A folder with an `accelmnist` that writes down its calls and answers as ANSWER says: a code and a line."""
    program = tmp_path / "bin" / "accelmnist"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@" >> "$CALLS"\necho "${ANSWER#* }"\nexit "${ANSWER%% *}"\n')
    program.chmod(0o755)
    return tmp_path


def scripted(folder: Path, name: str, *words: str, answer: str) -> tuple[int, str, str]:
    """The exit code of an example, what it printed, and the calls that it made."""
    calls = folder / "calls"
    calls.write_text("")
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
    script = ["sh", str(ROOT / "bench" / "examples" / name), *words]
    own = {"PATH": path, "CALLS": str(calls), "ANSWER": answer}
    said = subprocess.run(script, env=os.environ | own, capture_output=True, text=True, check=False)
    return said.returncode, said.stdout, calls.read_text()


def test_cron_hears_only_of_what_is_wrong_and_a_stopped_soak_goes_on(canned: Path) -> None:
    soaks = canned / "soaks"
    code, said, calls = scripted(canned, "soak_cron.sh", str(soaks), "--for", "30m", answer="0 PASS")
    assert (code, said) == (0, "")
    assert calls.startswith("soak --out 2")
    assert calls.endswith(" --quiet --for 30m\n")
    code, said, _ = scripted(canned, "soak_cron.sh", str(soaks), answer="1 FAIL cuda:0")
    assert (code, said) == (1, "FAIL cuda:0\n")
    for name, status in (("one", "done"), ("two", "interrupted")):
        (soaks / name).mkdir()
        (soaks / name / "soak.json").write_text(f'{{\n  "status": "{status}"\n}}\n')
    assert scripted(canned, "soak_cron.sh", str(soaks), answer="0 PASS")[2] == "soak --resume two --quiet\n"


@pytest.fixture
def prolog(canned: Path) -> Path:
    """The prolog as a node has it, but for where accelmnist is, and for a system's log that is a file."""
    text = (ROOT / "bench" / "examples" / "soak_prolog.sh").read_text(encoding="utf-8")
    assert "/opt/accelmnist/bin" in text
    logger = canned / "bin" / "logger"
    logger.write_text('#!/bin/sh\necho "$@" > "${0%/*}/log"\n')
    logger.chmod(0o755)
    (canned / "prolog.sh").write_text(text.replace("/opt/accelmnist/bin", str(canned / "bin")))
    return canned / "prolog.sh"


@pytest.mark.parametrize(
    ("answer", "drains"),
    [
        ("0 PASS", False),
        ("1 FAIL cpu: same", True),
        ("2 error: no driver", False),
        ("", False),  # there is no accelmnist
    ],
)
@pytest.mark.parametrize("gpus", [None, "1,3"], ids=["no GPU", "two GPUs"])
def test_slurm_drains_a_node_only_for_a_device_that_is_wrong(
    prolog: Path, answer: str, drains: bool, gpus: str | None
) -> None:
    """With the variables that Slurm sets, which are no PATH and no HOME."""
    folder = prolog.parent
    program, code, line = folder / "bin" / "accelmnist", *answer.partition(" ")[::2]
    program.write_text(f'#!/bin/sh\necho "$@: $CUDA_VISIBLE_DEVICES" > {folder}/calls\necho "{line}"\nexit {code}\n')
    if not answer:
        program.unlink()
    slurm = {"SLURM_JOB_ID": "7", "SLURMD_NODENAME": "node1", "SLURM_SCRIPT_CONTEXT": "prolog_slurmd"}
    slurm |= {} if gpus is None else {"SLURM_JOB_GPUS": gpus, "CUDA_VISIBLE_DEVICES": gpus}
    said = subprocess.run(["/bin/sh", str(prolog)], env=slurm, capture_output=True, text=True, check=False)
    assert (said.returncode != 0) is drains
    told = (folder / "bin" / "log").read_text()
    assert told.startswith(f"-t accelmnist job 7: exit code {code or 127}: ")
    assert told.endswith(f"{line or 'not found'}\n")
    if answer:
        assert (folder / "calls").read_text() == f"soak --for 20s --synthetic --no-save --quiet: {gpus or ''}\n"


def test_slurm_may_execute_the_prolog() -> None:
    """One that it may not execute drains every node."""
    assert os.access(ROOT / "bench" / "examples" / "soak_prolog.sh", os.X_OK)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_understands_the_service_and_its_timer(tmp_path: Path) -> None:
    service = (ROOT / "bench" / "examples" / "accelmnist-soak.service").read_text(encoding="utf-8")
    timer = service.partition("#     [Timer]")[2].partition("\n[Unit]")[0]
    files = {
        "accelmnist-soak.service": service.replace("/opt/accelmnist/bin/accelmnist", sys.executable),
        "accelmnist-soak.timer": "[Timer]" + timer.replace("\n#     ", "\n"),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    command = ["systemd-analyze", "verify", *(str(tmp_path / name) for name in files)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    about = [line for line in said.stderr.splitlines() if "accelmnist-soak" in line]
    assert (said.returncode, about) == (0, []), said.stderr


def test_the_service_says_what_this_program_understands() -> None:
    text = (ROOT / "bench" / "examples" / "accelmnist-soak.service").read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    words = line.partition("accelmnist soak ")[2].split()
    context = soak.make_context("soak", words)
    assert (context.params["for_s"], context.params["quiet"]) == ("30m", True)
    assert context.params["metrics"] == Path("/var/lib/node_exporter/accelmnist.prom")
