"""Accuracy by activation and output: a row for each combination, with every network of it, and the best one named.

Rows are ordered by their best network. All networks of a row are dots, so that a combination which is good only in some
sizes shows its tail.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from accelmnist.show.figures.scales import error_of, scale_accuracy
from accelmnist.show.figures.style import figure_style
from accelmnist.show.figures.sweep_parts import best_text, drawn, interval_of, mean_of, series_of, setting
from accelmnist.show.figures.table import CHART, RowBlock, TableColumn, draw_estimate, draw_rows
from accelmnist.show.units import percent
from accelmnist.sweep.record import CandidateResult, SweepRecord

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
        figure, (axes,) = draw_rows([block], title=title, lines=[setting(record)], notes=[_NOTE])
        name, marks = series_of(record)
        seen = [mean_of(result) for group in groups for result in group]
        seen += [end for group in groups for end in interval_of(group[0])]
        scale_accuracy(axes, "x", seen, pixels=CHART, apart=_TICK_GAP)
        axes.set_xlabel("validation accuracy")
        for group, middle in zip(groups, block.middles, strict=True):
            best = group[0]
            low, high = interval_of(best)
            draw_estimate(
                axes,
                middle,
                mark=marks[name(best)],
                samples=[error_of(mean_of(result)) for result in group],
                interval=(error_of(high), error_of(low)),
                centre=error_of(mean_of(best)),
                name=f"{best.activation} {best.output}",
            )
    return figure


def _varying(record: SweepRecord) -> list[str]:
    parts = ("activation", "output", "optimizer")
    return [part for part in parts if len({getattr(result, part) for result in record.candidates}) > 1]


def _groups(record: SweepRecord) -> list[Group]:
    """The networks of each combination, the most accurate first; so are the combinations."""
    found: dict[tuple[str, str, str], Group] = {}
    for result in drawn(record):
        found.setdefault((result.activation, result.output, result.optimizer), []).append(result)
    return list(found.values())


def _block(record: SweepRecord, groups: Sequence[Group]) -> RowBlock:
    best = [group[0] for group in groups]
    parts = [
        TableColumn(heading=part, cells=tuple(getattr(result, part) for result in best)) for part in _varying(record)
    ]
    behind = tuple(_behind(result) for result in best)
    return RowBlock(
        title="Validation accuracy",
        before=tuple(parts),
        after=(
            TableColumn(heading="best network", cells=tuple(result.network for result in best)),
            TableColumn(heading="accuracy", cells=tuple(percent(mean_of(result)) for result in best), ha="right"),
            TableColumn(heading="behind", cells=behind, bold=frozenset({0})),
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
