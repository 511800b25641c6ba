"""Where a series of figures changed for good, if it did, and by how much: one figure a record, in the order of time.

A change is a step between two levels. The place is where the means of the logarithms before and after lie furthest
apart for their numbers, sqrt(k (n - k) / n) |after - before|, of all places with SHORTEST figures or more on either
side. Whether it is one is asked of the figures themselves: without a change any order of them is as likely as theirs,
so the p-value is the share of random orders that have as large a step somewhere. That holds for any shape of noise, and
however the places depend on each other; it does not hold if each figure depends on the one before. Then both parts are
searched in turn, as long as a step is found ("binary segmentation"; the test is that of Good, "Permutation, Parametric
and Bootstrap Tests of Hypotheses", 2005; the statistic that of Sen and Srivastava, "On tests for detecting change in
mean", Annals of Statistics 3, 1975). A single stray figure is no level and would hide one: beyond FAR deviations from
the middle a figure counts as if it lay there, which depends on no order. What got slower and as fast again has no two
levels, so that a dip which isn't at either end of the series may stay unseen until a part of it is searched.

Of several series, a step is one only if its p-value holds with all of them counted (Bonferroni's correction).
Steps below a threshold of 2 % are none, as in a comparison; `results/history.md` has the rates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from accelmnist.measure.statistics.comparison import THRESHOLD, Comparison, compare
from accelmnist.measure.statistics.summary import CONFIDENCE, Samples, as_samples

SHORTEST = 3  # figures of a level
FEWEST = 2 * SHORTEST
FAR = 10.0  # standard deviations
_SEED = 0
_FIRST, _AT_A_TIME = 200, 1_000_000  # random orders that mostly say enough; numbers held at once
_LEAST, _TIMES = 2000, 10  # random orders: with fewer, these few would decide; and how often the significance
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
    if logs.size < FEWEST:
        return []
    near = _near(logs)
    strengths = _strengths(near[None])[0]
    place = int(strengths.argmax()) + SHORTEST
    if abs(float(logs[place:].mean() - logs[:place].mean())) <= math.log1p(threshold):
        return []
    p_value = _p_value(near, float(strengths.max()), significance)
    if p_value >= significance:
        return []
    before = _steps(logs[:place], offset, significance, threshold)
    return [*before, (offset + place, p_value), *_steps(logs[place:], offset + place, significance, threshold)]


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


def _p_value(values: Samples, strength: float, significance: float) -> float:
    """The share of random orders with as strong a step; no more are drawn once it can't be below `significance`."""
    random, least = np.random.default_rng(_SEED), strength * (1 - 1e-12)
    needed, drawn, hits = max(_LEAST, math.ceil(_TIMES / significance)), 0, 0
    for rows in _batches(needed, values.size):
        orders = random.permuted(np.broadcast_to(values, (rows, values.size)), axis=1)
        hits += int((_strengths(orders).max(axis=1) >= least).sum())
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
