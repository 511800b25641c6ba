"""Whether benchmarks of one command agree: a pair that does, and one of which a case has moved; and processes alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from accelmnist.measure.compare.compared_record import compared_bench
from accelmnist.measure.statistics.summary import summarize
from bench.studies import processes
from bench.studies.agreement import pairs_of, report
from tests.test_compare import EAGER, sample_bench, with_case


def sides(*records: Any) -> Any:
    return [compared_bench(record, f"runs/{number}") for number, record in enumerate(records, start=1)]


def test_records_alike_agree() -> None:
    [pair] = pairs_of(sides(sample_bench(seed=1), sample_bench(seed=2)))
    assert (pair.base, pair.new) == ("1", "2")
    assert sum(pair.inside) >= 2
    assert len(pair.inside) == len(pair.alone) == 3


def test_a_drift_of_the_machine_is_held_by_the_limits_and_not_by_the_samples() -> None:
    [pair] = pairs_of(sides(sample_bench(seed=1), sample_bench(seed=2, drift=0.8)))
    assert sum(pair.inside) >= 2
    assert not any(pair.alone)


def test_a_case_that_moved_is_named_and_counted() -> None:
    base = sample_bench(seed=1)
    samples = base.cases[0].images_per_s.samples
    moved = with_case(base, EAGER, images_per_s=summarize([0.5 * speed for speed in samples]))
    records = sides(base, replace(base, created="2026-11-24T11:00:00+00:00"), moved)
    text = report(records, [Path(side.name) for side in records], Path("agreement.md"))
    assert "**7 of 9 ratios lie within their intervals: 77.8%**" in text
    assert f"- {EAGER}, 1 and 3: 0.500" in text
    assert "begun 10:00, 11:00, 10:00" in text


def test_processes_of_the_same_code_are_told_apart_by_their_samples_and_not_by_compare() -> None:
    """What the page says of three files a side is within what `compare` promises."""
    text = (processes.ROOT / "results" / "processes.md").read_text(encoding="utf-8")
    shares = [float(line.split("|")[3].strip().rstrip("%")) for line in text.splitlines() if " a side, " in line]
    assert shares[0] > 20.0
    assert shares[1] == 0.0
    assert shares[2] <= 5.0
