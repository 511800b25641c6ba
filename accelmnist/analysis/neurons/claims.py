"""Which of a neuron's figures are worth a word: what it argues, and by which classes it would be missed.

A fall of recall counts where it isn't chance: the images that were right and become wrong against those of the other
way round, by McNemar's exact test, for one class; and where as many falls are looked at as there are classes of all
neurons, with the chance divided by their number (Bonferroni). Source: McNemar, "Note on the sampling error of the
difference between correlated proportions or percentages", Psychometrika 12, 1947.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from accelmnist.analysis.neurons.record import Ablation, Baseline
from accelmnist.analysis.neurons.thresholds import ARGUES, CHANCE, FAINT

_MOST = 3  # classes that are named


def is_faint(strength: float, baseline: Baseline) -> bool:
    """Whether a neuron moves the logits too little to be heard, whatever it is on for."""
    return strength < FAINT.value * baseline.logit_spread


def argued(support: Sequence[float]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The classes that are argued for most, and those that are argued against most, the strongest first."""
    order = sorted(range(len(support)), key=lambda label: -abs(support[label]))
    limit = ARGUES.value * abs(support[order[0]])
    if limit == 0:
        return (), ()
    speaks_for = tuple(label for label in order if support[label] >= limit)
    against = tuple(label for label in order if support[label] <= -limit)
    return speaks_for[:_MOST], against[:_MOST]


def fallen(ablation: Ablation, baseline: Baseline, *, looked_at: int = 1) -> tuple[int, ...]:
    """The classes whose recall falls by more than chance among `looked_at` falls, the largest fall first."""
    chance = CHANCE.value / looked_at
    falls = [before - after for before, after in zip(baseline.recall, ablation.recall, strict=True)]
    labels = [
        label
        for label, (lost, gained) in enumerate(zip(ablation.lost, ablation.gained, strict=True))
        if lost > gained and mcnemar(lost, gained) <= chance
    ]
    return tuple(sorted(labels, key=lambda label: -falls[label]))


def risen(ablation: Ablation, baseline: Baseline) -> tuple[int, ...]:
    """The classes whose recall rises by more than chance, the largest rise first; one at a time, without correction."""
    rises = [after - before for before, after in zip(baseline.recall, ablation.recall, strict=True)]
    labels = [
        label
        for label, (lost, gained) in enumerate(zip(ablation.lost, ablation.gained, strict=True))
        if gained > lost and mcnemar(lost, gained) <= CHANCE.value
    ]
    return tuple(sorted(labels, key=lambda label: -rises[label]))


def mcnemar(lost: int, gained: int) -> float:
    """The chance of a split at least as uneven where either way is as likely: two-sided, exact."""
    changed, fewer = lost + gained, min(lost, gained)
    tail = sum(math.comb(changed, count) for count in range(fewer + 1))
    return min(1.0, float(Fraction(2 * tail, 2**changed)))
