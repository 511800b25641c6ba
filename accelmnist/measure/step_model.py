"""What follows from the samples of several ranks: pure functions from a `Scaling` to the same one with its findings.

A strong step is computed by all ranks, each its rows, and then summed: nobody has the sum before the slowest one is
ready. So its seconds are predicted as those of computing, measured with the sum left out while the other ranks compute
as well, the slowest rank's of every step, plus those of one sum, plus what is lost between both. What a sum takes is a
latency and a bandwidth, which are fitted to the probes of about as many bytes as the step sums. A probe's sums follow
each other at once; after a computation a sum takes longer, the more so the longer it lasted: gloo's threads have to be
woken. That is taken from the steps of other batch sizes, between those that compute for about as long. No measured
step takes part in its own prediction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import takewhile
from statistics import median

import numpy as np

from accelmnist.core.records import RankFigures
from accelmnist.measure.conclusion import paired
from accelmnist.measure.plan import Case
from accelmnist.measure.scaling_record import (
    ExchangeProbe,
    Form,
    RanksPay,
    Scaling,
    ScalingRow,
    SlowRank,
    StepPrediction,
    SumModel,
    SumProbe,
)
from accelmnist.measure.statistics.comparison import Comparison, compare
from accelmnist.measure.statistics.summary import summarize

FIT_WITHIN = 16  # times the bytes of a step, or a sixteenth: farther off another way of summing may be taken
_FITTED = 2  # probes at least


def conclude_scaling(scaling: Scaling, ranks: Sequence[RankFigures] = ()) -> Scaling:
    """`scaling` with everything that follows from its samples; `ranks` name the ranks."""
    sums = tuple(map(with_bandwidth, scaling.sums))
    models = tuple(sum_model(one, sums) for one in sums if one.is_step and one.seconds is not None)
    rows = [_with_speed(row) for row in scaling.rows]
    rows = [replace(row, speedup=_speedup(row, rows), prediction=_prediction(row, rows, models)) for row in rows]
    rows = [replace(row, prediction=_with_loss(row, rows)) for row in rows]
    return replace(
        scaling,
        rows=tuple(rows),
        sums=sums,
        exchanges=tuple(map(with_fairness, scaling.exchanges)),
        models=models,
        slow=slow_ranks(rows, ranks),
        pays=tuple(_pays(rows, models)),
    )


# --- one row, one probe


def _with_speed(row: ScalingRow) -> ScalingRow:
    """The row with its speeds, and how far its ranks are apart."""
    if not row.rounds:
        return row
    speeds = summarize([row.images / max(one) for one in row.rank_s])
    apart = median((max(one) - min(one)) / max(one) for one in row.rank_s)
    return replace(row, images_per_s=speeds, spread=apart if row.ranks > 1 else None)


def with_bandwidth(probe: SumProbe) -> SumProbe:
    """The probe with its seconds and its bus bandwidth."""
    if not probe.call_s:
        return probe
    seconds = summarize(probe.call_s)
    moved = probe.bytes * 2 * (probe.ranks - 1) / probe.ranks
    return replace(probe, seconds=seconds, bus_bytes_per_s=moved / seconds.median)


def with_fairness(probe: ExchangeProbe) -> ExchangeProbe:
    """The probe with every rank's median, and the quickest one's over the slowest one's."""
    medians = tuple(median(one) for one in zip(*probe.rank_s, strict=True))
    return replace(probe, medians_s=medians, fairness=min(medians) / max(medians)) if medians else probe


def sum_model(probe: SumProbe, sums: Iterable[SumProbe]) -> SumModel:
    """Latency and bandwidth around the bytes of a step's own `probe`: least squares of the relative errors."""
    ranks, step = probe.ranks, probe.bytes
    own = [one for one in sums if one.ranks == ranks and one.seconds is not None]
    near = [one for one in own if step / FIT_WITHIN <= one.bytes <= step * FIT_WITHIN]
    seconds = np.array([one.seconds.median for one in near if one.seconds is not None])
    shares = np.array([one.bytes / step for one in near]) * (len(near) >= _FITTED)
    from scipy.optimize import nnls  # here: a record of no ranks is read without it

    latency, transfer = nnls(np.stack([1 / seconds, shares / seconds], axis=1), np.ones(len(near)))[0].tolist()
    return SumModel(
        ranks=ranks,
        bytes=step,
        latency_s=latency,
        bytes_per_s=step / transfer if transfer > 0 else None,
        sum_s=latency + transfer,
        fitted=tuple(one.bytes for one in near),
    )


# --- rows beside each other


def _beside(row: ScalingRow, rows: Iterable[ScalingRow], form: Form) -> ScalingRow | None:
    """The row of the same case in another form, on as many ranks but for the single one; None if it has no samples."""
    ranks = 1 if form == "single" else row.ranks
    same = (one for one in rows if (one.form, one.ranks, one.case) == (form, ranks, row.case))
    return next((one for one in same if one.rounds), None)


def _speedup(row: ScalingRow, rows: Sequence[ScalingRow]) -> Comparison | None:
    """Over one rank alone in the same rounds."""
    single = _beside(row, rows, "single")
    is_training = row.form in ("strong", "weak", "independent")
    return paired(single, row) if single is not None and is_training and not (single.is_wrong or row.is_wrong) else None


def _prediction(row: ScalingRow, rows: Sequence[ScalingRow], models: Sequence[SumModel]) -> StepPrediction | None:
    """Of a strong row with samples, if computing and sums were measured beside it, as if nothing were lost between."""
    compute = _beside(row, rows, "compute")
    model = next((one for one in models if (one.ranks, one.bytes) == (row.ranks, row.sum_bytes)), None)
    if row.form != "strong" or row.images_per_s is None or compute is None or model is None:
        return None
    compute_s = median(compute.step_s_by_round)
    low_s, high_s = row.step_images / row.images_per_s.high, row.step_images / row.images_per_s.low
    step_s = compute_s + model.sum_s
    return StepPrediction(
        compute_s=compute_s,
        sum_s=model.sum_s,
        step_s=step_s,
        low_s=low_s,
        high_s=high_s,
        holds=low_s <= step_s <= high_s,
    )


def _with_loss(row: ScalingRow, rows: Iterable[ScalingRow]) -> StepPrediction | None:
    """The row's prediction with what steps that compute as long, of other batch sizes, lose before the same sum."""
    own = row.prediction
    lost_s = {
        one.prediction.compute_s: one.step_s - one.prediction.step_s
        for one in rows
        if one.prediction is not None
        and one.step_s is not None
        and (one.ranks, one.sum_bytes) == (row.ranks, row.sum_bytes)
        and one.batch_size != row.batch_size
    }
    if own is None or not lost_s:
        return own
    computed, lost = zip(*sorted(lost_s.items()), strict=True)
    own_s = float(np.interp(np.log(own.compute_s), np.log(computed), lost))
    step_s = own.step_s + own_s
    return replace(own, lost_s=own_s, step_s=step_s, holds=own.low_s <= step_s <= own.high_s)


def slow_ranks(rows: Sequence[ScalingRow], ranks: Sequence[RankFigures]) -> tuple[SlowRank, ...]:
    """The ranks that compute slower than the others where each computes alone, on as many ranks as there are."""
    most = max((row.ranks for row in rows), default=1)
    alone = [row for row in rows if row.ranks == most > 1 and row.form in ("independent", "compute")]
    found = []
    for rank in range(most):
        speeds = _speeds_beside_others(alone, rank)
        if not speeds:
            continue
        speed = compare([1.0] * len(speeds), speeds, paired=True)
        if speed.verdict == "slower":
            host, device = next(((one.host, one.device) for one in ranks if one.rank == rank), ("?", "?"))
            found.append(
                SlowRank(rank=rank, host=host, device=device, speed=speed, sentence=_slow(rank, host, device, speed))
            )
    return tuple(found)


def _speeds_beside_others(rows: Sequence[ScalingRow], rank: int) -> list[float]:
    """By round, the speed of `rank` over the median of the other ranks', the geometric mean over the rows."""
    by_round: dict[int, list[float]] = {}
    for row in rows:
        for number, seconds in zip(row.rounds, row.rank_s, strict=True):
            others = median(one for place, one in enumerate(seconds) if place != rank)
            by_round.setdefault(number, []).append(np.log(others / seconds[rank]))
    return [float(np.exp(np.mean(logs))) for logs in by_round.values()]


def _slow(rank: int, host: str, device: str, speed: Comparison) -> str:
    low, high = (f"{100 * end:.3g}" for end in (speed.low, speed.high))
    return (
        f"rank {rank} ({host}, {device}) computes at {100 * speed.ratio:.3g} % of the others' speed ({low} to {high} %)"
    )


# --- from which batch size on it pays


def _pays(rows: Sequence[ScalingRow], models: Sequence[SumModel]) -> Iterable[RanksPay]:
    """For every case but for its batch size, and every number of ranks of which there is a model."""
    families = dict.fromkeys(replace(row.case, batch_size=0) for row in rows)
    for family in families:
        own = [row for row in rows if replace(row.case, batch_size=0) == family and row.rounds]
        for model in models:
            single = {row.batch_size: row for row in own if row.form == "single"}
            strong = {row.batch_size: row for row in own if (row.form, row.ranks) == ("strong", model.ranks)}
            sizes = [size for size in sorted(single) if size in strong and _is_of(model, strong[size])]
            if sizes:
                yield _pays_from([single[size] for size in sizes], [strong[size] for size in sizes], model)


def _is_of(model: SumModel, row: ScalingRow) -> bool:
    """Whether the row is predicted by the model."""
    return row.prediction is not None and row.sum_bytes == model.bytes


def _pays_from(single: Sequence[ScalingRow], strong: Sequence[ScalingRow], model: SumModel) -> RanksPay:
    """By the rows of one rank and of several that share a batch, in the order of their batch sizes."""
    sizes = [row.batch_size for row in single]
    alone_s = [row.step_s or 0.0 for row in single]
    shared_s = [row.prediction.step_s for row in strong if row.prediction is not None]
    faster = [row.speedup is not None and row.speedup.verdict == "faster" for row in strong]
    start = first_of_the_last(dict(zip(sizes, faster, strict=True)))
    predicted = predicted_start(sizes, alone_s, shared_s)
    what = _words(single[0].case)
    pays = f"{model.ranks} ranks " + (
        f"pay from batch {predicted:,} on" if predicted is not None else f"don't pay up to batch {sizes[-1]:,}"
    )
    ratios = [(size, row.speedup.ratio) for size, row in zip(sizes, strong, strict=True) if row.speedup is not None]
    (first, slowest), *others = ratios or [(0, 0.0)]
    told = _listed([f"{slowest:.3g} times one's at {first:,}", *(f"{ratio:.3g} at {size:,}" for size, ratio in others)])
    share = strong[0].prediction
    assert share is not None
    sentence = (
        f"{what}: one step of batch {sizes[0]:,} computes {_ms(alone_s[0])} on one rank and {_ms(share.compute_s)} on "
        f"{model.ranks} that share it, one all-reduce of {model.bytes / 1e3:,.0f} kB takes {_ms(model.sum_s)}: {pays}; "
        f"their measured speed is {told}"
    )
    return RanksPay(ranks=model.ranks, what=what, start=start, predicted=predicted, sentence=sentence)


def first_of_the_last(pays: dict[int, bool]) -> int | None:
    """The size from which on all of them do, in the order given; None if the last one doesn't."""
    return min(takewhile(pays.__getitem__, reversed(pays)), default=None)


def predicted_start(sizes: Sequence[int], alone_s: Sequence[float], shared_s: Sequence[float]) -> int | None:
    """The batch size from which on a shared step is predicted to be sooner than one rank's own.

    Seconds between the measured sizes lie on straight lines; sizes that are tried double from the smallest.
    """
    doubled = [sizes[0] << power for power in range(int(sizes[-1] / sizes[0]).bit_length())]
    tried = sorted({*sizes, *(size for size in doubled if size <= sizes[-1])})
    sooner = np.interp(tried, sizes, shared_s) < np.interp(tried, sizes, alone_s)
    return first_of_the_last(dict(zip(tried, sooner.tolist(), strict=True)))


def _words(case: Case) -> str:
    parts = (case.device, case.engine, case.precision, case.network, case.optimizer or "")
    return " ".join(filter(None, parts))


def _listed(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms"
