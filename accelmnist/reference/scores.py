"""Our scores against scikit-learn's, from the same predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelmnist.metrics import Metrics
from accelmnist.results import Check

_ROUNDING = 1e-9  # two ways of dividing the same counts in float64


@dataclass(frozen=True)
class OracleScores:
    """Scores by scikit-learn, made by `oracle`; its confusion matrix has actual classes in the rows.

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

    def score() -> OracleScores:
        from accelmnist.reference.oracle import oracle_scores

        return oracle_scores(labels, predictions)

    return score


def check_scores(ours: Metrics, theirs: OracleScores) -> list[Check]:
    """Hold accuracy, precision, recall, F1, their averages and the confusion matrix against scikit-learn's.

    Its confusion matrix has actual classes in the rows: it is the transpose of ours.
    """
    cells = int(np.abs(theirs.confusion.T - np.array(ours.confusion_matrix)).sum())
    mine, others = _flat(ours), np.array([*theirs.per_class.ravel(), *theirs.macro, *theirs.weighted, theirs.accuracy])
    error = float(np.abs(mine - others).max())
    return [
        _check("matrix, scikit-learn", float(cells), 0.0, "counts that differ"),
        _check("scores, scikit-learn", error, _ROUNDING, f"largest difference of {len(mine)}"),
    ]


def _flat(ours: Metrics) -> NDArray[np.float64]:
    by_class = [value for row in ours.per_class for value in (row.precision, row.recall, row.f1)]
    macro = (ours.macro_precision, ours.macro_recall, ours.macro_f1)
    weighted = (ours.weighted_precision, ours.weighted_recall, ours.weighted_f1)
    return np.array([*by_class, *macro, *weighted, ours.accuracy])


def _check(name: str, value: float, limit: float, detail: str) -> Check:
    reason = "two ways of counting the same predictions may differ in the last digit alone"
    return Check(name=name, passed=value <= limit, value=value, limit=limit, detail=detail, reason=reason)
