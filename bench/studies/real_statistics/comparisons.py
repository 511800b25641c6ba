"""Comparisons of which the truth is known: how often they claim a difference, and what it takes to find one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from accelmnist.measure.statistics.comparison import THRESHOLD, Comparison, compare
from accelmnist.measure.statistics.controls import against_controls, machine_speeds, spread_of_controls
from bench.studies.real_statistics.samples import Samples, limits_of

_NUMBERS = (*range(6, 40, 2), *range(40, 100, 5), *range(100, 501, 20))  # of rounds that are tried


def paired(blocks: Sequence[Samples], name: str) -> Iterator[Comparison]:
    """Each block's case `name` against its `a`, round by round."""
    return (compare(block["a"], block[name], paired=True) for block in blocks)


def across(blocks: Sequence[Samples], name: str, *, by_limits: bool) -> Iterator[Comparison]:
    """One block's case `name` against another's `a`: two records of different times."""
    return (
        _by_limits(base, new, name) if by_limits else compare(base["a"], new[name], paired=False)
        for base, new in permutations(blocks, 2)
    )


def _by_limits(base: Samples, new: Samples, name: str, threshold: float = THRESHOLD) -> Comparison:
    """As `accelmnist compare` does it."""
    sides = limits_of(base), limits_of(new)
    comparison = compare(base["a"], new[name], paired=False, limits=machine_speeds(*sides), threshold=threshold)
    spread = spread_of_controls(*sides)
    return comparison if spread is None else against_controls(comparison, spread, len(sides[0]), threshold=threshold)


def row(title: str, same: Iterator[Comparison], slower: Iterator[Comparison]) -> str:
    """Counts of verdicts as shares."""
    verdicts = Counter(comparison.verdict for comparison in same)
    slower_verdicts = Counter(comparison.verdict for comparison in slower)
    trials = sum(verdicts.values())
    shares = (
        (verdicts["faster"] + verdicts["slower"]) / trials,
        verdicts["same"] / trials,
        slower_verdicts["slower"] / sum(slower_verdicts.values()),
    )
    return f"| {title} | {trials} | {' | '.join(f'{100 * share:.1f} %' for share in shares)} |"


def rounds_needed(samples: Samples, slowdown: float, *, threshold: float, paired: bool, trials: int = 200) -> str:
    """The least number of rounds that finds `slowdown`: this run's, drawn anew, with one side slowed on paper."""
    rng = np.random.default_rng(0)

    def finds(rounds: int) -> bool:
        first, second = rng.integers(len(samples["a"]), size=(2, rounds))
        base, new = _drawn(samples, first), _drawn(samples, first if paired else second)
        new["slowed"] = [speed / (1 + slowdown) for speed in new["again"]]
        if paired:
            one = compare(base["a"], new["slowed"], paired=True, threshold=threshold)
        else:
            one = _by_limits(base, new, "slowed", threshold)
        return one.verdict == "slower"

    for rounds in _NUMBERS:
        if np.mean([finds(rounds) for _ in range(trials)]) >= 0.95:
            return str(rounds)
    return f"more than {_NUMBERS[-1]}"


def _drawn(samples: Samples, rounds: NDArray[np.int64]) -> Samples:
    return {name: np.array(taken)[rounds].tolist() for name, taken in samples.items()}


def needed_row(samples: Samples, slowdown: float, threshold: float) -> str:
    """The rounds that it takes to find `slowdown`, in both ways of comparing."""
    pairs, records = (rounds_needed(samples, slowdown, threshold=threshold, paired=paired) for paired in (True, False))
    return f"| {slowdown:.0%} | {threshold:.0%} | {pairs} | {records} |"


def spread(base: Samples, new: Samples) -> float:
    """How far the limits moved apart from one record to the other."""
    return spread_of_controls(limits_of(base), limits_of(new)) or 0.0
