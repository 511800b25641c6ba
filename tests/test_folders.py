"""The folder of a result: one writer at a time, what a killed one leaves behind, and when a result is finished."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from accelmnist.cli import invoke
from accelmnist.core.errors import ConfigError, OutputError
from accelmnist.core.files import require_new, sole_writer
from accelmnist.core.records import load_record, save_record
from accelmnist.sweep.recount import load_sweep

RUN = [
    "run",
    "--synthetic",
    "--hidden",
    "16",
    "--epochs",
    "1",
    "--batch-size",
    "64",
    "--device",
    "cpu",
    "--threads",
    "1",
]
SWEEP = ["sweep", *RUN[1:], "--hidden", "8"]
BENCH = ["bench", "--dataset", "synthetic", "--hidden", "16", "--devices", "cpu", "--engines", "eager"]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # all is loaded here already: a helper would only be waited for


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", [RUN, SWEEP, BENCH])
def test_a_second_writer_is_refused_and_told_of_the_first(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with sole_writer(Path("out")):
        assert invoke([*command, "--out", "out", "--quiet"]) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"error: another accelmnist is writing into out: process {os.getpid()}, since 20")
    assert line.endswith("Wait for it, or choose another folder\n")
    assert not list(Path("out").iterdir())


def test_a_second_run_cannot_go_on_where_the_first_one_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([*RUN, "--out", "out", "--quiet"]) == 0
    before = {name: (Path("out") / name).read_bytes() for name in files_in(Path("out"))}
    capsys.readouterr()
    with sole_writer(Path("out")):
        assert invoke(["run", "--resume", "out", "--quiet"]) == 2
    assert capsys.readouterr().err.startswith(f"error: another accelmnist is writing into out: process {os.getpid()}")
    assert {name: (Path("out") / name).read_bytes() for name in files_in(Path("out"))} == before


def test_what_killed_programs_leave_bars_no_folder_and_goes() -> None:
    (Path("out") / "weights").mkdir(parents=True)
    for name in (".lock", ".run.json.a1_bcd3x", ".checkpoint.safetensors.abcdefgh", "weights/.neuron-000.png.0123abcd"):
        (Path("out") / name).write_text("half")
    assert invoke([*RUN, "--out", "out", "--quiet"]) == 0
    assert files_in(Path("out")) == set(load_record(Path("out")).files)


def test_a_mistake_leaves_no_folder_and_keeps_the_users() -> None:
    Path("mine").mkdir()
    assert invoke([*RUN, "--out", "mine/new/out", "--quiet", "--batch-size", "9000"]) == 2
    assert [str(path) for path in Path().rglob("*")] == ["mine"]


@pytest.mark.parametrize(
    "name", [".gitignore", "notes.txt", "sub/.env", ".run.json", ".run.json.bak", "run.json.a1_bcd3x"]
)
def test_what_is_not_ours_is_left_alone(name: str, tmp_path: Path) -> None:
    file = tmp_path / "mine" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    with pytest.raises(ConfigError, match="holds other files"):
        require_new(tmp_path / "mine")
    with sole_writer(tmp_path / "mine"):
        pass
    assert file.read_text() == "mine"


def test_a_lock_that_its_holder_removes_meanwhile_locks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening and locking it, a file can go: then what was locked keeps nobody out."""
    import fcntl

    locked, calls = fcntl.flock, []

    def flock(handle: int, how: int) -> Any:
        calls.append(handle)
        if len(calls) == 1:
            (tmp_path / ".lock").unlink()
        return locked(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with sole_writer(tmp_path):
        assert (tmp_path / ".lock").read_text().startswith("process ")
    assert len(calls) == 2


# --- a result is finished when all of it is there


def keeps_failing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """`name`, a function that writes, fails for want of room."""

    def full(*_arguments: Any, **_settings: Any) -> None:
        raise OutputError("cannot write it: no space left on device", remedy="Make room there")

    monkeypatch.setattr(name, full)


@pytest.mark.parametrize("options", [(), pytest.param(("--profile", "--save-every", "0"), marks=pytest.mark.slow)])
def test_a_run_that_lacks_its_pictures_is_not_done_and_going_on_draws_them(
    options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        keeps_failing(patch, "accelmnist.show.pictures.write_numbered")
        assert invoke([*RUN, "--out", "out", "--quiet", *options]) == 2
    assert capsys.readouterr().out.startswith("PASS ")
    proven = load_record(Path("out"))
    assert proven.status == "failed"
    with monkeypatch.context() as patch:
        patch.setattr("accelmnist.training.loop.train", None)  # it is trained already
        patch.setattr("accelmnist.training.execute.train", None)
        assert invoke(["run", "--resume", "out", "--quiet"]) == 0
    record = load_record(Path("out"))
    assert replace(record, files=()) == replace(proven, status="done", message=None)
    assert files_in(Path("out")) == set(record.files)
    assert "weights/neuron-015.png" in record.files
    assert invoke(["run", "--resume", "out", "--quiet"]) == 2


@pytest.mark.parametrize("missing", ["files", "weights/neuron-003.png", "curves.png", "checkpoint"])
def test_a_finished_run_that_lost_files_gets_them_again(missing: str) -> None:
    """As one that was killed between its record and its pictures by an older version."""
    assert invoke([*RUN, "--out", "out", "--quiet"]) == 0
    whole = load_record(Path("out"))
    if missing == "files":
        save_record(replace(whole, files=()), Path("out"))
    elif missing == "checkpoint":
        (Path("out") / "checkpoint.safetensors").write_text("old")
    else:
        (Path("out") / missing).unlink()
    assert invoke(["run", "--resume", "out", "--quiet"]) == 0
    assert load_record(Path("out")) == whole
    assert files_in(Path("out")) == set(whole.files)


@pytest.mark.slow
def test_a_sweep_whose_pictures_do_not_fit_gets_them_when_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        keeps_failing(patch, "accelmnist.show.pictures.write_numbered")
        assert invoke([*SWEEP, "--out", "out", "--quiet"]) == 2
    assert load_sweep(Path("out")).status == "failed"
    with monkeypatch.context() as patch:
        keeps_failing(patch, "accelmnist.show.pictures.write_sweep_pictures")
        assert invoke(["sweep", "--resume", "out", "--quiet"]) == 2
    weights = (Path("out") / "best" / "model.safetensors").stat().st_mtime_ns
    assert invoke(["sweep", "--resume", "out", "--quiet"]) == 0
    assert (Path("out") / "best" / "model.safetensors").stat().st_mtime_ns == weights  # the winner was there
    record, best = load_sweep(Path("out")), load_record(Path("out") / "best")
    assert (record.status, record.message, best.status) == ("done", None, "done")
    assert files_in(Path("out")) == {*record.files, *(f"best/{name}" for name in best.files)}
    (Path("out") / "best" / "curves.png").unlink()
    assert invoke(["sweep", "--resume", "out", "--quiet"]) == 0
    assert (Path("out") / "best" / "curves.png").exists()
    assert invoke(["sweep", "--resume", "out", "--quiet"]) == 2
