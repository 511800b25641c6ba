"""Keys of a benchmark's record are data: a record of any age finds its limits again, and goes on with them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from accelmnist.core.errors import DeviceError, RecordError
from accelmnist.core.files import encode
from accelmnist.measure.compare.case_comparison import Rules
from accelmnist.measure.compare.compared_record import compared_bench
from accelmnist.measure.compare.comparison_report import compare_records
from accelmnist.measure.conclusion import conclude
from accelmnist.measure.limit_keys import LimitKey, new_limit
from accelmnist.measure.plan import Case
from accelmnist.measure.record import BenchRecord, CaseResult, RecordWriter
from accelmnist.measure.recount import load_bench
from accelmnist.measure.statistics.summary import summarize
from accelmnist.measure.statistics.symptoms import RoundLoad
from tests.bench_samples import sample_bench
from tests.samples import sample_verdict

# What ranks measured has no cases: it is held to its page in test_tables.py.
COMMITTED = sorted(
    file for file in (Path(__file__).parents[1] / "results").rglob("bench.json") if file.parent.name != "ranks"
)
CASE = Case(
    mode="training", device="cpu", engine="eager", precision="fp32", batch_size=64, hidden=(256,), optimizer="adamw"
)
# Words of the record as they were before it held the shape of a limit's work, with what they mean.
OLD_LIMITS: dict[str, tuple[str, str, LimitKey]] = {
    "cpu/fp32/matmul 1024x1024x1024": (
        "flop/s",
        "1024 x 1024 x 1024",
        LimitKey(kind="matmul", device="cpu", precision="fp32", shape=(1024,)),
    ),
    "cpu/bf16/matmul 1024x1024x1024 in fp32": (
        "flop/s",
        "1024 x 1024 x 1024 in fp32",
        LimitKey(kind="matmul", device="cpu", precision="bf16", shape=(1024,), computed_in="fp32"),
    ),
    "cpu/fp32/workload training 784-256-10 batch 64": (
        "flop/s",
        "training 784-256-10 batch 64",
        LimitKey(kind="workload", device="cpu", precision="fp32", shape=(64, 784, 256, 10), mode="training"),
    ),
    "cpu/2 threads/memory 256 MiB": (
        "bytes/s",
        "256 MiB",
        LimitKey(kind="memory", device="cpu", threads=2, shape=(1 << 28,)),
    ),
    "cpu/working set 4 MiB": ("bytes/s", "4 MiB", LimitKey(kind="working set", device="cpu", shape=(1 << 22,))),
    "cpu/dispatch one element": ("operations/s", "one element", LimitKey(kind="dispatch", device="cpu")),
    "cuda:0/graph dispatch one element": (
        "operations/s",
        "one element",
        LimitKey(kind="graph dispatch", device="cuda:0"),
    ),
    "cpu/meeting of 2 threads": ("operations/s", "of 2 threads", LimitKey(kind="meeting", device="cpu", shape=(2,))),
}


def old_limit(key: str) -> dict[str, Any]:
    unit, detail, what = OLD_LIMITS[key]
    return {
        "key": key,
        "kind": what.kind,
        "device": what.device,
        "precision": what.precision,
        "threads": what.threads,
        "unit": unit,
        "detail": detail,
        "rate": None,
    }


def old_record(folder: Path, rounds: int = 8) -> BenchRecord:
    """A benchmark of one case as it was written before the limits had shapes, read again."""
    samples = [1e5 + number for number in range(rounds)]
    case = CaseResult.of(
        CASE,
        status="measuring",
        images_per_s=summarize(samples),
        rounds=tuple(range(1, rounds + 1)),
        verdict=sample_verdict(),
    )
    document = json.loads(encode(BenchRecord(cases=(case,))))
    document["limits"] = list(map(old_limit, OLD_LIMITS))
    document["rounds"] = [
        {"number": number + 1, "process": 0, "limits": dict.fromkeys(OLD_LIMITS, 1e9 + number)}
        for number in range(rounds)
    ]
    (folder / "bench.json").write_text(json.dumps(document))
    return load_bench(folder)


def test_the_limits_of_an_old_record_are_known_by_what_they_are_of(tmp_path: Path) -> None:
    record = old_record(tmp_path)
    assert [limit.what for limit in record.limits] == [what for _, _, what in OLD_LIMITS.values()]
    assert {what.name: (what.unit, what.detail, what) for _, _, what in OLD_LIMITS.values()} == OLD_LIMITS


@pytest.mark.parametrize("detail", ["", "a large one", "1024 x 512 x 1024", "9" * 5000 + " MiB", "1024 x 1024 x 1024 "])
def test_a_limit_in_unknown_words_is_of_nobody_knows_what(tmp_path: Path, detail: str) -> None:
    limit = old_limit("cpu/working set 4 MiB") | {"detail": detail}
    document = {"schema_version": 1, "kind": "bench", "limits": [limit]}
    (tmp_path / "bench.json").write_text(json.dumps(document))
    (loaded,) = load_bench(tmp_path).limits
    assert (loaded.what, loaded.detail) == (None, detail)


def test_an_old_benchmark_goes_on_under_its_own_names(tmp_path: Path) -> None:
    """A limit that it has is not added again, and later rounds call it as the earlier ones did."""
    record = old_record(tmp_path)
    renamed = replace(record.limits[0], key="the square product")
    rounds = tuple(replace(one, limits={"the square product": 1e9}) for one in record.rounds)
    writer = RecordWriter(replace(record, limits=(renamed, *record.limits[1:]), rounds=rounds), None)
    square, new = renamed.what, LimitKey(kind="memory", device="cpu", shape=(1 << 27,))
    assert square is not None
    for what in (square, new):
        writer.add_limit(what)
    writer.add_round({CASE: 1e5, square: 2e9, new: 3e9}, RoundLoad(0.0, False), process=1)
    assert writer.record.limits[len(record.limits) :] == (new_limit(new),)
    last = writer.record.rounds[-1]
    assert (last.number, last.process, last.limits) == (9, 1, {"the square product": 2e9, new.name: 3e9})
    assert writer.record.cases[0].rounds == tuple(range(1, 10))


def test_what_fails_is_a_note_of_a_limit_and_the_status_of_a_case(tmp_path: Path) -> None:
    writer = RecordWriter(old_record(tmp_path), None)
    writer.failed(LimitKey(kind="dispatch", device="cpu", threads=2), str(DeviceError("no room")))
    writer.failed(CASE, "out of memory")
    assert writer.record.notes == ("The limit cpu/2 threads/dispatch one element was not measured: no room",)
    assert (writer.results[CASE].status, writer.results[CASE].skipped) == ("failed", "out of memory")


def test_a_limit_that_is_put_in_other_words_is_the_same_limit(tmp_path: Path) -> None:
    """A comparison finds it by what it is of, whatever each of the two records calls it."""
    old = old_record(tmp_path)
    names = {limit.key: f"limit {number}" for number, limit in enumerate(old.limits)}
    reworded = replace(
        old,
        limits=tuple(replace(limit, key=names[limit.key], detail="in new words") for limit in old.limits),
        rounds=tuple(replace(one, limits={names[key]: rate for key, rate in one.limits.items()}) for one in old.rounds),
    )
    report = compare_records(compared_bench(old, "old"), compared_bench(reworded, "new"), Rules())
    (row,) = report.rows
    own = [key for key, (_, _, what) in OLD_LIMITS.items() if what.device == "cpu"]
    assert (row.outcome, list(row.divided_by)) == ("same", own)


@pytest.mark.parametrize("file", COMMITTED, ids=lambda file: file.parent.name)
def test_a_committed_record_means_the_same_as_when_it_was_written(file: Path) -> None:
    """Its limits, which one beside others has none of, are found, so that the bounds follow from it again.

    And it is the same as itself.
    """
    record = load_bench(file)
    assert all(limit.what is not None and limit.what.name == limit.key for limit in record.limits)
    again = conclude(record)
    for before, after in zip(record.cases, again.cases, strict=True):
        assert (before.bound is None) == (after.bound is None)
        if before.bound and after.bound:
            assert after.bound.kind == before.bound.kind
            assert after.bound.share == pytest.approx(before.bound.share, rel=1e-9)
    one = compared_bench(record, "record")
    report = compare_records(one, one, Rules(fail_on=0.02))
    outcomes = {row.outcome for row in report.rows if row.comparison}
    assert report.passed
    assert outcomes == {"same"}
    assert {bool(row.divided_by) for row in report.rows if row.comparison} == {bool(record.limits)}
    assert bool(record.limits) == (not record.sides)


@pytest.mark.parametrize("shape", [[], [1, 2], [0], [-1]])
def test_a_limit_with_a_shape_that_its_kind_cannot_have_is_refused_in_one_line(
    tmp_path: Path, shape: list[int]
) -> None:
    document = json.loads(encode(sample_bench()))
    limit = next(limit for limit in document["limits"] if limit["kind"] == "matmul")
    limit["shape"] = shape
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(document))
    with pytest.raises(RecordError, match="a limit of kind 'matmul' has no shape"):
        load_bench(file)
