"""scikit-learn's scores of a set of predictions, as plain numbers: what ours are held against.

Importing scikit-learn takes more than a second, so this module needs no torch and can be loaded by another process.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from accelmnist.config import CLASSES
from accelmnist.reference.scores import OracleScores


def oracle_scores(truth: NDArray[np.int64], said: NDArray[np.int64]) -> OracleScores:
    """Score predictions `said` (n,) of images whose classes are `truth` (n,)."""
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
