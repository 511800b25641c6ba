"""`accelmnist compare`: known shifts get their verdicts, a machine's drift cancels, and bad input is one line."""

from __future__ import annotations

import io
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from accelmnist.cli import invoke
from accelmnist.core.config import DataConfig
from accelmnist.core.files import encode
from accelmnist.core.hardware import CpuFacts, GpuFacts
from accelmnist.core.records import Environment, save_record
from accelmnist.measure.compare.case_comparison import CaseComparison, Rules
from accelmnist.measure.compare.compared_record import ComparedRecord, Series, compared_bench
from accelmnist.measure.compare.comparison_report import ComparisonReport, compare_records, holm
from accelmnist.measure.limit_keys import LimitKey
from accelmnist.measure.plan import BenchConfig
from accelmnist.measure.record import (
    BenchRecord,
    CaseResult,
    DeviceInfo,
    Limit,
    Round,
    new_limit,
    save_bench,
)
from accelmnist.measure.statistics.comparison import compare
from accelmnist.measure.statistics.controls import machine_speeds
from accelmnist.measure.statistics.summary import summarize
from tests.bench_samples import LOST, sample_beside
from tests.samples import sample_environment, sample_record, sample_verdict

ROUNDS = 30
JITTER = 0.004
LIMIT_KEYS = (
    LimitKey(kind="matmul", device="cpu", precision="fp32", threads=2, shape=(1024,)),
    LimitKey(kind="workload", device="cpu", precision="fp32", threads=2, shape=(64, 784, 256, 10), mode="training"),
    LimitKey(kind="memory", device="cpu", threads=2, shape=(1 << 28,)),
    LimitKey(kind="dispatch", device="cpu", threads=2),
)
LIMITS = tuple(limit.name for limit in LIMIT_KEYS)
EAGER, COMPILED, FUSED = (f"training cpu {engine} fp32 784-256-10 batch 64 adamw" for engine in
                          ("eager", "compiled", "fused"))  # fmt: skip
GIVE = "Give the folder of a benchmark, its bench.json, or the JSON of pytest-benchmark"


def sample_bench(
    *,
    seed: int,
    drift: float = 1.0,
    speeds: dict[str, float] | None = None,
    rounds: int = ROUNDS,
    jitter: float = JITTER,
    apart: float = 0.0,
    engines: tuple[str, ...] = ("eager", "compiled", "fused"),
    **changes: Any,
) -> BenchRecord:
    """A finished benchmark: a case an engine, on a machine whose speed wanders by 3 % and is `drift` of the usual one.

    `speeds` multiply the speed of the cases named. What each limit, and each case, does by itself has a standard
    deviation of `apart`.
    """
    random = np.random.default_rng(seed)
    machine = drift * random.lognormal(0, 0.03, rounds)
    taken = {
        key: (1.7e11 * machine * random.lognormal(0, apart) * random.lognormal(0, JITTER / 2, rounds)).tolist()
        for key in LIMITS
    }
    cases = []
    for place, engine in enumerate(engines, start=1):
        case = unmeasured(engine)
        factor = (speeds or {}).get(case.case.label, 1.0)
        samples = 1e5 * place * factor * machine * random.lognormal(0, apart) * random.lognormal(0, jitter, rounds)
        cases.append(measured(case, samples.tolist()))
    record = BenchRecord(
        status="done",
        created="2026-11-24T10:00:00+00:00",
        environment=sample_environment(),
        devices=(DeviceInfo(name="cpu", hardware="AMD EPYC 9B14", memory_bytes=None),),
        cases=tuple(cases),
        limits=sample_limits(),
        rounds=tuple(
            Round(number=number + 1, process=0, limits={key: rates[number] for key, rates in taken.items()})
            for number in range(rounds)
        ),
    )
    return replace(record, **changes)


def unmeasured(engine: str) -> CaseResult:
    return CaseResult(
        mode="training", device="cpu", engine=engine, precision="fp32", batch_size=64, hidden=(256,), optimizer="adamw"
    )


def measured(case: CaseResult, samples: list[float]) -> CaseResult:
    return replace(
        case,
        status="done",
        images_per_s=summarize(samples),
        rounds=tuple(range(1, len(samples) + 1)),
        verdict=sample_verdict(),
    )


def sample_limits(**changes: Any) -> tuple[Limit, ...]:
    """By the names that the rounds know; with `changes`, measured in another way."""
    return tuple(replace(new_limit(replace(what, **changes)), key=what.name) for what in LIMIT_KEYS)


def without_limits(record: BenchRecord) -> BenchRecord:
    return replace(record, rounds=tuple(replace(round_, limits={}) for round_ in record.rounds))


def of_processes(record: BenchRecord, number: int) -> BenchRecord:
    """Its rounds dealt out to so many processes."""
    return replace(record, rounds=tuple(replace(one, process=one.number % number) for one in record.rounds))


def with_case(record: BenchRecord, key: str, **changes: Any) -> BenchRecord:
    assert any(case.case.label == key for case in record.cases)
    cases = (replace(case, **changes) if case.case.label == key else case for case in record.cases)
    return replace(record, cases=tuple(cases))


def without_case(record: BenchRecord, key: str) -> BenchRecord:
    return replace(record, cases=tuple(case for case in record.cases if case.case.label != key))


def judged(base: BenchRecord, new: BenchRecord, **rules: Any) -> ComparisonReport:
    return compare_records(compared_bench(base, "base"), compared_bench(new, "new"), Rules(**rules))


def rows(found: ComparisonReport) -> dict[str, CaseComparison]:
    return {row.key: row for row in found.rows}


def outcomes(found: ComparisonReport) -> list[str]:
    return [row.outcome for row in found.rows]


@dataclass(frozen=True)
class Told:
    """What a command line printed, and its exit code."""

    code: int
    out: str
    err: str


Tell = Callable[..., Told]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tell:
    """Run `accelmnist compare ...` in a folder of its own; a record among the arguments is saved first."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: object) -> Told:
        names = iter(("base", "new"))
        words = [kept(one, next(names)) if isinstance(one, BenchRecord) else str(one) for one in arguments]
        code = invoke(["compare", *words])
        return Told(code, *capsys.readouterr())

    return run


def kept(record: BenchRecord, name: str) -> str:
    Path(name).mkdir(exist_ok=True)
    save_bench(record, Path(name))
    return name


def line_of(told: Told) -> str:
    """The one line of a command that was refused."""
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1, told.err
    return told.err.removeprefix("error: ").rstrip("\n")


# --- verdicts ---


def test_a_record_against_itself_is_the_same() -> None:
    record = sample_bench(seed=1)
    found = judged(record, record, fail_on=0.02)
    assert outcomes(found) == ["same"] * 3
    assert found.passed
    assert (found.differences, found.warnings) == ((), ())
    assert all(row.comparison and row.comparison.ratio == 1 for row in found.rows)


def test_known_shifts_get_their_verdicts_and_ratios() -> None:
    found = judged(sample_bench(seed=1), sample_bench(seed=2, speeds={EAGER: 0.95, COMPILED: 1.08}))
    assert outcomes(found) == ["slower", "faster", "same"]
    ratios = [row.comparison.ratio for row in found.rows if row.comparison]
    assert ratios == pytest.approx([0.95, 1.08, 1.0], abs=0.004)
    assert found.passed, "without --fail-on a slower case is no failure"
    assert found.counts == {"slower": 1, "faster": 1, "same": 1}


def test_noise_that_hides_the_answer_is_ambiguous() -> None:
    base, new = (sample_bench(seed=seed, jitter=0.2, rounds=8) for seed in (1, 2))
    assert "ambiguous" in outcomes(judged(base, new))


def test_a_drift_of_the_machine_cancels_and_not_with_raw() -> None:
    base, new = sample_bench(seed=1), sample_bench(seed=2, drift=0.97)
    divided, raw = judged(base, new, fail_on=0.02), judged(base, new, raw=True, threshold=0.005)
    assert outcomes(divided) == ["same"] * 3
    assert all(row.comparison and abs(row.comparison.ratio - 1) < 0.004 for row in divided.rows)
    assert all(row.divided_by == LIMITS and row.undivided is None for row in divided.rows)
    assert outcomes(raw) == ["slower"] * 3
    assert all(not row.divided_by and row.undivided == "--raw leaves it in" for row in raw.rows)
    assert all(row.spread_of_limits is None for row in raw.rows)
    for row, other in zip(divided.rows, raw.rows, strict=True):
        assert row.ratio_of_medians == other.ratio_of_medians
        assert row.ratio_of_medians == pytest.approx(0.97, abs=0.03)


def test_the_comparison_is_that_of_the_shares() -> None:
    base, new = sample_bench(seed=1), sample_bench(seed=2, drift=0.9)
    sides = [record.cases[0].images_per_s for record in (base, new)]
    assert sides[0]
    assert sides[1]
    rates = [{key: [round_.limits[key] for round_ in record.rounds] for key in LIMITS} for record in (base, new)]
    expected = compare(sides[0].samples, sides[1].samples, paired=False, limits=machine_speeds(*rates))
    found = judged(base, new).rows[0]
    assert found.comparison
    assert found.comparison.ratio == pytest.approx(expected.ratio)
    assert found.ratio_of_medians == pytest.approx(np.median(sides[1].samples) / np.median(sides[0].samples))


def test_what_the_limits_did_by_themselves_is_allowed_to_a_case() -> None:
    """A case that is 5 % slower stands out where the limits agree, and not where they moved apart as much."""
    quiet = rows(judged(sample_bench(seed=1), sample_bench(seed=2, speeds={EAGER: 0.95})))[EAGER]
    moved = rows(judged(sample_bench(seed=1), sample_bench(seed=3, speeds={EAGER: 0.95}, apart=0.05)))[EAGER]
    assert quiet.outcome == "slower"
    assert moved.outcome == "ambiguous"
    assert quiet.spread_of_limits is not None
    assert moved.spread_of_limits is not None
    assert quiet.spread_of_limits < 0.005 < 0.02 < moved.spread_of_limits


def test_two_limits_are_no_measure_of_how_far_they_moved() -> None:
    base, new = (
        replace(record, rounds=tuple(replace(one, limits=dict(list(one.limits.items())[:2])) for one in record.rounds))
        for record in (sample_bench(seed=1), sample_bench(seed=2, apart=0.05))
    )
    found = judged(base, new).rows[0]
    assert found.divided_by == LIMITS[:2]
    assert found.spread_of_limits is None


def test_the_limits_of_another_device_say_nothing_of_this_one() -> None:
    base, new = sample_bench(seed=1), sample_bench(seed=2)
    gpu = replace(sample_limits()[0], device="cuda:0")
    found = judged(*(replace(record, limits=(gpu, *record.limits[1:])) for record in (base, new)))
    assert found.rows[0].divided_by == LIMITS[1:]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without_limits, "has no limit of the device beside every sample"),
        (lambda record: replace(record, rounds=record.rounds[1:]), "has no limit of the device beside every sample"),
        (lambda record: replace(record, limits=sample_limits(threads=1)), "measured in the same way in both"),
    ],
    ids=["no rates", "one round missing", "other probes"],
)
def test_without_a_limit_beside_every_sample_nothing_is_divided_and_the_row_says_so(
    change: Callable[..., Any], reason: str
) -> None:
    whole, other = sample_bench(seed=1), change(sample_bench(seed=2))
    for pair in ((whole, other), (other, whole)):
        row = rows(judged(*pair))[EAGER]
        assert row.divided_by == ()
        assert row.undivided is not None
        assert reason in row.undivided


# --- what fails ---


def test_a_true_slowdown_of_5_percent_exits_1(tell: Tell) -> None:
    told = tell(sample_bench(seed=1), sample_bench(seed=2, speeds={COMPILED: 0.95}), "--fail-on", "5%")
    assert told.code == 1
    assert "FAIL  1 case slower by more than 5 %" in told.out
    assert "compiled: 0.951 (0.9" in told.out


@pytest.mark.parametrize(("fail_on", "passed"), [(0.03, False), (0.05, False), (0.06, True), (None, True)])
def test_the_slowdown_has_to_be_beyond_what_fails(fail_on: float | None, passed: bool) -> None:
    found = judged(sample_bench(seed=1), sample_bench(seed=2, speeds={COMPILED: 0.95}), fail_on=fail_on)
    assert found.passed is passed
    assert outcomes(found) == ["same", "slower", "same"]


def test_a_faster_case_is_no_failure() -> None:
    assert judged(sample_bench(seed=1), sample_bench(seed=2, speeds={FUSED: 1.2}), fail_on=0.02).passed


@pytest.mark.parametrize("rules", [{}, {"fail_on": 0.05}])
def test_a_case_that_turned_wrong_fails_however_fast(rules: dict[str, Any]) -> None:
    new = with_case(sample_bench(seed=2, speeds={FUSED: 2.0}), FUSED, verdict=sample_verdict(passed=False))
    row = rows(found := judged(sample_bench(seed=1), new, **rules))[FUSED]
    assert (found.passed, row.outcome, row.fails, row.comparison) == (False, "wrong in new", True, None)
    assert row.reason == "accuracy"


def test_a_wrong_case_that_was_not_even_timed_fails() -> None:
    new = with_case(sample_bench(seed=2), FUSED, verdict=sample_verdict(passed=False), images_per_s=None, rounds=())
    assert rows(judged(sample_bench(seed=1), new))[FUSED].outcome == "wrong in new"


@pytest.mark.parametrize(("wrong_new", "outcome"), [(True, "wrong in both"), (False, "wrong in base")])
def test_what_was_wrong_before_is_not_compared_and_no_failure(wrong_new: bool, outcome: str) -> None:
    base = with_case(sample_bench(seed=1), FUSED, verdict=sample_verdict(passed=False))
    new = with_case(sample_bench(seed=2, speeds={FUSED: 0.5}), FUSED, verdict=sample_verdict(passed=not wrong_new))
    row = rows(found := judged(base, new, fail_on=0.05))[FUSED]
    assert (row.outcome, row.comparison, found.passed) == (outcome, None, True)


def test_cases_of_one_record_alone_are_listed_with_their_reason(tell: Tell) -> None:
    base = sample_bench(seed=1)
    new = with_case(sample_bench(seed=2), FUSED, status="cut", skipped="cut for time", images_per_s=None, rounds=())
    told = tell(base, replace(new, cases=(*new.cases, measured(unmeasured("cuda_graph"), [1e5] * ROUNDS))))
    assert told.code == 0
    said = [" ".join(line.split()) for line in told.out.splitlines()]
    assert "fused only in base: cut for time" in said
    assert "cuda_graph only in new: no case of the other" in said
    assert "2 same, 1 only in base, 1 only in new" in said


def test_a_case_measured_in_neither_is_only_counted(tell: Tell) -> None:
    skipped = replace(unmeasured("cuda_graph"), status="skipped", skipped="it needs CUDA")
    base, new = (
        replace(record, cases=(*record.cases, skipped)) for record in (sample_bench(seed=1), sample_bench(seed=2))
    )
    told = tell(base, new)
    assert "Measured in neither: 1 case." in told.out
    assert "cuda_graph" not in told.out
    assert rows(judged(base, new))["training cpu cuda_graph fp32 784-256-10 batch 64 adamw"].reason == "it needs CUDA"


def test_a_case_that_failed_in_new_fails_where_failures_were_asked_for() -> None:
    """Its samples don't count: it came to no end."""
    base, new = sample_bench(seed=1), with_case(sample_bench(seed=2), FUSED, status="failed", skipped="out of memory")
    row = rows(found := judged(base, new, fail_on=0.05))[FUSED]
    assert (row.outcome, row.reason, found.passed) == ("only in base", "failed: out of memory", False)
    assert judged(base, new).passed
    assert judged(new, base, fail_on=0.05).passed


def test_the_only_case_failing_is_a_failure_and_not_a_mistake_of_use() -> None:
    base = sample_bench(seed=1, engines=("fused",))
    new = with_case(sample_bench(seed=2, engines=("fused",)), FUSED, status="failed", skipped="out of memory")
    assert not judged(base, new, fail_on=0.05).passed


# --- many cases ---


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holms_correction_is_the_closed_test_of_bonferroni(p_values: Any) -> None:
    """A hypothesis falls where every intersection that holds it does: the definition, by brute force."""
    places = range(len(p_values))
    for place, adjusted in enumerate(holm(p_values)):
        subsets = [s for size in places for s in itertools.combinations(places, size + 1) if place in s]
        brute = max(min(1, len(s) * min(p_values[other] for other in s)) for s in subsets)
        assert adjusted == pytest.approx(brute, rel=1e-12)


def side(
    random: np.random.Generator, *, cases: int, samples: int, jitter: float, shifts: tuple[float, ...] = ()
) -> ComparedRecord:
    factors = np.ones(cases)
    factors[: len(shifts)] = shifts
    speeds = factors[:, None] * random.lognormal(0, jitter, (cases, samples))
    series = {
        place: Series(key=place, label=str(place), axes={"case": str(place)}, speeds=tuple(row))
        for place, row in enumerate(speeds.tolist())
    }
    return ComparedRecord(name="side", tool="accelmnist bench", created="", series=series, facts={}, machine={})


def simulate(trials: int, **shape: Any) -> list[ComparisonReport]:
    random = np.random.default_rng(0)
    rules = Rules(threshold=0.01, fail_on=0.01)
    shifts = shape.pop("shifts", ())
    return [compare_records(side(random, **shape), side(random, **shape, shifts=shifts), rules) for _ in range(trials)]


def test_the_same_thing_twice_fails_in_5_percent_at_most() -> None:
    """Eight noisy cases: without the correction a quarter of these would be false alarms."""
    found = simulate(400, cases=8, samples=12, jitter=0.05)
    failed = np.mean([not one.passed for one in found])
    uncorrected = np.mean([any(row.fails or row.spared for row in one.rows) for one in found])
    assert failed <= 0.05
    assert uncorrected > 0.10


def test_a_true_slowdown_among_many_is_still_found() -> None:
    found = simulate(200, cases=8, samples=30, jitter=0.02, shifts=(0.95,))
    assert np.mean([one.rows[0].fails for one in found]) >= 0.95
    assert np.mean([any(row.fails for row in one.rows[1:]) for one in found]) <= 0.05


def spared_pair() -> tuple[BenchRecord, BenchRecord]:
    """A case that is slower by 5 % at p = 0.02 alone, among five."""
    engines = ("eager", "compiled", "fused", "cuda_graph", "triton")
    base = sample_bench(seed=1, engines=engines)
    quiet = measured(unmeasured("eager"), [100, 101, 102, 103, 104, 105, 106, 107.0])
    noisy = measured(unmeasured("eager"), [90, 91, 92, 93, 94, 95, 103.5, 104.5])
    return tuple(
        without_limits(with_case(base, EAGER, images_per_s=one.images_per_s, rounds=one.rounds))
        for one in (quiet, noisy)
    )


def test_what_only_the_correction_keeps_from_failing_is_told(tell: Tell) -> None:
    base, new = spared_pair()
    row = rows(found := judged(base, new, fail_on=0.05))[EAGER]
    assert row.comparison
    assert row.comparison.p_value < 0.05 < 5 * row.comparison.p_value
    assert row.family_p == pytest.approx(5 * row.comparison.p_value)
    assert (row.outcome, row.fails, row.spared, found.passed) == ("slower", False, True, True)
    told = tell(base, new, "--fail-on", "5%")
    text = " ".join(told.out.split())
    assert told.code == 0
    assert "PASS no case is slower by more than 5 %" in text
    assert "Slower by more than 5 % by itself, but not significant once all 5 cases count (Holm's correction)" in text
    assert f"eager (p {row.family_p:.3f})" in text
    alone = judged(*(replace(record, cases=record.cases[:1]) for record in (base, new)), fail_on=0.05)
    assert not alone.passed


def test_too_few_samples_to_ever_fail_are_told(tell: Tell) -> None:
    engines = ("eager", "compiled", "fused", "cuda_graph", "triton")
    base, new = (sample_bench(seed=seed, rounds=5, engines=engines) for seed in (1, 2))
    found = judged(base, new, fail_on=0.05)
    assert len(found.cannot_fail) == 5
    much_slower = with_case(new, EAGER, images_per_s=summarize([1.0, 1.1, 1.2, 1.3, 1.4]))
    assert judged(base, much_slower, fail_on=0.05).passed
    assert "can't find a regression of one case alone in 5 of 5 cases" in " ".join(
        tell(base, new, "--fail-on", "5%").out.split()
    )
    assert judged(sample_bench(seed=1), sample_bench(seed=2), fail_on=0.05).cannot_fail == ()
    assert judged(base, new).cannot_fail == ()


@pytest.mark.parametrize("limits", [True, False])
@pytest.mark.parametrize("processes", [1, 2])
def test_with_fewer_samples_than_bench_asks_for_nothing_is_told(tell: Tell, limits: bool, processes: int) -> None:
    """Twice the speed in five rounds, whatever the limits and a second process make of it."""
    base, new = (sample_bench(seed=seed, rounds=5, speeds=speeds) for seed, speeds in ((1, {}), (2, {EAGER: 2.0})))
    if processes > 1:
        base, new = (of_processes(record, processes) for record in (base, new))
    if not limits:
        base, new = without_limits(base), without_limits(new)
    row = rows(judged(base, new, fail_on=0.05))[EAGER]
    assert row.comparison
    assert (row.by_process, bool(row.divided_by)) == (processes > 1, limits)
    assert row.comparison.ratio == pytest.approx(2.0, rel=0.2)
    assert (row.outcome, row.comparison.verdict) == ("ambiguous", "ambiguous")
    assert rows(judged(new, base, fail_on=0.05))[EAGER].fails is False
    for option in ("", "--markdown"):
        told = tell(base, new, *filter(None, [option]))
        assert "too few samples: 5 and 5 of the 6 a side" in " ".join(told.out.split())
    enough = rows(judged(*(sample_bench(seed=seed, speeds=speeds) for seed, speeds in ((1, {}), (2, {EAGER: 2.0})))))
    assert enough[EAGER].outcome == "faster"


@pytest.mark.parametrize("samples", [6, 8, 12])
def test_far_in_the_tail_p_is_not_below_the_exact_one(samples: int) -> None:
    """The correction asks for small p-values, where the normal approximation has to be cautious."""
    for shift in np.linspace(0.9, 1.9, 21) * samples:
        base, new = np.arange(samples) + 100.0, np.arange(samples) + 100.0 + shift + 0.5
        exact = stats.mannwhitneyu(base, new, method="exact").pvalue
        if exact < 0.01:
            assert compare(base.tolist(), new.tolist(), paired=False).p_value >= exact


# --- what differs around the cases ---


def changed(value: object) -> object:
    return value + 1 if isinstance(value, int) else {"OMP_NUM_THREADS": "1"} if isinstance(value, dict) else "another"


@pytest.mark.parametrize("field", [field.name for field in fields(Environment) if field.name not in ("cpu", "gpus")])
def test_every_field_of_the_environment_that_differs_is_named(field: str) -> None:
    environment = sample_environment()
    value = changed(getattr(environment, field))
    new = replace(sample_bench(seed=1), environment=replace(environment, **{field: value}))
    [difference] = judged(sample_bench(seed=1), new).differences
    if field == "variables":
        assert (difference.name, difference.base, difference.new) == ("OMP_NUM_THREADS", None, "1")
    else:
        assert (difference.name, difference.base, difference.new) == (field, getattr(environment, field), value)


def test_what_is_set_of_a_processor_and_a_card_is_named_and_what_changes_by_itself_is_not() -> None:
    def with_hardware(cpu: CpuFacts, gpu: GpuFacts) -> BenchRecord:
        return replace(sample_bench(seed=1), environment=replace(sample_environment(), cpu=cpu, gpus=(gpu,)))

    cpu = CpuFacts(governor="performance", clock_hz=3e9, steal_share=0.1)
    gpu = GpuFacts(device="cuda:0", power_cap_w=700.0, clock_hz=1e9, temperature_c=40.0, persistence=True)
    base = with_hardware(cpu, gpu)
    warmer = with_hardware(replace(cpu, clock_hz=2e9, steal_share=0.2), replace(gpu, clock_hz=2e9, temperature_c=60.0))
    assert judged(base, warmer).differences == ()
    slower = with_hardware(replace(cpu, governor="powersave"), replace(gpu, power_cap_w=500.0))
    named = [(one.name, one.base, one.new) for one in judged(base, slower).differences]
    assert named == [("governor", "performance", "powersave"), ("cuda:0 power_cap_w", 700.0, 500.0)]


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (BenchConfig(data=DataConfig(dataset="synthetic")), "dataset"),
        (BenchConfig(processes=3), "processes"),
        (BenchConfig(precision_target=0.02), "precision target"),
        (BenchConfig(time_limit_s=20.0), "time limit in s"),
        (BenchConfig(epochs=3), "epochs of the check"),
    ],
)
def test_differences_of_the_configuration_are_named(config: BenchConfig, name: str) -> None:
    found = judged(sample_bench(seed=1), sample_bench(seed=1, config=config))
    assert [one.name for one in found.differences] == [name]


def test_lists_of_cases_are_no_difference_of_their_own() -> None:
    assert judged(sample_bench(seed=1), sample_bench(seed=1, config=BenchConfig(engines=("eager",)))).differences == ()


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"environment": replace(sample_environment(), processor="Other", hardware="Other")}, "processor differs"),
        ({"environment": replace(sample_environment(), cores=8)}, "number of cores differs"),
        ({"devices": (DeviceInfo(name="cuda:0", hardware="Other GPU", memory_bytes=None),)}, "cuda:0 differs"),
    ],
)
def test_other_hardware_is_warned_of(changes: dict[str, Any], part: str, tell: Tell) -> None:
    devices = (DeviceInfo(name="cuda:0", hardware="A GPU", memory_bytes=None),)
    base = sample_bench(seed=1, devices=devices)
    [warning] = judged(base, replace(sample_bench(seed=2, devices=devices), **changes)).warnings
    assert warning.startswith(f"{part}: this compares machines, not versions")
    told = tell(base, replace(base, **changes))
    assert f"warning: {part}" in told.out


def test_a_device_that_only_one_record_has_is_no_other_machine() -> None:
    gpu = DeviceInfo(name="cuda:0", hardware="A GPU", memory_bytes=None)
    base = sample_bench(seed=1)
    assert judged(base, sample_bench(seed=2, devices=(*base.devices, gpu))).warnings == ()


def test_a_benchmark_that_did_not_end_is_warned_of() -> None:
    new = sample_bench(seed=2, status="interrupted", message="interrupted after round 12")
    assert judged(sample_bench(seed=1), new).warnings == (
        "new is of a benchmark that is interrupted: interrupted after round 12",
    )


def test_what_else_ran_meanwhile_is_warned_of() -> None:
    quiet, busy = sample_bench(seed=1), sample_bench(seed=2)
    shared = replace(busy, rounds=tuple(replace(round_, other_cpu=0.04) for round_ in busy.rounds))
    [warning] = judged(quiet, shared).warnings
    assert warning.startswith("new was measured while other processes used 4 % of the processors")
    calm = replace(busy, rounds=tuple(replace(round_, other_cpu=0.01) for round_ in busy.rounds))
    assert judged(quiet, calm).warnings == ()


# --- output ---


def test_the_axes_are_the_parts_of_the_key() -> None:
    for case in (
        *sample_bench(seed=1).cases,
        replace(unmeasured("eager"), threads=2, mode="inference", optimizer=None),
    ):
        record = replace(sample_bench(seed=1), cases=(replace(case, images_per_s=None, rounds=()),))
        [series] = compared_bench(record, "base").series.values()
        assert " ".join(filter(None, series.axes.values())) == case.case.label


def test_the_page_at_80_columns(tell: Tell) -> None:
    told = tell(
        sample_bench(seed=1, environment=None),
        sample_bench(seed=2, speeds={EAGER: 0.92}, drift=0.97),
        "--fail-on",
        "5 %",
    )
    lines = [line.rstrip() for line in told.out.splitlines()]
    start = lines.index("Cases ──────────────────────────────────────────────────────────────────────────")
    found = rows(judged(sample_bench(seed=1), sample_bench(seed=2, speeds={EAGER: 0.92}, drift=0.97)))
    ratio = found[EAGER].comparison
    assert ratio
    assert lines[start + 1].split() == ["case", "ratio", "95", "%", "interval", "plain", "verdict", "p"]
    plain = found[EAGER].ratio_of_medians
    assert lines[start + 3] == (
        f"eager     {ratio.ratio:.3f}  {ratio.low:.3f} to {ratio.high:.3f}  {plain:.3f}  slower   <0.001"
    )
    assert "All are training cpu fp32 784-256-10 batch 64 adamw" in lines[start + 4 :]
    end = lines.index("Answer ─────────────────────────────────────────────────────────────────────────")
    assert lines[end + 1 : end + 3] == ["1 slower, 2 same", "FAIL  1 case slower by more than 5 %"]
    assert lines[end + 4].startswith(f"• eager: {ratio.ratio:.3f} ({ratio.low:.3f} to {ratio.high:.3f}), p <0.001 with")


def test_both_ratios_are_shown_only_where_they_differ(tell: Tell) -> None:
    quiet = replace(sample_bench(seed=1), created="later")
    assert "plain" not in tell(sample_bench(seed=1), quiet).out


def eventful() -> tuple[BenchRecord, BenchRecord]:
    """Two records in which everything happens, with long names."""
    base, new = spared_pair()
    gone = replace(unmeasured("eager"), hidden=(512, 512, 512), optimizer="sgd-momentum", threads=16)
    base = replace(base, cases=(*base.cases, measured(gone, [1e5] * ROUNDS)))
    new = with_case(new, FUSED, verdict=sample_verdict(passed=False))
    skipped = "out of memory: 5.1 GB were asked for and 2.2 GB are free. Choose a smaller --batch-sizes or --hidden"
    new = with_case(new, COMPILED, status="failed", skipped=skipped)
    environment = replace(sample_environment(), variables={"PYTORCH_CUDA_ALLOC_CONF": "a" * 90}, hardware="Other")
    return base, replace(new, environment=environment, status="running")


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_console(tell: Tell, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    told = tell(*eventful(), "--fail-on", "5%")
    lines = told.out.splitlines()
    assert told.code == 1
    assert max(map(len, lines)) <= width
    assert "…" not in told.out
    assert "\x1b" not in told.out
    said = " ".join(told.out.split())
    for part in ("wrong in new", "failed checks: accuracy", "only in base", "no failure: p is", "drift not divided"):
        assert part in said


def test_json_is_one_document(tell: Tell) -> None:
    told = tell(*eventful(), "--fail-on", "5%", "--json")
    document = json.loads(told.out)
    assert (told.code, told.err) == (1, "")
    assert (document["kind"], document["schema_version"], document["passed"]) == ("comparison", 1, False)
    assert document["rules"] == {"threshold": 0.02, "fail_on": 0.05, "raw": False}
    row = next(row for row in document["rows"] if row["key"] == EAGER)
    assert set(row["comparison"]) == {"ratio", "low", "high", "verdict", "p_value"}
    assert row["undivided"] == "base has no limit of the device beside every sample"
    assert document["counts"]["wrong in new"] == 1


def test_markdown_has_a_row_a_case_and_its_marks_escaped(tell: Tell) -> None:
    base, new = eventful()
    told = tell(base, replace(new, environment=replace(sample_environment(), torch="2|*_")), "--markdown")
    lines = told.out.splitlines()
    assert told.code == 1
    assert lines[0].startswith("**1 slower, 2 same")
    assert lines[2] == "**FAIL**: 1 case wrong that was right."
    table = [line for line in lines if line.startswith("| ")]
    assert table[0] == "| case | ratio | 95 % interval | verdict | p | note |"
    assert len([line for line in table if "eager" in line or "fused" in line]) == 2
    assert any(line.startswith("- eager 784-512-512-512-10 sgd-momentum 16 threads: only in base") for line in lines)
    assert r"| torch | 2.14.1 | 2\|\*\_ |" in lines
    assert all(line.replace(r"\|", "").count("|") in (4, 7) for line in table)


def test_a_control_code_in_a_record_does_not_reach_the_terminal(tell: Tell) -> None:
    told = tell(sample_bench(seed=1, created="\x1b[31mred"), sample_bench(seed=1, message="\x1b[2J", status="failed"))
    assert told.code == 0
    assert "\x1b" not in told.out
    assert "?[31mred" in told.out


# --- use and misuse ---


@pytest.mark.parametrize("share", ["5%", "5 %", "0.05", " 5e-2 ", "5.0%"])
def test_ways_to_write_a_share(tell: Tell, share: str) -> None:
    told = tell(sample_bench(seed=1), sample_bench(seed=2), "--fail-on", share, "--json")
    assert json.loads(told.out)["rules"]["fail_on"] == 0.05


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("--fail-on=0", "--fail-on: 0 % is out of range. Give one such as 5% or 0.05"),
        ("--fail-on=-5%", "--fail-on: -5 % is out of range. Give one such as 5% or 0.05"),
        ("--fail-on=5", "--fail-on: 500 % is out of range. Give one such as 5% or 0.05"),
        ("--fail-on=100%", "--fail-on: 100 % is out of range. Give one such as 5% or 0.05"),
        ("--fail-on=nan", "--fail-on: nan % is out of range. Give one such as 5% or 0.05"),
        ("--fail-on=inf", "--fail-on: inf % is out of range. Give one such as 5% or 0.05"),
        ("--fail-on=five", "--fail-on: 'five' is not a share. Give one such as 5% or 0.05"),
        ("--fail-on=5%%", "--fail-on: '5%%' is not a share. Give one such as 5% or 0.05"),
        ("--fail-on=%", "--fail-on: '%' is not a share. Give one such as 5% or 0.05"),
        ("--threshold=0", "--threshold: 0 % is out of range. Give one such as 5% or 0.05"),
        (
            "--fail-on=1%",
            "--fail-on: 1 % is below the threshold of 2 %, under which nothing is called slower. Lower --threshold too",
        ),
        ("--json --markdown", "--json contradicts --markdown. Give one of them"),
    ],
)
def test_a_wrong_option_is_one_line(tell: Tell, options: str, line: str) -> None:
    assert line_of(tell(sample_bench(seed=1), sample_bench(seed=2), *options.split(" "))) == line


def test_a_threshold_that_is_lowered_too_is_fine(tell: Tell) -> None:
    told = tell(sample_bench(seed=1), sample_bench(seed=2, speeds={EAGER: 0.985}), "--fail-on=1%", "--threshold=1%")
    assert told.code == 1


def document(**changes: object) -> bytes:
    """The JSON of a good record with these keys changed."""
    return json.dumps(json.loads(encode(sample_bench(seed=1))) | changes).encode()


BAD_FILES: dict[str, tuple[bytes, str]] = {
    "truncated": (document()[:500], "bad is not whole JSON: "),
    "empty": (b"", "bad is not whole JSON: "),
    "not text": (b"\xff\xfe\x00", "bad is not whole JSON: "),
    "newer": (document(schema_version=2), "bad has schema version 2, newer than the 1 known here. Upgrade accelmnist"),
    "another tool": (b'{"results": []}', f"bad is neither a benchmark's record nor pytest-benchmark's. {GIVE}"),
    "a list": (b"[1, 2]", f"bad is neither a benchmark's record nor pytest-benchmark's. {GIVE}"),
    "deep": (
        b'{"schema_version":1,"kind":"bench","x":' + b"[" * 100_000,
        f"bad is nested too deeply for a record. {GIVE}",
    ),
    "a comparison": (
        b'{"schema_version": 1, "kind": "comparison"}',
        "bad is a record of kind 'comparison', not of a benchmark. Give the folder of a benchmark",
    ),
    "no case": (document(cases=[]), "bad holds no case. Give one in which something was measured"),
    "a wrong type": (document(cases=3), "bad is not a record of accelmnist: "),
    "a case twice": (
        document(cases=2 * json.loads(document())["cases"]),
        f"bad: {EAGER} is there twice. Measure it again: a record is not edited",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("is_base", [True, False])
def test_a_bad_file_is_one_line(tell: Tell, name: str, is_base: bool) -> None:
    content, line = BAD_FILES[name]
    Path("bad").write_bytes(content)
    good = sample_bench(seed=1)
    found = line_of(tell("bad", good) if is_base else tell(good, "bad"))
    assert found.startswith(line)
    assert found == line or line.endswith(": ")


def test_a_missing_file_and_folders_without_a_benchmark_are_one_line(tell: Tell) -> None:
    good = kept(sample_bench(seed=1), "good")
    Path("run").mkdir()
    save_record(sample_record(), Path("run"))
    cause = "no such file or directory"
    assert line_of(tell("nowhere", good)) == f"cannot read nowhere: {cause}. {GIVE}"
    assert line_of(tell(good, "run")) == "run holds a run, not a benchmark. Give the folder of `accelmnist bench`"
    assert line_of(tell(good, "x" * 5000)).endswith(": file name too long. Give another path, or rename it")
    assert line_of(tell(good, "run/run.json")) == (
        "run/run.json is a record of kind 'run', not of a benchmark. Give the folder of a benchmark"
    )


def test_nothing_in_common_is_one_line(tell: Tell) -> None:
    base, new = sample_bench(seed=1, engines=("eager",)), sample_bench(seed=2, engines=("fused",))
    assert line_of(tell(base, new)) == "base and new have no measured case in common. Measure the same cases"


@pytest.mark.parametrize("number", [0.0, -1.0])
def test_a_sample_that_cannot_be_is_one_line(tell: Tell, number: float) -> None:
    record = sample_bench(seed=1)
    summary = record.cases[0].images_per_s
    assert summary
    broken = with_case(record, EAGER, images_per_s=replace(summary, samples=(number, *summary.samples[1:])))
    line = line_of(tell(record, broken))
    assert line == (
        f"new/bench.json: {EAGER}: a sample is {number}, not a finite number above 0. Measure the case again"
    )


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from accelmnist.cli import invoke; invoke(sys.argv[1:]); "
        "print('LOADED', [m for m in ('torch', 'matplotlib', 'numpy', 'rich', 'msgspec') if m in sys.modules])"
    )
    command = [sys.executable, "-c", program, "compare", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "LOADED []" in done.stdout


@pytest.mark.parametrize("option", ["--raw", "--json", "--markdown"])
def test_comparing_loads_no_torch(tmp_path: Path, option: str) -> None:
    for name in ("base", "new"):
        (tmp_path / name).mkdir()
        save_bench(sample_bench(seed=1), tmp_path / name)
    program = (
        "import sys; from accelmnist.cli import invoke; code = invoke(sys.argv[1:]); "
        "print('LOADED', code, [m for m in ('torch', 'matplotlib', 'sklearn', 'scipy') if m in sys.modules])"
    )
    command = [sys.executable, "-c", program, "compare", "base", "new", option]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.endswith("LOADED 0 []\n")


# --- mutated JSON ---

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.integers(-3, 3)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["", "done", "failed", "eager", 1e308, 5e-324, -1.0, 0]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a JSON document, as the keys that lead there."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


def mutated(whole: Any, path: tuple[Any, ...], value: object, *, remove: bool) -> Any:
    """A copy of the document with another value at `path`, or none."""
    if not path:
        return value
    copy = dict(whole) if isinstance(whole, dict) else list(whole)
    if remove and len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = mutated(whole[path[0]], path[1:], value, remove=remove)
    return copy


def check_answer(*arguments: str) -> None:
    """The command ends with 0, 1 or one line and 2; anything else is a traceback, which would be raised here."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = invoke(["compare", *arguments])
    assert code in (0, 1, 2)
    if code == 2:
        assert (out.getvalue(), err.getvalue().count("\n")) == ("", 1)


SMALL = json.loads(encode(sample_bench(seed=1, rounds=4, engines=("eager", "fused"))))
OUTPUTS = [[], ["--json"], ["--markdown", "--fail-on", "5%"], ["--raw"]]
MUTATION = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MUTATION
@given(data=st.data(), value=JSON_VALUES, remove=st.booleans(), output=st.sampled_from(OUTPUTS))
@pytest.mark.slow
def test_a_mutated_record_never_ends_in_a_traceback(
    data: Any, value: Any, remove: Any, output: Any, tmp_path: Path
) -> None:
    path = data.draw(st.sampled_from(places(SMALL)))
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(SMALL))
    bad.write_text(json.dumps(mutated(SMALL, path, value, remove=remove)))
    check_answer(str(good), str(bad), *output)
    check_answer(str(bad), str(good), *output)


@MUTATION
@given(start=st.integers(0, 5000), length=st.integers(0, 5), filling=st.binary(max_size=5))
def test_mutated_bytes_never_end_in_a_traceback(start: Any, length: Any, filling: Any, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    content = json.dumps(SMALL).encode()
    good.write_bytes(content)
    start %= len(content)
    bad.write_bytes(content[:start] + filling + content[start + length :])
    check_answer(str(good), str(bad))


# --- the sides of one benchmark


def test_the_sides_of_one_benchmark_are_held_against_its_own_program(tell: Tell) -> None:
    told = tell(sample_beside(), "--fail-on", "2%", "--json")
    rows = {row["key"]: row for row in json.loads(told.out)["rows"]}
    compared = {key.split()[2] + key.partition(" by")[2]: row["outcome"] for key, row in rows.items()}
    assert compared == {"eager old": "slower", "fused old": "same", "mine": "faster", "eager lost": "only in new"}
    eager = rows[f"{EAGER.replace('64', '256')} by old"]
    assert eager["comparison"]["ratio"] == pytest.approx(71_900 / 75_600, rel=0.004)
    assert (told.code, [row["fails"] for row in rows.values()]) == (1, [True, False, False, False])
    page = tell("base", "--markdown").out
    assert "| eager by old | 0.950 |" in page
    assert "| old: torch | 2.13.0+cu128 | 2.14.1+cu130 |" in page


def test_two_sides_are_held_against_each_other(tell: Tell) -> None:
    tell(sample_beside())
    slower, faster = (
        json.loads(tell(f"base:{base}", f"base:{new}", "--json").out)["rows"]
        for base, new in (("old", "mine"), ("mine", "old"))
    )
    ratios = [row["comparison"]["ratio"] for row in (*slower, *faster)]
    assert ratios == pytest.approx([41_300 / 75_600, 41_300 / 253_200, 253_200 / 41_300], rel=0.01)
    own = json.loads(tell("base:old", "base:ours", "--json").out)["rows"]
    assert [row["outcome"] for row in own] == ["slower", "same"]


def test_a_side_that_broke_off_is_told_and_fails(tell: Tell) -> None:
    record = sample_beside()
    cases = [
        replace(case, status="failed", skipped="it ended with signal SIGKILL")
        if case.side == "old" and case.engine == "fused"
        else case
        for case in record.cases
    ]
    told = tell(replace(record, cases=tuple(cases)), "--fail-on", "50%", "--json")
    report = json.loads(told.out)
    assert (told.code, report["passed"], any(row["fails"] for row in report["rows"])) == (1, False, False)
    (warning,) = report["warnings"]
    assert warning.endswith("by old broke off: it ended with signal SIGKILL")
    assert "signal SIGKILL" in " ".join(tell("base").out.split())


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["base:new"], "base has no side 'new'. It has ours, old, mine, lost"),
        (["base:lost"], f"base: its sides have no measured case in common. lost: {LOST}"),
        (["base:old", "new:old"], "BASE and NEW are not sides of one benchmark. Give two of one: FOLDER:NAME"),
        (["base:old", "new"], "BASE and NEW are not sides of one benchmark. Give two of one: FOLDER:NAME"),
        (["new"], "new has one side alone. Give a second record, or measure by bench --beside"),
        (["none:old"], "no such file"),
    ],
)
def test_what_has_no_such_sides_is_one_line(words: list[str], line: str, tell: Tell) -> None:
    kept(sample_beside(), "base")
    kept(sample_bench(seed=1), "new")
    told = tell(*words)
    assert told.code == 2
    assert line in told.err.lower() if line == "no such file" else told.err == f"error: {line}\n"
