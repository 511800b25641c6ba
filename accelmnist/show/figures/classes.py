"""Recall and precision of every class, with the 95 % interval of each share."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from accelmnist.core.metrics import Metrics, wilson_interval
from accelmnist.show.figures.sheet import FigureSheet
from accelmnist.show.figures.style import INK, PALETTE, RULE, Mark, figure_style

_WIDTH, _ROW, _TOP, _BELOW = 700, 46, 56, 56  # so narrow that it can be read on a phone
_LONGEST = 20  # characters of a name
_APART = 0.17  # of a row, from its middle


def classes_figure(metrics: Metrics, class_names: tuple[str, ...]) -> Figure:
    """A row for each class, in their order, with a point for its recall and one for its precision."""
    names = tuple(name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in class_names)
    left = 60 + 14 * max(map(len, names))
    height = len(class_names) * _ROW
    with figure_style():
        sheet = FigureSheet(_WIDTH, _TOP + height + _BELOW)
        axes = sheet.add_axes(left=left, top=_TOP, width=_WIDTH - left - 40, height=height)
        hits = [round(scores.recall * scores.support) for scores in metrics.per_class]
        _draw(axes, hits, [scores.support for scores in metrics.per_class], -_APART, PALETTE[0], "recall")
        _draw(axes, hits, [scores.predicted for scores in metrics.per_class], _APART, PALETTE[1], "precision")
        _finish(axes, names)
    return sheet.figure


def _draw(axes: Axes, hits: list[int], totals: list[int], shift: float, mark: Mark, label: str) -> None:
    """The shares `hits` of `totals`; one of nothing is left out."""
    rows = np.array([row for row, total in enumerate(totals) if total > 0], dtype=np.float64)
    shares = np.array([hit / total for hit, total in zip(hits, totals, strict=True) if total > 0])
    ends = np.array(
        [wilson_interval(hit, total) for hit, total in zip(hits, totals, strict=True) if total > 0]
    ).reshape(-1, 2)
    arms = np.abs(ends.T - shares)
    axes.errorbar(
        shares, rows + shift, xerr=arms, fmt=mark.marker, color=mark.colour, elinewidth=1.4, capsize=2.5, label=label
    )


def _finish(axes: Axes, class_names: tuple[str, ...]) -> None:
    axes.set_ylim(len(class_names) - 0.5, -0.5)
    axes.set_yticks(range(len(class_names)), class_names)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1.0, symbol=" %"))
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    for row in range(1, len(class_names)):
        axes.axhline(row - 0.5, color=RULE, linewidth=0.4)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0, borderpad=0.3, labelcolor=INK)
