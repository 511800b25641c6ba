"""How each class is read: the confusion matrix with the scores at its edges, and recall and precision by class.

The matrix has a row for each predicted class and a column for each actual class.
Recall of a class is its diagonal cell over the sum of its column, and stands below the column; precision is the cell
over the sum of the row, and stands at the row's end. Errors are coloured by their share of the column on a logarithmic
scale and the diagonal apart from it, for the reason that `show.heat` gives.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from accelmnist.core.metrics import Metrics, wilson_interval
from accelmnist.show.figures.sheet import (
    MARGIN,
    PALETTE,
    RULE,
    SMALL_SIZE,
    SOFT_INK,
    FigureSheet,
    Mark,
    Pixels,
    figure_style,
)
from accelmnist.show.heat import DIAGONAL, HIGH_SHARE, LOW_SHARE, RGB, cell_colours, hex_colour, ink_on, ramp_colour
from accelmnist.show.names import class_kind
from accelmnist.show.units import fraction, percent

_CELL = 88
_EDGE = 16  # between the matrix and its scores
_SCORE_WIDTH = 128
_ABOVE = 92  # the names of the columns, and what they are
_FOOTER = 56
_SCORE_COLOUR: RGB = (238, 240, 243)
_GREY_RULE = 214
_BAR_WIDTH, _BAR_HEIGHT = 300, 18
_CLASS_WIDTH, _CLASS_ROW, _CLASS_ABOVE = 700, 46, 56  # of recall and precision, so narrow that a phone can show them
_LONGEST = 20  # characters of a name
_APART = 0.17  # of a row, from its middle


def confusion_figure(metrics: Metrics, class_names: tuple[str, ...]) -> Figure:
    """The matrix of `metrics` with its counts, precision, recall and accuracy."""
    counts = np.array(metrics.confusion_matrix, dtype=np.int64)
    side, longest = len(counts) * _CELL, max(map(len, class_names))
    left = MARGIN + 84 + 13 * longest
    above = _ABOVE + (8 * longest if _are_words(class_names) else 0)
    body = above + side + _EDGE + _CELL + _FOOTER
    scores = f"accuracy {percent(metrics.accuracy)}, macro F1 {fraction(metrics.macro_f1)}"
    subtitle = f"{metrics.right:,} of {metrics.images:,} test images right: {scores}"
    with figure_style():
        width = left + side + _EDGE + _SCORE_WIDTH + MARGIN
        sheet = FigureSheet.headed(width, body, title="Confusion matrix", lines=[subtitle])
        top = sheet.top + above
        _draw_cells(sheet, counts, left=left, top=top)
        _draw_names(sheet, class_names, left=left, top=top)
        _draw_scores(sheet, metrics, left=left, top=top)
        _draw_scale(sheet, left=left, top=top + side + _EDGE + _CELL + 36)
    return sheet.figure


def _draw_cells(sheet: FigureSheet, counts: NDArray[np.int64], *, left: int, top: int) -> None:
    colours = cell_colours(counts)
    sheet.raster(_block(np.array(colours, dtype=np.uint8)), left=left, top=top)
    for row, column in np.argwhere(counts > 0):
        style = {"weight": "bold" if row == column else "normal", "color": hex_colour(ink_on(colours[row][column]))}
        across, down = left + (column + 0.5) * _CELL, top + (row + 0.5) * _CELL
        sheet.text(across, down, f"{counts[row, column]:,}", ha="center", **style)


def _block(colours: Pixels, *, width: int = _CELL) -> Pixels:
    """One cell of `width` pixels for each colour of (rows, columns, 3), with a thin grey rule round every cell."""
    block = colours.repeat(_CELL, axis=0).repeat(width, axis=1)
    block[::_CELL] = block[:, ::width] = _GREY_RULE
    block[-1] = block[:, -1] = _GREY_RULE
    return block


def _draw_names(sheet: FigureSheet, names: tuple[str, ...], *, left: int, top: int) -> None:
    """The names of the rows and the columns, those of the columns slanted if they are words."""
    kind = class_kind(names)
    slanted: dict[str, Any] = {"rotation": 45.0, "rotation_mode": "anchor"}
    for label, name in enumerate(names):
        middle = (label + 0.5) * _CELL
        sheet.text(left - 16, top + middle, name, ha="right")
        if _are_words(names):
            sheet.text(left + middle - 18, top - 14, name, va="baseline", **slanted)
        else:
            sheet.text(left + middle, top - 14, name, ha="center", va="baseline")
    middle = len(names) * _CELL / 2
    sheet.text(left + middle, sheet.top + 26, f"Actual {kind}", ha="center", weight="bold")
    beside: dict[str, Any] = {"ha": "center", "va": "center", "rotation": 90.0, "weight": "bold"}
    sheet.text(MARGIN + 14, top + middle, f"Predicted {kind}", **beside)


def _are_words(names: tuple[str, ...]) -> bool:
    return max(map(len, names)) > 3


def _draw_scores(sheet: FigureSheet, metrics: Metrics, *, left: int, top: int) -> None:
    """Precision at the end of every row, recall below every column."""
    side = len(metrics.per_class) * _CELL
    right, below = left + side + _EDGE, top + side + _EDGE
    colour = np.full((len(metrics.per_class), 1, 3), _SCORE_COLOUR, dtype=np.uint8)
    sheet.raster(_block(colour, width=_SCORE_WIDTH), left=right, top=top)
    sheet.raster(_block(colour.swapaxes(0, 1)), left=left, top=below)
    end, row = right + _SCORE_WIDTH / 2, below + _CELL / 2
    sheet.text(end, top - 14, "Precision", ha="center", va="baseline", weight="bold")
    sheet.text(left - 16, row, "Recall", ha="right", weight="bold")
    for scores in metrics.per_class:
        middle = (scores.label + 0.5) * _CELL
        sheet.text(end, top + middle, percent(scores.precision), ha="center", size=SMALL_SIZE)
        sheet.text(left + middle, row, percent(scores.recall, digits=1), ha="center", size=SMALL_SIZE)


def _draw_scale(sheet: FigureSheet, *, left: int, top: int) -> None:
    """What the two scales of colour stand for."""
    ramp = np.array([[ramp_colour(step / (_BAR_WIDTH - 1)) for step in range(_BAR_WIDTH)]], dtype=np.uint8)
    bar = left + 200
    sheet.raster(np.full((_BAR_HEIGHT, _BAR_HEIGHT, 3), DIAGONAL, dtype=np.uint8), left=left, top=top)
    sheet.raster(ramp.repeat(_BAR_HEIGHT, axis=0), left=bar, top=top)
    high = f"≥ {percent(HIGH_SHARE, digits=0)} of the column wrong in this way (log scale)"
    for across, ha, text in (
        (left + 28, "left", "right"),
        (bar - 10, "right", f"≤ {percent(LOW_SHARE, digits=1)}"),
        (bar + _BAR_WIDTH + 10, "left", high),
    ):
        sheet.text(across, top + _BAR_HEIGHT / 2, text, ha=ha, size=SMALL_SIZE, color=SOFT_INK)


def classes_figure(metrics: Metrics, class_names: tuple[str, ...]) -> Figure:
    """Recall and precision of every class: a row with a point for each, and the 95 % interval of each share."""
    names = tuple(name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in class_names)
    left, height = 60 + 14 * max(map(len, names)), len(class_names) * _CLASS_ROW
    hits = [round(scores.recall * scores.support) for scores in metrics.per_class]
    with figure_style():
        sheet = FigureSheet(_CLASS_WIDTH, height + 2 * _CLASS_ABOVE)
        axes = sheet.add_axes(left=left, top=_CLASS_ABOVE, width=_CLASS_WIDTH - left - MARGIN, height=height)
        _draw_shares(axes, hits, [scores.support for scores in metrics.per_class], -_APART, PALETTE[0], "recall")
        _draw_shares(axes, hits, [scores.predicted for scores in metrics.per_class], _APART, PALETTE[1], "precision")
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
        axes.xaxis.set_major_formatter(PercentFormatter(xmax=1.0, symbol=" %"))
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
        for row in range(1, len(names)):
            axes.axhline(row - 0.5, color=RULE, linewidth=0.4)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0, borderpad=0.3)
    return sheet.figure


def _draw_shares(axes: Axes, hits: list[int], totals: list[int], shift: float, mark: Mark, label: str) -> None:
    """The shares `hits` of `totals` with their intervals; one of nothing is left out."""
    known = [(row, hit, total) for row, (hit, total) in enumerate(zip(hits, totals, strict=True)) if total > 0]
    rows, shares = [row + shift for row, _, _ in known], np.array([hit / total for _, hit, total in known])
    ends = np.array([wilson_interval(hit, total) for _, hit, total in known]).reshape(-1, 2)
    style: dict[str, Any] = {"fmt": mark.marker, "color": mark.colour, "elinewidth": 1.4, "capsize": 2.5}
    axes.errorbar(shares, rows, xerr=np.abs(ends.T - shares), label=label, **style)
