"""What one factor does while all others are held: the values of a factor over the settings that they have in common.

A setting is a combination of all other factors. Only settings in which every value was tried count, so that no value
gets the easier ones, and differences are paired by setting: the interval says how much they vary from one setting to
the next, which is more than the noise of the seeds. Values are ranked by the mean logarithm of their error ratios: by
points of accuracy, the small networks, which err most, would decide alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from accelmnist.sweep.record import CandidateResult, Effect, Factor, Level
from accelmnist.sweep.statistics import Floats, paired_gap

_LEAST_ERROR = 1e-5  # no mistake at all has no logarithm


def effects_of(results: Sequence[CandidateResult]) -> tuple[Effect, ...]:
    """An effect for each factor that has two values or more in one setting or more."""
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
