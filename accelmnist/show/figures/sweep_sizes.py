"""Accuracy by size: a panel for each output and depth, a line for each activation, on one scale for all.

Only networks whose layers all have one width have a place here. Bars are 95 % intervals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accelmnist.show.figures.accuracy_axis import error_of, scale_accuracy
from accelmnist.show.figures.layout import LINE, Heading, draw_lines, wrap
from accelmnist.show.figures.scales import scale_at
from accelmnist.show.figures.style import MARGIN, Mark, Sheet, add_axes, figure_style
from accelmnist.show.figures.sweep_parts import (
    best_text,
    draw_key,
    drawn,
    interval_of,
    key_width,
    mean_of,
    series_of,
    setting,
)
from accelmnist.show.units import plural
from accelmnist.sweep.record import CandidateResult, SweepRecord

_PANEL_WIDTH, _PANEL_HEIGHT = 350, 300
_LEFT = MARGIN + 70  # room for the accuracies
_ACROSS, _DOWN = 30, 74  # between panels: their titles and numbers
_KEY = 44
_ABOVE = 40
_BELOW = 76
_TICK_GAP = 34


def sizes_figure(record: SweepRecord) -> Figure | None:
    """Accuracy by width of the layers; None where no two widths were compared."""
    results = [result for result in drawn(record) if len(set(result.hidden)) == 1]
    widths = sorted({result.hidden[0] for result in results})
    if len(widths) < 2:
        return None
    with figure_style():
        return _draw(record, results, widths)


def _draw(record: SweepRecord, results: Sequence[CandidateResult], widths: Sequence[int]) -> Figure:
    outputs = [output for output in record.config.outputs if any(result.output == output for result in results)]
    depths = sorted({len(result.hidden) for result in results})
    _, marks = series_of(record)
    width = _LEFT + len(outputs) * (_PANEL_WIDTH + _ACROSS) + MARGIN - _ACROSS
    width = math.ceil(max(width, key_width(list(marks)), 760))
    heading = Heading.fit(_title(record), [setting(record)], width)
    notes = wrap(_NOTE, width - 2 * MARGIN).split("\n")
    top = heading.height + _KEY
    height = top + len(depths) * (_ABOVE + _PANEL_HEIGHT + _DOWN) + LINE * len(notes) + MARGIN
    sheet = Sheet(width, height)
    heading.draw(sheet)
    draw_key(sheet, marks, left=MARGIN, top=heading.height + _KEY / 2)
    draw_lines(sheet, notes, left=MARGIN, top=height - MARGIN - LINE * len(notes))
    for row, depth in enumerate(depths):
        for place, output in enumerate(outputs):
            own = [result for result in results if (len(result.hidden), result.output) == (depth, output)]
            corner = _LEFT + place * (_PANEL_WIDTH + _ACROSS), top + row * (_ABOVE + _PANEL_HEIGHT + _DOWN)
            if own:
                axes = _panel(sheet, corner, f"{plural(depth, 'hidden layer')}, {output}")
                _scale(axes, results, widths, is_first=place == 0, is_last=row == len(depths) - 1)
                _draw_lines(axes, record, own)
    return sheet.figure


_NOTE = (
    "Bars: 95 % intervals of the mean, where they are longer than the mark. The scale is logarithmic in the mistakes: "
    "the same step up takes away the same share of them."
)


def _title(record: SweepRecord) -> str:
    return f"Accuracy by size: {best_text(record)}"


def _panel(sheet: Sheet, corner: tuple[int, int], title: str) -> Axes:
    left, top = corner
    sheet.text(left, top + _ABOVE / 2, title, weight="bold")
    return add_axes(sheet.figure, left=left, top=top + _ABOVE, width=_PANEL_WIDTH, height=_PANEL_HEIGHT)


def _scale(
    axes: Axes, results: Sequence[CandidateResult], widths: Sequence[int], *, is_first: bool, is_last: bool
) -> None:
    """The same for all panels; numbers at the left of a row, and what they are at the foot of a column."""
    scale_at(axes, widths, pixels=_PANEL_WIDTH)
    seen = [end for result in results for end in interval_of(result)]
    scale_accuracy(axes, "y", seen, pixels=_PANEL_HEIGHT, apart=_TICK_GAP)
    if not is_first:
        axes.set_yticklabels([])
    if is_last:
        axes.set_xlabel("units in each layer")


def _draw_lines(axes: Axes, record: SweepRecord, results: Sequence[CandidateResult]) -> None:
    name, marks = series_of(record)
    for series, mark in marks.items():
        own = sorted((result for result in results if name(result) == series), key=lambda result: result.hidden[0])
        _draw_line(axes, own, mark, series)


def _draw_line(axes: Axes, results: Sequence[CandidateResult], mark: Mark, series: str) -> None:
    for result in results:
        ends = [error_of(end) for end in interval_of(result)]
        axes.plot([result.hidden[0]] * 2, ends, color=mark.colour, linewidth=1.2, gid=f"interval of {series}")
    if results:
        places = [result.hidden[0] for result in results]
        axes.plot(places, [error_of(mean_of(result)) for result in results], gid=series, **mark.style)
