"""Accuracy by size: a panel for each output and depth, a line for each activation, on one scale for all.

Only networks whose layers all have one width have a place here. Bars are 95 % intervals.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accelmnist.show.figures.scales import error_of, scale_accuracy, scale_at
from accelmnist.show.figures.sheet import MARGIN, FigureSheet
from accelmnist.show.figures.style import figure_style
from accelmnist.show.figures.sweep_parts import (
    best_text,
    draw_legend,
    drawn,
    interval_of,
    legend_height,
    mean_of,
    series_of,
    setting,
)
from accelmnist.show.units import plural
from accelmnist.sweep.record import CandidateResult, SweepRecord

_PANEL_WIDTH, _PANEL_HEIGHT = 350, 300
_LEFT = MARGIN + 70  # room for the accuracies
_ACROSS, _DOWN = 30, 74  # between panels: their titles and numbers
_ABOVE = 40  # the title of a panel
_LEAST_WIDTH = 760
_TICK_GAP = 34
_NOTE = (
    "Bars: 95 % intervals of the mean, where they are longer than the mark. The scale is logarithmic in the mistakes: "
    "the same step up takes away the same share of them."
)


def sizes_figure(record: SweepRecord) -> Figure | None:
    """Accuracy by width of the layers; None if no two widths were compared."""
    results = [result for result in drawn(record) if len(set(result.hidden)) == 1]
    widths = sorted({result.hidden[0] for result in results})
    if len(widths) < 2:
        return None
    outputs = [output for output in record.config.outputs if any(result.output == output for result in results)]
    depths = sorted({len(result.hidden) for result in results})
    _, marks = series_of(record)
    width = max(_LEFT + len(outputs) * (_PANEL_WIDTH + _ACROSS) + MARGIN - _ACROSS, _LEAST_WIDTH)
    key, row_height = legend_height(marks, width), _ABOVE + _PANEL_HEIGHT + _DOWN
    title = f"Accuracy by size: {best_text(record)}"
    with figure_style():
        body = key + len(depths) * row_height
        sheet = FigureSheet.headed(width, body, title=title, lines=[setting(record)], notes=[_NOTE])
        draw_legend(sheet, marks)
        for row, depth in enumerate(depths):
            for column, output in enumerate(outputs):
                own = [result for result in results if (len(result.hidden), result.output) == (depth, output)]
                if own:
                    left, top = _LEFT + column * (_PANEL_WIDTH + _ACROSS), sheet.top + key + row * row_height
                    axes = _add_panel(sheet, left, top, f"{plural(depth, 'hidden layer')}, {output}")
                    _scale(axes, results, widths, is_first=column == 0, is_last=row == len(depths) - 1)
                    _draw_lines(axes, record, own)
    return sheet.figure


def _add_panel(sheet: FigureSheet, left: int, top: int, title: str) -> Axes:
    sheet.text(left, top + _ABOVE / 2, title, weight="bold")
    return sheet.add_axes(left=left, top=top + _ABOVE, width=_PANEL_WIDTH, height=_PANEL_HEIGHT)


def _scale(
    axes: Axes, results: Sequence[CandidateResult], widths: Sequence[int], *, is_first: bool, is_last: bool
) -> None:
    """The same for all panels; numbers at the left of a row, and what they are at the foot of a column."""
    scale_at(axes, widths, pixels=_PANEL_WIDTH)
    seen = [end for result in results for end in interval_of(result)]
    scale_accuracy(axes, "y", seen, pixels=_PANEL_HEIGHT, apart=_TICK_GAP)
    axes.tick_params(axis="y", labelleft=is_first)
    if is_last:
        axes.set_xlabel("units in each layer")


def _draw_lines(axes: Axes, record: SweepRecord, results: Sequence[CandidateResult]) -> None:
    name, marks = series_of(record)
    for series, mark in marks.items():
        own = sorted((result for result in results if name(result) == series), key=lambda result: result.hidden[0])
        for result in own:
            ends = [error_of(end) for end in interval_of(result)]
            axes.plot([result.hidden[0]] * 2, ends, color=mark.colour, linewidth=1.2, gid=f"interval of {series}")
        if own:
            errors = [error_of(mean_of(result)) for result in own]
            axes.plot([result.hidden[0] for result in own], errors, gid=series, **mark.style)
