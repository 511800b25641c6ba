"""Scaling: images/s by batch size, by width and by threads, on logarithmic axes, a line for each way of running.

A panel has one axis and holds everything else but the way (device, engine, precision) fixed, at the values that most of
its cases have; its title names them. So a line is of one network, and two lines differ in the way alone. The names of
the lines stand at the right, and none covers another. Dashed lines are the limit: what the counted work of a step takes
at the measured rates of the hardware.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, product
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accelmnist.measure.plan import MODES, Mode
from accelmnist.measure.record import BenchRecord, CaseResult
from accelmnist.show.figures import cases
from accelmnist.show.figures.chart import scale_at, scale_by_decades, spread
from accelmnist.show.figures.sheet import (
    INK,
    MARGIN,
    RULE,
    SOFT_INK,
    WRONG,
    FigureSheet,
    Mark,
    Points,
    figure_style,
    series_mark,
    text_width,
)

AXES = {"batch": "batch size", "network": "width of the hidden layer", "threads": "threads"}
PANEL_WIDTH = 560
_LEAST_HEIGHT = 400
_LEFT = MARGIN + 76  # room for the numbers of the vertical axis
_LEADER = 46  # pixels from a panel to the names of its lines
_KEY = 34  # the line and marker before a name
_ABOVE = 44  # the title of a panel
_BELOW = 92  # its numbers, and what they are
_LABEL_GAP = 28
_LIMIT_STYLE: dict[str, Any] = {"color": SOFT_INK, "linewidth": 1.2, "linestyle": (0, (5, 2))}


@dataclass(frozen=True)
class Line:
    """One way of running in a panel: its right cases in the order of the axis, and its wrong ones."""

    name: str
    mark: Mark
    right: tuple[CaseResult, ...]
    wrong: tuple[CaseResult, ...]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Lines, and limits by name as (size, images/s); `axis` is the part of a case that varies along the panel."""

    mode: Mode
    axis: str
    lines: tuple[Line, ...]
    limits: Mapping[str, Points]

    @property
    def results(self) -> list[CaseResult]:
        """All cases that are drawn."""
        return [result for line in self.lines for result in (*line.right, *line.wrong)]

    @property
    def names(self) -> list[str]:
        """The names of the lines and then of the limits."""
        return [*(line.name for line in self.lines), *self.limits]

    @property
    def height(self) -> int:
        """Pixels of the axes: as many as the names take below each other, if that is more."""
        return max(_LEAST_HEIGHT, _LABEL_GAP * len(self.names))

    def point(self, result: CaseResult) -> tuple[float, float]:
        """Size along the axis, and images/s."""
        return size_of(result, self.axis), cases.speed_of(result).median


def scaling_figure(record: BenchRecord, *, title: str | None = None, notes: Sequence[str] = ()) -> Figure | None:
    """A panel for each mode and axis along which something was measured at two sizes or more; None without any.

    `title` replaces the figure's own, `notes` stand below the panels.
    """
    panels = _panels(cases.measured(record))
    if not panels:
        return None
    results = [result for panel in panels for result in panel.results]
    titles = [_panel_title(panel, cases.shared(results, but=("engine",))) for panel in panels]
    needed = [_LEFT + PANEL_WIDTH + _LEADER + _KEY + text_width(name) for panel in panels for name in panel.names]
    needed += [MARGIN + text_width(panel_title, bold=True) for panel_title in titles]
    heights = [_ABOVE + panel.height + _BELOW for panel in panels]
    with figure_style():
        sheet = FigureSheet.headed(
            math.ceil(max(needed)) + MARGIN,
            sum(heights),
            title=title or _title(record, panels),
            lines=cases.setting(record, results, but=("engine",)),
            notes=(_key(panels), *notes),
        )
        for panel, panel_title, top in zip(panels, titles, accumulate(heights, initial=sheet.top), strict=False):
            sheet.text(MARGIN, top + _ABOVE / 2 - 4, panel_title, weight="bold")
            _draw_panel(sheet, panel, top + _ABOVE)
    return sheet.figure


def _panels(results: Sequence[CaseResult]) -> list[Panel]:
    """A panel for each mode and axis along which one way of running has right results at two sizes or more."""
    parts = cases.varying(results, cases.WAY)
    ways = {result.case: cases.phrase(result, parts) for result in results}
    # A way has the same mark in all panels.
    marks = {way: series_mark(index) for index, way in enumerate(dict.fromkeys(ways.values()))}
    panels = []
    for mode, axis in product(MODES, AXES):
        own = _fixed([result for result in results if result.mode == mode and size_of(result, axis)], axis)
        ordered = sorted(own, key=lambda result: size_of(result, axis))
        lines = []
        for way, mark in marks.items():
            along = [result for result in ordered if ways[result.case] == way]
            right = tuple(result for result in along if not result.is_wrong)
            wrong = tuple(result for result in along if result.is_wrong)
            if along:
                lines.append(Line(way, mark, right, wrong) if right else Line(f"{way}: wrong", WRONG, right, wrong))
        if any(len({size_of(result, axis) for result in line.right}) > 1 for line in lines):
            panels.append(Panel(mode=mode, axis=axis, lines=tuple(lines), limits=_limits(own, axis)))
    return panels


def size_of(result: CaseResult, axis: str) -> int:
    """The size of the case along `axis`, or 0 if it has none there: a width belongs to one hidden layer."""
    width = result.hidden[0] if len(result.hidden) == 1 else 0
    return {"batch": result.batch_size, "network": width, "threads": result.threads or 0}[axis]


def _fixed(results: list[CaseResult], axis: str) -> list[CaseResult]:
    """Those with one value of every part but the way and the axis; a GPU has no threads, and stays in any case."""
    for part, trait in cases.PARTS.items():
        if part not in (*cases.WAY, axis):
            values = [trait.value(result) for result in results if part != "threads" or result.threads is not None]
            kept = {_commonest(values, part)} if values else {""}
            kept |= {""} if part == "threads" else set()
            results = [result for result in results if trait.value(result) in kept]
    return results


def _commonest(values: Sequence[str], part: str) -> str:
    """The value that most cases have; of equals the most threads, the middle batch size, or what was named first."""
    counts = Counter(values)
    most = [value for value, count in counts.items() if count == max(counts.values())]
    if part not in ("threads", "batch"):
        return most[0]
    most.sort(key=lambda value: int(value.replace(",", "")))
    return most[-1] if part == "threads" else most[len(most) // 2]


def _limits(results: Sequence[CaseResult], axis: str) -> dict[str, Points]:
    """A limit for each device and precision whose bounds are known at two sizes or more."""
    parts = [part for part in ("device", "precision") if part in cases.varying(results, cases.WAY)]
    limits: dict[str, dict[int, float]] = {}
    for result in results:
        if result.bound is not None and result.bound.bound_s > 0:
            rates = limits.setdefault(f"limit {cases.phrase(result, parts)}".rstrip(), {})
            rates.setdefault(size_of(result, axis), result.batch_size / result.bound.bound_s)
    return {name: sorted(rates.items()) for name, rates in limits.items() if len(rates) > 1}


def _title(record: BenchRecord, panels: Sequence[Panel]) -> str:
    """A crossover that the record found along one of the axes, or what is drawn."""
    axes = {AXES[panel.axis].split(" of ")[0] for panel in panels}
    crossovers = [crossover.sentence for crossover in record.crossovers if crossover.start and crossover.axis in axes]
    return (*crossovers, f"Throughput by {' and '.join(dict.fromkeys(AXES[panel.axis] for panel in panels))}")[0]


def _panel_title(panel: Panel, common: Sequence[str]) -> str:
    own = [words for words in cases.shared(panel.results, but=("engine", panel.axis)) if words not in common]
    return ", ".join([f"{panel.mode.capitalize()}: images/s by {AXES[panel.axis]}", *own])


def _key(panels: Sequence[Panel]) -> str:
    parts = ["Points: medians; bars: their 95 % intervals, where they are longer than the mark."]
    if any(panel.limits for panel in panels):
        parts.append("Dashed: the limit, that is the counted work at the measured rates of the hardware.")
    if any(line.wrong for panel in panels for line in panel.lines):
        parts.append("Grey crosses: wrong results.")
    return " ".join(parts)


def _draw_panel(sheet: FigureSheet, panel: Panel, top: int) -> None:
    axes = sheet.add_axes(left=_LEFT, top=top, width=PANEL_WIDTH, height=panel.height)
    axes.set_xlabel(AXES[panel.axis])
    scale_at(axes, sorted({size_of(result, panel.axis) for result in panel.results}), pixels=PANEL_WIDTH)
    seen = [value for speed in map(cases.speed_of, panel.results) for value in (speed.low, speed.high)]
    seen += [rate for points in panel.limits.values() for _, rate in points]
    scale_by_decades(axes, "y", seen, pixels=panel.height)
    for name, points in panel.limits.items():
        axes.plot(*zip(*points, strict=True), gid=name, **_LIMIT_STYLE)
    for line in panel.lines:
        _draw_line(axes, line, panel)
    _draw_names(sheet, axes, panel, top)


def _draw_line(axes: Axes, line: Line, panel: Panel) -> None:
    """The intervals, over them the line and its marks, and crosses for what is wrong and so on no line."""
    for result in line.right:
        sizes, speed = [size_of(result, panel.axis)] * 2, cases.speed_of(result)
        axes.plot(sizes, (speed.low, speed.high), color=line.mark.colour, gid=f"interval of {result.case.label}")
    if line.right:
        axes.plot(*zip(*map(panel.point, line.right), strict=True), gid=line.name, **line.mark.style)
    for result in line.wrong:
        axes.plot(*panel.point(result), gid=f"wrong {result.case.label}", **WRONG.style)


def _draw_names(sheet: FigureSheet, axes: Axes, panel: Panel, top: int) -> None:
    """At the right of the panel, each at the height of its line's end as far as there is room, and led to it."""
    ends = [panel.point((line.right or line.wrong)[-1]) for line in panel.lines]
    ends += [points[-1] for points in panel.limits.values()]
    styles = [*({"markevery": [1], **line.mark.style} for line in panel.lines), *(_LIMIT_STYLE for _ in panel.limits)]
    pixels = [(across, sheet.height - up) for across, up in axes.transData.transform(ends)]
    half, edge, key = _LABEL_GAP / 2, _LEFT + PANEL_WIDTH, _LEFT + PANEL_WIDTH + _LEADER
    heights = spread([down for _, down in pixels], gap=_LABEL_GAP, low=top + half, high=top + panel.height - half)
    for name, style, (across, down), height in zip(panel.names, styles, pixels, heights, strict=True):
        sheet.line([(across + 8, down), (max(edge, across + 9), down), (key - 6, height)], color=RULE, linewidth=0.8)
        sheet.line([(key, height), (key + 12, height), (key + 24, height)], **style)
        sheet.text(key + _KEY, height, name, color=SOFT_INK if name in panel.limits else INK)
