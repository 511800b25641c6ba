"""How sure a share of a few hundred images is, and whether a few drawn ones are unlike the rest.

Recalls are near 1, where Wilson's interval holds and the textbooks' normal one would reach beyond 1. Source of the
exact test: R. A. Fisher, "The logic of inductive inference", Journal of the Royal Statistical Society 98, 1935.
"""

from __future__ import annotations

import math

Interval = tuple[float, float]


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
