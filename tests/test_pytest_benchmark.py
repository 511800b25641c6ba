"""Files of pytest-benchmark in a comparison: real ones, made here by the installed version, and what can be wrong."""

from __future__ import annotations

import copy
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accelmnist.cli import invoke
from accelmnist.core.errors import RecordError
from accelmnist.core.files import encode
from accelmnist.core.text import checked_json
from accelmnist.measure.compare.case_comparison import Rules
from accelmnist.measure.compare.compared_record import ComparedRecord
from accelmnist.measure.compare.comparison_report import compare_records
from accelmnist.measure.compare.pytest_benchmark import compared_pytest_benchmark, is_pytest_benchmark
from accelmnist.measure.record import BenchRecord
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


def test_times_ten_times_as_long_are_a_tenth_of_the_speed_and_fail(
    whole: Document, other: Document, tell: Tell
) -> None:
    """So much that no noise of the real times hides it."""
    code, out, _ = tell(whole, stretched(other, SUM, 10.0), "--fail-on", "5%", "--json")
    document = json.loads(out)
    row = next(row for row in document["rows"] if row["key"] == SUM)
    times = whole["benchmarks"][0]["stats"]["data"]
    expected = compare([1 / time for time in times], [0.1 / time for time in times], paired=False)
    assert row["comparison"]["ratio"] == pytest.approx(expected.ratio)
    assert (row["outcome"], row["fails"]) == ("slower", True)
    assert (code, document["passed"], document["tool"]) == (1, False, "pytest-benchmark")


def test_the_page_names_the_benchmarks_without_their_file(files: Path, other: Document, tell: Tell) -> None:
    code, out, _ = tell(files / "whole.json", stretched(other, SORTED, 0.2))
    lines = [" ".join(line.split()).removeprefix("• ") for line in out.splitlines()]
    assert code == 0
    assert "All are test_suite.py" in lines
    assert any(line.startswith("TestSort::test_sorted 5.") and " faster " in line for line in lines)
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
    cases = [{"mode": "training", "device": "cpu", "engine": "eager", "precision": "fp32", "batch_size": 64}]
    cases[0] |= {"hidden": [256], "optimizer": "adamw"}
    bench = json.loads(encode(BenchRecord())) | {"cases": cases}
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
