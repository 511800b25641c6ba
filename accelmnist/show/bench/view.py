"""A benchmark's record with what its pages look up in it: names, tables and baselines, each worked out once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from accelmnist.measure.conclusion import baseline_of
from accelmnist.measure.plan import LATENCY_BATCH, OURS, Case, Mode
from accelmnist.measure.record import BenchRecord, CaseResult
from accelmnist.show.units import count, plural


@dataclass(frozen=True)
class Trait:
    """One part of a case's name: its `value` in a column under `heading`, empty if the case has none.

    In a sentence it reads as `spoken` says, if that differs.
    """

    heading: str
    value: Callable[[CaseResult], str]
    is_number: bool = False
    spoken: Callable[[CaseResult], str] | None = None

    def words(self, result: CaseResult) -> str:
        """The trait as it stands in a sentence."""
        return (self.spoken or self.value)(result)


DEVICE = Trait("device", lambda result: result.device)
ENGINE = Trait("engine", lambda result: result.engine)
SIDE = Trait(
    "by",
    lambda result: result.side or OURS,
    spoken=lambda result: "" if result.side in (None, result.engine) else f"by {result.side}",
)
NETWORK = Trait("network", lambda result: result.case.network)
TRAITS = (
    DEVICE,
    ENGINE,
    SIDE,
    Trait("precision", lambda result: result.precision),
    NETWORK,
    Trait("optimizer", lambda result: result.optimizer or ""),
    Trait(
        "threads",
        lambda result: "" if result.threads is None else count(result.threads),
        is_number=True,
        spoken=lambda result: "" if result.threads is None else plural(result.threads, "thread"),
    ),
    Trait("batch", lambda result: count(result.batch_size), True, lambda result: f"batch {count(result.batch_size)}"),
)


class Naming:
    """Names for cases that are told apart from each other and from no others."""

    def __init__(self, results: Iterable[CaseResult]) -> None:
        known = tuple(results)
        values = {trait: {trait.value(result) for result in known} for trait in TRAITS}
        self.varying = tuple(trait for trait in TRAITS if trait in (DEVICE, ENGINE) or len(values[trait]) > 1)
        common = [trait for trait in (NETWORK, *TRAITS) if trait not in self.varying]
        words = [trait.words(result) for result in known[:1] for trait in common]
        self.shared = ", ".join(filter(None, dict.fromkeys(words)))

    def label(self, result: CaseResult) -> str:
        """The case in a few words: "cpu compiled batch 64"."""
        return " ".join(filter(None, (trait.words(result) for trait in self.varying)))


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
    target = record.config.target_accuracy
    titles: dict[Kind, str] = {
        "training": "Training",
        "target": f"Time to {100 * target:.4g} % accuracy" if target else "Time to accuracy",
        "latency": "Inference, one image a call",
        "throughput": "Inference in batches",
    }
    figures = [result.time_to_accuracy if kind == "target" else result.images_per_s for result in results]
    rows = [result for result, figure in zip(results, figures, strict=True) if figure is not None]
    return Part(
        kind=kind,
        title=f"{titles[kind]}, {results[0].case.network}" if several else titles[kind],
        rows=tuple(sorted(rows, key=lambda result: _sort_key(kind, result))),
        unmeasured=tuple(result for result in results if result.skipped is not None or not is_measured(result)),
        naming=Naming(results),
    )


def _sort_key(kind: Kind, result: CaseResult) -> tuple[float, ...]:
    """What the rows are sorted by: wrong ones last, then the batch size if it is ranked apart, then the speed.

    A time to a target is sorted by its median, and if that is infinite by the share of the seeds that missed.
    """
    if kind == "target":
        assert result.time_to_accuracy is not None
        target = result.time_to_accuracy.with_compile
        missed = sum(value is None for value in target.seconds) / max(len(target.seconds), 1)
        return result.is_wrong, math.inf if target.median_s is None else target.median_s, missed
    assert result.images_per_s is not None
    return result.is_wrong, result.batch_size if kind == "throughput" else 0, -result.images_per_s.median


class BenchView:
    """Made once for a page or a picture, and handed to all that makes a part of it."""

    def __init__(self, record: BenchRecord) -> None:
        self.record = record

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The tables, in the order in which they are shown."""
        several = len({result.hidden for result in self.record.cases}) > 1
        groups: dict[tuple[Kind, tuple[int, ...]], list[CaseResult]] = {}
        for result in self.record.cases:
            for kind in _kinds(result, self.record):
                groups.setdefault((kind, result.hidden), []).append(result)
        ordered = sorted(groups.items(), key=lambda item: _ORDER.index(item[0][0]))
        return tuple(_part(kind, results, self.record, several=several) for (kind, _), results in ordered)

    @cached_property
    def measured(self) -> tuple[CaseResult, ...]:
        """The cases that have any figure."""
        return tuple(filter(is_measured, self.record.cases))

    @cached_property
    def wrong(self) -> tuple[CaseResult, ...]:
        """The cases whose result is not right."""
        return tuple(result for result in self.record.cases if result.is_wrong)

    @cached_property
    def broken(self) -> tuple[CaseResult, ...]:
        """The cases that failed by a user's own engine, but for the wrong ones."""
        return tuple(result for result in self.record.cases if result.is_broken and not result.is_wrong)

    @cached_property
    def _names(self) -> dict[Mode, Naming]:
        modes = dict.fromkeys(result.mode for result in self.record.cases)
        return {mode: Naming(result for result in self.record.cases if result.mode == mode) for mode in modes}

    def label(self, result: CaseResult) -> str:
        """The case among all of the record, the mode first if there are both: "training cpu compiled batch 64"."""
        return f"{result.mode} {self.brief(result)}" if len(self._names) > 1 else self.brief(result)

    def brief(self, result: CaseResult) -> str:
        """The case among those of its mode."""
        return self._names[result.mode].label(result)

    @cached_property
    def _baselines(self) -> dict[Case, CaseResult]:
        """What the speed-ups of the cases that are measured and right divide by."""
        results = {result.case: result for result in self.record.cases}
        right = [result.case for result in self.record.cases if result.images_per_s and not result.is_wrong]
        bases = {case: baseline_of(case, results, self.record.config.baseline) for case in right}
        return {case: results[base] for case, base in bases.items() if base is not None}

    def baseline(self, result: CaseResult) -> CaseResult | None:
        """The case that `result` is compared with: itself if it is a baseline, None if there is none."""
        return self._baselines.get(result.case)

    def is_baseline(self, result: CaseResult) -> bool:
        """Whether others are compared with `result`."""
        return result.speedup is None and self.baseline(result) is result
