"""What the figures of a sweep share: which candidates they draw, in which colours, and what they say of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from accelmnist.show.figures.layout import text_width
from accelmnist.show.figures.style import MARGIN, Mark, Sheet, series_mark
from accelmnist.show.units import percent, plural
from accelmnist.sweep.naming import label, labels_of
from accelmnist.sweep.record import CandidateResult, SweepRecord

_KEY = 34  # pixels of the line and marker before a name
_KEY_GAP = 30
_LINE_WIDTHS = (0, 12, 24)


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
    """What a candidate's series is called, by activation, and by optimizer where several are; and the mark of each."""
    several = len({result.optimizer for result in record.candidates}) > 1

    def name(result: CandidateResult) -> str:
        return f"{result.activation}, {result.optimizer}" if several else result.activation

    names = sorted({name(result) for result in record.candidates}, key=_familiar)
    return name, {made: series_mark(place) for place, made in enumerate(names)}


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


def draw_key(sheet: Sheet, marks: dict[str, Mark], *, left: float, top: float) -> None:
    """The series beside each other, each with a piece of its line."""
    for name, mark in marks.items():
        ends = [(left + step, top) for step in _LINE_WIDTHS]
        sheet.line(ends, markevery=[1], **mark.style)
        sheet.text(left + _KEY, top, name)
        left += _KEY + text_width(name) + _KEY_GAP


def key_width(names: Sequence[str]) -> float:
    """Pixels that `draw_key` takes, margins included."""
    return 2 * MARGIN + sum(_KEY + text_width(name) + _KEY_GAP for name in names)
