"""What a roofline is made of: the roofs that the measured limits set, and the points of the cases beneath them.

Arithmetic intensity is the counted operations of a step over its counted bytes. Below the ridge a roof is slanted,
memory bandwidth times intensity; above it is flat, the rate of a large matrix product (Williams, Waterman and
Patterson, "Roofline: an insightful visual performance model for multicore architectures", Communications of the ACM 52,
2009). Where what a step touches fits into the cache, a second slanted roof says how fast that is. Where the products of
a step alone were measured, a tick says how high its point would lie if nothing else took time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accelmnist.measure.limit_keys import LimitKind
from accelmnist.measure.limits.bound import ABOVE
from accelmnist.measure.plan import MODES
from accelmnist.measure.record import BenchRecord, CaseResult, Limit
from accelmnist.show.figures.cases import by_speed
from accelmnist.show.figures.style import WRONG, Mark, series_mark

_NOTABLE = 1.1  # a working set's rate over that of memory, from which on it has a roof of its own


@dataclass(frozen=True, kw_only=True)
class Roof:
    """What a device allows at a precision: flop/s, and bytes/s from memory and from the cache, where known."""

    matmul: Limit
    flops_per_s: float
    memory: float | None
    working_set: float | None
    mark: Mark

    def at(self, intensity: float) -> float:
        """The flop/s that memory and arithmetic allow."""
        return self.flops_per_s if self.memory is None else min(self.flops_per_s, self.memory * intensity)

    @property
    def ridges(self) -> list[float]:
        """The intensities where a slanted roof meets the flat one."""
        return [self.flops_per_s / rate for rate in (self.memory, self.working_set) if rate]


@dataclass(frozen=True, kw_only=True)
class Point:
    """A case beneath its roof; `products_alone` is the flop/s it would reach if only its matrix products took time."""

    result: CaseResult
    roof: Roof
    intensity: float
    flops_per_s: float
    products_alone: float | None

    @property
    def mark(self) -> Mark:
        """That of its roof, or a grey cross for what is wrong."""
        return WRONG if self.result.is_wrong else self.roof.mark

    @property
    def share(self) -> float:
        """How much it reaches of its limit: the record's own bound, or else the roof."""
        bound = self.result.bound
        return bound.share if bound else self.flops_per_s / self.roof.at(self.intensity)

    @property
    def is_above(self) -> bool:
        """Whether it lies above its limit by more than rates move from round to round."""
        return self.share > ABOVE


def roofs_of(record: BenchRecord) -> list[Roof]:
    """A roof for each measured matrix product, in the order of the record."""
    found = [(limit, limit.rate.median) for limit in record.limits if limit.kind == "matmul" and limit.rate]
    roofs = []
    for place, (limit, rate) in enumerate(found):
        memory, cache = _highest(record, "memory", limit), _highest(record, "working set", limit)
        working_set = cache if cache and (memory is None or cache > _NOTABLE * memory) else None
        mark = series_mark(place)
        roofs.append(Roof(matmul=limit, flops_per_s=rate, memory=memory, working_set=working_set, mark=mark))
    return roofs


def _highest(record: BenchRecord, kind: LimitKind, roof: Limit) -> float | None:
    """The highest rate of this kind on the roof's device, with as many threads where that was measured."""
    own = [limit for limit in record.limits if limit.kind == kind and limit.device == roof.device]
    same = [limit for limit in own if limit.threads == roof.threads]
    return max((limit.rate.median for limit in same or own if limit.rate), default=None)


def points_of(results: Sequence[CaseResult], roofs: Sequence[Roof]) -> list[Point]:
    """The cases of which both the work and a roof are known, in order of mode and speed."""
    ordered = [result for mode in MODES for result in by_speed([one for one in results if one.mode == mode])]
    return [point for result in ordered if (point := _point(result, roofs))]


def _point(result: CaseResult, roofs: Sequence[Roof]) -> Point | None:
    cost, step_s = result.cost, result.step_s
    way = (result.device, result.precision)
    own = [roof for roof in roofs if (roof.matmul.device, roof.matmul.precision) == way]
    if cost is None or step_s is None or not own or not cost.flops or not cost.bytes:
        return None
    alone_s = result.bound.workload_s if result.bound else None
    return Point(
        result=result,
        roof=min(own, key=lambda roof: roof.matmul.threads != result.threads),
        intensity=cost.flops / cost.bytes,
        flops_per_s=cost.flops / step_s,
        products_alone=cost.flops / alone_s if alone_s else None,
    )
