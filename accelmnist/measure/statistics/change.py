"""Where a series of figures went to another level, if it did, and by how much: a figure a record, in the order of time.

A change is a step between two levels. The place is where the means of the logarithms before and after lie furthest
apart for their numbers, sqrt(k (n - k) / n) |after - before|, of all places with SHORTEST figures or more on either
side. Whether it is one is asked of the figures themselves: without a change any order of them is as likely as theirs,
so the p-value is the share of random orders that have as large a step somewhere. That holds for any shape of noise, and
however the places depend on each other; it does not hold if each figure depends on the one before. Then both parts are
searched in turn, as long as a step is found ("binary segmentation"; the test is that of Good, "Permutation, Parametric
and Bootstrap Tests of Hypotheses", 2005; the statistic that of Sen and Srivastava, "On tests for detecting change in
mean", Annals of Statistics 3, 1975). A single stray figure is no level and would hide one: beyond FAR deviations from
the middle a figure counts as if it lay there, which depends on no order.

What got slower and as fast again has no two levels, so a step alone doesn't show it. If none is found, such a dip is
sought: a part that lies apart from both sides together, by the same strength and the same test ("circular binary
segmentation": Olshen and others, Biostatistics 5, 2004). All its places are tried if it is short, one in a sixth of
its length if it is long; then both ends move to where they are strongest. There are many more dips than steps, so that
one test for both would see fewer steps: steps have OF_STEPS of the significance and dips the rest.

Of several series, a step is one only if its p-value holds with all of them counted (Bonferroni's correction).
Steps below a threshold of 2 % are none, as in a comparison; `results/history.md` has the rates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from accelmnist.measure.statistics.comparison import THRESHOLD, Comparison, compare
from accelmnist.measure.statistics.summary import CONFIDENCE, Samples, as_samples

SHORTEST = 3  # figures of a level
FEWEST = 2 * SHORTEST
OF_STEPS = 0.6  # of the significance
FAR = 10.0  # standard deviations
_SEED = 0
_FIRST, _AT_A_TIME = 200, 200_000  # random orders that mostly say enough; numbers held at once
_LEAST, _TIMES = 2000, 10  # random orders: with fewer, these few would decide; and how often the significance
_FINE = 6  # places and lengths of a dip that are tried, for each length of it
_OF_NORMAL = 1.4826  # standard deviation over the median deviation


@dataclass(frozen=True, kw_only=True)
class Change:
    """A step before the figure at `place`, from 0: the ratio of what came after over what was before.

    `comparison` has the ratio with its 95 % interval; `p_value` is that of "any order is as likely".
    """

    place: int
    comparison: Comparison
    p_value: float


def find_changes(values: Sequence[float], *, series: int = 1, threshold: float = THRESHOLD) -> tuple[Change, ...]:
    """Every step of `values`, speeds in the order of time, by its place; `series` counts those that are searched.

    RecordError if one isn't a finite number above 0.
    """
    logs = np.log(as_samples(values))
    found = _steps(logs, 0, (1 - CONFIDENCE) / max(series, 1), threshold)
    ends = [0, *(place for place, _ in found), logs.size]
    changes = []
    for (place, p_value), first, last in zip(found, ends, ends[2:], strict=False):
        before, after = values[first:place], values[place:last]
        comparison = compare(before, after, paired=False, threshold=threshold)
        changes.append(Change(place=place, comparison=comparison, p_value=p_value))
    return tuple(one for one in changes if abs(math.log(one.comparison.ratio)) > math.log1p(threshold))


def _steps(logs: Samples, offset: int, significance: float, threshold: float) -> list[tuple[int, float]]:
    """Places and p-values of all steps, in their order."""
    found = _strongest(logs, significance, threshold)
    if found is None:
        return []
    places, p_value = found
    steps = []
    for first, last in pairwise([0, *places, logs.size]):
        steps += _steps(logs[first:last], offset + first, significance, threshold)
        steps += [(offset + last, p_value)] if last < logs.size else []
    return steps


def _strongest(logs: Samples, significance: float, threshold: float) -> tuple[tuple[int, ...], float] | None:
    """Where a step or else a dip begins and ends, and its p-value; None if neither stands out."""
    near = _near(logs)
    for kind in _kinds(logs.size):
        first, last = kind.find(near)
        apart = logs[first:last].mean() - np.delete(logs, slice(first, last)).mean()
        if abs(float(apart)) > math.log1p(threshold):
            p_value = _p_value(near, kind.strength, kind.share * significance)
            if p_value < kind.share * significance:
                return tuple(place for place in (first, last) if place < logs.size), p_value
    return None


@dataclass(frozen=True)
class _Kind:
    """A kind of change: its `strength` in each row of orders, where `find` has it, and its share of significance."""

    strength: Callable[[Samples], Samples]
    find: Callable[[Samples], tuple[int, int]]
    share: float


def _kinds(count: int) -> Iterator[_Kind]:
    """What so many figures can show."""
    has_dips = count >= 3 * SHORTEST
    if count >= FEWEST:
        yield _Kind(lambda orders: _strengths(orders).max(axis=1), _step, OF_STEPS if has_dips else 1.0)
    if has_dips:
        yield _Kind(_strongest_dips, _dip, 1 - OF_STEPS)


def _near(logs: Samples) -> Samples:
    """The figures less their mean, none of them beyond FAR deviations from the middle unless most are equal."""
    apart = logs - np.median(logs)
    deviation = _OF_NORMAL * float(np.median(np.abs(apart)))
    near = np.clip(apart, -FAR * deviation, FAR * deviation) if deviation else apart
    centred: Samples = near - near.mean()
    return centred


def _strengths(orders: Samples) -> Samples:
    """How strong a step is at every place of each row (rows, places); the figures of a row sum to 0."""
    count = orders.shape[1]
    before = np.arange(SHORTEST, count - SHORTEST + 1)
    sums: Samples = np.cumsum(orders, axis=1)[:, SHORTEST - 1 : count - SHORTEST]
    sums *= np.sqrt(count / (before * (count - before)))
    return np.abs(sums, out=sums)


def _step(values: Samples) -> tuple[int, int]:
    """Where the strongest step begins, and the end."""
    return int(_strengths(values[None])[0].argmax()) + SHORTEST, values.size


def _dips(orders: Samples) -> Iterator[tuple[int, int, Samples]]:
    """The dips of each row, length by length: with the stride of their places, and their sums (rows, places)."""
    count, sums, length = orders.shape[1], np.cumsum(orders, axis=1), SHORTEST
    while length <= count - FEWEST:
        stride = max(1, length // _FINE)
        ends = sums[:, length + SHORTEST - 1 : count - SHORTEST : stride]
        yield length, stride, ends - sums[:, SHORTEST - 1 : count - SHORTEST - length : stride]
        length += stride


def _strongest_dips(orders: Samples) -> Samples:
    """The strength of the strongest dip of each row."""
    count, strongest = orders.shape[1], np.zeros(len(orders))
    for length, _, sums in _dips(orders):
        furthest = np.maximum(sums.max(axis=1), -sums.min(axis=1))
        np.maximum(strongest, furthest * math.sqrt(count / (length * (count - length))), out=strongest)
    return strongest


def _dip(values: Samples) -> tuple[int, int]:
    """Where the strongest dip begins and where it ends."""
    dips = [(length, stride, np.abs(sums[0])) for length, stride, sums in _dips(values[None])]
    length, stride, sums = max(dips, key=lambda one: float(one[2].max()) / math.sqrt(one[0] * (values.size - one[0])))
    first = SHORTEST + stride * int(sums.argmax())
    ends, sums = (first, first + length), np.append(0.0, values.cumsum())

    def best(firsts: NDArray[np.intp], lasts: NDArray[np.intp]) -> int:
        inside = lasts - firsts
        return int((np.abs(sums[lasts] - sums[firsts]) / np.sqrt(inside * (values.size - inside))).argmax())

    while True:
        firsts = np.arange(SHORTEST, ends[1] - SHORTEST + 1)
        first = int(firsts[best(firsts, np.array([ends[1]]))])
        lasts = np.arange(first + SHORTEST, values.size - SHORTEST + 1)
        moved = first, int(lasts[best(np.array([first]), lasts)])
        if moved == ends:
            return ends
        ends = moved


def _p_value(values: Samples, strength_of: Callable[[Samples], Samples], significance: float) -> float:
    """The share of random orders that are as strong; no more are drawn once it can't be below `significance`."""
    random, least = np.random.default_rng(_SEED), float(strength_of(values[None])[0]) * (1 - 1e-12)
    needed, drawn, hits = max(_LEAST, math.ceil(_TIMES / significance)), 0, 0
    for rows in _batches(needed, values.size):
        orders = random.permuted(np.broadcast_to(values, (rows, values.size)), axis=1)
        hits += int((strength_of(orders) >= least).sum())
        drawn += rows
        if hits + 1 >= significance * (needed + 1):
            break
    return (hits + 1) / (drawn + 1)


def _batches(needed: int, size: int) -> Iterator[int]:
    """Numbers of orders: a few first, and as many more as it takes."""
    yield min(_FIRST, needed)
    left = needed - _FIRST
    while left > 0:
        rows = min(left, max(_AT_A_TIME // size, 1))
        yield rows
        left -= rows
