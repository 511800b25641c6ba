"""Accuracy by activation and output: a row for each combination, with every network of it, and the best one named.

Rows are ordered by their best network. All networks of a row are dots, so that a combination which is good only in some
sizes shows its tail. The other figures of a sweep take from here which candidates they draw, in which colours, and what
they say of them.
"""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from accelmnist.show.figures.scales import error_of, scale_accuracy
from accelmnist.show.figures.style import Mark, figure_style, series_mark
from accelmnist.show.figures.table import CHART, RowBlock, TableColumn, draw_estimate, draw_rows
from accelmnist.show.units import percent, plural
from accelmnist.sweep.record import CandidateResult, SweepRecord, label, labels_of

_TICK_GAP = 74
_NOTE = (
    "Dots: every network of the row; large mark: the best of them, with its 95 % interval. The scale is logarithmic in "
    "the mistakes."
)


def drawn(record: SweepRecord) -> list[CandidateResult]:
    """The candidates that have an accuracy, the most accurate first; of several learning rates the best alone."""
    seen: dict[tuple[object, ...], CandidateResult] = {}
    for result in record.ranked:
        seen.setdefault((result.hidden, result.activation, result.output, result.optimizer), result)
    return list(seen.values())


def _mean_of(result: CandidateResult) -> float:
    """The mean validation accuracy of a candidate that is drawn."""
    assert result.accuracy is not None
    return result.accuracy.mean


def error_of_mean(result: CandidateResult) -> float:
    """What is drawn of the mean validation accuracy."""
    return error_of(_mean_of(result))


def error_interval(result: CandidateResult) -> tuple[float, float]:
    """The 95 % interval of the error, low and high, or the mean twice if there is none."""
    accuracy = result.accuracy
    assert accuracy is not None
    if accuracy.low is None or accuracy.high is None:
        return error_of(accuracy.mean), error_of(accuracy.mean)
    return error_of(accuracy.high), error_of(accuracy.low)


def series_of(record: SweepRecord) -> tuple[Callable[[CandidateResult], str], dict[str, Mark]]:
    """The name of a candidate's series, by activation and by optimizer if there are several; and the mark of each."""
    has_several = len({result.optimizer for result in record.candidates}) > 1

    def name(result: CandidateResult) -> str:
        return f"{result.activation}, {result.optimizer}" if has_several else result.activation

    names = sorted({name(result) for result in record.candidates}, key=_familiar)
    return name, {series: series_mark(index) for index, series in enumerate(names)}


def _familiar(name: str) -> tuple[int, str]:
    """The activations in the order in which people think of them, so that each keeps its colour."""
    known = ("relu", "tanh", "sigmoid")
    first = name.split(",")[0]
    return (known.index(first) if first in known else len(known), name)


def setting(record: SweepRecord) -> str:
    """What was trained, how often, and what judged it."""
    training, data = record.config.training, record.data
    images = f"{data.validation_images:,} images of {data.dataset} held out" if data else "images held out"
    seeds = plural(record.config.seeds, "seed")
    tuned = ", learning rate tuned for each" if record.config.tune_rates else ""
    return f"Mean accuracy over {seeds} on {images}; {training.epochs} epochs, batches of {training.batch_size}{tuned}."


def best_text(record: SweepRecord) -> str:
    """The first of the ranks in words."""
    best = record.ranked[0]
    return f"the best is {label(best, labels_of(record))} with {percent(_mean_of(best))}"


def groups_figure(record: SweepRecord) -> Figure | None:
    """Accuracy by activation, output and optimizer; None if there is only one combination of them."""
    groups: dict[tuple[str, str, str], list[CandidateResult]] = {}  # each, and all of them, the most accurate first
    for result in drawn(record):
        groups.setdefault((result.activation, result.output, result.optimizer), []).append(result)
    if len(groups) < 2:
        return None
    best = [group[0] for group in groups.values()]
    parts = ("activation", "output", "optimizer")
    varying = [part for part in parts if len({getattr(result, part) for result in record.candidates}) > 1]
    block = _block(best, varying)
    title = f"Accuracy by {' and '.join(varying)}: {best_text(record)}"
    name, marks = series_of(record)
    with figure_style():
        figure, (axes,) = draw_rows([block], title=title, lines=[setting(record)], notes=[_NOTE])
        errors = [error_of_mean(result) for group in groups.values() for result in group]
        ends = [end for result in best for end in error_interval(result)]
        scale_accuracy(axes, "x", [*errors, *ends], pixels=CHART, apart=_TICK_GAP)
        axes.set_xlabel("validation accuracy")
        for group, middle in zip(groups.values(), block.middles, strict=True):
            draw_estimate(
                axes,
                middle,
                mark=marks[name(group[0])],
                samples=[error_of_mean(result) for result in group],
                interval=error_interval(group[0]),
                centre=error_of_mean(group[0]),
                name=f"{group[0].activation} {group[0].output}",
            )
    return figure


def _block(best: list[CandidateResult], varying: list[str]) -> RowBlock:
    accuracies = tuple(percent(_mean_of(result)) for result in best)
    return RowBlock(
        title="Validation accuracy",
        before=tuple(
            TableColumn(heading=part, cells=tuple(getattr(result, part) for result in best)) for part in varying
        ),
        after=(
            TableColumn(heading="best network", cells=tuple(result.network for result in best)),
            TableColumn(heading="accuracy", cells=accuracies, ha="right"),
            TableColumn(heading="behind", cells=tuple(map(_behind, best)), bold=frozenset({0})),
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
