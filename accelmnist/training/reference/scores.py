"""Our scores against scikit-learn's, from the same predictions. Nothing here needs torch: another process loads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import CLASSES
from accelmnist.core.metrics import Metrics
from accelmnist.core.records import Check

_REASON = "two ways of counting the same predictions may differ in the last digit alone"
_ROUNDING = 1e-9  # two ways of dividing the same counts in float64


@dataclass(frozen=True)
class OracleScores:
    """Scores by scikit-learn, made by `oracle_scores`; its confusion matrix has actual classes in the rows.

    The rows of `per_class` and the averages are precision, recall and F1.
    """

    confusion: NDArray[np.int64]
    accuracy: float
    per_class: NDArray[np.float64]  # (classes, 3)
    macro: tuple[float, float, float]
    weighted: tuple[float, float, float]


Labels = NDArray[np.int64]
Oracle = Callable[[Labels, Labels], Callable[[], OracleScores]]  # begins to score; what returns gives the result


def score_here(labels: Labels, predictions: Labels) -> Callable[[], OracleScores]:
    """An `Oracle` in this process, which imports scikit-learn (a second) when the result is asked for."""

    return partial(oracle_scores, labels, predictions)


def oracle_scores(truth: NDArray[np.int64], said: NDArray[np.int64]) -> OracleScores:
    """Score predictions `said` (n,) of images whose classes are `truth` (n,); scikit-learn takes a second to import."""
    from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

    classes = list(range(CLASSES))
    table = precision_recall_fscore_support(truth, said, labels=classes, zero_division=0)[:3]
    means = [
        precision_recall_fscore_support(truth, said, labels=classes, average=average, zero_division=0)[:3]
        for average in ("macro", "weighted")
    ]
    return OracleScores(
        confusion=confusion_matrix(truth, said, labels=classes),
        accuracy=float(accuracy_score(truth, said)),
        per_class=np.array(table).T,
        macro=means[0],
        weighted=means[1],
    )


def check_scores(ours: Metrics, theirs: OracleScores) -> list[Check]:
    """Hold accuracy, precision, recall, F1, their averages and the confusion matrix against scikit-learn's.

    Its confusion matrix has actual classes in the rows: it is the transpose of ours.
    """
    cells = int(np.abs(theirs.confusion.T - np.array(ours.confusion_matrix)).sum())
    mine, others = _flat(ours), np.array([*theirs.per_class.ravel(), *theirs.macro, *theirs.weighted, theirs.accuracy])
    error = float(np.abs(mine - others).max())
    largest = f"largest difference of {len(mine)}"
    matrix = Check.at_most("matrix, scikit-learn", cells, 0.0, detail="counts that differ", reason=_REASON)
    scores = Check.at_most("scores, scikit-learn", error, _ROUNDING, detail=largest, reason=_REASON)
    return [replace(check, group="scores") for check in (matrix, scores)]


def _flat(ours: Metrics) -> NDArray[np.float64]:
    by_class = [value for row in ours.per_class for value in (row.precision, row.recall, row.f1)]
    macro = (ours.macro_precision, ours.macro_recall, ours.macro_f1)
    weighted = (ours.weighted_precision, ours.weighted_recall, ours.weighted_f1)
    return np.array([*by_class, *macro, *weighted, ours.accuracy])
