"""What follows from samples that were made up: speed-ups, ranks, spreads, all checked by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from accelmnist.core.records import Check, Verdict
from accelmnist.measure.conclusion import baseline_of, conclude, with_ranks, with_speedups
from accelmnist.measure.limit_keys import Limit
from accelmnist.measure.plan import BenchConfig, Case
from accelmnist.measure.record import BenchRecord, CaseResult, Round
from accelmnist.measure.statistics.summary import summarize

WRONG = Verdict(
    passed=False,
    reference="float64",
    checks=(Check(name="logits", passed=False, value=1.0, limit=0.1, detail="", reason=""),),
)


def result(engine: str, speed: float, *, rounds: int = 12, first: int = 1, **fields: Any) -> CaseResult:
    """A training case that ran at `speed` with a jitter of a thousandth."""
    jitter = 1 + 0.001 * np.sin(np.arange(rounds) + first)
    made = CaseResult(
        mode="training",
        device="cpu",
        engine=engine,
        precision="fp32",
        batch_size=128,
        hidden=(64,),
        optimizer="sgd",
        status="done",
        images_per_s=summarize((speed * jitter).tolist()),
        rounds=tuple(range(first, first + rounds)),
    )
    return replace(made, **fields)


def by_case(*results: CaseResult) -> dict[Case, CaseResult]:
    return {one.case: one for one in results}


def concluded(*results: CaseResult, processes: int = 1, baseline: str | None = None) -> list[CaseResult]:
    numbers = sorted({number for one in results for number in one.rounds})
    rounds = tuple(Round(number=number, process=number % processes, other_cpu=0.0) for number in numbers)
    record = BenchRecord(config=BenchConfig(baseline=baseline), cases=results, rounds=rounds)
    return list(conclude(record).cases)


def test_a_speedup_is_over_eager_float32_on_the_cpu() -> None:
    eager, compiled, gpu = concluded(
        result("eager", 100.0), result("compiled", 150.0), result("eager", 900.0, device="cuda:0")
    )
    assert eager.speedup is None
    assert compiled.speedup is not None
    assert compiled.speedup.ratio == pytest.approx(1.5)
    assert compiled.speedup.verdict == "faster"
    assert gpu.speedup is not None
    assert gpu.speedup.ratio == pytest.approx(9.0)


def test_without_the_cpu_it_is_over_eager_on_the_same_device() -> None:
    eager, graph = concluded(result("eager", 100.0, device="cuda:0"), result("compiled", 300.0, device="cuda:0"))
    assert eager.speedup is None
    assert graph.speedup is not None
    assert graph.speedup.ratio == pytest.approx(3.0)


def test_another_baseline_can_be_named() -> None:
    eager, compiled = concluded(result("eager", 100.0), result("compiled", 200.0), baseline="compiled")
    assert compiled.speedup is None
    assert eager.speedup is not None
    assert eager.speedup.ratio == pytest.approx(0.5)
    assert eager.speedup.verdict == "slower"


def test_only_the_same_work_is_compared() -> None:
    results = by_case(result("eager", 100.0), result("compiled", 200.0, batch_size=256))
    assert baseline_of(list(results)[1], results, None) is None


def test_a_speedup_pairs_the_rounds_that_both_took_part_in() -> None:
    """The machine doubles its speed after round 6; the later case saw the fast half alone."""
    slow_then_fast = result("eager", 100.0)
    assert slow_then_fast.images_per_s is not None
    samples = [sample * (1 if place < 6 else 2) for place, sample in enumerate(slow_then_fast.images_per_s.samples)]
    eager = replace(slow_then_fast, images_per_s=summarize(samples))
    late = result("compiled", 200.0, rounds=6, first=7)
    speedup = concluded(eager, late)[1].speedup
    assert speedup is not None
    assert speedup.ratio == pytest.approx(1.0, abs=0.01)


def test_a_wrong_case_is_neither_ranked_nor_a_baseline_nor_faster() -> None:
    wrong = replace(result("compiled", 500.0), verdict=WRONG)
    eager, compiled = concluded(result("eager", 100.0), wrong)
    assert (eager.rank, compiled.rank, compiled.speedup) == (1, None, None)
    base_is_wrong = by_case(replace(result("eager", 100.0), verdict=WRONG), result("compiled", 150.0))
    assert all(one.speedup is None for one in with_speedups(base_is_wrong, None).values())


def test_ranks_are_by_speed_within_a_mode() -> None:
    inference = {"mode": "inference", "optimizer": None}
    results = by_case(
        result("eager", 100.0),
        result("compiled", 150.0),
        result("eager", 9000.0, **inference),
        result("compiled", 50.0, batch_size=64),
    )
    assert [one.rank for one in with_ranks(results).values()] == [2, 1, 1, 3]


def test_the_spread_between_processes_is_told() -> None:
    """Rounds alternate between two processes, the second of which is 10 % faster."""
    one = result("eager", 100.0)
    samples = [100.0 if number % 2 == 0 else 110.0 for number in one.rounds]
    (found,) = concluded(replace(one, images_per_s=summarize(samples)), processes=2)
    assert sorted(found.process_medians) == [100.0, 110.0]
    assert found.process_spread == pytest.approx(10 / 105)


def test_symptoms_follow_from_samples_and_load() -> None:
    noisy = result("eager", 100.0)
    samples = [50.0, 150.0] * 6
    (found,) = concluded(replace(noisy, images_per_s=summarize(samples)))
    assert "unstable" in {symptom.code for symptom in found.symptoms}


def test_limits_are_summarized_over_the_rounds_that_have_them() -> None:
    limit = Limit(key="m", kind="matmul", device="cpu", precision="fp32", threads=2, unit="flop/s", detail="")
    rounds = tuple(Round(number=n, process=0, limits={"m": 10.0 + n} if n > 1 else {}) for n in range(1, 5))
    made = conclude(BenchRecord(limits=(limit, replace(limit, key="never")), rounds=rounds)).limits
    assert made[0].rate is not None
    assert made[0].rate.samples == (12.0, 13.0, 14.0)
    assert made[1].rate is None
