"""Figures that follow from others of the same record, worked out once more: what a record says has to follow from it.

A record is recounted when it is loaded, and when it is complete: there it finds a figure that was typed or bent, here
the statistics that made it. So each is worked out twice, by the function that concluded it and by another that shares
nothing with it. A difference is an error, but for rounding. A figure that isn't there, as in a record that was stopped
or is older, is no difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import fmean, stdev
from typing import Any

from accelmnist.core.errors import RecordError
from accelmnist.core.metrics import Metrics

_REMEDY = "Measure it again: a record is not edited"
ROUNDING = 1e-9  # of sums and quotients of the same numbers in float64, in another order
_NOTHING = 1e-12  # what is left of a difference that is 0
_TEXTS = ("sentence", "hint", "what", "detail")  # words made of figures, which a later version may put otherwise
_CONFIDENCE = 0.95


@contextmanager
def recounted(name: str) -> Iterator[None]:
    """Within: a RecordError says what it is of, such as the file `name`; so does a figure that divides by zero."""
    try:
        yield
    except RecordError as error:
        raise RecordError(f"{name}: {error.message}", remedy=error.remedy) from error
    except ArithmeticError as error:
        raise RecordError(f"{name}: a figure can't follow from the others: {error}", remedy=_REMEDY) from error


def require(holds: bool, fault: str) -> None:
    """RecordError that says the `fault`, unless what follows from the record `holds`."""
    if not holds:
        raise RecordError(fault, remedy=_REMEDY)


def require_figure(
    name: str, said: float | None, follows: float | None, *, of: str, rounding: float = ROUNDING
) -> None:
    """RecordError if a figure that is there isn't, but for rounding, what follows `of` something else in the record."""
    if said is None or (follows is not None and math.isclose(said, follows, rel_tol=rounding, abs_tol=_NOTHING)):
        return
    is_no_number = follows is not None and math.isnan(said) and math.isnan(follows)
    require(said == follows or is_no_number, f"{name} is {said}, but {of} it is {follows}")


def require_same(
    name: str, said: Any, follows: Any, *, of: str, but: Sequence[str] = (), rounding: float = ROUNDING
) -> None:
    """`require_figure` of all within `said`, but for words and the fields named: None and empty are not known."""
    if said is None or said in ((), {}):
        return
    if isinstance(said, Mapping) and isinstance(follows, Mapping):
        for key in [key for key in said if key not in (*_TEXTS, *but)]:
            require_same(f"{key} of {name}", said[key], follows.get(key), of=of, but=but, rounding=rounding)
    elif isinstance(said, tuple) and isinstance(follows, tuple):
        require(len(said) == len(follows), f"{name} are {len(said)}, but {of} they are {len(follows)}")
        for place, (one, other) in enumerate(zip(said, follows, strict=True), start=1):
            require_same(f"{name} {place}" if len(said) > 1 else name, one, other, of=of, but=but, rounding=rounding)
    elif isinstance(said, float) and isinstance(follows, int | float):
        require_figure(name, said, follows, of=of, rounding=rounding)
    else:
        require(said == follows, f"{name} is {said}, but {of} it is {follows}")


def recount_metrics(metrics: Metrics, name: str = "") -> None:
    """Every score from the confusion matrix (rows predicted, columns actual), in whole numbers up to the last step."""
    matrix, of = metrics.confusion_matrix, "by its confusion matrix"
    size = range(len(matrix))
    hits = [matrix[label][label] for label in size]
    predicted, actual = [sum(matrix[label]) for label in size], [sum(row[label] for row in matrix) for label in size]
    table = []
    for one in metrics.per_class:
        label = one.label
        scores = {
            "precision": _share(hits[label], predicted[label]),
            "recall": _share(hits[label], actual[label]),
            "f1": _share(2 * hits[label], predicted[label] + actual[label]),
        }
        table.append(scores)
        for score, value in (scores | {"support": actual[label], "predicted": predicted[label]}).items():
            require_figure(f"{name}{score} of class {label}", getattr(one, score), value, of=of)
    total = sum(actual)
    require_figure(f"{name}accuracy", metrics.accuracy, _share(sum(hits), total), of=of)
    for score in ("precision", "recall", "f1"):
        macro = math.fsum(row[score] for row in table) / len(table)
        weighted = _share(math.fsum(row[score] * count for row, count in zip(table, actual, strict=True)), total)
        require_figure(f"{name}macro_{score}", getattr(metrics, f"macro_{score}"), macro, of=of)
        require_figure(f"{name}weighted_{score}", getattr(metrics, f"weighted_{score}"), weighted, of=of)
    cells = sorted((-matrix[row][column], row, column) for row in size for column in size if row != column)
    for pair, (count, row, column) in zip(metrics.confused_pairs, cells, strict=False):
        said, follows = (pair.predicted, pair.actual, pair.count), (row, column, -count)
        require(said == follows, f"{name}a confused pair is {said}, but {of} it is {follows}")


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean of two or more values by Student's t."""
    from scipy.special import stdtrit  # here: a run of one seed does without it

    arm = float(stdtrit(len(values) - 1, (1 + _CONFIDENCE) / 2)) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - arm, fmean(values) + arm
