"""Which cases stand in one table: those whose ranks count against each other, and the ones that were not measured.

Training is one part a network, whatever the batch size; so are the times to a target. In inference single images
(latency) and batches (throughput) are parts of their own, and batches of another size are ranked apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from accelmnist.measure.plan import LATENCY_BATCH
from accelmnist.measure.record import BenchRecord, CaseResult, Target
from accelmnist.show.bench.naming import Naming

Kind = Literal["training", "target", "latency", "throughput"]

_ORDER: tuple[Kind, ...] = ("training", "target", "latency", "throughput")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One table: its measured `rows`, the right ones first and the fastest of them before the others.

    `unmeasured` are the cases that have no figures, or were given up before their end; `naming` tells all apart.
    """

    kind: Kind
    title: str
    rows: tuple[CaseResult, ...]
    unmeasured: tuple[CaseResult, ...]
    naming: Naming


def parts_of(record: BenchRecord) -> tuple[Part, ...]:
    """The tables of a record, in the order in which they are shown."""
    several = len({result.hidden for result in record.cases}) > 1
    found: dict[tuple[Kind, tuple[int, ...]], list[CaseResult]] = {}
    for result in record.cases:
        for kind in _kinds(result, record):
            found.setdefault((kind, result.hidden), []).append(result)
    ordered = sorted(found.items(), key=lambda item: _ORDER.index(item[0][0]))
    return tuple(_part(kind, results, record, several=several) for (kind, _), results in ordered)


def is_measured(result: CaseResult) -> bool:
    """Whether the case has any figure."""
    return result.images_per_s is not None or result.time_to_accuracy is not None


def _kinds(result: CaseResult, record: BenchRecord) -> tuple[Kind, ...]:
    if result.mode == "inference":
        return ("latency",) if result.batch_size == LATENCY_BATCH else ("throughput",)
    if result.images_per_s is not None and result.time_to_accuracy is not None:
        return "training", "target"
    timed = result.time_to_accuracy is not None or record.config.target_accuracy is not None
    return ("target",) if timed and result.images_per_s is None else ("training",)


def _part(kind: Kind, results: list[CaseResult], record: BenchRecord, *, several: bool) -> Part:
    rows = [result for result in results if _figure(kind, result) is not None]
    title = _title(kind, record)
    return Part(
        kind=kind,
        title=f"{title}, {results[0].case.network}" if several else title,
        rows=tuple(sorted(rows, key=lambda result: _place(kind, result))),
        unmeasured=tuple(result for result in results if result.skipped is not None or not is_measured(result)),
        naming=Naming(results),
    )


def _title(kind: Kind, record: BenchRecord) -> str:
    target = record.config.target_accuracy
    return {
        "training": "Training",
        "target": f"Time to {100 * target:.4g} % accuracy" if target else "Time to accuracy",
        "latency": "Inference, one image a call",
        "throughput": "Inference in batches",
    }[kind]


def _figure(kind: Kind, result: CaseResult) -> object:
    return result.time_to_accuracy if kind == "target" else result.images_per_s


def _place(kind: Kind, result: CaseResult) -> tuple[float, ...]:
    """What the rows are sorted by: wrong ones last, then the batch size where it is ranked apart, then the speed."""
    if kind == "target":
        assert result.time_to_accuracy is not None
        return result.is_wrong, *_quickness(result.time_to_accuracy.with_compile)
    assert result.images_per_s is not None
    return result.is_wrong, result.batch_size if kind == "throughput" else 0, -result.images_per_s.median


def _quickness(target: Target) -> tuple[float, float]:
    """The median, and where both are infinite the share of the seeds that missed."""
    infinite = float("inf")
    missed = sum(value is None for value in target.seconds) / max(len(target.seconds), 1)
    return infinite if target.median_s is None else target.median_s, missed
