"""Scaling: images/s by batch size, by width and by threads, on logarithmic axes, a line for each way of running.

Everything but the way (device, engine, precision) and the axis is the same in a panel, and its title names it. The
names of the lines stand at the right, where none covers another. Dashed lines are the limit: what the counted work of a
step takes at the measured rates of the hardware.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accelmnist.measure.record import BenchRecord, CaseResult
from accelmnist.show.figures.cases import measured, median, setting, shared
from accelmnist.show.figures.layout import LINE, Heading, draw_lines, text_width, wrap
from accelmnist.show.figures.panels import AXES, WRONG, Line, Panel, panels_of, size_of
from accelmnist.show.figures.placing import spread
from accelmnist.show.figures.scales import scale_at, scale_by_decades
from accelmnist.show.figures.style import (
    INK,
    MARGIN,
    RULE,
    SOFT_INK,
    Mark,
    Sheet,
    add_axes,
    figure_style,
)

PANEL_WIDTH = 560
_LEAST_HEIGHT = 400
_LEFT = MARGIN + 76  # room for the numbers of the vertical axis
_LEADER = 46  # pixels from a panel to the names of its lines
_KEY = 34  # the line and marker before a name
_ABOVE = 44  # the title of a panel
_BELOW = 92  # its numbers, and what they are
_LABEL_GAP = 28
_DASHES = (0, (5, 2))


def scaling_figure(record: BenchRecord, *, title: str | None = None, notes: Sequence[str] = ()) -> Figure | None:
    """A panel for each mode and axis along which something was measured at two sizes or more; None without any.

    `title` takes the place of the figure's own, `notes` stand below the panels.
    """
    panels = panels_of(measured(record))
    if not panels:
        return None
    names = [name for panel in panels for name in panel.names]
    common = shared([result for panel in panels for result in panel.results], but=("engine",))
    titles = [_panel_title(panel, common) for panel in panels]
    needed = [_LEFT + PANEL_WIDTH + _LEADER + _KEY + text_width(name) for name in names]
    needed += [MARGIN + text_width(title, bold=True) for title in titles]
    with figure_style():
        drawn = [result for panel in panels for result in panel.results]
        lines, width = setting(record, drawn, but=("engine",)), math.ceil(max(needed)) + MARGIN
        heading = Heading.fit(title or _title(record, panels), lines, width)
        return _draw(heading, panels, titles, (_key(panels), *notes), width)


def _draw(heading: Heading, panels: Sequence[Panel], titles: Sequence[str], said: Sequence[str], width: int) -> Figure:
    notes = [line for text in said for line in wrap(text, width - 2 * MARGIN).split("\n")]
    tops = [heading.height]
    for panel in panels:
        tops.append(tops[-1] + _ABOVE + _height(panel) + _BELOW)
    sheet = Sheet(width, tops[-1] + LINE * len(notes) + MARGIN)
    heading.draw(sheet)
    draw_lines(sheet, notes, left=MARGIN, top=tops[-1])
    for panel, title, top in zip(panels, titles, tops[:-1], strict=True):
        sheet.text(MARGIN, top + _ABOVE / 2 - 4, title, weight="bold")
        _draw_panel(sheet, panel, top + _ABOVE)
    return sheet.figure


def _height(panel: Panel) -> int:
    """Pixels of the axes: as many as the names take below each other, where that is more."""
    return max(_LEAST_HEIGHT, _LABEL_GAP * len(panel.names))


def _title(record: BenchRecord, panels: Sequence[Panel]) -> str:
    """A crossover that the record found along one of the axes, or what is drawn."""
    axes = {AXES[panel.axis].split(" of ")[0] for panel in panels}
    found = [crossover.sentence for crossover in record.crossovers if crossover.start and crossover.axis in axes]
    return found[0] if found else f"Throughput by {' and '.join(dict.fromkeys(AXES[panel.axis] for panel in panels))}"


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


def _draw_panel(sheet: Sheet, panel: Panel, top: int) -> None:
    axes = add_axes(sheet.figure, left=_LEFT, top=top, width=PANEL_WIDTH, height=_height(panel))
    axes.set_xlabel(AXES[panel.axis])
    scale_at(axes, panel.sizes, pixels=PANEL_WIDTH)
    seen = [value for result in panel.results for value in _interval(result)]
    seen += [rate for limit in panel.limits for _, rate in limit.points]
    scale_by_decades(axes, "y", min(seen), max(seen), pixels=_height(panel))
    for limit in panel.limits:
        sizes, rates = zip(*limit.points, strict=True)
        axes.plot(sizes, rates, color=SOFT_INK, linewidth=1.2, linestyle=_DASHES, gid=limit.name)
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


def _draw_names(sheet: Sheet, axes: Axes, panel: Panel, top: int) -> None:
    """At the right of the panel, each at the height of its line's end as far as there is room, and led to it."""
    ends = [line.end(panel.axis) for line in panel.lines] + [limit.points[-1] for limit in panel.limits]
    pixels = [(across, sheet.height - down) for across, down in axes.transData.transform(ends)]
    half = _LABEL_GAP / 2
    places = spread([down - top for _, down in pixels], gap=_LABEL_GAP, low=half, high=_height(panel) - half)
    edge = _LEFT + PANEL_WIDTH
    marks = [*(line.mark for line in panel.lines), *(None for _ in panel.limits)]
    for name, mark, (across, down), place in zip(panel.names, marks, pixels, places, strict=True):
        key, at = edge + _LEADER, top + place
        sheet.line([(across + 8, down), (max(edge, across + 9), down), (key - 6, at)], color=RULE, linewidth=0.8)
        _draw_key(sheet, mark, key, at)
        sheet.text(key + _KEY, at, name, color=SOFT_INK if mark is None else INK)


def _draw_key(sheet: Sheet, mark: Mark | None, left: float, down: float) -> None:
    """A piece of the line itself."""
    ends = [(left, down), (left + 12, down), (left + 24, down)]
    if mark is None:
        sheet.line(ends, color=SOFT_INK, linewidth=1.2, linestyle=_DASHES)
    else:
        sheet.line(ends, markevery=[1], **mark.style)
