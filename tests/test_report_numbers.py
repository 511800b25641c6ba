"""The numbers behind a report's sentences, against scipy and against shapes whose answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from accelmnist.analysis.evidence import Trait, class_means, fisher_p_value, images_of, likeness_of
from accelmnist.core.metrics import ConfusedPair, intervals_overlap, wilson_interval
from tests.report_samples import sample_evidence


@given(total=st.integers(1, 2000), share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_intervals_are_scipys(total: Any, share: Any) -> None:
    hits = round(share * total)
    expected = stats.binomtest(hits, total).proportion_ci(0.95, method="wilson")
    assert wilson_interval(hits, total) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_nothing_counted_is_no_knowledge_and_ends_stay_within() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(0, 7)[0] == 0.0
    assert wilson_interval(7, 7)[1] == 1.0


def test_overlap() -> None:
    assert intervals_overlap((0.1, 0.3), (0.3, 0.4))
    assert not intervals_overlap((0.1, 0.2), (0.3, 0.4))
    assert not intervals_overlap((0.3, 0.4), (0.1, 0.2))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_exact_test_is_scipys(data: Any) -> None:
    total = data.draw(st.integers(1, 80))
    marked, drawn = data.draw(st.integers(0, total)), data.draw(st.integers(0, total))
    hits = data.draw(st.integers(max(0, drawn + marked - total), min(drawn, marked)))
    table = [[hits, drawn - hits], [marked - hits, total - drawn - marked + hits]]
    expected = stats.fisher_exact(table, alternative="greater").pvalue
    assert fisher_p_value(hits, drawn, marked, total) == pytest.approx(expected, rel=1e-9)


# --- confusions


def test_images_of_a_cell_are_those_of_the_matrix_and_the_surest_first() -> None:
    evidence = sample_evidence()
    for predicted, actual in ((3, 7), (1, 1)):
        places = images_of(evidence, predicted, actual)
        expected = [
            place
            for place in range(len(evidence.labels))
            if evidence.predictions[place] == predicted and evidence.labels[place] == actual
        ]
        assert sorted(places.tolist()) == expected
        scores = evidence.scores[places, predicted].tolist()
        assert scores == sorted(scores, reverse=predicted != actual)


def test_class_means_leave_an_absent_class_blank() -> None:
    evidence = sample_evidence(images=9)
    means = class_means(evidence, 10)
    assert means[9].tolist() == [0.0] * 784
    assert means[2].tolist() == evidence.images[2].tolist()


def test_likeness_ranks_neighbours_before_strangers() -> None:
    """The strokes of neighbouring labels overlap; those of 0 and 9 lie far apart."""
    evidence = sample_evidence()
    means = class_means(evidence, 10)
    near = likeness_of(ConfusedPair(predicted=4, actual=5, count=1), evidence, means)
    far = likeness_of(ConfusedPair(predicted=9, actual=0, count=1), evidence, means)
    expected = np.corrcoef(means[4], means[5])[0, 1]
    assert near.correlation == pytest.approx(expected, abs=1e-12)
    assert near.rank < far.rank
    assert near.pairs == 45
    assert near.nearer.images == (evidence.labels == 5).sum()


def test_a_planted_reason_is_found_and_a_missing_one_is_not() -> None:
    """Half of the fives are drawn as sixes, and those are taken for sixes; what is taken for ones is any five."""
    evidence = sample_evidence(images=1000, wrong=0.0)
    fives = np.flatnonzero(evidence.labels == 5)
    planted, others = fives[:10], fives[10:20]
    evidence.images[planted] = evidence.images[evidence.labels == 6][0]
    evidence.predictions[planted] = 6
    evidence.predictions[others] = 1
    means = class_means(evidence, 10)
    found = likeness_of(ConfusedPair(predicted=6, actual=5, count=10), evidence, means)
    assert (found.nearer.hits, found.nearer.confused, found.nearer.class_hits) == (10, 10, 10)
    assert found.nearer.is_sure
    assert not likeness_of(ConfusedPair(predicted=1, actual=5, count=10), evidence, means).nearer.is_sure


def test_few_images_are_no_certainty() -> None:
    assert not Trait(hits=1, confused=1, class_hits=10, images=100).is_sure
    assert Trait(hits=6, confused=7, class_hits=10, images=100).is_sure
    assert not Trait(hits=0, confused=0, class_hits=0, images=0).is_sure
