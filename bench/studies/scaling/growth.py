"""How the time of a step grows with its counted arithmetic, and with threads, from a record of all of them.

The exponent is the slope of log(seconds) over log(operations), by least squares over all sizes of an axis: 1 where
twice the arithmetic takes twice the time, below 1 where small sizes waste time that large ones don't. It is taken in
every round, whose samples saw the same machine, so that a drift cancels; what is told is the median over the rounds,
with its 95 % interval. One slope may hide a step in the curve, so the steepest piece between two neighbouring sizes is
told as well, with an interval of its own. And since a small size that wastes time makes any growth look modest, the
largest size is held against the best one: how many times as long an operation takes there.

Operations are counted from the shapes (`accelmnist.measure.limits.cost`), zero pixels included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from accelmnist.measure.record import BenchRecord, CaseResult
from accelmnist.measure.statistics.summary import summarize
from bench.studies.scaling.cases import BATCH_SIZE, WIDTH

Axis = Literal["width", "batch size"]
Outcome = Literal["slower than", "as", "faster than"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The median over the rounds, and its 95 % interval."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Piece:
    """The exponent between two neighbouring sizes."""

    start: int
    end: int
    exponent: Interval


@dataclass(frozen=True, kw_only=True)
class Growth:
    """One engine along one axis: the exponent of a step's time over its arithmetic, and its pieces."""

    engine: str
    axis: Axis
    sizes: tuple[int, ...]
    exponent: Interval
    pieces: tuple[Piece, ...]
    best: int  # the size at which an operation takes the least time
    last_over_best: Interval  # the time of an operation at the largest size over that at the best one

    @property
    def outcome(self) -> Outcome:
        """How the time grows beside the arithmetic, as far as the interval says."""
        if self.exponent.high < 1:
            return "slower than"
        return "faster than" if self.exponent.low > 1 else "as"

    @property
    def steepest(self) -> Piece:
        """The piece with the largest exponent."""
        return max(self.pieces, key=lambda piece: piece.exponent.median)


@dataclass(frozen=True, kw_only=True)
class Speedup:
    """How many times as fast an engine is with more threads as with one."""

    engine: str
    threads: int
    ratio: Interval


def growths_of(record: BenchRecord) -> list[Growth]:
    """Every engine along both axes, where it has right results at three sizes or more."""
    results = [result for result in record.cases if result.images_per_s is not None and not result.is_wrong]
    most = max((result.threads or 0 for result in results), default=0)
    along = [result for result in results if result.threads == most]
    growths = []
    for engine in dict.fromkeys(result.engine for result in along):
        own = [result for result in along if result.engine == engine]
        by_width = [result for result in own if result.batch_size == BATCH_SIZE]
        by_batch = [result for result in own if result.hidden == (WIDTH,)]
        growths += [_growth(by_width, "width", _width), _growth(by_batch, "batch size", _batch_size)]
    return [growth for growth in growths if growth is not None]


def _width(result: CaseResult) -> int:
    return result.hidden[0]


def _batch_size(result: CaseResult) -> int:
    return result.batch_size


def _growth(results: Sequence[CaseResult], axis: Axis, size_of: Callable[[CaseResult], int]) -> Growth | None:
    if len(results) < 3:
        return None
    ordered = sorted(results, key=size_of)
    sizes = tuple(map(size_of, ordered))
    operations, seconds = _logarithms(ordered)
    steps, costs = np.diff(operations), np.diff(seconds, axis=1)
    centred = operations - operations.mean()
    each = seconds - operations  # of one operation
    best = int(np.median(each, axis=0).argmin())
    return Growth(
        engine=ordered[0].engine,
        axis=axis,
        sizes=sizes,
        exponent=_interval(seconds @ centred / (centred @ centred)),
        pieces=tuple(
            Piece(start=start, end=end, exponent=_interval(costs[:, index] / steps[index]))
            for index, (start, end) in enumerate(pairwise(sizes))
        ),
        best=sizes[best],
        last_over_best=_ratio(each[:, -1] - each[:, best]),
    )


def _logarithms(results: Sequence[CaseResult]) -> tuple[Floats, Floats]:
    """Of the operations of a step (sizes,), and of its seconds in the rounds that all took part in (rounds, sizes)."""
    operations = [math.log(result.cost.flops) for result in results if result.cost is not None]
    common = sorted(set.intersection(*(set(result.rounds) for result in results)))
    rows = [_by_round(result) for result in results]
    seconds = [[math.log(row[number]) for row in rows] for number in common]
    return np.array(operations), np.array(seconds)


def _by_round(result: CaseResult) -> dict[int, float]:
    """Seconds of a step by the number of the round."""
    assert result.images_per_s is not None
    speeds = zip(result.rounds, result.images_per_s.samples, strict=True)
    return {number: result.batch_size / speed for number, speed in speeds}


def _interval(values: Floats) -> Interval:
    """Of the median of `values`, any numbers: the package's own, which takes numbers above 0, on their exponentials."""
    summary = summarize(np.exp(values).tolist())
    return Interval(median=math.log(summary.median), low=math.log(summary.low), high=math.log(summary.high))


def _ratio(logarithms: Floats) -> Interval:
    """The same of ratios, from their logarithms."""
    summary = summarize(np.exp(logarithms).tolist())
    return Interval(median=summary.median, low=summary.low, high=summary.high)


def speedups_of(record: BenchRecord) -> list[Speedup]:
    """Every engine's speed with more threads over that with one, where the axes cross, round by round."""
    crossing = [
        result
        for result in record.cases
        if result.images_per_s is not None
        and not result.is_wrong
        and (result.batch_size, result.hidden) == (BATCH_SIZE, (WIDTH,))
    ]
    speedups = []
    for one in (result for result in crossing if result.threads == 1):
        alone = _by_round(one)
        for more in crossing:
            if more.engine == one.engine and more.threads is not None and more.threads > 1:
                together = _by_round(more)
                ratios = [math.log(alone[number] / together[number]) for number in alone.keys() & together.keys()]
                speedups.append(Speedup(engine=one.engine, threads=more.threads, ratio=_ratio(np.array(ratios))))
    return speedups
