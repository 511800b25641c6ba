"""The learning curves: loss and accuracy after every epoch, with the final test scores drawn across.

The accuracy of an epoch is on the held-out validation images where the run had any, and on a sample of the images it
was trained on where it had none; the legend says which, because only the first one says anything about new images.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, PercentFormatter

from accelmnist.core.records import RunRecord
from accelmnist.show.figures.style import (
    BLUE,
    HEADING,
    INK,
    MARGIN,
    ORANGE,
    TEXT_SIZE,
    add_axes,
    add_heading,
    figure_style,
    new_figure,
)

_PANEL_WIDTH, _PANEL_HEIGHT = 560, 420
_LEFT = MARGIN + 92  # room for an axis label and its numbers
_TOP = HEADING + 126
_TOP_ALONE, _LEFT_ALONE = 150, 100  # the same for a panel of its own, without a heading
_LOG_FROM = 30.0  # largest over smallest loss
_LOSS_UNITS = {"softmax": "cross-entropy, nats an image"}

Points = list[tuple[int, float]]


def curves_figure(record: RunRecord) -> Figure:
    """Loss by epoch at the left, accuracy by epoch at the right; an epoch without a figure is left out."""
    width = 2 * (_LEFT + _PANEL_WIDTH) + MARGIN
    height = _TOP + _PANEL_HEIGHT + 104
    with figure_style():
        figure = new_figure(width, height)
        add_heading(figure, "Learning curves", _subtitle(record))
        _draw_loss(add_axes(figure, left=_LEFT, top=_TOP, width=_PANEL_WIDTH, height=_PANEL_HEIGHT), record)
        second = 2 * _LEFT + _PANEL_WIDTH
        _draw_accuracy(add_axes(figure, left=second, top=_TOP, width=_PANEL_WIDTH, height=_PANEL_HEIGHT), record)
    return figure


def curve_panels(record: RunRecord) -> tuple[Figure, Figure]:
    """The two halves of `curves_figure` without its heading, for a page that sets them side by side or stacks them."""
    made = []
    for draw in (_draw_loss, _draw_accuracy):
        with figure_style():
            figure = new_figure(_LEFT_ALONE + _PANEL_WIDTH + MARGIN // 2, _TOP_ALONE + _PANEL_HEIGHT + 84)
            axes = add_axes(figure, left=_LEFT_ALONE, top=_TOP_ALONE, width=_PANEL_WIDTH, height=_PANEL_HEIGHT)
            draw(axes, record)
            title = axes.get_title(loc="left").replace("; ", ";\n")  # its own sheet is too narrow for all in one line
            axes.set_title(title, loc="left", size=TEXT_SIZE, weight="bold", pad=38)
        made.append(figure)
    loss, accuracy = made
    return loss, accuracy


def _subtitle(record: RunRecord) -> str:
    model, training = record.config.model, record.config.training
    activation = f", {model.activation}" if model.hidden else ""
    return (
        f"{model}{activation}; {training.optimizer}, peak learning rate "
        f"{training.learning_rate:g}, {training.schedule}, batches of {training.batch_size}"
    )


def _draw_loss(axes: Axes, record: RunRecord) -> None:
    points = _points([(epoch.epoch, epoch.train_loss) for epoch in record.epochs])
    smoothing = record.config.training.label_smoothing
    unit = _LOSS_UNITS.get(record.config.model.output, "mean of an image")
    unit += f"; label smoothing {smoothing:g}" if smoothing else ""
    _prepare(axes, title="Loss", unit=unit, epochs=len(record.epochs))
    _draw_line(axes, points, label="training images, mean of the epoch", colour=BLUE, style="-", marker="o")
    # With label smoothing the training loss is of other targets: the two could not be compared.
    comparable = record.metrics is not None and smoothing == 0
    test = record.metrics.loss if record.metrics is not None and comparable else None
    _draw_test(axes, test, "" if test is None else f"test images, at the end: {test:.4f}")
    _finish(axes)
    _scale_loss(axes, points)


def _scale_loss(axes: Axes, points: Points) -> None:
    """From zero up; or logarithmic, where the late epochs would lie flat on the axis."""
    losses = [loss for _, loss in points]
    if min(losses, default=0.0) > 0 and max(losses) > _LOG_FROM * min(losses):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)


def _draw_accuracy(axes: Axes, record: RunRecord) -> None:
    points = _points([(epoch.epoch, epoch.accuracy) for epoch in record.epochs])
    _prepare(axes, title="Accuracy", unit="share of the images right", epochs=len(record.epochs))
    _draw_line(axes, points, label=_accuracy_label(record), colour=BLUE, style="-", marker="o")
    test = None if record.metrics is None else record.metrics.accuracy
    _draw_test(axes, test, "" if test is None else f"test images, at the end: {100 * test:.2f} %")
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1.0, symbol=" %"))
    _finish(axes)


def _accuracy_label(record: RunRecord) -> str:
    held_out = 0 if record.data is None else record.data.validation_images
    return f"{held_out:,} validation images" if held_out else "a sample of the training images"


def _points(values: Sequence[tuple[int, float | None]]) -> Points:
    return [(epoch, value) for epoch, value in values if value is not None]


def _prepare(axes: Axes, *, title: str, unit: str, epochs: int) -> None:
    axes.set_title(f"{title} ({unit})", loc="left", size=TEXT_SIZE, weight="bold", pad=38)
    axes.set_xlabel("epoch")
    axes.set_xlim(0.5, max(epochs, 1) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))


def _draw_line(axes: Axes, points: Points, *, label: str, colour: str, style: str, marker: str) -> None:
    if points:
        epochs, values = zip(*points, strict=True)
        axes.plot(epochs, values, color=colour, linestyle=style, marker=marker, label=label)


def _draw_test(axes: Axes, value: float | None, label: str) -> None:
    if value is not None:
        axes.axhline(value, color=ORANGE, linestyle=(0, (5, 2)), label=label)


def _finish(axes: Axes) -> None:
    axes.margins(y=0.12)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    if axes.get_legend_handles_labels()[0]:
        # Above the panel, where it hides no point; looking for the emptiest corner would also cost time.
        axes.legend(loc="upper left", bbox_to_anchor=(0, 1.15), borderaxespad=0, borderpad=0.3, labelcolor=INK)
    else:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no figures were recorded", transform=axes.transAxes, ha="center", va="center")
