"""The learning curves: loss and accuracy after every epoch, with the final test scores drawn across.

The accuracy of an epoch is on the held-out validation images if the run had any, and on a sample of the images it
was trained on if it had none; the legend says which, because only the first one says anything about new images.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, PercentFormatter

from accelmnist.core.records import RunRecord
from accelmnist.show.figures.scales import spans_decades
from accelmnist.show.figures.sheet import BLUE, INK, MARGIN, ORANGE, TEXT_SIZE, FigureSheet, figure_style

_PANEL_WIDTH, _PANEL_HEIGHT = 560, 420
_LEFT = MARGIN + 92  # room for an axis label and its numbers
_ABOVE, _BELOW = 106, 64  # a panel: its title and legend, its numbers and what they are
_TOP_ALONE, _LEFT_ALONE, _BELOW_ALONE = 150, 100, 84  # the same for a panel of its own, without a heading
_TITLE_PAD = 38  # points from a panel to its title: room for two lines of a legend
_LOSS_UNITS = {"softmax": "cross-entropy, nats an image"}


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
