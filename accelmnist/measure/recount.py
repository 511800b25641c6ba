"""The conclusions of a benchmark's record, drawn once more from its samples: see `core.recount`.

`recount_bench` draws them again by `conclude`, and by other means besides: medians and quartiles by the statistics
module, intervals of medians by a plain bootstrap of its own, ratios, their intervals and p-values by the signed ranks
themselves, ranks by counting. A record that is still running holds conclusions of fewer samples; of these only what is
worked out with every sample is recounted.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import CLASSES, INPUTS, ModelConfig
from accelmnist.core.files import load, record_file
from accelmnist.core.records import recount_verdict
from accelmnist.core.recount import ROUNDING, recounted, require, require_figure, require_same
from accelmnist.measure.conclusion import conclude
from accelmnist.measure.limit_keys import with_shape
from accelmnist.measure.limits.bound import working_set_key, workload_key
from accelmnist.measure.plan import BASELINE_ENGINE, BASELINE_PRECISION
from accelmnist.measure.record import (
    BenchRecord,
    Bound,
    CaseResult,
    Latency,
    Round,
    StepCost,
    Target,
    TimeToAccuracy,
    kept_ranks,
)
from accelmnist.measure.scaling_record import ExchangeProbe, HasSamples, Scaling, ScalingRow, SumModel, SumProbe
from accelmnist.measure.statistics.comparison import THRESHOLD, Comparison
from accelmnist.measure.statistics.summary import Summary, as_samples, summarize
from accelmnist.measure.step_model import FIT_WITHIN, conclude_scaling

Values = NDArray[np.float64]

_FEWEST = 6  # samples, or pairs, that allow a 95 % interval
_RESAMPLES = (2000, 8000)  # of the interval's bootstrap, and of ours at most
_DRAWN = 2_000_000  # numbers, at most
_TAIL, _LUCK = 0.025, 4  # of the resamples below an interval's low end, and standard deviations of chance
_MOST = 1000  # samples, beyond which statistics take every k-th


def load_bench(path: Path) -> BenchRecord:
    """Read, validate and recount a benchmark's record, given the file or its folder; raises RecordError."""
    file = record_file(path, "bench")
    record = load(file, BenchRecord, kind="bench", noun="a benchmark")
    record = replace(record, limits=tuple(map(with_shape, record.limits)))
    with recounted(str(file)):
        recount_bench(record)
    return record


def recount_bench(record: BenchRecord) -> None:
    """Raise RecordError for the first figure of a benchmark that doesn't follow from its samples."""
    rounds = {round_.number: round_ for round_ in record.rounds}
    require(len(rounds) == len(record.rounds), "two of its rounds have one number")
    for place, result in enumerate(record.cases):
        before = any(other.case == result.case for other in record.cases[:place])
        require(not before, f"{result.case.label} is there twice")
    for result in record.cases:
        _recount_case(result, rounds)
    if record.scaling is not None:
        _recount_ranks(record, record.scaling)
    if record.status == "running":
        return
    for limit in record.limits:
        if limit.rate is not None:
            rates = [round_.limits[limit.key] for round_ in record.rounds if limit.key in round_.limits]
            require(
                list(limit.rate.samples) == rates, f"the samples of the limit {limit.key} are not those of its rounds"
            )
            _recount_summary(limit.rate, limit.key)
    right = [result for result in record.cases if result.images_per_s is not None and not result.is_wrong]
    for result in record.cases:
        _recount_processes(result, rounds)
        _recount_rank(result, right)
        _recount_speedup(result, right, record.config.baseline)
        _recount_break_even(result, right, record.training_images)
        _recount_bound(result, record)
    again = conclude(record)
    pairs = [
        *((one.case.label, _known(one, other), other) for one, other in zip(record.cases, again.cases, strict=True)),
        *((limit.key, limit, other) for limit, other in zip(record.limits, again.limits, strict=True)),
        ("crossovers", record.crossovers, again.crossovers),
    ]
    for name, *both in pairs:
        said, follows = map(msgspec.to_builtins, both)
        require_same(name, said, follows, of="by its samples", but=() if _streams_are_known() else ("low", "high"))


def _known(said: CaseResult, follows: CaseResult) -> CaseResult:
    """Without a bound if the record's limits are not known to be those of the case, as in one of another program."""
    return said if follows.bound is not None else replace(said, bound=None, share_of_limit=None)


def _recount_case(result: CaseResult, rounds: dict[int, Round]) -> None:
    """What is worked out with every sample, and what doesn't change any more."""
    name = result.case.label
    if result.images_per_s is not None:
        numbers = result.rounds
        require(len(numbers) == len(result.images_per_s.samples), f"{name} has a sample that is of no round, or two")
        require(list(numbers) == sorted(set(numbers)) and set(numbers) <= rounds.keys(), f"{name} has a round twice")
        _recount_summary(result.images_per_s, name)
    if result.cost is not None:
        _recount_cost(result.cost, result)
    if result.latency is not None:
        _recount_latency(result.latency, name)
    if result.time_to_accuracy is not None:
        _recount_times(result.time_to_accuracy, name)
    recount_verdict(result.verdict, f"the verdict of {name}")


# --- one case's own samples


def _recount_summary(summary: Summary, name: str) -> None:
    samples = summary.samples
    with recounted(name):
        as_samples(samples)
    require_figure(f"median of {name}", summary.median, statistics.median(samples), of="by its samples")
    quartiles = statistics.quantiles(samples, n=4, method="inclusive") if len(samples) > 1 else samples * 3
    for end, said, follows in (("first", summary.q1, quartiles[0]), ("third", summary.q3, quartiles[2])):
        require_figure(f"{end} quartile of {name}", said, follows, of="by its samples")
    again = summarize(samples)
    if _streams_are_known():
        require_figure(f"low end of {name}", summary.low, again.low, of="by its samples")
        require_figure(f"high end of {name}", summary.high, again.high, of="by its samples")
    if len(samples) < _FEWEST:
        require_figure(f"low end of {name}", summary.low, min(samples), of="by its samples")
        require_figure(f"high end of {name}", summary.high, max(samples), of="by its samples")
        return
    medians = np.interp(_middle_pairs(len(samples)), np.arange(len(samples)), np.sort(samples)).mean(axis=0)
    luck = _LUCK * math.sqrt(_TAIL * (1 - _TAIL) * (1 / _RESAMPLES[0] + 1 / medians.size))
    for end, said, tail in (("low", summary.low, _TAIL), ("high", summary.high, 1 - _TAIL)):
        least, most = np.quantile(medians, [tail - luck, tail + luck]).tolist()
        holds = least * (1 - ROUNDING) <= said <= most * (1 + ROUNDING)
        require(holds, f"{end} end of {name} is {said}, but by a bootstrap of its samples {least} to {most}")


@lru_cache(maxsize=1)
def _streams_are_known() -> bool:
    """Whether NumPy draws as it did; it may change with its version, and then only our own bootstrap can tell."""
    return math.isclose(np.random.default_rng(0).beta(18.0, 18.0), 0.47032033272874296)


@lru_cache(maxsize=64)
def _middle_pairs(count: int) -> Values:
    """The two middle ones of so many uniform numbers, often, as fractional ranks of the samples (2, resamples)."""
    drawn = np.random.default_rng(1).random((min(_RESAMPLES[1], _DRAWN // count), count))
    middle = [(count - 1) // 2, count // 2]
    ranks: Values = np.partition(drawn, middle, axis=1)[:, middle].T * (count + 1) - 1
    return ranks


def _recount_latency(latency: Latency, name: str) -> None:
    order = latency.order
    quantiles = {0.5: latency.p50_s, 0.9: latency.p90_s, 0.99: latency.p99_s}
    said = [*quantiles.values(), latency.worst_s]
    require(said == sorted(said), f"the latencies of {name} are not in order: {said}")
    if not order:
        return
    ranks = kept_ranks(latency.calls)
    require(list(order) == sorted(order) and len(order) == len(ranks), f"the calls kept of {name} are not those said")
    for share, value in quantiles.items():
        follows = float(np.interp(share * (latency.calls - 1), ranks, order))
        require_figure(f"p{100 * share:.0f} latency of {name}", value, follows, of="by its calls")
    require_figure(f"worst latency of {name}", latency.worst_s, order[-1], of="by its calls")


def _product_flops(case: CaseResult) -> int:
    """Of the matrix products: three a layer in training, but two in the first, one in inference."""
    sizes = (INPUTS, *case.hidden, CLASSES)
    weights = [inputs * outputs for inputs, outputs in pairwise(sizes)]
    return 2 * case.batch_size * (3 * sum(weights) - weights[0] if case.mode == "training" else sum(weights))


def _recount_cost(cost: StepCost, case: CaseResult) -> None:
    """All but the products is work by element: some operations for each pixel, output, logit and parameter."""
    outputs, parameters = sum(case.hidden) + CLASSES, ModelConfig(hidden=case.hidden).parameters
    by_element = case.batch_size * (INPUTS + 5 * outputs + 20 * CLASSES) + 20 * parameters
    products = _product_flops(case)
    holds = products <= cost.flops <= products + by_element and cost.bytes >= cost.working_set_bytes / 4 >= parameters
    require(holds, f"the step of {case.case.label} has another cost than {cost.flops} flops and {cost.bytes} bytes")


def _recount_times(times: TimeToAccuracy, name: str) -> None:
    """A miss has neither a time nor epochs, and every median is that of all seeds."""
    for target, what in ((times.with_compile, "with compiling"), (times.without_compile, "without compiling")):
        _recount_target(target, f"seconds to the target {what} of {name}")
        known = [seconds is not None for seconds in target.seconds]
        holds = known == [epochs is not None for epochs in times.epochs]
        require(holds, f"the seconds {what} of {name} are not of the seeds that reached the target")
    compiled, alone = times.with_compile.seconds, times.without_compile.seconds
    holds = all(one is None or other is None or one >= other for one, other in zip(compiled, alone, strict=True))
    require(holds, f"{name} reached its target sooner with compiling than without")
    most = max((epochs for epochs in times.epochs if epochs is not None), default=1)
    require(most <= times.most_epochs, f"{name} took {most} epochs of {times.most_epochs}")
    reached = [accuracy >= times.target for accuracy in times.accuracies]
    require(reached == [epochs is not None for epochs in times.epochs], f"{name} reached its target by other seeds")


def _recount_target(target: Target, name: str) -> None:
    ordered = sorted(math.inf if one is None else one for one in target.seconds)
    count = len(ordered)
    require(count > 0, f"the {name} are of no seed")
    tails = [2 * sum(math.comb(count, k) for k in range(rank + 1)) / 2**count for rank in range(count)]
    rank = max(sum(tail <= 0.05 for tail in tails) - 1, 0)
    figures = {
        "median": (target.median_s, statistics.median(ordered)),
        "low end": (target.low_s, ordered[rank]),
        "high end": (target.high_s, ordered[-1 - rank]),
    }
    for what, (said, follows) in figures.items():
        finite = follows if math.isfinite(follows) else None
        require((said is None) == (finite is None), f"{what} of {name} is {said}, but by its seeds it is {finite}")
        require_figure(f"{what} of {name}", said, finite, of="by its seeds")


def _recount_processes(result: CaseResult, rounds: dict[int, Round]) -> None:
    if result.images_per_s is None or not result.process_medians:
        return
    by_process: dict[int, list[float]] = {}
    for number, sample in zip(result.rounds, result.images_per_s.samples, strict=True):
        by_process.setdefault(rounds[number].process, []).append(sample)
    name = result.case.label
    medians = [statistics.median(by_process[process]) for process in sorted(by_process)]
    require_same(f"process_medians of {name}", result.process_medians, tuple(medians), of="by its samples")
    spread = (max(medians) - min(medians)) / statistics.median(medians) if len(medians) > 1 else None
    require_figure(f"process_spread of {name}", result.process_spread, spread, of="by its samples")


# --- cases beside each other


def _recount_rank(result: CaseResult, right: Sequence[CaseResult]) -> None:
    if result.rank is None:
        return
    require(result in right, f"{result.case.label} has a rank and no right result")
    group = [other for other in right if _group(other) == _group(result)]
    above = sum(_median(other) > _median(result) for other in group)
    level = sum(_median(other) == _median(result) for other in group)
    holds = above < result.rank <= above + level
    require(holds, f"the rank of {result.case.label} is {result.rank}, but by the medians it is {above + 1}")


def _group(result: CaseResult) -> tuple[object, ...]:
    return result.mode, result.hidden, result.batch_size if result.mode == "inference" else None


def _median(result: CaseResult) -> float:
    assert result.images_per_s is not None
    return statistics.median(result.images_per_s.samples)


def _recount_speedup(result: CaseResult, right: Sequence[CaseResult], asked: str | None) -> None:
    """It is over a case that does the same work and may be the baseline, whichever of those it is."""
    speedup = result.speedup
    if speedup is None:
        return
    work = (result.mode, result.hidden, result.batch_size, result.optimizer)
    bases = [
        base
        for base in right
        if base is not result and (base.mode, base.hidden, base.batch_size, base.optimizer) == work
        if asked or (base.engine, base.precision) == (BASELINE_ENGINE, BASELINE_PRECISION)
    ]
    faults = [_comparison_fault(speedup, base, result) for base in bases]
    fault = faults[0] if faults else "there is none"
    require(None in faults, f"the speed-up of {result.case.label} is not that over a baseline: {fault}")


def _log_ratios(base: HasSamples, new: HasSamples) -> Values:
    """Of the rounds that both took part in, every k-th of many."""
    assert base.images_per_s is not None
    assert new.images_per_s is not None
    theirs = dict(zip(base.rounds, base.images_per_s.samples, strict=True))
    ours = dict(zip(new.rounds, new.images_per_s.samples, strict=True))
    ratios = [math.log(ours[number] / theirs[number]) for number in new.rounds if number in theirs]
    return np.array(ratios)[:: math.ceil(len(ratios) / _MOST) or 1]


def _comparison_fault(said: Comparison, base: HasSamples, new: HasSamples) -> str | None:
    """What of a paired comparison doesn't follow from the rounds of both, by Wilcoxon's signed ranks."""
    logs = _log_ratios(base, new)
    if not logs.size:
        return "no round has both"
    averages = ((logs[:, None] + logs) / 2)[np.triu_indices(logs.size)]
    ratio = math.exp(statistics.median(averages.tolist()))
    if not math.isclose(said.ratio, ratio, rel_tol=ROUNDING):
        return f"{said.ratio} is not {ratio}"
    deviation = math.sqrt(logs.size * (logs.size + 1) * (2 * logs.size + 1) / 24)

    def p_value(surplus: float) -> float:
        return math.erfc(max(surplus - 0.5, 0.0) / deviation / math.sqrt(2))

    sizes = np.abs(logs)
    if len(np.unique(sizes)) == logs.size and sizes.min() > 0:  # as ranks are, without ties
        positive = int((sizes.argsort().argsort() + 1)[logs > 0].sum())
        follows = p_value(abs(positive - averages.size / 2))
        if not math.isclose(said.p_value, follows, rel_tol=1e-6, abs_tol=1e-300):
            return f"p {said.p_value} is not {follows}"
    for end, outside in (
        (said.low, int((averages < math.log(said.low) - ROUNDING).sum())),
        (said.high, int((averages > math.log(said.high) + ROUNDING).sum())),
    ):
        rejects = outside == 0 or p_value(averages.size / 2 - outside) < 0.05
        if not rejects or p_value(averages.size / 2 - outside - 1) < 0.05 < p_value(averages.size / 2):
            return f"{end} is no end of its 95 % interval"
    return _verdict_fault(said, logs.size)


def _verdict_fault(said: Comparison, pairs: int) -> str | None:
    edge = 1 + THRESHOLD
    follows = "same" if said.low * edge >= 1 and said.high <= edge else "ambiguous"
    if said.p_value < 0.05 and not 1 / edge <= said.ratio <= edge:
        follows = "faster" if said.ratio > 1 else "slower"
    follows = "ambiguous" if pairs < _FEWEST else follows
    return None if said.verdict == follows else f"{said.verdict} is not {follows}"


# --- several ranks


def _recount_ranks(record: BenchRecord, scaling: Scaling) -> None:
    """Rows and probes from their seconds; the findings once the benchmark is over."""
    numbers = [round_.number for round_ in record.rounds]
    for place, row in enumerate(scaling.rows):
        before = row.title in [other.title for other in scaling.rows[:place]]
        require(not before, f"{row.title} is there twice")
    sampled: list[ScalingRow | SumProbe | ExchangeProbe] = [*scaling.rows, *scaling.sums, *scaling.exchanges]
    for one in sampled:
        require(list(one.rounds) in ([], numbers), "a row or a probe has samples of other rounds than the record")
    for row in scaling.rows:
        _recount_row(row, scaling)
    for probe in scaling.sums:
        _recount_sum(probe)
    for exchange in scaling.exchanges:
        _recount_exchange(exchange)
    for model in scaling.models:
        _recount_model(model, scaling)
    if record.status == "running" or not record.ranks:
        return
    by_rank = [(one.rank, one.images_per_s) for one in record.ranks]
    require([rank for rank, _ in by_rank] == list(range(len(by_rank))), "its ranks are not 0, 1, 2 and so on")
    for rank, said in by_rank:
        alone = [row for row in scaling.rows if row.form == "independent" and row.rounds and rank < row.ranks]
        speeds = [statistics.median(row.images / row.ranks / one[rank] for one in row.rank_s) for row in alone]
        require_figure(f"images_per_s of rank {rank}", said, max(speeds, default=None), of="by its seconds")
    said, follows = (msgspec.to_builtins(one) for one in (scaling, conclude_scaling(scaling, record.ranks)))
    require_same("the scaling", said, follows, of="by its samples", but=() if _streams_are_known() else ("low", "high"))


def _recount_row(row: ScalingRow, scaling: Scaling) -> None:
    name, of = row.title, "by its seconds"
    recount_verdict(row.verdict, f"the verdict of {name}")
    if row.images_per_s is not None:
        steps = row.steps_per_region or 0
        images = steps * row.batch_size * (1 if row.form in ("single", "strong", "compute") else row.ranks)
        speeds = tuple(images / max(one) for one in row.rank_s)
        require_same(f"images_per_s of {name}", row.images_per_s.samples, speeds, of=of)
        _recount_summary(row.images_per_s, name)
    if row.spread is not None:
        apart = statistics.median(1 - min(one) / max(one) for one in row.rank_s)
        require_figure(f"spread of {name}", row.spread, apart, of=of)
    if row.speedup is not None:
        bases = [one for one in scaling.rows if one.form == "single" and one.case == row.case and one.rounds]
        fault = _comparison_fault(row.speedup, bases[0], row) if bases else "there is none"
        require(fault is None, f"the speed-up of {name} is not that over one rank: {fault}")
    for seconds, one in zip(row.step_s_by_round, row.rank_s, strict=False):
        slowest = seconds * (row.steps_per_region or 0)
        holds = max(one) * (1 - ROUNDING) <= slowest <= sum(one) * (1 + ROUNDING)
        require(holds, f"the steps of {name} take {slowest} s, and its ranks {max(one)} s at most")
    predicted = row.prediction
    if predicted is not None:
        require(row.images_per_s is not None, f"{name} is predicted, but not measured")
        parts_s = predicted.compute_s + predicted.sum_s + predicted.lost_s
        require_figure(f"step_s of {name}", predicted.step_s, parts_s, of="by its parts")
        holds = predicted.low_s <= predicted.step_s <= predicted.high_s
        require(predicted.holds == holds, f"the prediction of {name} holds by its figures: {holds}")


def _recount_sum(probe: SumProbe) -> None:
    name = f"the sum of {probe.bytes} bytes over {probe.ranks} ranks"
    values = len(probe.rounds) * probe.calls * probe.ranks * max(probe.bytes // 4, 1)
    require(probe.values == values, f"{name} has {probe.values} values, and by its calls {values}")
    if probe.seconds is not None:
        require(probe.seconds.samples == probe.call_s, f"the samples of {name} are not those of its calls")
        _recount_summary(probe.seconds, name)
        bus = 2 * probe.bytes * (1 - 1 / probe.ranks) / statistics.median(probe.call_s)
        require_figure(f"bus bandwidth of {name}", probe.bus_bytes_per_s, bus, of="by its calls")


def _recount_exchange(probe: ExchangeProbe) -> None:
    if probe.medians_s:
        medians = [statistics.median(one[rank] for one in probe.rank_s) for rank in range(probe.ranks)]
        require_same("medians of an all-to-all", probe.medians_s, tuple(medians), of="by its seconds")
        require_figure("fairness", probe.fairness, min(medians) / max(medians), of="by its seconds")


def _recount_model(model: SumModel, scaling: Scaling) -> None:
    """Latency and transfer are both 0 or more, and a change of either makes the relative errors no smaller."""
    own = [one for one in scaling.sums if one.ranks == model.ranks and one.call_s]
    near = [one for one in own if 1 / FIT_WITHIN <= one.bytes / model.bytes <= FIT_WITHIN]
    require(tuple(one.bytes for one in near) == model.fitted, "a latency and a bandwidth are fitted to other sums")
    transfer = 0.0 if model.bytes_per_s is None else model.bytes / model.bytes_per_s
    require_figure("seconds of a sum", model.sum_s, model.latency_s + transfer, of="by its latency and bandwidth")

    def error(latency_s: float, transfer_s: float) -> float:
        shares = ((latency_s + transfer_s * one.bytes / model.bytes) / statistics.median(one.call_s) for one in near)
        return math.fsum((share - 1) ** 2 for share in shares)

    least, step = error(model.latency_s, transfer), 1e-4 * model.sum_s
    moves = [(step, 0.0), (-step, 0.0), (0.0, step), (0.0, -step), (step, -step), (-step, step)]
    others = [(model.latency_s + one, transfer + other) for one, other in moves]
    better = [one for one in others if min(one) >= 0 and error(*one) < least * (1 - ROUNDING)]
    require(not better, "a latency and a bandwidth are not the best for the sums")


def _recount_break_even(result: CaseResult, right: Sequence[CaseResult], images: int | None) -> None:
    epochs, name = result.break_even_epochs, result.case.label
    if epochs is None or images is None:
        return
    axes = {part: value for part, value in result.case.axes.items() if part != "engine"}
    bases = [
        base
        for base in right
        if base.engine == BASELINE_ENGINE
        if {part: value for part, value in base.case.axes.items() if part != "engine"} == axes
    ]
    require(bool(bases) and result.compile_s is not None, f"{name} pays off against nothing")
    averages = _log_ratios(bases[0], result)
    ratio = math.exp(statistics.median(((averages[:, None] + averages) / 2)[np.triu_indices(averages.size)].tolist()))
    saved_s = images / _median(bases[0]) * (1 - 1 / ratio)
    require_figure(f"break_even_epochs of {name}", epochs, (result.compile_s or 0.0) / saved_s, of="by its samples")


# --- the limits


def _recount_bound(result: CaseResult, record: BenchRecord) -> None:
    bound, name, of = result.bound, result.case.label, "by its samples and limits"
    require_figure(f"share_of_limit of {name}", result.share_of_limit, bound.share if bound else None, of=of)
    if bound is None:
        return
    require(result.images_per_s is not None and result.cost is not None, f"{name} has a bound of nothing")
    assert result.cost is not None
    for part, follows in _bound_of(result, bound, result.cost, record).items():
        require_figure(f"{part} of {name}", getattr(bound, part), follows, of=of)


def _bound_of(result: CaseResult, bound: Bound, cost: StepCost, record: BenchRecord) -> dict[str, float]:
    """The parts of a bound from the medians of the limits that ran as the case did."""
    own = (workload_key(result.case), working_set_key(result.case))
    rates: dict[str, float] = {}
    for limit in record.limits:
        as_case = (limit.device, limit.threads) == (result.device, result.threads)
        fits = limit.kind not in ("workload", "working set") or limit.what in own
        if as_case and fits and limit.rate is not None and limit.precision in (None, result.precision):
            rate = statistics.median(limit.rate.samples)
            rates[limit.kind] = max(rates.get(limit.kind, rate), rate)  # of several square products the fastest
    step_s = result.batch_size / _median(result)
    products = max((rates[kind] for kind in ("matmul", "workload") if kind in rates), default=math.nan)
    copies = max((rates[kind] for kind in ("working set", "memory") if kind in rates), default=math.nan)
    parts = {"compute_s": cost.flops / products, "memory_s": cost.bytes / copies}
    if bound.launch_s is not None and result.launches is not None:
        parts["launch_s"] = result.launches.operations / rates.get("dispatch", math.nan)
    if bound.workload_s is not None:
        parts["workload_s"] = _product_flops(result) / rates.get("workload", math.nan)
    known = {part: seconds for part, seconds in parts.items() if not math.isnan(seconds)}
    bound_s = max(bound.compute_s, bound.memory_s)
    return known | {
        "step_s": step_s,
        "bound_s": bound_s,
        "share": bound_s / step_s,
        "flops_per_s": cost.flops / step_s,
    }
