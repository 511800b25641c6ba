"""Which of a neuron's figures are worth a word: the classes it votes on, and those whose recall changes without it.

A drop of recall counts if it isn't chance: the images that were right and become wrong against those of the other way
round, by McNemar's exact test, for one class; and if as many drops are looked at as there are classes of all neurons,
with the probability divided by their number (Bonferroni). Source: McNemar, "Note on the sampling error of the
difference between correlated proportions or percentages", Psychometrika 12, 1947.
"""

from __future__ import annotations

from collections.abc import Sequence

from accelmnist.analysis.neurons.record import Ablation, Baseline
from accelmnist.analysis.neurons.thresholds import ARGUES, CHANCE, FAINT

_MOST = 3  # classes that are named


def is_faint(strength: float, baseline: Baseline) -> bool:
    """Whether a neuron moves the logits too little to be heard, whatever it is on for."""
    return strength < FAINT.value * baseline.logit_spread


def votes(support: Sequence[float]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The classes that a neuron argues for most, and those it argues against most, the strongest first."""
    order = sorted(range(len(support)), key=lambda label: -abs(support[label]))
    limit = ARGUES.value * abs(support[order[0]])
    if limit == 0:
        return (), ()
    in_favour = tuple(label for label in order if support[label] >= limit)
    against = tuple(label for label in order if support[label] <= -limit)
    return in_favour[:_MOST], against[:_MOST]


def recall_drops(ablation: Ablation, baseline: Baseline, *, looked_at: int = 1) -> tuple[int, ...]:
    """The classes whose recall drops by more than chance among `looked_at` drops, the largest drop first."""
    return _changes(ablation.lost, ablation.gained, baseline.recall, ablation.recall, CHANCE.value / looked_at)


def recall_gains(ablation: Ablation, baseline: Baseline) -> tuple[int, ...]:
    """The classes whose recall rises by more than chance, the largest rise first; one at a time, without correction."""
    return _changes(ablation.gained, ablation.lost, ablation.recall, baseline.recall, CHANCE.value)


def _changes(
    more: Sequence[int], fewer: Sequence[int], higher: Sequence[float], lower: Sequence[float], level: float
) -> tuple[int, ...]:
    """The classes with significantly `more` than `fewer` images changed, by the difference of the recalls."""
    labels = [
        label
        for label, (most, least) in enumerate(zip(more, fewer, strict=True))
        if most > least and mcnemar(most, least) <= level
    ]
    return tuple(sorted(labels, key=lambda label: lower[label] - higher[label]))


def mcnemar(lost: int, gained: int) -> float:
    """The probability of a split at least as uneven if either way is as likely: two-sided, exact (binomial)."""
    from scipy.special import bdtr  # here: a third of a second; scipy.stats, with the whole test, takes two

    return min(1.0, 2 * float(bdtr(min(lost, gained), lost + gained, 0.5)))
