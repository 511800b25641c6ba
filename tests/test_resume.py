"""A run that was stopped at any moment and goes on ends with the same weights, to the bit, as one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from accelmnist.cli import invoke
from accelmnist.core.errors import CheckpointError, RecordError
from accelmnist.core.records import load_record
from accelmnist.training import loop
from accelmnist.training.checkpoint import find_stopped_run, load_checkpoint, load_model

RUN = ["run", "--synthetic", "--hidden", "64,32", "--dropout", "0.1", "--epochs", "8", "--batch-size", "64"]
RUN += ["--device", "cpu", "--engine", "eager", "--threads", "1", "--no-reference"]
PROGRAM = [sys.executable, "-m", "accelmnist"]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # all is loaded here already: a helper would only be waited for


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights of the run that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert invoke([*RUN, "--out", str(folder), "--quiet"]) == 0
    return load_file(folder / "model.safetensors")


def same_to_the_bit(folder: Path, expected: dict[str, torch.Tensor]) -> bool:
    found = load_file(folder / "model.safetensors")
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def stop_after(patch: pytest.MonkeyPatch, epochs: int) -> None:
    """Press Ctrl-C in the middle of an epoch, as a signal to this process."""
    original = loop._timed_epoch
    calls = []

    def train_epoch(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == epochs:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    patch.setattr(loop, "_timed_epoch", train_epoch)


@pytest.mark.parametrize(
    "save_every", [pytest.param("1", marks=pytest.mark.slow), "3", pytest.param("0", marks=pytest.mark.slow)]
)
def test_ctrl_c_saves_and_the_resumed_run_is_the_same(
    save_every: str,
    uninterrupted: dict[str, torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        assert invoke([*RUN, "--out", "run", "--quiet", "--save-every", save_every]) == 130
    assert "Stopping at the end of this epoch" in capsys.readouterr().err
    record = load_record(Path("run"))
    assert (record.status, len(record.epochs)) == ("interrupted", 4)
    assert not Path("run/model.safetensors").exists()
    assert invoke(["run", "--resume", "run", "--quiet"]) == 0
    assert same_to_the_bit(Path("run"), uninterrupted)
    record = load_record(Path("run"))
    assert (record.status, len(record.epochs)) == ("done", 8)
    assert not Path("run/checkpoint.safetensors").exists()


def test_the_second_ctrl_c_stops_at_once_and_keeps_the_checkpoint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original, calls = loop._timed_epoch, []

    def train_epoch(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(loop, "_timed_epoch", train_epoch)
    assert invoke([*RUN, "--out", "run", "--quiet"]) == 130
    record = load_record(Path("run"))
    assert (record.status, record.message) == ("interrupted", "stopped at once")
    assert len(load_checkpoint(Path("run/checkpoint.safetensors")).epochs) == 2


@pytest.mark.parametrize("epochs_seen", [0, 1, 5])
@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(
    epochs_seen: int, uninterrupted: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL, which no program can answer: before the first checkpoint, after it, and later."""
    process = subprocess.Popen([*PROGRAM, *RUN, "--out", "run", "--quiet"])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if Path("run/run.json").exists() and len(load_record(Path("run")).epochs) >= epochs_seen:
            break
        time.sleep(0.002)
    process.kill()
    process.wait()
    if load_record(Path("run")).status == "done":
        pytest.skip("the run was over before it could be killed")
    assert invoke(["run", "--resume", "run", "--quiet"]) == 0
    assert same_to_the_bit(Path("run"), uninterrupted)


def stopped(monkeypatch: pytest.MonkeyPatch) -> Path:
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        assert invoke([*RUN, "--out", "run", "--quiet"]) == 130
    return Path("run")


def test_a_truncated_checkpoint_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    file = stopped(monkeypatch) / "checkpoint.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"run/checkpoint\.safetensors is damaged or no safetensors file"):
        find_stopped_run(Path("run"))


def test_a_foreign_file_is_no_checkpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    file = stopped(monkeypatch) / "checkpoint.safetensors"
    save_file({"weights": torch.zeros(3)}, file)
    with pytest.raises(CheckpointError, match="is not an accelmnist checkpoint but of format 'unknown'"):
        find_stopped_run(Path("run"))


def test_a_checkpoint_of_another_run_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stopped(monkeypatch)
    stop_after(monkeypatch, 1)
    invoke([*RUN, "--hidden", "8", "--out", "other", "--quiet"])
    (folder / "checkpoint.safetensors").write_bytes(Path("other/checkpoint.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="is of another configuration"):
        find_stopped_run(folder)


def test_a_model_is_no_checkpoint_and_a_checkpoint_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = stopped(monkeypatch)
    with pytest.raises(CheckpointError, match="is not an accelmnist model but of format 'accelmnist checkpoint 2'"):
        load_model(folder / "checkpoint.safetensors")


def test_a_newer_record_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = stopped(monkeypatch)
    file = folder / "run.json"
    file.write_text(file.read_text().replace('"schema_version": 1', '"schema_version": 9'))
    with pytest.raises(RecordError, match=r"schema version 9, newer than the 1 known here\. Upgrade accelmnist"):
        find_stopped_run(folder)


def test_nothing_that_runs_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """safetensors and JSON only: a file that could carry code is never written."""
    folder = stopped(monkeypatch)
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".json", ".safetensors"}


def test_a_stop_after_the_last_epoch_loses_no_epoch(
    uninterrupted: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C while the result is checked stops at once, and resuming only checks again."""
    from accelmnist.engines.step.torch_steps import EagerSteps
    from accelmnist.training import proof

    with monkeypatch.context() as patch:
        patch.setattr(proof, "evaluate", lambda *_args, **_settings: os.kill(os.getpid(), signal.SIGINT))
        assert invoke([*RUN, "--out", "run", "--quiet"]) == 130
    assert capsys.readouterr().err == "error: interrupted. Go on with: accelmnist run --resume run\n"
    assert (load_record(Path("run")).status, len(load_record(Path("run")).epochs)) == ("interrupted", 8)

    def no_epoch(self: Any, epoch: Any) -> None:
        raise AssertionError("an epoch was trained again")

    monkeypatch.setattr(EagerSteps, "train_epoch", no_epoch)
    assert invoke(["run", "--resume", "run", "--quiet"]) == 0
    assert same_to_the_bit(Path("run"), uninterrupted)
    assert load_record(Path("run")).timing.images_per_s is not None


def test_a_stopped_run_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    folder = stopped(monkeypatch)
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == f"error: stopped after epoch 2 of 8. Go on with: accelmnist run --resume {folder}"


@pytest.mark.slow
def test_a_reader_who_leaves_stops_the_run_where_it_can_go_on() -> None:
    """`accelmnist run | head -1`: the pipe is closed, the record is saved, the exit code is that of an interruption."""
    command = [*PROGRAM, *RUN, "--out", "run", "--epochs", "40"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    record = load_record(Path("run"))
    assert (record.status, record.message) == ("interrupted", "its output was closed")
