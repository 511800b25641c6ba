"""The folder of a result: one writer at a time, what a killed one leaves behind, and when a result is finished."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from accelmnist.cli import invoke
from accelmnist.core.errors import ConfigError
from accelmnist.core.files import require_new, sole_writer
from accelmnist.core.records import load_record

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
