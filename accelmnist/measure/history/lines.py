"""What became of each case over many records: a line of speeds, divided by the machine's own, and where it changed.

A line is one case on one hardware, its records in the order of time. Each record is one figure: the median of its
samples, each divided by the speed of the machine in the same round. That is, as in a comparison of two records, the
median of the limits over what they usually are, here over the middle of the line's records: so a machine that was
slower for a day makes no step. Only limits that more than half of the line's records measured take part; a record
without any has no figure that compares. If there are none, or with `raw`, the line is of the speeds as they are, and
says so.

A case whose result is wrong has no speed. A line that is wrong in its newest record, and was right before, fails; with
`fail_on`, so does one whose newest level is slower than the fastest before it, by that much and more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median

import numpy as np

from accelmnist.core.errors import RecordError
from accelmnist.core.files import SCHEMA_VERSION
from accelmnist.measure.compare.case_comparison import Rules
from accelmnist.measure.history.found import Found, Point, Skipped, points_of
from accelmnist.measure.limit_keys import LimitKey
from accelmnist.measure.plan import Case
from accelmnist.measure.statistics.change import FEWEST, Change, find_changes
from accelmnist.measure.statistics.summary import Samples


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One record of a line: when it was made, by which versions, the speed as it was, and divided by the machine's.

    `images_per_s` is the median of its samples; `level` is over that of the line's first record with one. Both are None
    if the result is `wrong`; `level` alone if no limit divides the machine out.
    """

    file: str
    created: str
    commit: str | None = None
    accelmnist: str = ""
    torch: str = ""
    driver: str | None = None
    images_per_s: float | None = None
    level: float | None = None
    wrong: bool = False


@dataclass(frozen=True, kw_only=True)
class Line:
    """A case on one hardware. `work` says what it trained on if that isn't the usual.

    `divided_by` names the limits that divide the machine out, none if nothing does. `changes` are by the place among
    the figures that have a level. `slower` is the newest level over the fastest before it, if it is lower.
    """

    case: str
    axes: dict[str, str]
    hardware: str
    work: str
    figures: tuple[Figure, ...]
    divided_by: tuple[str, ...]
    changes: tuple[Change, ...] = ()
    slower: float | None = None
    fails: bool = False

    @property
    def levels(self) -> list[float]:
        """The levels of the figures that have one."""
        return [one.level for one in self.figures if one.level is not None]

    @property
    def leveled(self) -> list[Figure]:
        """The figures that have a level."""
        return [one for one in self.figures if one.level is not None]


@dataclass(frozen=True, kw_only=True)
class History:
    """All lines, the longest first, of `records` records; what was `skipped`, and whether a line fails."""

    schema_version: int = SCHEMA_VERSION
    kind: str = "history"
    passed: bool
    records: int
    rules: Rules
    lines: tuple[Line, ...]
    skipped: tuple[Skipped, ...] = field(default=())


Key = tuple[Case, str, tuple[str, ...]]
Usual = dict[LimitKey, float]


def history_of(
    found: Sequence[Found], skipped: Sequence[Skipped], rules: Rules, *, words: Sequence[str] = ()
) -> History:
    """The lines of all cases whose names hold all of the `words`.

    Raises RecordError if there are none.
    """
    by_key: dict[Key, list[Point]] = {}
    left_out = list(skipped)
    used = 0
    for record in found:
        try:
            points = list(points_of(record))
        except RecordError as error:
            left_out.append(Skipped(names=(str(record.file),), reason=error.message))
            continue
        used += bool(points)
        for case, point in points:
            by_key.setdefault((case, record.machine(case.device), record.work), []).append(point)
    chosen = {key: points for key, points in by_key.items() if _has(key, words)}
    if not chosen:
        raise RecordError(_nothing(by_key, left_out, words), remedy="Give folders in which benchmarks lie")
    tested = sum(sum(not point.wrong for point in points) >= FEWEST for points in chosen.values())
    machines = _Machines()
    lines = [_line(key, points, rules, machines, series=tested) for key, points in chosen.items()]
    lines.sort(key=lambda line: -len(line.figures))
    passed = not any(line.fails for line in lines)
    return History(passed=passed, records=used, rules=rules, lines=tuple(lines), skipped=tuple(left_out))


def _has(key: Key, words: Sequence[str]) -> bool:
    case, hardware, work = key
    own = [*case.label.lower().split(), *hardware.lower().replace(",", "").split(), *work]
    return all(word.lower() in own for word in words)


def _nothing(by_key: dict[Key, list[Point]], left_out: Sequence[Skipped], words: Sequence[str]) -> str:
    if by_key:
        return f"no case of {len(by_key)} is called {' '.join(words)}"
    reasons = f": {left_out[0].names[0]} {left_out[0].reason}" if left_out else ""
    return f"no benchmark was found{reasons}"


def _line(key: Key, points: Sequence[Point], rules: Rules, machines: _Machines, *, series: int) -> Line:
    case, hardware, work = key
    right = [point for point in points if not point.wrong]
    usual = {} if rules.raw else machines.usual(right)
    logs = {id(point): _level(point, usual, machines) for point in right}
    known = [level for level in logs.values() if level is not None]
    figures = tuple(_figure(point, logs.get(id(point)), known[0] if known else 0.0) for point in points)
    line = Line(
        case=case.label,
        axes=case.axes,
        hardware=hardware,
        work=" ".join(work),
        figures=figures,
        divided_by=tuple(what.name for what in usual),
    )
    return _judged(line, rules, series=series)


class _Machines:
    """What the limits usually are, and the speed of the machine over that: once for all cases that share them."""

    def __init__(self) -> None:
        self._usual: dict[tuple[int, ...], Usual] = {}
        self._speeds: dict[tuple[int, int], Samples | None] = {}

    def usual(self, points: Sequence[Point]) -> Usual:
        """The middle of each limit that more than half of the records measured, over all of them."""
        key = tuple(id(point.limits) for point in points)
        if key not in self._usual:
            middles: dict[LimitKey, list[float]] = {}
            for point in points:
                for what, middle in point.limits.middles.items():
                    middles.setdefault(what, []).append(middle)
            common = {what: each for what, each in middles.items() if 2 * len(each) > len(points)}
            self._usual[key] = {what: float(np.median(each)) for what, each in common.items()}
        return self._usual[key]

    def speed(self, point: Point, usual: Usual) -> Samples | None:
        """The logarithm of the machine's speed beside every sample; None if no limit tells."""
        rates, key = point.limits.rates, (id(point.limits), id(usual))
        if key not in self._speeds:
            apart = [rates[what] - middle for what, middle in usual.items() if what in rates]
            self._speeds[key] = np.median(apart, axis=0) if apart else None
        return self._speeds[key]


def _level(point: Point, usual: Usual, machines: _Machines) -> float | None:
    """The logarithm of the record's figure; None if no limit divides the machine out."""
    if not usual:
        return _median(point.logs)
    speed = machines.speed(point, usual)
    return None if speed is None else _median(point.logs - speed)


def _median(values: Samples) -> float:
    """Of few numbers: in a tenth of the time that NumPy takes."""
    return float(median(values.tolist()))


def _figure(point: Point, level: float | None, first: float) -> Figure:
    return Figure(
        file=str(point.record.file),
        created=point.record.created,
        **point.record.versions,
        images_per_s=None if point.wrong else math.exp(_median(point.logs)),
        level=None if level is None else math.exp(level - first),
        wrong=point.wrong,
    )


def _judged(line: Line, rules: Rules, *, series: int) -> Line:
    """With its changes, and whether it fails."""
    levels = line.levels
    wrong_now = line.figures[-1].wrong and not all(one.wrong for one in line.figures)
    changes = find_changes(levels, series=series, threshold=rules.threshold) if len(levels) >= FEWEST else ()
    slower = None
    if changes:
        ends = [0, *(one.place for one in changes), len(levels)]
        parts = [median(levels[first:end]) for first, end in pairwise(ends)]
        slower = parts[-1] / max(parts[:-1]) if parts[-1] < max(parts[:-1]) else None
    beyond = rules.fail_on is not None and slower is not None and slower * (1 + rules.fail_on) <= 1
    return replace(line, changes=changes, slower=slower, fails=beyond or wrong_now)
