"""Cases over time: a panel for each, a line for each hardware, and every change with its interval.

Records stand one beside the other in the order of time, since benchmarks come in bursts. The level is drawn, so that
the first record of a line is at 100 %; a horizontal line is the median of what lies between two changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from accelmnist.measure.history.lines import History, Line
from accelmnist.show.figures.sheet import (
    LINE,
    MARGIN,
    RULE,
    SOFT_INK,
    FigureSheet,
    Mark,
    figure_style,
    series_mark,
    wrap,
)
from accelmnist.show.history import compared, signed
from accelmnist.show.units import plural

_PANEL, _HEIGHT, _GAP = 640, 230, 120  # pixels: the width and height of a chart, and what lies left of it
_EDGE = 30  # for half a date at the right
_HEAD, _FOOT = 2 * LINE, 2 * LINE
MOST_PANELS = 16
_MOST_TICKS = 4
_LEAST_SPAN = 0.04  # of the vertical axis, so that noise doesn't look like a change


def history_figure(history: History) -> Figure | None:
    """The cases with a change first, the newest above; None if no case is in two records."""
    panels = _panels(history)
    if not panels:
        return None
    shown = panels[:MOST_PANELS]
    across = min(2, len(shown))
    down = -(-len(shown) // across)
    body = down * (_HEAD + _HEIGHT + _FOOT)
    changed = sum(any(line.changes for line in lines) for lines in panels)
    title = f"{plural(len(panels), 'case')} over {plural(history.records, 'record')}: " + (
        f"{changed} changed" if changed else "no change"
    )
    more = f"Shown are {len(shown)} of {len(panels)} cases, those with a change first."
    notes = [_key(shown), more if len(shown) < len(panels) else ""]
    with figure_style():
        width = 2 * MARGIN + across * (_GAP + _PANEL) + _EDGE
        sheet = FigureSheet.headed(width, body, title=title, lines=[_method(history)], notes=notes)
        for place, lines in enumerate(shown):
            left = MARGIN + _GAP + place % across * (_PANEL + _GAP)
            top = sheet.top + place // across * (_HEAD + _HEIGHT + _FOOT)
            _draw_panel(sheet, lines, left=left, top=top)
    return sheet.figure


def _panels(history: History) -> list[list[Line]]:
    """The lines of each case; those with a change first."""
    cases: dict[tuple[str, str], list[Line]] = {}
    for line in compared(history):
        if line.levels:
            cases.setdefault((line.case, line.work), []).append(line)
    return sorted(cases.values(), key=lambda lines: not any(line.changes for line in lines))


def _method(history: History) -> str:
    if history.rules.raw or not any(line.divided_by for line in history.lines):
        return "Speed over that of the first record, not divided by the machine's own"
    return "Speed divided by the machine's limits in the same rounds, over that of the first record"


def _key(panels: Sequence[Sequence[Line]]) -> str:
    hardware = list(dict.fromkeys(line.hardware for lines in panels for line in lines))
    marks = ", ".join(f"{_SHAPES.get(series_mark(index).marker, '')} {name}" for index, name in enumerate(hardware))
    return f"{marks}. Dashed: a change, with its 95 % interval; grey: the median between changes."


_SHAPES = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼", "P": "✚"}


def _draw_panel(sheet: FigureSheet, lines: Sequence[Line], *, left: int, top: int) -> None:
    name = " ".join(filter(None, (lines[0].case, lines[0].work)))
    heading = wrap(name, _PANEL, bold=True)
    sheet.text(left, top + LINE, heading, weight="bold")
    axes = sheet.add_axes(left=left, top=top + _HEAD, width=_PANEL, height=_HEIGHT)
    dates = sorted({(one.created, one.file) for line in lines for one in line.leveled})
    place_of = {date: place for place, date in enumerate(dates)}
    marks = {line.hardware: series_mark(index) for index, line in enumerate(lines)}
    for line in lines:
        places = [place_of[one.created, one.file] for one in line.leveled]
        _draw_line(axes, line, places, marks[line.hardware])
    _scale(axes, [level for line in lines for level in line.levels], [date for date, _ in dates])


def _draw_line(axes: Axes, line: Line, places: Sequence[int], mark: Mark) -> None:
    levels = line.levels
    ends = [0, *(change.place for change in line.changes), len(levels)]
    for first, last in pairwise(ends):
        middle = median(levels[first:last])
        axes.plot([places[first] - 0.4, places[last - 1] + 0.4], [middle, middle], color=RULE, linewidth=5, zorder=1)
    size = 5.0 if len(levels) <= 60 else 2.5
    axes.plot(places, levels, linestyle="none", markersize=size, zorder=2, **mark.style)
    for change in line.changes:
        at, over = (places[change.place - 1] + places[change.place]) / 2, change.comparison
        axes.axvline(at, color=mark.colour, linewidth=1.0, linestyle=(0, (4, 3)), zorder=0)
        label = f"{signed(over.ratio)}\n{signed(over.low)} to {signed(over.high)}"
        is_late = at > places[-1] / 2
        axes.annotate(
            label,
            (at, 1.0),
            ((-6 if is_late else 6), -3),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            ha="right" if is_late else "left",
            va="top",
            color=mark.colour,
        )


def _scale(axes: Axes, levels: Sequence[float], dates: Sequence[str]) -> None:
    """A tick for some of the dates, and levels as percentages, with room for what is written above them."""
    low, high = min(levels), max(levels)
    span = max(high - low, _LEAST_SPAN)
    middle = (low + high) / 2
    axes.set_ylim(middle - 0.6 * span, middle + 0.95 * span)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    count = min(_MOST_TICKS, len(dates))
    ticks = sorted({round(index * (len(dates) - 1) / max(count - 1, 1)) for index in range(count)})
    axes.set_xticks(ticks, [dates[tick][:10] for tick in ticks])
    axes.set_xlim(-0.7, len(dates) - 0.3)
    axes.tick_params(axis="x", colors=SOFT_INK)
