"""The limits of the hardware as text: rates as people quote them, and what each of them is of."""

from __future__ import annotations

from accelmnist.measure.record import BenchRecord, Limit
from accelmnist.show.bench.figures import width_text
from accelmnist.show.units import UNKNOWN, plural, prefixed, significant

HEADINGS = (("device", False), ("limit", False), ("rate", True), ("±", True), ("what ran", False))


def limit_rows(record: BenchRecord) -> list[tuple[str, ...]]:
    """A row of text for each limit, in the order of `HEADINGS`."""
    return [_row(limit) for limit in record.limits]


def _row(limit: Limit) -> tuple[str, ...]:
    details = [limit.detail, "" if limit.threads is None else plural(limit.threads, "thread")]
    kind = limit.kind if limit.precision is None else f"{limit.kind} {limit.precision}"
    return (
        limit.device,
        kind,
        rate_text(limit),
        UNKNOWN if limit.rate is None else width_text(limit.rate),
        ", ".join(filter(None, details)),
    )


def rate_text(limit: Limit) -> str:
    """The rate with its unit; operations as what one of them takes: "170 GFLOP/s", "21.0 GB/s", "4.02 µs each"."""
    if limit.rate is None:
        return UNKNOWN
    if limit.unit == "operations/s":
        return f"{significant(1e6 / limit.rate.median)} µs each"
    return prefixed(limit.rate.median, {"flop/s": "FLOP/s", "bytes/s": "B/s"}[limit.unit])
