"""A folder of one command given to another: one clear line that names what it is, and what takes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from accelmnist.cli import invoke
from accelmnist.core.records import save_record
from accelmnist.measure.record import BenchRecord, save_bench
from accelmnist.sweep.record import save_sweep
from tests.samples import sample_record
from tests.sweep_samples import sweep_record

GOES_ON = {
    "run": "A run goes on with: accelmnist run --resume",
    "bench": "A benchmark goes on with: accelmnist bench --resume",
    "sweep": "A sweep goes on with: accelmnist sweep --resume",
}
NOUNS = {"run": "a run", "bench": "a benchmark", "sweep": "a sweep"}


@pytest.fixture(autouse=True)
def _records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in NOUNS:
        Path(name).mkdir()
        Path(name, "page.md").touch()
    files = ("page.md",)
    save_record(replace(sample_record(), files=files), Path("run"))
    save_bench(BenchRecord(status="done", files=files), Path("bench"))
    save_sweep(replace(sweep_record(), status="done", files=files), Path("sweep"))


def line_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert invoke(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err.removeprefix("error: ").rstrip()


@pytest.mark.parametrize("command", NOUNS)
@pytest.mark.parametrize("other", NOUNS)
@pytest.mark.parametrize("form", ["{0}", "{0}/{0}.json"])
def test_resume_of_another_command_names_the_one_that_goes_on(
    capsys: pytest.CaptureFixture[str], command: str, other: str, form: str
) -> None:
    path = form.format(other)
    line = line_of(capsys, command, "--resume", path)
    if command == other:
        assert "is finished" in line
    else:
        assert line == f"--resume {path}: that is {NOUNS[other]}, not {NOUNS[command]}. {GOES_ON[other]} {path}"


@pytest.mark.parametrize("folder", ["run", "sweep"])
def test_compare_takes_benchmarks_alone(capsys: pytest.CaptureFixture[str], folder: str) -> None:
    expected = f"{folder} holds {NOUNS[folder]}, not a benchmark. Give the folder of `accelmnist bench`"
    assert line_of(capsys, "compare", folder, "bench") == expected


@pytest.mark.parametrize("folder", ["bench", "sweep"])
def test_neurons_takes_runs_alone(capsys: pytest.CaptureFixture[str], folder: str) -> None:
    assert line_of(capsys, "neurons", folder) == (
        f"{folder} holds {NOUNS[folder]}, not a run. Give the folder of `accelmnist run`"
    )


def test_a_sweep_as_a_model_names_its_winner(capsys: pytest.CaptureFixture[str]) -> None:
    Path("sweep/best").mkdir()
    Path("sweep/best/model.safetensors").write_bytes(b"")
    Path("seven.png").write_bytes(b"")
    line = line_of(capsys, "predict", "seven.png", "--model", "sweep")
    assert line == "--model sweep: that is a sweep. Its winner is --model sweep/best"
