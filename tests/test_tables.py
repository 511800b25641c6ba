"""The generated parts of the READMEs: each is what its command writes from the committed record."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from accelmnist.core.records import load_record
from accelmnist.measure.recount import load_bench
from bench.peers.record import load_record as load_peers
from bench.peers.start.table import start_sentence
from bench.peers.table import readme_part
from bench.studies import default_run, recipe_study, tables

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"


def part(document: Path, command: str) -> str:
    """What stands in `document` between the marks of `command`."""
    text = document.read_text(encoding="utf-8")
    return text.partition(f"<!-- written by `{command}` -->\n")[2].partition("\n<!-- end -->")[0]


def test_the_benchmark_is_that_of_its_record() -> None:
    command = "python -m bench.studies.tables bench results/bench-cpu"
    assert part(tables.RESULTS_README, command) == tables.bench_part(RESULTS / "bench-cpu")
    training = tables.training_part(load_bench(RESULTS / "bench-cpu"))
    assert part(tables.README, command) == training
    assert training.count("**Training**") == 1
    assert "Inference" not in training
    assert "skips pixels that are zero" in training  # a share of the limit lies above 100 %


def test_the_verdict_is_that_of_its_record() -> None:
    command = "python -m bench.studies.tables verdict results/lab/best"
    record = load_record(RESULTS / "lab" / "best")
    assert part(tables.README, command) == tables.verdict_part(record)
    assert record.verdict is not None
    assert all(f"| {check.name} |" in tables.verdict_part(record) for check in record.verdict.checks)


def test_the_peers_are_those_of_their_record() -> None:
    record = load_peers(RESULTS / "peers.json")
    assert part(tables.RESULTS_README, "python -m bench.peers") == readme_part(record)
    assert part(tables.README, "python -m bench.peers") == start_sentence(record.starts)
    assert "skips those that are zero" in readme_part(record)


def test_the_default_run_is_that_of_its_record() -> None:
    """The figures; the machine in the line above comes from a run's record, which is not kept."""
    document = json.loads((RESULTS / "default-run.json").read_text(encoding="utf-8"))
    processes = [default_run.Process(**process) for process in document["processes"]]
    written = part(tables.RESULTS_README, default_run.COMMAND)
    record = load_record(RESULTS / "lab" / "best")
    assert written.splitlines()[1:] == default_run.markdown(processes, record).splitlines()[1:]


def test_the_recipes_are_those_of_their_record() -> None:
    """The figures; the line above has the date of its writing."""
    study = recipe_study.load_study()
    assert study is not None
    written = part(tables.RESULTS_README, recipe_study.COMMAND)
    assert written.splitlines()[1:] == recipe_study.table(study).splitlines()[1:]


def test_every_part_has_its_command_and_its_end() -> None:
    for document in (tables.README, tables.RESULTS_README):
        marks = re.findall(r"<!-- (written by `[^`]+`|end) -->", document.read_text(encoding="utf-8"))
        assert marks[1::2] == ["end"] * (len(marks) // 2)
        assert all(mark.startswith("written by") for mark in marks[::2])


def test_a_part_is_written_between_its_marks_alone(tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text("before\n<!-- written by `it` -->\nold\n<!-- end -->\nafter\n", encoding="utf-8")
    tables.write_part("it", "new", document)
    assert document.read_text(encoding="utf-8") == "before\n<!-- written by `it` -->\nnew\n<!-- end -->\nafter\n"
    with pytest.raises(AssertionError, match="lacks"):
        tables.write_part("another", "new", document)


def test_benchmarks_are_pairs_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spread = {"median": 2.0, "first_quartile": 1.5, "third_quartile": 2.5}
    ways = {name: {"images_per_s": {"median": speed}} for name, speed in (("eager on cpu", 200.0), ("by hand", 100.0))}
    benchmarks = [
        {"extra_info": {}, "name": "test_upload[cpu]", "stats": {"median": 2e-3, "iqr": 1e-6, "rounds": 7}},
        {"extra_info": {"ratio": spread} | ways},
    ]
    assert tables.pair_rows(benchmarks)[2:] == ["| eager on cpu | by hand | 200 | 100 | **2.00** | 1.50 to 2.50 |"]
    assert tables.single_rows(benchmarks)[2:] == ["| upload (cpu) | 2 ms | 1 µs | 7 |"]
