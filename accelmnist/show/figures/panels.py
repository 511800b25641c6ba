"""What a panel of the scaling figure holds: its lines, their limits, and what all of it has in common.

A panel has one axis and holds everything else but the way (device, engine, precision) fixed, at the values that most of
its cases have. So a line is of one network, and two lines differ in the way alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accelmnist.measure.plan import MODES, Case, Mode
from accelmnist.measure.record import CaseResult
from accelmnist.show.figures.cases import PARTS, WAY, median, part_text, phrase, varying
from accelmnist.show.figures.style import WRONG, Mark, series_mark

AXES = {"batch": "batch size", "network": "width of the hidden layer", "threads": "threads"}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One way of running in a panel: its right cases in the order of the axis, and its wrong ones."""

    name: str
    mark: Mark
    right: tuple[CaseResult, ...]
    wrong: tuple[CaseResult, ...]

    def end(self, axis: str) -> tuple[int, float]:
        """Its last size and the images/s there."""
        last = (self.right or self.wrong)[-1]
        return size_of(last, axis), median(last)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What the counted work takes at the measured rates of the hardware: images/s by size."""

    name: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Everything of one panel; `axis` is the part of a case that varies along it."""

    mode: Mode
    axis: str
    sizes: tuple[int, ...]
    lines: tuple[Line, ...]
    limits: tuple[Limit, ...]

    @property
    def results(self) -> list[CaseResult]:
        """All cases that are drawn."""
        return [result for line in self.lines for result in (*line.right, *line.wrong)]

    @property
    def names(self) -> list[str]:
        """Of the lines and then of the limits."""
        return [line.name for line in self.lines] + [limit.name for limit in self.limits]


def panels_of(results: Sequence[CaseResult]) -> list[Panel]:
    """A panel for each mode and axis along which one way of running has right results at two sizes or more."""
    ways = _ways(results)
    return [panel for mode in MODES for axis in AXES if (panel := _panel(results, mode, axis, ways))]


def _ways(results: Sequence[CaseResult]) -> dict[Case, str]:
    """What each case's way of running is called; in all panels the same, and so is its mark."""
    parts = varying(results, WAY)
    return {result.case: phrase(result, parts) for result in results}


def _panel(everything: Sequence[CaseResult], mode: Mode, axis: str, ways: Mapping[Case, str]) -> Panel | None:
    """The panel, or None where no way has right results at two sizes."""
    results = _fixed([result for result in everything if result.mode == mode and _has(result, axis)], axis)
    by_way: dict[str, list[CaseResult]] = {}
    for result in results:
        by_way.setdefault(ways[result.case], []).append(result)
    marks = {way: series_mark(place) for place, way in enumerate(dict.fromkeys(ways.values()))}
    lines = tuple(_line(name, marks[name], own, axis) for name, own in by_way.items())
    if not any(len({size_of(result, axis) for result in line.right}) > 1 for line in lines):
        return None
    sizes = tuple(sorted({size_of(result, axis) for result in results}))
    return Panel(mode=mode, axis=axis, sizes=sizes, lines=lines, limits=_limits(results, axis))


def _has(result: CaseResult, axis: str) -> bool:
    """Whether the case has a place along `axis`: a width belongs to a network of one hidden layer."""
    return {"network": len(result.hidden) == 1, "threads": result.threads is not None}.get(axis, True)


def size_of(result: CaseResult, axis: str) -> int:
    """Where the case stands along `axis`."""
    return {"batch": result.batch_size, "network": sum(result.hidden), "threads": result.threads or 0}[axis]


def _line(way: str, mark: Mark, results: Sequence[CaseResult], axis: str) -> Line:
    ordered = sorted(results, key=lambda result: size_of(result, axis))
    right = tuple(result for result in ordered if not result.is_wrong)
    wrong = tuple(result for result in ordered if result.is_wrong)
    if right:
        return Line(name=way, mark=mark, right=right, wrong=wrong)
    return Line(name=f"{way}: wrong", mark=WRONG, right=(), wrong=wrong)


def _fixed(results: list[CaseResult], axis: str) -> list[CaseResult]:
    """Those with one value of every part but the way and the axis; a GPU has no threads, and stays in any case."""
    for part in (part for part in PARTS if part not in WAY and part != axis):
        values = [part_text(result, part) for result in results if part != "threads" or result.threads is not None]
        kept = {_commonest(values, part)} if values else {""}
        kept |= {""} if part == "threads" else set()
        results = [result for result in results if part_text(result, part) in kept]
    return results


def _commonest(values: Sequence[str], part: str) -> str:
    """The value that most cases have; of equals the most threads, the middle batch size, or what was named first."""
    counts = Counter(values)
    most = [value for value, count in counts.items() if count == max(counts.values())]
    if part not in ("threads", "batch"):
        return most[0]
    most.sort(key=lambda value: int(value.replace(",", "")))
    return most[-1] if part == "threads" else most[len(most) // 2]


def _limits(results: Sequence[CaseResult], axis: str) -> tuple[Limit, ...]:
    """A limit for each device and precision whose bounds are known at two sizes or more."""
    parts = [part for part in ("device", "precision") if part in varying(results, WAY)]
    found: dict[str, dict[int, float]] = {}
    for result in results:
        if result.bound is not None and result.bound.bound_s > 0:
            points = found.setdefault(f"limit {phrase(result, parts)}".rstrip(), {})
            points.setdefault(size_of(result, axis), result.batch_size / result.bound.bound_s)
    return tuple(
        Limit(name=name, points=tuple(sorted(points.items()))) for name, points in found.items() if len(points) > 1
    )
