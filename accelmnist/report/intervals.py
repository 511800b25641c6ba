"""How sure a share of a few hundred images is, and whether a few drawn ones are unlike the rest.

Recalls are near 1, where Wilson's interval holds and the textbooks' normal one would reach beyond 1. Source of the
exact test: R. A. Fisher, "The logic of inductive inference", Journal of the Royal Statistical Society 98, 1935.
"""

from __future__ import annotations

import math

from accelmnist.sweep.statistics import wilson_interval

Interval = tuple[float, float]


def wilson(hits: int, total: int) -> Interval:
    """The 95 % interval of the share `hits` of `total`; everything from 0 to 1 where there is nothing to count."""
    if total == 0:
        return 0.0, 1.0
    low, high = wilson_interval(hits, total)
    return (low if hits else 0.0), (high if hits < total else 1.0)  # where its terms cancel, but for the last digit


def overlap(one: Interval, other: Interval) -> bool:
    """Whether two intervals share a value."""
    return one[0] <= other[1] and other[0] <= one[1]


def chance_of_as_many(hits: int, drawn: int, marked: int, total: int) -> float:
    """Fisher's exact test, one-sided: the chance of `hits` or more marked among `drawn`, by luck alone.

    `marked` of all `total` are marked, the drawn ones among them.
    """
    most = min(drawn, marked)
    ways = sum(math.comb(marked, count) * math.comb(total - marked, drawn - count) for count in range(hits, most + 1))
    return ways / math.comb(total, drawn)
