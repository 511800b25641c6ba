"""How sure a share of a few hundred images is, and whether two shares differ by more than chance.

Wilson's interval holds where a recall is near 1; the normal interval of the textbooks would reach beyond 1.
Sources: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927;
R. A. Fisher, "The logic of inductive inference", JRSS 98, 1935.
"""

from __future__ import annotations

import math

Interval = tuple[float, float]

_Z = 1.959964  # the normal distribution's two-sided 95 %


def wilson(hits: int, total: int) -> Interval:
    """The 95 % interval of the share `hits` of `total`; everything from 0 to 1 where there is nothing to count."""
    if total == 0:
        return 0.0, 1.0
    share, square = hits / total, _Z * _Z
    middle = (share + square / (2 * total)) / (1 + square / total)
    half = _Z / (1 + square / total) * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    # At the ends the two terms cancel, but not in the last digit.
    return (0.0 if hits == 0 else middle - half), (1.0 if hits == total else middle + half)


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
