"""Files of pytest-benchmark in a comparison: real ones, made here by the installed version, and what can be wrong."""

from __future__ import annotations

import copy
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from accelmnist.cli import invoke
from accelmnist.core.errors import RecordError
from accelmnist.core.files import encode
from accelmnist.core.text import checked_json
from accelmnist.measure.compare.case_comparison import Rules
from accelmnist.measure.compare.compared_record import ComparedRecord
from accelmnist.measure.compare.comparison_report import compare_records
from accelmnist.measure.compare.pytest_benchmark import compared_pytest_benchmark, is_pytest_benchmark
from accelmnist.measure.plan import Case
from accelmnist.measure.record import BenchRecord, CaseResult
from accelmnist.measure.statistics.comparison import compare

ROOT = Path(__file__).parents[1]
SUITE = """
import pytest

@pytest.mark.parametrize("number", [1000, float("inf")])
def test_sum(benchmark, number):
    benchmark.extra_info["data"] = "not a time"
    benchmark.pedantic(sum, args=(range(1000),), rounds=12, iterations=3, warmup_rounds=1)

class TestSort:
    def test_sorted(self, benchmark):
        benchmark.pedantic(sorted, args=(range(1000),), rounds=8)
"""
HOOK = """
def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info.update(torch="2.14.1", threads=2, devices={"cpu": "A CPU", "cuda:0": "A GPU"})
"""
SUM, SUM_INF, SORTED = (
    f"test_suite.py::{name}" for name in ("test_sum[1000]", "test_sum[inf]", "TestSort::test_sorted")
)
CASE: dict[str, Any] = {
    "mode": "training",
    "device": "cpu",
    "engine": "eager",
    "precision": "fp32",
    "batch_size": 64,
    "hidden": (256,),
    "optimizer": "adamw",
}

Document = dict[str, Any]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with whole.json, saved by --benchmark-json, and bare.json, saved by --benchmark-autosave."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "test_suite.py").write_text(SUITE)
    (folder / "conftest.py").write_text(HOOK)
    save = ["--benchmark-json=whole.json", "--benchmark-autosave", "--benchmark-storage=saved"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", *save]
    # Neither the options of this run nor its workers: a worker of xdist measures nothing.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    subprocess.run(command, cwd=folder, env=clean, check=True, capture_output=True)
    [bare] = (folder / "saved").rglob("*.json")
    bare.rename(folder / "bare.json")
    return folder


@pytest.fixture(scope="module")
def whole(files: Path) -> Document:
    document: Document = json.loads((files / "whole.json").read_text())
    return document


@pytest.fixture
def other(whole: Document) -> Document:
    """A copy to change."""
    return copy.deepcopy(whole)


Tell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tell:
    """Compare two documents, saved as base.json and new.json, or two paths."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(base: object, new: object, *options: str) -> tuple[int, str, str]:
        for name, one in (("base.json", base), ("new.json", new)):
            if not isinstance(one, Path):
                Path(name).write_text(json.dumps(one))
        paths = [str(one) if isinstance(one, Path) else name for name, one in (("base.json", base), ("new.json", new))]
        code = invoke(["compare", *paths, *options])
        return code, *capsys.readouterr()

    return run


def stretched(document: Document, fullname: str, factor: float) -> Document:
    """The document with every time of one benchmark `factor` times as long."""
    for benchmark in document["benchmarks"]:
        if benchmark["fullname"] == fullname:
            benchmark["stats"]["data"] = [factor * time for time in benchmark["stats"]["data"]]
    return document


def side(document: object) -> ComparedRecord:
    return compared_pytest_benchmark(checked_json(document), "file")


def line_of(told: tuple[int, str, str]) -> str:
    code, out, err = told
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    return err.removeprefix("error: ").rstrip("\n")


# --- what is read ---


def test_a_real_file_is_known_by_its_keys(whole: Document) -> None:
    assert is_pytest_benchmark(whole)
    assert not is_pytest_benchmark(json.loads(encode(BenchRecord())))
    assert not is_pytest_benchmark([])
    assert not is_pytest_benchmark({"benchmarks": []})


def test_speeds_are_one_over_the_raw_times_by_full_name(whole: Document) -> None:
    series = side(whole).series
    assert list(series) == [SUM, SUM_INF, SORTED]
    assert [len(one.speeds) for one in series.values()] == [12, 12, 8]
    times = whole["benchmarks"][0]["stats"]["data"]
    assert series[SUM].speeds == pytest.approx([1 / time for time in times])
    assert series[SORTED].axes == {"file": "test_suite.py", "benchmark": "TestSort::test_sorted"}


def test_facts_are_the_leaves_of_the_machine_and_the_commit(whole: Document) -> None:
    facts = side(whole).facts
    assert facts["torch"] == "2.14.1"
    assert facts["devices.cuda:0"] == "A GPU"
    assert facts["cpu.count"] == whole["machine_info"]["cpu"]["count"]
    assert facts["commit.id"] == whole["commit_info"]["id"]
    assert facts["timer"] == "perf_counter"
    assert facts["pytest-benchmark"] == whole["version"]
    assert not any("hz_actual" in name for name in facts)


# --- verdicts ---


def test_a_file_against_itself_has_no_difference(whole: Document) -> None:
    found = compare_records(side(whole), side(whole), Rules())
    assert {row.comparison.ratio for row in found.rows if row.comparison} == {1.0}
    assert (found.differences, found.warnings) == ((), ())
    assert {row.undivided for row in found.rows} == {"pytest-benchmark measures no limits"}


def folder_of(name: str, document: Document, factors: Sequence[float], fullname: str = SUM) -> Path:
    """A folder with a file a run; the times of one benchmark are so many times as long, those of the others wander."""
    Path(name).mkdir(exist_ok=True)
    for number, factor in enumerate(factors):
        run = stretched(copy.deepcopy(document), fullname, factor)
        for other in {SUM, SUM_INF, SORTED} - {fullname}:
            stretched(run, other, (1.0, 1.3, 0.9)[(number + ord(name)) % 3])
        run["datetime"] = f"2026-11-29T02:{number:02}:{ord(name):02}"
        (Path(name) / f"{number}.json").write_text(json.dumps(run))
    return Path(name)


def test_one_process_a_side_is_ambiguous_whatever_its_samples_say(whole: Document, other: Document, tell: Tell) -> None:
    """Ten times the time: the samples of one process leave no doubt, and tell nothing of the next process."""
    code, out, _ = tell(whole, stretched(other, SUM, 10.0), "--json")
    document = json.loads(out)
    row = next(row for row in document["rows"] if row["key"] == SUM)
    times = whole["benchmarks"][0]["stats"]["data"]
    expected = compare([1 / time for time in times], [0.1 / time for time in times], paired=False)
    assert row["comparison"]["ratio"] == pytest.approx(expected.ratio)
    assert (row["outcome"], row["alone"], row["comparison"]["p_value"]) == ("ambiguous", True, 1.0)
    assert (code, document["passed"], document["tool"]) == (0, True, "pytest-benchmark")
    assert "A side is one process" in " ".join(tell(whole, other)[1].split())
    assert line_of(tell(whole, other, "--fail-on", "5%")) == (
        "--fail-on: base.json or new.json is of one process, and can't tell what changes from one to the next. "
        "Run both in turn, three times or more, and give the two folders of files"
    )


def test_of_several_processes_a_side_each_counts_as_one(whole: Document, tell: Tell) -> None:
    """What wanders by as much from run to run is no difference, what lies beyond all runs is one, and fails."""
    base, new = (folder_of(name, whole, factors) for name, factors in (("a", (1, 1.1, 0.9)), ("b", (10, 11, 9))))
    code, out, _ = tell(base, new, "--fail-on", "5%", "--json")
    rows = {row["key"]: row for row in json.loads(out)["rows"]}
    assert (code, rows[SUM]["outcome"], rows[SUM]["fails"], rows[SUM]["samples"]) == (1, "slower", True, [36, 36])
    assert {rows[key]["outcome"] for key in (SUM_INF, SORTED)} == {"ambiguous"}
    assert json.loads(out)["warnings"] == []
    for file in new.iterdir():
        file.write_text(file.read_text().replace("2026-11-29T02", "2026-11-29T03"))
    assert "warning: base and new were not run in turn: " in tell(base, new)[1]
    logs = [np.log([1 / np.median(one) for one in runs]) for runs in (times_of(base), times_of(new))]
    assert rows[SUM]["comparison"]["p_value"] == pytest.approx(stats.ttest_ind(*logs, equal_var=False).pvalue, rel=1e-6)


def times_of(folder: Path) -> list[list[float]]:
    return [json.loads(file.read_text())["benchmarks"][0]["stats"]["data"] for file in sorted(folder.iterdir())]


def test_a_run_given_twice_and_another_tools_record_are_one_line(whole: Document, tell: Tell) -> None:
    base, new = folder_of("a", whole, (1, 1.1)), folder_of("b", whole, (1, 1.2))
    (base / "2.json").write_bytes((base / "1.json").read_bytes())
    assert line_of(tell(base, new)) == "a/1.json and a/2.json are one run. Keep each run once"
    (base / "2.json").write_bytes(encode(BenchRecord(cases=(CaseResult.of(Case(**CASE), status="pending"),))))
    assert line_of(tell(base, new)).startswith("a/2.json is not pytest-benchmark's, as others in a. ")


def test_the_page_names_the_benchmarks_without_their_file(files: Path, other: Document, tell: Tell) -> None:
    code, out, _ = tell(files / "whole.json", stretched(other, SORTED, 0.2))
    lines = [" ".join(line.split()).removeprefix("• ") for line in out.splitlines()]
    assert code == 0
    assert "All are test_suite.py" in lines
    assert any(line.startswith("TestSort::test_sorted 5.") and " ambiguous " in line for line in lines)
    assert "Machine's drift not divided out: pytest-benchmark measures no limits." in lines
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("width", [80, 120])
def test_a_name_longer_than_its_column_is_folded_and_not_cut(
    other: Document, tell: Tell, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "test_" + "abcdefghij" * 9
    other["benchmarks"][0]["fullname"] = f"test_suite.py::{long}"
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, _ = tell(other, other)
    assert max(map(len, out.splitlines())) <= width
    assert "…" not in out
    folded = "".join(line.split()[0] for line in out.splitlines() if line.strip())
    assert long in folded


def test_extra_info_takes_no_part(whole: Document, other: Document) -> None:
    for benchmark in other["benchmarks"]:
        benchmark["extra_info"] = {"images_per_s": 3}
    assert compare_records(side(whole), side(other), Rules()) == compare_records(side(whole), side(whole), Rules())


def test_a_benchmark_of_one_file_alone_is_listed(whole: Document, other: Document) -> None:
    other["benchmarks"] = other["benchmarks"][:1]
    outcomes = {row.key: row.outcome for row in compare_records(side(whole), side(other), Rules()).rows}
    assert outcomes[SUM_INF] == outcomes[SORTED] == "only in base"


@pytest.mark.parametrize(
    ("times", "reason"),
    [([], "no round was timed"), ([1e-3, 0.0], "a time is 0: below what the clock tells apart")],
)
def test_times_that_give_no_speed_are_a_reason(whole: Document, other: Document, times: list[Any], reason: str) -> None:
    other["benchmarks"][0]["stats"]["data"] = times
    row = compare_records(side(whole), side(other), Rules()).rows[0]
    assert (row.outcome, row.reason) == ("only in base", reason)


# --- what differs ---


def test_differences_of_machine_commit_and_settings_are_named(other: Document) -> None:
    other["machine_info"] |= {"torch": "2.14.1"}
    other["machine_info"]["cpu"] |= {"flags": ["avx2", "fma"]}
    other["commit_info"] |= {"id": "def", "dirty": False}
    base = copy.deepcopy(other)
    other["machine_info"]["torch"] = "2.15.0"
    other["machine_info"]["cpu"] |= {"flags": ["avx2", "fma", "amx_tile"], "hz_actual": [1, 0]}
    other["commit_info"] |= {"id": "abc", "time": "later", "dirty": True}
    other["benchmarks"][0]["options"]["disable_gc"] = True
    found = compare_records(side(base), side(other), Rules())
    named = {one.name: (one.base, one.new) for one in found.differences}
    assert named["torch"] == ("2.14.1", "2.15.0")
    assert named["cpu.flags"] == ((), ("amx_tile",))
    assert named["commit.id"] == ("def", "abc")
    assert named["disable_gc"] == ("False", "False, True")
    assert set(named) == {"torch", "cpu.flags", "commit.id", "commit.dirty", "disable_gc"}
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda info: info["cpu"].update(brand_raw="Another CPU"), "processor differs"),
        (lambda info: info["cpu"].update(count=999), "number of cores differs"),
        (lambda info: info["devices"].update({"cuda:0": "Another GPU"}), "cuda:0 differs"),
    ],
)
def test_other_hardware_is_warned_of(other: Document, change: Callable[..., Any], part: str, tell: Tell) -> None:
    other["machine_info"]["cpu"]["brand_raw"] = "A CPU"
    base = copy.deepcopy(other)
    change(other["machine_info"])
    code, out, _ = tell(base, other)
    assert code == 0
    assert f"warning: {part}: this compares machines, not versions" in out


# --- what is refused ---


def test_a_file_without_raw_times_says_how_to_save_them(files: Path, tell: Tell) -> None:
    assert line_of(tell(files / "whole.json", files / "bare.json")) == (
        f"{files / 'bare.json'} has no raw times. "
        "Save it with --benchmark-json, or add --benchmark-save-data to --benchmark-save"
    )


def test_a_benchmarks_record_and_a_file_of_pytest_benchmark_do_not_mix(
    whole: Document, tell: Tell, tmp_path: Path
) -> None:
    bench = json.loads(encode(BenchRecord())) | {"cases": [CASE]}
    assert line_of(tell(bench, whole)) == (
        "base.json is of accelmnist bench and new.json of pytest-benchmark. Give two records of one tool"
    )


def test_no_benchmark_and_none_in_common_are_one_line(whole: Document, other: Document, tell: Tell) -> None:
    other["benchmarks"] = []
    assert line_of(tell(whole, other)) == "new.json holds no case. Give one in which something was measured"
    other["benchmarks"] = [whole["benchmarks"][0] | {"fullname": "test_other.py::test_other"}]
    assert line_of(tell(whole, other)) == (
        "base.json and new.json have no measured case in common. Measure the same cases"
    )


def test_half_a_file_is_one_line(files: Path, whole: Document, tell: Tell) -> None:
    half = files / "half.json"
    half.write_text((files / "whole.json").read_text()[:2000])
    assert line_of(tell(half, whole)).startswith(f"{half} is not whole JSON: ")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda one: one.pop("fullname"), "file is not whole: Object missing required field `fullname`"),
        (lambda one: one["stats"].update(data="fast"), "file is not whole: Expected `array | null`, got `str`"),
        (lambda one: one["stats"].update(data=[-1.0]), f"file, {SUM}: a sample is -1.0, not a finite number above 0"),
        (lambda one: one["stats"].update(data=[float("nan")]), f"file, {SUM}: a sample is nan"),
        (lambda one: one["stats"].update(data=[5e-324]), f"file, {SUM}: a sample is inf"),
        (lambda one: one.update(fullname=SUM_INF), f"file holds {SUM_INF} twice"),
    ],
)
def test_what_cannot_be_is_refused(other: Document, change: Callable[..., Any], line: str) -> None:
    change(other["benchmarks"][0])
    with pytest.raises(RecordError) as caught:
        side(other)
    assert str(caught.value).startswith(line)


def test_a_control_code_in_a_name_becomes_a_question_mark(other: Document) -> None:
    other["benchmarks"][0]["fullname"] = "test.py::test[\x1b[2J\ud800]"
    assert next(iter(side(other).series)) == "test.py::test[?[2J?]"


# --- mutated ---

VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([[], {}, [1e308], [5e-324, 1.0], {"a": [{"b": 1}]}, 0, -1])
)


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), value=VALUES, remove=st.booleans(), output=st.sampled_from([[], ["--json"], ["--markdown"]]))
@pytest.mark.slow
def test_a_mutated_file_never_ends_in_a_traceback(
    whole: Document, data: Any, value: Any, remove: Any, output: Any, tmp_path: Path
) -> None:
    document = copy.deepcopy(whole)
    document["machine_info"]["cpu"].pop("flags", None)  # a hundred places alike
    *path, last = data.draw(st.sampled_from(places(document)[1:]))
    holder = document
    for key in path:
        holder = holder[key]
    if remove:
        del holder[last]
    else:
        holder[last] = value
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(whole))
    bad.write_text(json.dumps(document))
    for pair in ((good, bad), (bad, good)):
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = invoke(["compare", *map(str, pair), *output])
        assert code in (0, 2)
        assert err.getvalue().count("\n") == (1 if code == 2 else 0)
