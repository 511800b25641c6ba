"""How a run went: its learning curves, the confusion matrix with the scores at its edges, and the scores by class.

The accuracy of an epoch is on the held-out validation images if the run had any, and on a sample of the images it
was trained on if it had none; the legend says which, because only the first one says anything about new images.

The matrix has a row for each predicted class and a column for each actual class.
Recall of a class is its diagonal cell over the sum of its column, and stands below the column; precision is the cell
over the sum of the row, and stands at the row's end. Errors are coloured by their share of the column on a logarithmic
scale and the diagonal apart from it, for the reason that `show.heat` gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, PercentFormatter

from accelmnist.core.metrics import Metrics, wilson_interval
from accelmnist.core.records import RunRecord
from accelmnist.show.figures.chart import spans_decades
from accelmnist.show.figures.sheet import (
    BLUE,
    INK,
    MARGIN,
    ORANGE,
    PALETTE,
    RULE,
    SMALL_SIZE,
    SOFT_INK,
    TEXT_SIZE,
    FigureSheet,
    Mark,
    Pixels,
    figure_style,
)
from accelmnist.show.heat import DIAGONAL, HIGH_SHARE, LOW_SHARE, RGB, cell_colours, hex_colour, ink_on, ramp_colour
from accelmnist.show.units import class_kind, fraction, percent

_PANEL_WIDTH, _PANEL_HEIGHT = 560, 420
_LEFT = MARGIN + 92  # room for an axis label and its numbers
_ABOVE, _BELOW = 106, 64  # a panel: its title and legend, its numbers and what they are
_TOP_ALONE, _LEFT_ALONE, _BELOW_ALONE = 150, 100, 84  # the same for a panel of its own, without a heading
_TITLE_PAD = 38  # points from a panel to its title: room for two lines of a legend
_LOSS_UNITS = {"softmax": "cross-entropy, nats an image"}

_CELL = 88
_EDGE = 16  # between the matrix and its scores
_SCORE_WIDTH = 128
_MATRIX_ABOVE = 92  # the names of the columns, and what they are
_FOOTER = 56
_SCORE_COLOUR: RGB = (238, 240, 243)
_GREY_RULE = 214
_BAR_WIDTH, _BAR_HEIGHT = 300, 18
_CLASS_WIDTH, _CLASS_ROW, _CLASS_ABOVE = 700, 46, 56  # of recall and precision, so narrow that a phone can show them
_LONGEST = 20  # characters of a name
_APART = 0.17  # of a row, from its middle


# --- learning curves


def curves_figure(record: RunRecord) -> Figure:
    """Loss by epoch at the left, accuracy by epoch at the right; an epoch without a figure is left out."""
    step, body = _LEFT + _PANEL_WIDTH, _ABOVE + _PANEL_HEIGHT + _BELOW
    model, training = record.config.model, record.config.training
    activation = f", {model.activation}" if model.hidden else ""
    subtitle = (
        f"{model}{activation}; {training.optimizer}, peak learning rate "
        f"{training.learning_rate:g}, {training.schedule}, batches of {training.batch_size}"
    )
    with figure_style():
        sheet = FigureSheet.headed(2 * step + MARGIN, body, title="Learning curves", lines=[subtitle])
        for index, draw in enumerate((_draw_loss, _draw_accuracy)):
            left, top = _LEFT + index * step, sheet.top + _ABOVE
            draw(sheet.add_axes(left=left, top=top, width=_PANEL_WIDTH, height=_PANEL_HEIGHT), record)
    return sheet.figure


def curve_panels(record: RunRecord) -> list[Figure]:
    """The two halves of `curves_figure` without its heading, for a page that sets them side by side or stacks them."""
    height, panels = _TOP_ALONE + _PANEL_HEIGHT + _BELOW_ALONE, []
    for draw in (_draw_loss, _draw_accuracy):
        with figure_style():
            sheet = FigureSheet(_LEFT_ALONE + _PANEL_WIDTH + MARGIN // 2, height)
            axes = sheet.add_axes(left=_LEFT_ALONE, top=_TOP_ALONE, width=_PANEL_WIDTH, height=_PANEL_HEIGHT)
            draw(axes, record)
            title = axes.get_title(loc="left").replace("; ", ";\n")  # its own sheet is too narrow for all in one line
            axes.set_title(title, loc="left", size=TEXT_SIZE, weight="bold", pad=_TITLE_PAD)
        panels.append(sheet.figure)
    return panels


def _draw_loss(axes: Axes, record: RunRecord) -> None:
    """From zero up; or logarithmic if the late epochs would lie flat on the axis."""
    losses = [(epoch.epoch, epoch.train_loss) for epoch in record.epochs]
    smoothing = record.config.training.label_smoothing
    unit = _LOSS_UNITS.get(record.config.model.output, "mean of an image")
    title = f"Loss ({unit}; label smoothing {smoothing:g})" if smoothing else f"Loss ({unit})"
    # With label smoothing the training loss is of other targets: the two could not be compared.
    test = record.metrics.loss if record.metrics is not None and smoothing == 0 else None
    _draw(axes, losses, title=title, label="training images, mean of the epoch", test=test, form="{:.4f}")
    known = [loss for _, loss in losses if loss is not None]
    if known and min(known) > 0 and spans_decades(known):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)


def _draw_accuracy(axes: Axes, record: RunRecord) -> None:
    held_out = 0 if record.data is None else record.data.validation_images
    label = f"{held_out:,} validation images" if held_out else "a sample of the training images"
    accuracies = [(epoch.epoch, epoch.accuracy) for epoch in record.epochs]
    test = None if record.metrics is None else record.metrics.accuracy
    _draw(axes, accuracies, title="Accuracy (share of the images right)", label=label, test=test, form="{:.2%}")
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1.0, symbol=" %"))


def _draw(
    axes: Axes, values: Sequence[tuple[int, float | None]], *, title: str, label: str, test: float | None, form: str
) -> None:
    """Draw a line through `values`, each of its epoch, and one across at `test`, which the legend writes by `form`."""
    axes.set_title(title, loc="left", size=TEXT_SIZE, weight="bold", pad=_TITLE_PAD)
    axes.set_xlabel("epoch")
    axes.set_xlim(0.5, max(len(values), 1) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
    points = [(epoch, value) for epoch, value in values if value is not None]
    if points:
        axes.plot(*zip(*points, strict=True), color=BLUE, marker="o", label=label)
    if test is not None:
        at_end = f"test images, at the end: {form.format(test).replace('%', ' %')}"
        axes.axhline(test, color=ORANGE, linestyle=(0, (5, 2)), label=at_end)
    axes.margins(y=0.12)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    if points or test is not None:
        # Above the panel, where it hides no point; looking for the emptiest corner would also cost time.
        axes.legend(loc="upper left", bbox_to_anchor=(0, 1.15), borderaxespad=0, borderpad=0.3, labelcolor=INK)
    else:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no figures were recorded", transform=axes.transAxes, ha="center", va="center")


# --- answers


def confusion_figure(metrics: Metrics, class_names: tuple[str, ...]) -> Figure:
    """The matrix of `metrics` with its counts, precision, recall and accuracy."""
    counts = np.array(metrics.confusion_matrix, dtype=np.int64)
    side, longest = len(counts) * _CELL, max(map(len, class_names))
    left = MARGIN + 84 + 13 * longest
    above = _MATRIX_ABOVE + (8 * longest if _are_words(class_names) else 0)
    body = above + side + _EDGE + _CELL + _FOOTER
    scores = f"accuracy {percent(metrics.accuracy)}, macro F1 {fraction(metrics.macro_f1)}"
    subtitle = f"{metrics.right:,} of {metrics.images:,} test images right: {scores}"
    with figure_style():
        width = left + side + _EDGE + _SCORE_WIDTH + MARGIN
        sheet = FigureSheet.headed(width, body, title="Confusion matrix", lines=[subtitle])
        top = sheet.top + above
        colours = cell_colours(counts)
        sheet.raster(_block(np.array(colours, dtype=np.uint8)), left=left, top=top)
        for row, column in np.argwhere(counts > 0):
            weight, ink = "bold" if row == column else "normal", hex_colour(ink_on(colours[row][column]))
            across, down = left + (column + 0.5) * _CELL, top + (row + 0.5) * _CELL
            sheet.text(across, down, f"{counts[row, column]:,}", ha="center", weight=weight, color=ink)
        _draw_names(sheet, class_names, left=left, top=top)
        _draw_scores(sheet, metrics, left=left, top=top)
        _draw_scale(sheet, left=left, top=top + side + _EDGE + _CELL + 36)
    return sheet.figure


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
