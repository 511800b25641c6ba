"""Our scores against scikit-learn's, from the same predictions.

scikit-learn's confusion matrix has actual classes in its rows: it is the transpose of ours.
"""

from __future__ import annotations

import numpy as np

from accelmnist.config import CLASSES
from accelmnist.evaluation import Evaluation
from accelmnist.results import Check

_ROUNDING = 1e-9  # two ways of dividing the same counts in float64


def check_scores(evaluation: Evaluation) -> list[Check]:
    """Hold accuracy, precision, recall, F1, their averages and the confusion matrix against scikit-learn's."""
    from sklearn import metrics as theirs  # here, since it takes a second to import

    truth, said, ours = evaluation.labels, evaluation.predictions, evaluation.metrics
    classes = list(range(CLASSES))
    matrix = theirs.confusion_matrix(truth, said, labels=classes).T
    cells = int(np.abs(matrix - np.array(ours.confusion_matrix)).sum())
    table = theirs.precision_recall_fscore_support(truth, said, labels=classes, zero_division=0)
    pairs = list(zip(np.array(table[:3]).T.ravel(), _by_class(evaluation), strict=True))
    for average, mine in (("macro", _macro(evaluation)), ("weighted", _weighted(evaluation))):
        them = theirs.precision_recall_fscore_support(truth, said, labels=classes, average=average, zero_division=0)
        pairs += list(zip(them[:3], mine, strict=True))
    pairs.append((theirs.accuracy_score(truth, said), ours.accuracy))
    error = float(max(abs(a - b) for a, b in pairs))
    return [
        _check("matrix, scikit-learn", float(cells), 0.0, "counts that differ"),
        _check("scores, scikit-learn", error, _ROUNDING, f"largest difference of {len(pairs)}"),
    ]


def _by_class(evaluation: Evaluation) -> list[float]:
    rows = evaluation.metrics.per_class
    return [value for row in rows for value in (row.precision, row.recall, row.f1)]


def _macro(evaluation: Evaluation) -> tuple[float, float, float]:
    ours = evaluation.metrics
    return ours.macro_precision, ours.macro_recall, ours.macro_f1


def _weighted(evaluation: Evaluation) -> tuple[float, float, float]:
    ours = evaluation.metrics
    return ours.weighted_precision, ours.weighted_recall, ours.weighted_f1


def _check(name: str, value: float, limit: float, detail: str) -> Check:
    reason = "two ways of counting the same predictions may differ in the last digit alone"
    return Check(name=name, passed=value <= limit, value=value, limit=limit, detail=detail, reason=reason)
