"""What one factor does while all others are held: the values of a factor over the settings that they have in common.

A setting is a combination of all other factors. Only settings in which every value was tried count, so that no value
gets the easier ones, and differences are paired by setting: the interval says how much they vary from one setting to
the next, which is more than the noise of the seeds. Values are ranked by the mean logarithm of their error ratios: by
points of accuracy, the small networks, which err most, would decide alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np

from accelmnist.sweep.record import CandidateResult, Effect, Factor, Level
from accelmnist.sweep.statistics import Floats, paired_gap

_LEAST_ERROR = 1e-5  # no mistake at all has no logarithm


def effects_of(results: Sequence[CandidateResult]) -> tuple[Effect, ...]:
    """An effect for each factor that has two values or more in one setting or more."""
    found = (_effect(factor, results) for factor in _FACTORS)
    return tuple(effect for effect in found if effect is not None)


def _is_uniform(result: CandidateResult) -> bool:
    return len(set(result.hidden)) == 1


def _width(result: CandidateResult) -> Hashable:
    return result.hidden[0]


def _rest(result: CandidateResult, *factors: str) -> tuple[Hashable, ...]:
    """The values of `factors`."""
    return tuple(getattr(result, factor) for factor in factors)


_FACTORS: dict[Factor, tuple[Callable[[CandidateResult], str], Callable[[CandidateResult], Hashable]]] = {
    "activation": (lambda result: result.activation, lambda result: _rest(result, "hidden", "output", "optimizer")),
    "output": (lambda result: result.output, lambda result: _rest(result, "hidden", "activation", "optimizer")),
    "optimizer": (lambda result: result.optimizer, lambda result: _rest(result, "hidden", "activation", "output")),
    "layers": (
        lambda result: str(len(result.hidden)),
        lambda result: (_width(result), *_rest(result, "activation", "output", "optimizer")),
    ),
}


def _effect(factor: Factor, results: Sequence[CandidateResult]) -> Effect | None:
    value_of, setting_of = _FACTORS[factor]
    fit = [result for result in results if factor != "layers" or (result.hidden and _is_uniform(result))]
    table: dict[Hashable, dict[str, float]] = {}
    for result in fit:
        if result.accuracy is not None:
            row = table.setdefault(setting_of(result), {})
            # Of several learning rates, each value is judged by its best one.
            row[value_of(result)] = max(result.accuracy.mean, row.get(value_of(result), 0.0))
    values = list(dict.fromkeys(value_of(result) for result in fit))
    rows = [[row[value] for value in values] for row in table.values() if len(row) == len(values)]
    return None if len(values) < 2 or not rows else _levels(factor, values, np.array(rows))


def _levels(factor: Factor, values: Sequence[str], rows: Floats) -> Effect:
    """From accuracies (settings, values)."""
    means, logs = rows.mean(axis=0), np.log(np.maximum(1 - rows, _LEAST_ERROR))
    best, first = int(logs.mean(axis=0).argmin()), rows.argmax(axis=1)
    levels = []
    for place in np.argsort(logs.mean(axis=0), kind="stable"):
        gap = paired_gap(rows[:, best] - rows[:, place]) if place != best else None
        ratio = paired_gap(logs[:, place] - logs[:, best]) if place != best else None
        levels.append(
            Level(
                value=values[place],
                mean=float(means[place]),
                gap=float(means[best] - means[place]),
                low=gap[1] if gap else None,
                high=gap[2] if gap else None,
                error_ratio=float(np.exp((logs[:, place] - logs[:, best]).mean())),
                ratio_low=float(np.exp(ratio[1])) if ratio else None,
                ratio_high=float(np.exp(ratio[2])) if ratio else None,
                wins=int((first == place).sum()),
                settings=len(rows),
            )
        )
    return Effect(factor=factor, levels=tuple(levels))
