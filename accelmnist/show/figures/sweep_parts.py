"""Parts that the figures of a sweep share: which candidates they draw, in which colours, and what they say of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from matplotlib.lines import Line2D

from accelmnist.show.figures.sheet import MARGIN, FigureSheet, text_width
from accelmnist.show.figures.style import Mark, series_mark
from accelmnist.show.units import percent, plural
from accelmnist.sweep.record import CandidateResult, SweepRecord, label, labels_of

_LEGEND_LINE = 28
_LEGEND_MARGIN = 16  # below it
_HANDLE = 60  # pixels before and after a name: the piece of its line, and the gap to the next


def drawn(record: SweepRecord) -> list[CandidateResult]:
    """The candidates that have an accuracy, the most accurate first; of several learning rates the best alone."""
    seen: dict[tuple[object, ...], CandidateResult] = {}
    for result in record.ranked:
        seen.setdefault((result.hidden, result.activation, result.output, result.optimizer), result)
    return list(seen.values())


def mean_of(result: CandidateResult) -> float:
    """The mean validation accuracy of a candidate that is drawn."""
    assert result.accuracy is not None
    return result.accuracy.mean


def interval_of(result: CandidateResult) -> tuple[float, float]:
    """Its 95 % interval, or the mean twice where there is none."""
    accuracy = result.accuracy
    assert accuracy is not None
    return (
        (accuracy.mean, accuracy.mean)
        if accuracy.low is None or accuracy.high is None
        else (accuracy.low, accuracy.high)
    )


def series_of(record: SweepRecord) -> tuple[Callable[[CandidateResult], str], dict[str, Mark]]:
    """The name of a candidate's series, by activation and by optimizer if there are several; and the mark of each."""
    several = len({result.optimizer for result in record.candidates}) > 1

    def name(result: CandidateResult) -> str:
        return f"{result.activation}, {result.optimizer}" if several else result.activation

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
    return f"the best is {label(best, labels_of(record))} with {percent(mean_of(best))}"


def legend_height(marks: Mapping[str, Mark], width: int) -> int:
    """Pixels that `draw_legend` takes on a sheet of this width."""
    return _LEGEND_LINE * math.ceil(len(marks) / _legend_columns(marks, width)) + _LEGEND_MARGIN


def draw_legend(sheet: FigureSheet, marks: Mapping[str, Mark]) -> None:
    """The series below the heading, each with a piece of its line, in as many rows as it takes."""
    sheet.figure.legend(
        handles=[Line2D([], [], label=name, **mark.style) for name, mark in marks.items()],
        loc="upper left",
        bbox_to_anchor=(MARGIN / sheet.width, 1 - (sheet.top + _LEGEND_MARGIN / 2) / sheet.height),
        ncols=_legend_columns(marks, sheet.width),
        borderaxespad=0,
        borderpad=0.2,
        handlelength=1.6,
        handletextpad=0.5,
        columnspacing=1.6,
    )


def _legend_columns(marks: Mapping[str, Mark], width: int) -> int:
    longest = max(map(text_width, marks))
    return min(len(marks), max(1, int((width - 2 * MARGIN) // (longest + _HANDLE))))
