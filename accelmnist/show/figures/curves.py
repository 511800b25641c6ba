"""The learning curves: loss and accuracy after every epoch, with the final test scores drawn across.

The accuracy of an epoch is on the held-out validation images if the run had any, and on a sample of the images it
was trained on if it had none; the legend says which, because only the first one says anything about new images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, PercentFormatter

from accelmnist.core.records import RunRecord
from accelmnist.show.figures.scales import spans_decades
from accelmnist.show.figures.sheet import MARGIN, FigureSheet
from accelmnist.show.figures.style import BLUE, INK, ORANGE, TEXT_SIZE, figure_style

_PANEL_WIDTH, _PANEL_HEIGHT = 560, 420
_LEFT = MARGIN + 92  # room for an axis label and its numbers
_ABOVE, _BELOW = 106, 64  # a panel: its title and legend, its numbers and what they are
_TOP_ALONE, _LEFT_ALONE, _BELOW_ALONE = 150, 100, 84  # the same for a panel of its own, without a heading
_TITLE_PAD = 38  # points from a panel to its title: room for two lines of a legend
_LOSS_UNITS = {"softmax": "cross-entropy, nats an image"}

Points = list[tuple[int, float]]


def curves_figure(record: RunRecord) -> Figure:
    """Loss by epoch at the left, accuracy by epoch at the right; an epoch without a figure is left out."""
    step, body = _LEFT + _PANEL_WIDTH, _ABOVE + _PANEL_HEIGHT + _BELOW
    with figure_style():
        sheet = FigureSheet.headed(2 * step + MARGIN, body, title="Learning curves", lines=[_subtitle(record)])
        for index, draw in enumerate((_draw_loss, _draw_accuracy)):
            draw(_add_panel(sheet, left=_LEFT + index * step, top=sheet.top + _ABOVE), record)
    return sheet.figure


def curve_panels(record: RunRecord) -> tuple[Figure, Figure]:
    """The two halves of `curves_figure` without its heading, for a page that sets them side by side or stacks them."""
    return _panel_alone(record, _draw_loss), _panel_alone(record, _draw_accuracy)


def _panel_alone(record: RunRecord, draw: Callable[[Axes, RunRecord], None]) -> Figure:
    with figure_style():
        height = _TOP_ALONE + _PANEL_HEIGHT + _BELOW_ALONE
        sheet = FigureSheet(_LEFT_ALONE + _PANEL_WIDTH + MARGIN // 2, height)
        axes = _add_panel(sheet, left=_LEFT_ALONE, top=_TOP_ALONE)
        draw(axes, record)
        title = axes.get_title(loc="left").replace("; ", ";\n")  # its own sheet is too narrow for all in one line
        axes.set_title(title, loc="left", size=TEXT_SIZE, weight="bold", pad=_TITLE_PAD)
    return sheet.figure


def _add_panel(sheet: FigureSheet, *, left: int, top: int) -> Axes:
    return sheet.add_axes(left=left, top=top, width=_PANEL_WIDTH, height=_PANEL_HEIGHT)


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
    _draw_line(axes, points, label="training images, mean of the epoch")
    # With label smoothing the training loss is of other targets: the two could not be compared.
    comparable = record.metrics is not None and smoothing == 0
    test = record.metrics.loss if record.metrics is not None and comparable else None
    _draw_test(axes, test, "" if test is None else f"test images, at the end: {test:.4f}")
    _finish(axes)
    _scale_loss(axes, points)


def _scale_loss(axes: Axes, points: Points) -> None:
    """From zero up; or logarithmic if the late epochs would lie flat on the axis."""
    losses = [loss for _, loss in points]
    if losses and min(losses) > 0 and spans_decades(losses):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)


def _draw_accuracy(axes: Axes, record: RunRecord) -> None:
    points = _points([(epoch.epoch, epoch.accuracy) for epoch in record.epochs])
    _prepare(axes, title="Accuracy", unit="share of the images right", epochs=len(record.epochs))
    _draw_line(axes, points, label=_accuracy_label(record))
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
    axes.set_title(f"{title} ({unit})", loc="left", size=TEXT_SIZE, weight="bold", pad=_TITLE_PAD)
    axes.set_xlabel("epoch")
    axes.set_xlim(0.5, max(epochs, 1) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))


def _draw_line(axes: Axes, points: Points, *, label: str) -> None:
    if points:
        axes.plot(*zip(*points, strict=True), color=BLUE, marker="o", label=label)


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
