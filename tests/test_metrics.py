"""Scores against scikit-learn's, by hand, and at the edges: a class never predicted or without images, no images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as theirs

from accelmnist.core.metrics import compute_metrics, most_confused

CLASSES = list(range(10))


def confusion_of(truth: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Rows predicted, columns actual, counted one by one."""
    matrix = np.zeros((10, 10), dtype=np.int64)
    for actual, predicted in zip(truth, said, strict=True):
        matrix[predicted, actual] += 1
    return matrix


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=200))
def test_scores_are_scikit_learns(pairs: Any) -> None:
    truth, said = np.array(pairs).T
    ours = compute_metrics(confusion_of(truth, said))
    assert (theirs.confusion_matrix(truth, said, labels=CLASSES) == np.array(ours.confusion_matrix).T).all()
    table = theirs.precision_recall_fscore_support(truth, said, labels=CLASSES, zero_division=0)
    mine = [(row.precision, row.recall, row.f1, row.support) for row in ours.per_class]
    np.testing.assert_allclose(np.array(mine).T, table)
    macro = theirs.precision_recall_fscore_support(truth, said, labels=CLASSES, average="macro", zero_division=0)[:3]
    np.testing.assert_allclose((ours.macro_precision, ours.macro_recall, ours.macro_f1), macro)
    weighted = theirs.precision_recall_fscore_support(truth, said, average="weighted", zero_division=0)[:3]
    np.testing.assert_allclose((ours.weighted_precision, ours.weighted_recall, ours.weighted_f1), weighted)
    assert ours.accuracy == pytest.approx(theirs.accuracy_score(truth, said))


def test_a_row_is_a_predicted_and_a_column_an_actual_class() -> None:
    """Three images of 4 taken for 9, one image of 9 taken for 4."""
    matrix = np.diag([10] * 10)
    matrix[9, 4], matrix[4, 9] = 3, 1
    scores = compute_metrics(matrix).per_class
    assert scores[4].recall == pytest.approx(10 / 13)
    assert scores[4].precision == pytest.approx(10 / 11)
    assert scores[9].recall == pytest.approx(10 / 11)
    assert scores[9].precision == pytest.approx(10 / 13)
    assert (scores[4].support, scores[4].predicted) == (13, 11)


def test_a_class_never_predicted_counts_as_0_with_a_note() -> None:
    matrix = np.diag([5] * 10)
    matrix[3, 3], matrix[8, 3] = 0, 5
    found = compute_metrics(matrix)
    assert found.per_class[3].precision == found.per_class[3].f1 == 0.0
    assert found.notes == ("never predicted: 3; precision and F1 count as 0",)


def test_a_class_without_images_counts_as_0_with_a_note() -> None:
    matrix = np.diag([5] * 10)
    matrix[7, 7], matrix[7, 2] = 0, 1
    assert compute_metrics(matrix).notes == ("no image of: 7; recall and F1 count as 0",)


def test_a_network_that_learned_little_is_told_of() -> None:
    guess = np.zeros((10, 10), dtype=np.int64)
    guess[1, :] = 10  # always says 1
    assert "little was learned: always saying the commonest class is right for 10 %" in compute_metrics(guess).notes
    assert compute_metrics(np.diag([10] * 10)).notes == ()


def test_no_image_at_all_is_no_error() -> None:
    found = compute_metrics(np.zeros((10, 10), dtype=np.int64))
    assert (found.images, found.accuracy, found.macro_f1, found.weighted_f1) == (0, 0.0, 0.0, 0.0)


def test_the_most_confused_come_first_and_the_diagonal_never() -> None:
    matrix = np.diag([50] * 10)
    matrix[9, 4], matrix[5, 3], matrix[3, 5] = 7, 9, 7
    found = [(pair.actual, pair.predicted, pair.count) for pair in most_confused(matrix)]
    assert found == [(3, 5, 9), (5, 3, 7), (4, 9, 7)]


@given(arrays(np.int64, (10, 10), elements=st.integers(0, 50)))
def test_counts_add_up(matrix: Any) -> None:
    found = compute_metrics(matrix)
    assert found.images == matrix.sum() == sum(row.support for row in found.per_class)
    assert found.images == sum(row.predicted for row in found.per_class)
    assert 0 <= found.accuracy <= 1
    assert found.weighted_recall == pytest.approx(found.accuracy)
