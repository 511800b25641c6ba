"""What follows from the trainings so far: learning rates, estimates, ranks, standings, fronts; from record to record.

While seeds are missing, candidates are ranked by those that are there, and nothing is called noise. Ties go to the
smaller network.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from accelmnist.sweep.findings import findings_of
from accelmnist.sweep.record import CandidateResult, Cost, Effect, Estimate, Factor, Level, Noise, Standing, SweepRecord
from accelmnist.sweep.statistics import (
    AgainstBest,
    Floats,
    against_best,
    log_errors,
    own_noise,
    paired_gap,
    paired_noise,
    relative_half_widths,
)

_LEAST_ERROR = 1e-5  # no mistake at all has no logarithm


def conclude(record: SweepRecord) -> SweepRecord:
    """`record` with everything that follows from its trainings worked out anew."""
    ranked = _ranked([_estimated(result) for result in record.candidates])
    record = replace(record, candidates=_with_fronts(ranked), noise=None, effects=(), findings=())
    whole = [result for result in record.candidates if _is_whole(result, record.config.seeds)]
    if record.data is None or record.config.seeds < 2 or len(whole) < 2:
        return record
    record = _with_noise(record, whole, record.data.validation_images)
    record = replace(record, effects=effects_of(whole))
    return replace(record, findings=findings_of(record))


def with_tuned_rates(record: SweepRecord) -> SweepRecord:
    """`record` with a learning rate for every candidate that was tuned: the one with the best validation accuracy.

    Of equals it is the smaller rate. A candidate whose every rate came to no end keeps none, and is not compared.
    """
    return replace(record, candidates=tuple(map(_tuned, record.candidates))) if record.config.tune_rates else record


def _tuned(result: CandidateResult) -> CandidateResult:
    tried = [
        (trial.accuracy, -trial.learning_rate)
        for trial in result.trials
        if trial.purpose == "tuning" and trial.accuracy is not None
    ]
    return replace(result, learning_rate=-max(tried)[1]) if tried else result


def _is_whole(result: CandidateResult, seeds: int) -> bool:
    """Whether the candidate has an accuracy from every seed."""
    return result.rank is not None and len(result.compared) == seeds


def best_of(record: SweepRecord) -> CandidateResult | None:
    """The candidate with the best mean of all that have every seed; None while there is none."""
    return next((result for result in record.ranked if _is_whole(result, record.config.seeds)), None)


def accuracies(results: Sequence[CandidateResult]) -> Floats:
    """Validation accuracies (candidates, seeds), the seeds in one order."""
    rows = [sorted(result.compared, key=lambda trial: trial.seed) for result in results]
    return np.array([[trial.accuracy for trial in row] for row in rows], dtype=np.float64)


def _estimated(result: CandidateResult) -> CandidateResult:
    """With the mean of what is there; the interval takes all candidates, and comes later."""
    scores = [trial.accuracy for trial in result.compared if trial.accuracy is not None]
    blank = replace(result, accuracy=None, train_s=None, rank=None, standing=None, on_front=())
    if result.error is not None or not scores:
        return blank
    estimate = Estimate(mean=statistics.fmean(scores), low=None, high=None, seeds=len(scores))
    return replace(blank, accuracy=estimate, train_s=statistics.median(trial.train_s for trial in result.compared))


def _ranked(results: list[CandidateResult]) -> list[CandidateResult]:
    order = sorted(
        (index for index, result in enumerate(results) if result.accuracy is not None),
        key=lambda index: (-results[index].mean, results[index].parameters),
    )
    ranks = {index: rank for rank, index in enumerate(order, start=1)}
    return [replace(result, rank=ranks.get(index)) for index, result in enumerate(results)]


def _with_fronts(results: list[CandidateResult]) -> tuple[CandidateResult, ...]:
    """Each marked with the costs on whose Pareto front it lies."""
    ranked = sorted((result for result in results if result.rank), key=lambda result: result.rank or 0)
    fronts: dict[Cost, set[int]] = {cost: _front(ranked, cost) for cost in ("parameters", "time")}
    return tuple(
        replace(result, on_front=tuple(cost for cost, ranks in fronts.items() if result.rank in ranks))
        for result in results
    )


def _front(ranked: Sequence[CandidateResult], cost: Cost) -> set[int]:
    """Ranks of the candidates that cost less than every more accurate one; of equals in both, the first."""
    cheapest, front = math.inf, set()
    for result in ranked:
        price = result.parameters if cost == "parameters" else result.train_s or math.inf
        if price < cheapest:
            cheapest = price
            front.add(result.rank or 0)
    return front


def _with_noise(record: SweepRecord, whole: Sequence[CandidateResult], images: int) -> SweepRecord:
    """Intervals, and how each of the whole candidates stands to the best of them."""
    best = min(whole, key=lambda result: result.rank or 0)
    logs = log_errors(accuracies(whole), images)
    noise = own_noise(logs)
    widths = relative_half_widths(noise, record.config.seeds)
    compared = against_best(logs, whole.index(best), paired_noise(logs))
    judged = {
        result.candidate: replace(
            result, accuracy=_with_interval(result, float(width)), standing=_standing(result, best, compared, index)
        )
        for index, (result, width) in enumerate(zip(whole, widths, strict=True))
    }
    of_seeds = Noise(
        log_error_sd=math.sqrt(noise.pooled),
        df=noise.df,
        comparisons=len(whole) - 1,
        least_gap=(1 - best.mean) * (compared.least_ratio - 1),
    )
    return replace(
        record, candidates=tuple(judged.get(result.candidate, result) for result in record.candidates), noise=of_seeds
    )


def _with_interval(result: CandidateResult, width: float) -> Estimate:
    assert result.accuracy is not None
    half = width * (1 - result.mean)
    return replace(result.accuracy, low=max(result.mean - half, 0.0), high=min(result.mean + half, 1.0))


def _standing(result: CandidateResult, best: CandidateResult, compared: AgainstBest, index: int) -> Standing:
    return Standing(
        verdict="best" if result is best else "worse" if compared.is_worse[index] else "within noise",
        gap=best.mean - result.mean,
        error_ratio=float(compared.error_ratios[index]),
        p_value=float(compared.p_values[index]),
    )


# --- what one factor does while all others are held


def effects_of(results: Sequence[CandidateResult]) -> tuple[Effect, ...]:
    """An effect for each factor that has two values or more in one setting or more: all other factors are held.

    A setting is a combination of all other factors. Only settings in which every value was tried count, so that no
    value gets the easier ones, and differences are paired by setting: the interval says how much they vary from one
    setting to the next, which is more than the noise of the seeds. Values are ranked by the mean logarithm of their
    error ratios: by points of accuracy, the small networks, which err most, would decide alone.
    """
    effects = (_effect(factor, results) for factor in ("activation", "output", "optimizer", "layers"))
    return tuple(effect for effect in effects if effect is not None)


def _value(result: CandidateResult, factor: Factor) -> str:
    return str(len(result.hidden)) if factor == "layers" else str(getattr(result, factor))


def _setting(result: CandidateResult, factor: Factor) -> Hashable:
    """All other factors; the depth is compared at equal width."""
    network = result.hidden[0] if factor == "layers" else result.hidden
    return network, *(getattr(result, name) for name in ("activation", "output", "optimizer") if name != factor)


def _effect(factor: Factor, results: Sequence[CandidateResult]) -> Effect | None:
    fit = [result for result in results if factor != "layers" or len(set(result.hidden)) == 1]
    table: dict[Hashable, dict[str, float]] = {}
    for result in fit:
        if result.accuracy is not None:
            row = table.setdefault(_setting(result, factor), {})
            # Of several learning rates, each value is judged by its best one.
            row[_value(result, factor)] = max(result.accuracy.mean, row.get(_value(result, factor), 0.0))
    values = list(dict.fromkeys(_value(result, factor) for result in fit))
    rows = [[row[value] for value in values] for row in table.values() if len(row) == len(values)]
    return None if len(values) < 2 or not rows else _levels(factor, values, np.array(rows))


def _levels(factor: Factor, values: Sequence[str], rows: Floats) -> Effect:
    """From accuracies (settings, values)."""
    means, logs = rows.mean(axis=0), np.log(np.maximum(1 - rows, _LEAST_ERROR))
    best, first = int(logs.mean(axis=0).argmin()), rows.argmax(axis=1)
    levels = []
    for index in np.argsort(logs.mean(axis=0), kind="stable"):
        behind, ratios = rows[:, best] - rows[:, index], logs[:, index] - logs[:, best]
        gap, ratio = (None, None) if index == best else (paired_gap(behind), paired_gap(ratios))
        levels.append(
            Level(
                value=values[index],
                mean=float(means[index]),
                gap=float(means[best] - means[index]),
                low=gap[1] if gap else None,
                high=gap[2] if gap else None,
                error_ratio=float(np.exp(ratios.mean())),
                ratio_low=float(np.exp(ratio[1])) if ratio else None,
                ratio_high=float(np.exp(ratio[2])) if ratio else None,
                wins=int((first == index).sum()),
                settings=len(rows),
            )
        )
    return Effect(factor=factor, levels=tuple(levels))
