"""Scores from the confusion matrix: accuracy, precision, recall and F1, by class and averaged.

Orientation: a row for each predicted class, a column for each actual class, so that recall of i is (i, i) over the
sum of column i and precision is (i, i) over the sum of row i. scikit-learn's matrix is the transpose of this one.

A class that was never predicted has no precision; as in scikit-learn's `zero_division=0` it counts as 0, with a note.
All fractions are 0 to 1. Source: Sokolova and Lapalme, "A systematic analysis of performance measures for
classification tasks", 2009.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.text import require_of_record, require_shares

MOST = 2**53  # of anything that is counted: up to here a float is exact
Counts = NDArray[np.int64]
Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """Scores of one class: `support` images are of it, `predicted` were taken for it."""

    label: int
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int

    def __post_init__(self) -> None:
        require_shares(self.precision, self.recall, self.f1)
        require_of_record(0 <= self.support <= MOST and 0 <= self.predicted <= MOST, "a class has no such count")


@dataclass(frozen=True, kw_only=True)
class ConfusedPair:
    """`count` images of class `actual` were taken for `predicted`."""

    predicted: int
    actual: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """All scores of one evaluation. Macro averages count every class alike, weighted ones by its support."""

    images: int
    accuracy: float
    loss: float | None
    macro_precision: float
    macro_recall: float
    macro_f1: float
    weighted_precision: float
    weighted_recall: float
    weighted_f1: float
    confusion_matrix: tuple[tuple[int, ...], ...]
    per_class: tuple[ClassScores, ...]
    confused_pairs: tuple[ConfusedPair, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        classes, matrix = len(self.per_class), self.confusion_matrix
        counts = [count for row in matrix for count in row]
        require_of_record({len(matrix), *map(len, matrix)} == {classes}, "its confusion matrix is not square")
        require_of_record(
            min(counts, default=0) >= 0 and sum(counts) == self.images <= MOST, "its counts are not of all images"
        )
        labels = [scores.label for scores in self.per_class]
        require_of_record(labels == list(range(classes)), "classes are out of order")
        for pair in self.confused_pairs:
            require_of_record(0 <= pair.predicted < classes > pair.actual >= 0, "a confused pair is of no class")
        require_shares(self.accuracy, self.macro_precision, self.macro_recall, self.macro_f1)
        require_shares(self.weighted_precision, self.weighted_recall, self.weighted_f1)

    @property
    def right(self) -> int:
        """Images that were classified rightly."""
        return sum(row[label] for label, row in enumerate(self.confusion_matrix))


def compute_metrics(confusion: Counts, *, loss: float | None = None) -> Metrics:
    """Every score that follows from `confusion` (classes, classes; rows predicted, columns actual)."""
    per_class = score_classes(confusion)
    support = np.array([scores.support for scores in per_class], dtype=np.float64)
    table = np.array([(scores.precision, scores.recall, scores.f1) for scores in per_class])
    macro = table.mean(axis=0)
    weighted = support @ table / max(support.sum(), 1)
    return Metrics(
        images=int(confusion.sum()),
        accuracy=_ratio(int(np.trace(confusion)), int(confusion.sum())),
        loss=loss,
        macro_precision=float(macro[0]),
        macro_recall=float(macro[1]),
        macro_f1=float(macro[2]),
        weighted_precision=float(weighted[0]),
        weighted_recall=float(weighted[1]),
        weighted_f1=float(weighted[2]),
        confusion_matrix=tuple(tuple(int(count) for count in row) for row in confusion),
        per_class=per_class,
        confused_pairs=most_confused(confusion),
        notes=_notes(per_class),
    )


def score_classes(confusion: Counts) -> tuple[ClassScores, ...]:
    """Precision, recall and F1 of each class; 0 if a ratio has nothing to divide by."""
    hits = np.diag(confusion)
    predicted = confusion.sum(axis=1)
    actual = confusion.sum(axis=0)
    return tuple(
        ClassScores(
            label=label,
            precision=_ratio(int(hits[label]), int(predicted[label])),
            recall=_ratio(int(hits[label]), int(actual[label])),
            f1=_ratio(2 * int(hits[label]), int(predicted[label] + actual[label])),
            support=int(actual[label]),
            predicted=int(predicted[label]),
        )
        for label in range(len(confusion))
    )


def most_confused(confusion: Counts, *, limit: int = 10) -> tuple[ConfusedPair, ...]:
    """The off-diagonal cells with the largest counts, the largest first; ties in the order of the matrix."""
    errors = confusion * (1 - np.eye(len(confusion), dtype=np.int64))
    order = np.argsort(-errors, axis=None, kind="stable")[:limit]
    cells = [divmod(int(cell), len(confusion)) for cell in order]
    return tuple(
        ConfusedPair(predicted=row, actual=column, count=int(errors[row, column]))
        for row, column in cells
        if errors[row, column] > 0
    )


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _notes(per_class: tuple[ClassScores, ...]) -> tuple[str, ...]:
    never = [str(scores.label) for scores in per_class if scores.predicted == 0]
    absent = [str(scores.label) for scores in per_class if scores.support == 0]
    notes = []
    if never:
        notes.append(f"never predicted: {', '.join(never)}; precision and F1 count as 0")
    if absent:
        notes.append(f"no image of: {', '.join(absent)}; recall and F1 count as 0")
    images = sum(scores.support for scores in per_class)
    commonest = _ratio(max(scores.support for scores in per_class), images)
    hits = sum(round(scores.recall * scores.support) for scores in per_class)
    if images and _ratio(hits, images) < 2 * commonest:
        notes.append(f"little was learned: always saying the commonest class is right for {100 * commonest:.0f} %")
    return tuple(notes)


def intervals_overlap(one: Interval, other: Interval) -> bool:
    """Whether two intervals share a value."""
    return one[0] <= other[1] and other[0] <= one[1]


def wilson_interval(hits: int, total: int) -> Interval:
    """The 95 % interval of the share `hits` of `total`; everything from 0 to 1 if there is nothing to count.

    Shares are often near 1, where this one holds and the textbooks' normal one would reach beyond 1 (Wilson, Journal of
    the American Statistical Association 22, 1927). scipy.stats has it, and takes two seconds to load.
    """
    if total == 0:
        return 0.0, 1.0
    z = 1.959963984540054
    share, weight = hits / total, z * z / total
    middle, half = share + weight / 2, z * math.sqrt(share * (1 - share) / total + weight / (4 * total))
    low, high = (middle - half) / (1 + weight), (middle + half) / (1 + weight)
    return (low if hits else 0.0), (high if hits < total else 1.0)  # there its terms cancel, but for the last digit
