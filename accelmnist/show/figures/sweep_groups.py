"""Accuracy by activation and output: a row for each combination, with every network of it, and the best one named.

Rows are ordered by their best network. All networks of a row are dots, so that a combination which is good only in some
sizes shows its tail.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accelmnist.show.figures.accuracy_axis import error_of, scale_accuracy
from accelmnist.show.figures.layout import Column
from accelmnist.show.figures.rows import CHART, Block, draw_rows
from accelmnist.show.figures.style import Mark, figure_style
from accelmnist.show.figures.sweep_parts import best_text, drawn, interval_of, mean_of, series_of, setting
from accelmnist.show.units import percent
from accelmnist.sweep.record import CandidateResult, SweepRecord

_SPREAD = 20  # pixels from the first dot to the last
_TICK_GAP = 74
_NOTE = (
    "Dots: every network of the row; large mark: the best of them, with its 95 % interval. The scale is logarithmic in "
    "the mistakes."
)

Group = list[CandidateResult]


def groups_figure(record: SweepRecord) -> Figure | None:
    """Accuracy by activation, output and optimizer; None where there is only one combination of them."""
    groups = _groups(record)
    if len(groups) < 2:
        return None
    title = f"Accuracy by {' and '.join(_varying(record))}: {best_text(record)}"
    with figure_style():
        block = _block(record, groups)
        sheet, (chart,) = draw_rows([block], title=title, lines=[setting(record)], footer=[_NOTE])
        name, marks = series_of(record)
        seen = [mean_of(result) for group in groups for result in group]
        seen += [end for group in groups for end in interval_of(group[0])]
        scale_accuracy(chart.axes, "x", seen, pixels=CHART, apart=_TICK_GAP)
        chart.axes.set_xlabel("validation accuracy")
        for group, middle in zip(groups, chart.middles, strict=True):
            _draw_row(chart.axes, group, middle, marks[name(group[0])])
    return sheet.figure


def _varying(record: SweepRecord) -> list[str]:
    parts = ("activation", "output", "optimizer")
    return [part for part in parts if len({getattr(result, part) for result in record.candidates}) > 1]


def _groups(record: SweepRecord) -> list[Group]:
    """The networks of each combination, the most accurate first; so are the combinations."""
    found: dict[tuple[str, str, str], Group] = {}
    for result in drawn(record):
        found.setdefault((result.activation, result.output, result.optimizer), []).append(result)
    return list(found.values())


def _block(record: SweepRecord, groups: Sequence[Group]) -> Block:
    best = [group[0] for group in groups]
    parts = [
        Column(heading=part, cells=tuple(getattr(result, part) for result in best), gap=22 if place else 0)
        for place, part in enumerate(_varying(record))
    ]
    behind = tuple(_behind(result) for result in best)
    return Block(
        title="Validation accuracy",
        before=tuple(parts),
        after=(
            Column(heading="best network", cells=tuple(result.network for result in best)),
            Column(heading="accuracy", cells=tuple(percent(mean_of(result)) for result in best), across="right"),
            Column(heading="behind", cells=behind, bold=frozenset({0})),
        ),
    )


def _behind(result: CandidateResult) -> str:
    """Points behind the best, or that this may be chance."""
    standing = result.standing
    if standing is None:
        return ""
    if standing.verdict == "best":
        return "best"
    points = f"{100 * standing.gap:.2f}"
    return f"{points}, may be noise" if standing.verdict == "within noise" else points


def _draw_row(axes: Axes, group: Group, middle: float, mark: Mark) -> None:
    downs = middle + np.linspace(-0.5, 0.5, len(group)) * (_SPREAD if len(group) > 1 else 0)
    errors = [error_of(mean_of(result)) for result in group]
    axes.scatter(errors, downs, s=9, color=mark.colour, alpha=0.4, linewidths=0)
    ends = [error_of(end) for end in interval_of(group[0])]
    axes.plot(np.repeat(ends, 3), middle + np.array([-8, 8, 0, 0, 8, -8]), color=mark.colour, linewidth=1.4)
    axes.plot([errors[0]], [middle], linestyle="none", gid=f"best of {group[0].activation}", **mark.style)
