"""Which of a record's limits a case depends on. No torch: what is concluded needs no device."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from accelmnist.core.config import ModelConfig
from accelmnist.measure.limit_keys import LimitKey, LimitKind
from accelmnist.measure.limits.cost import cost_of
from accelmnist.measure.plan import Case
from accelmnist.measure.record import Limit

# A smaller copy says more of the cost of starting it than of a cache: some 1 µs on a CPU and 3 µs on a GPU.
_SMALLEST_COPY = {"cpu": 1 << 20, "other": 1 << 24}


@dataclass(frozen=True, kw_only=True)
class CaseLimits:
    """The limits that a case depends on; None for one that was not measured."""

    matmul: Limit | None = None
    workload: Limit | None = None
    memory: Limit | None = None
    working_set: Limit | None = None
    dispatch: Limit | None = None


def workload_key(case: Case) -> LimitKey:
    """The matrix products of a case's step: the engine and the optimizer don't change them."""
    return LimitKey(
        kind="workload",
        device=case.device,
        precision=case.precision,
        threads=case.threads,
        shape=(case.batch_size, *ModelConfig(hidden=case.hidden).sizes),
        mode=case.mode,
    )


def working_set_key(case: Case) -> LimitKey:
    """The copy that stands for what a step of `case` touches: the nearest power of two, so that few result."""
    nearest: int = 1 << round(math.log2(cost_of(case).working_set_bytes))
    size = max(nearest, _SMALLEST_COPY.get(case.device, _SMALLEST_COPY["other"]))
    return LimitKey(kind="working set", device=case.device, threads=case.threads, shape=(size,))


def limits_of(case: Case, limits: Iterable[Limit]) -> CaseLimits:
    """Those of `limits` that `case` depends on and that have a rate."""
    measured = [limit for limit in limits if limit.rate is not None]
    by_key = {limit.what: limit for limit in measured}

    def of_kind(kind: LimitKind) -> Limit | None:
        wanted = (kind, case.device, case.threads)
        found = (one for one in measured if (one.kind, one.device, one.threads) == wanted)
        return next((one for one in found if one.precision in (None, case.precision)), None)

    return CaseLimits(
        matmul=of_kind("matmul"),
        workload=by_key.get(workload_key(case)),
        memory=of_kind("memory"),
        working_set=by_key.get(working_set_key(case)),
        dispatch=of_kind("dispatch"),
    )


def rate_of(limit: Limit | None) -> float | None:
    """The median of what was measured, or None."""
    return limit.rate.median if limit is not None and limit.rate is not None else None
