"""Scaling: images/s by batch size, by width and by threads, on logarithmic axes, a line for each way of running.

Everything but the way (device, engine, precision) and the axis is the same in a panel, and its title names it. The
names of the lines stand at the right, where none covers another. Dashed lines are the limit: what the counted work of a
step takes at the measured rates of the hardware.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accelmnist.measure.record import BenchRecord, CaseResult
from accelmnist.show.figures.cases import measured, median, setting, shared
from accelmnist.show.figures.labels import spread
from accelmnist.show.figures.panels import AXES, Line, Panel, panels_of, size_of
from accelmnist.show.figures.scales import scale_at, scale_by_decades
from accelmnist.show.figures.sheet import MARGIN, FigureSheet, text_width
from accelmnist.show.figures.style import INK, RULE, SOFT_INK, WRONG, figure_style

PANEL_WIDTH = 560
_LEAST_HEIGHT = 400
_LEFT = MARGIN + 76  # room for the numbers of the vertical axis
_LEADER = 46  # pixels from a panel to the names of its lines
_KEY = 34  # the line and marker before a name
_ABOVE = 44  # the title of a panel
_BELOW = 92  # its numbers, and what they are
_LABEL_GAP = 28
_LIMIT_STYLE: dict[str, Any] = {"color": SOFT_INK, "linewidth": 1.2, "linestyle": (0, (5, 2))}


def scaling_figure(record: BenchRecord, *, title: str | None = None, notes: Sequence[str] = ()) -> Figure | None:
    """A panel for each mode and axis along which something was measured at two sizes or more; None without any.

    `title` replaces the figure's own, `notes` stand below the panels.
    """
    panels = panels_of(measured(record))
    if not panels:
        return None
    results = [result for panel in panels for result in panel.results]
    titles = [_panel_title(panel, shared(results, but=("engine",))) for panel in panels]
    needed = [_LEFT + PANEL_WIDTH + _LEADER + _KEY + text_width(name) for panel in panels for name in panel.names]
    needed += [MARGIN + text_width(panel_title, bold=True) for panel_title in titles]
    heights = [_ABOVE + _height(panel) + _BELOW for panel in panels]
    with figure_style():
        sheet = FigureSheet.headed(
            math.ceil(max(needed)) + MARGIN,
            sum(heights),
            title=title or _title(record, panels),
            lines=setting(record, results, but=("engine",)),
            notes=(_key(panels), *notes),
        )
        for panel, panel_title, down in zip(panels, titles, accumulate(heights, initial=sheet.top), strict=False):
            sheet.text(MARGIN, down + _ABOVE / 2 - 4, panel_title, weight="bold")
            _draw_panel(sheet, panel, down + _ABOVE)
    return sheet.figure


def _height(panel: Panel) -> int:
    """Pixels of the axes: as many as the names take below each other, if that is more."""
    return max(_LEAST_HEIGHT, _LABEL_GAP * len(panel.names))


def _title(record: BenchRecord, panels: Sequence[Panel]) -> str:
    """A crossover that the record found along one of the axes, or what is drawn."""
    axes = {AXES[panel.axis].split(" of ")[0] for panel in panels}
    crossovers = [crossover.sentence for crossover in record.crossovers if crossover.start and crossover.axis in axes]
    return (*crossovers, f"Throughput by {' and '.join(dict.fromkeys(AXES[panel.axis] for panel in panels))}")[0]


def _panel_title(panel: Panel, common: Sequence[str]) -> str:
    own = [words for words in shared(panel.results, but=("engine", panel.axis)) if words not in common]
    return ", ".join([f"{panel.mode.capitalize()}: images/s by {AXES[panel.axis]}", *own])


def _key(panels: Sequence[Panel]) -> str:
    parts = ["Points: medians; bars: their 95 % intervals, where they are longer than the mark."]
    if any(panel.limits for panel in panels):
        parts.append("Dashed: the limit, that is the counted work at the measured rates of the hardware.")
    if any(line.wrong for panel in panels for line in panel.lines):
        parts.append("Grey crosses: wrong results.")
    return " ".join(parts)


def _draw_panel(sheet: FigureSheet, panel: Panel, top: int) -> None:
    axes = sheet.add_axes(left=_LEFT, top=top, width=PANEL_WIDTH, height=_height(panel))
    axes.set_xlabel(AXES[panel.axis])
    scale_at(axes, panel.sizes, pixels=PANEL_WIDTH)
    seen = [value for result in panel.results for value in _interval(result)]
    seen += [rate for limit in panel.limits for _, rate in limit.points]
    scale_by_decades(axes, "y", seen, pixels=_height(panel))
    for limit in panel.limits:
        axes.plot(*zip(*limit.points, strict=True), gid=limit.name, **_LIMIT_STYLE)
    for line in panel.lines:
        _draw_line(axes, line, panel.axis)
    _draw_names(sheet, axes, panel, top)


def _interval(result: CaseResult) -> tuple[float, float]:
    assert result.images_per_s is not None
    return result.images_per_s.low, result.images_per_s.high


def _draw_line(axes: Axes, line: Line, axis: str) -> None:
    """The intervals, over them the line and its marks, and crosses for what is wrong and so on no line."""
    sizes, medians = [size_of(result, axis) for result in line.right], [median(result) for result in line.right]
    for result, size in zip(line.right, sizes, strict=True):
        axes.plot([size, size], _interval(result), color=line.mark.colour, gid=f"interval of {result.case.label}")
    if line.right:
        axes.plot(sizes, medians, gid=line.name, **line.mark.style)
    for result in line.wrong:
        axes.plot([size_of(result, axis)], [median(result)], gid=f"wrong {result.case.label}", **WRONG.style)


def _draw_names(sheet: FigureSheet, axes: Axes, panel: Panel, top: int) -> None:
    """At the right of the panel, each at the height of its line's end as far as there is room, and led to it."""
    ends = [line.end(panel.axis) for line in panel.lines] + [limit.points[-1] for limit in panel.limits]
    marks = [*(line.mark for line in panel.lines), *(None for _ in panel.limits)]
    pixels = [(across, sheet.height - up) for across, up in axes.transData.transform(ends)]
    half, edge = _LABEL_GAP / 2, _LEFT + PANEL_WIDTH
    heights = spread([down for _, down in pixels], gap=_LABEL_GAP, low=top + half, high=top + _height(panel) - half)
    for name, mark, (across, down), height in zip(panel.names, marks, pixels, heights, strict=True):
        key = edge + _LEADER
        sheet.line([(across + 8, down), (max(edge, across + 9), down), (key - 6, height)], color=RULE, linewidth=0.8)
        style = _LIMIT_STYLE if mark is None else {"markevery": [1], **mark.style}
        sheet.line([(key, height), (key + 12, height), (key + 24, height)], **style)
        sheet.text(key + _KEY, height, name, color=SOFT_INK if mark is None else INK)
