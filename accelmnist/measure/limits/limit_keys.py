"""Which limits of the hardware a case depends on, and their names. No torch: what is concluded needs no device.

A limit is found again in a saved record by what it says of itself: kind, device, precision, threads and detail.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from accelmnist.measure.limits.cost import cost_of
from accelmnist.measure.plan import Case
from accelmnist.measure.record import Limit, LimitKind

# A smaller copy says more of the cost of starting it than of a cache: some 1 µs on a CPU and 3 µs on a GPU.
_SMALLEST_COPY = {"cpu": 1 << 20, "other": 1 << 24}


def limit_key(*, device: str, kind: LimitKind, detail: str, precision: str | None, threads: int | None) -> str:
    """A readable name that no other limit has, such as "cpu/fp32/2 threads/matmul 1024x1024x1024"."""
    parts = (device, precision, None if threads is None else f"{threads} threads", f"{kind} {detail}")
    return "/".join(part.replace(" x ", "x") for part in parts if part)


def workload_detail(case: Case) -> str:
    """What names the matrix products of a case's step: the engine and the optimizer don't change them."""
    return f"{case.mode} {case.network} batch {case.batch_size}"


def working_set_size(case: Case) -> int:
    """Bytes of the copy that stands for what a step of `case` touches: the nearest power of two, so that few result."""
    touched = cost_of(case).working_set_bytes
    nearest: int = 1 << round(math.log2(touched))
    return max(nearest, _SMALLEST_COPY.get(case.device, _SMALLEST_COPY["other"]))


def size_detail(size: int) -> str:
    """A power of two in words: "4 MiB"."""
    return f"{size >> 20} MiB"


@dataclass(frozen=True, kw_only=True)
class CaseLimits:
    """The limits that a case depends on; None for one that was not measured. `rate` gives a limit's median."""

    matmul: Limit | None = None
    workload: Limit | None = None
    memory: Limit | None = None
    working_set: Limit | None = None
    dispatch: Limit | None = None
    graph_dispatch: Limit | None = None


def limits_of(case: Case, limits: Iterable[Limit]) -> CaseLimits:
    """Those of `limits` that `case` depends on and that have a rate."""
    own = [
        limit
        for limit in limits
        if limit.rate is not None
        and (limit.device, limit.threads) == (case.device, case.threads)
        and limit.precision in (None, case.precision)
    ]

    def find(kind: LimitKind, detail: str | None = None) -> Limit | None:
        return next((one for one in own if one.kind == kind and detail in (None, one.detail)), None)

    return CaseLimits(
        matmul=find("matmul"),
        workload=find("workload", workload_detail(case)),
        memory=find("memory"),
        working_set=find("working set", size_detail(working_set_size(case))),
        dispatch=find("dispatch"),
        graph_dispatch=find("graph dispatch"),
    )


def rate_of(limit: Limit | None) -> float | None:
    """The median of what was measured, or None."""
    return limit.rate.median if limit is not None and limit.rate is not None else None
