"""Medians and their intervals: known answers, coverage on noise whose median is known, what must not change them."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from accelmnist.core.errors import RecordError
from accelmnist.measure.statistics.summary import (
    Summary,
    _middle_ranks,
    minimum_samples,
    relative_half_width,
    summarize,
    thinned,
)

speeds = st.floats(1e-3, 1e9)
TRIALS = 1000


def covers(summary: Summary, median: float) -> bool:
    return summary.low <= median <= summary.high


def test_median_and_quartiles_to_the_digit() -> None:
    found = summarize([30, 10, 20, 50, 40, 60, 70])
    assert (found.q1, found.median, found.q3) == (25.0, 40.0, 55.0)
    assert found.samples == (30.0, 10.0, 20.0, 50.0, 40.0, 60.0, 70.0)
    assert summarize([3, 1, 2, 4]).median == 2.5


@pytest.mark.parametrize(("confidence", "fewest"), [(0.5, 2), (0.9, 5), (0.95, 6), (0.99, 8)])
def test_fewest_samples_are_those_whose_range_covers_the_median(confidence: float, fewest: int) -> None:
    assert minimum_samples(confidence) == fewest
    assert 1 - 2 * 0.5**fewest >= confidence > 1 - 2 * 0.5 ** (fewest - 1)


@pytest.mark.parametrize("count", range(1, 6))
def test_too_few_samples_have_their_range_for_an_interval_and_never_stop_the_sampling(count: int) -> None:
    found = summarize([100.0 + index for index in range(count)])
    assert (found.low, found.high) == (100.0, 99.0 + count)
    assert relative_half_width(found) == relative_half_width(summarize([7.0] * count)) == math.inf


@pytest.mark.parametrize("count", [7, 15, 31, 101])
def test_an_odd_number_has_the_interval_of_the_beta_law(count: int) -> None:
    """The median of n uniform numbers follows Beta((n + 1) / 2, (n + 1) / 2), so the true endpoints are known."""
    found = summarize(range(1, count + 1))
    law = stats.beta((count + 1) / 2, (count + 1) / 2)
    low, high = law.ppf([0.025, 0.975]) * (count + 1)
    tolerance = 0.15 * law.std() * (count + 1)  # three standard errors of a 2.5 % quantile from 2,000 resamples
    assert (found.low, found.high) == (pytest.approx(low, abs=tolerance), pytest.approx(high, abs=tolerance))


@pytest.mark.parametrize("count", [6, 20])
def test_an_even_number_has_the_interval_of_plain_resampling(count: int) -> None:
    """Against resamples drawn one by one: uniform heights, looked up among the samples, sorted, the middle two."""
    samples = np.sort(np.random.default_rng(5).lognormal(0, 0.3, count))
    heights = np.sort(np.random.default_rng(6).random((20_000, count)), axis=1)[:, [count // 2 - 1, count // 2]]
    medians = np.interp(heights, np.arange(1, count + 1) / (count + 1), samples).mean(axis=1)
    found = summarize(samples.tolist())
    tolerance = 0.15 * medians.std()
    np.testing.assert_allclose((found.low, found.high), np.quantile(medians, [0.025, 0.975]), atol=tolerance)


@pytest.mark.parametrize("count", [6, 20, 100])
def test_the_two_middle_values_of_a_resample_are_one_rank_apart_on_average(count: int) -> None:
    """Neighbours among n uniform numbers lie 1 / (n + 1) apart on average, which is one rank."""
    lower, upper = _middle_ranks(count)
    assert (upper - lower).mean() == pytest.approx(1, rel=0.08)
    assert (upper + lower).mean() / 2 == pytest.approx((count - 1) / 2)


def test_a_higher_confidence_is_a_wider_interval() -> None:
    samples = np.random.default_rng(0).lognormal(0, 0.02, 30).tolist()
    narrow, usual, wide = (summarize(samples, confidence=confidence) for confidence in (0.8, 0.95, 0.99))
    assert wide.low < usual.low < narrow.low < narrow.median < narrow.high < usual.high < wide.high


@pytest.mark.parametrize("count", [6, 7, 15, 30])
@pytest.mark.parametrize("shape", ["normal", "lognormal", "stalls"])
@pytest.mark.slow
def test_the_interval_covers_the_median_as_often_as_it_says(shape: str, count: int) -> None:
    """95 %, give or take three standard errors (2 points); plain percentile intervals cover 88 % at 7 and 15."""
    random = np.random.default_rng(count)
    draws = random.standard_normal((TRIALS, count))
    if shape == "stalls":  # a fifth are far off, as many on either side, so that the median stays at 1
        samples = (1 + 0.02 * draws) * random.choice([0.5, 1, 2], draws.shape, p=[0.1, 0.8, 0.1])
    else:
        samples = 1 + 0.03 * draws if shape == "normal" else np.exp(0.5 * draws)
    covered = np.mean([covers(summarize(row), 1.0) for row in samples])
    assert 0.93 <= covered <= 0.98


def test_half_width_is_the_longer_arm() -> None:
    summary = Summary(median=200.0, low=199.0, high=204.0, q1=198.0, q3=203.0, samples=(200.0,) * 6)
    assert relative_half_width(summary) == 0.02
    assert relative_half_width(summarize([3.0] * 6)) == 0.0


def test_half_width_falls_with_the_root_of_the_number_of_samples() -> None:
    random = np.random.default_rng(2)
    widths = [
        np.mean([relative_half_width(summarize(random.lognormal(0, 0.02, count))) for _ in range(100)])
        for count in (25, 100, 400)
    ]
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.15)
    assert widths[1] / widths[2] == pytest.approx(2, rel=0.15)


@given(st.lists(speeds, min_size=1, max_size=40), st.randoms())
def test_order_does_not_matter_and_figures_are_in_order(samples: Any, random: Any) -> None:
    found = summarize(samples)
    shuffled = random.sample(samples, len(samples))
    again = summarize(shuffled)
    assert (again.median, again.low, again.high, again.q1, again.q3) == (
        found.median,
        found.low,
        found.high,
        found.q1,
        found.q3,
    )
    assert again.samples == tuple(shuffled)
    inside = (min(samples), found.low, found.median, found.high, max(samples))
    assert all(left <= right * (1 + 1e-12) for left, right in pairwise(inside))


@given(st.lists(speeds, min_size=1, max_size=40), st.floats(1e-3, 1e3))
def test_figures_scale_with_the_samples(samples: Any, factor: Any) -> None:
    found, scaled = summarize(samples), summarize([sample * factor for sample in samples])
    ours = np.array([found.median, found.low, found.high, found.q1, found.q3])
    np.testing.assert_allclose([scaled.median, scaled.low, scaled.high, scaled.q1, scaled.q3], ours * factor)


@given(st.lists(speeds, min_size=6, max_size=40))
def test_a_mirrored_sample_has_the_mirrored_interval(samples: Any) -> None:
    axis = min(samples) + max(samples)
    found, mirrored = summarize(samples), summarize([axis - sample for sample in samples])
    np.testing.assert_allclose((mirrored.low, mirrored.high), (axis - found.high, axis - found.low), atol=1e-9 * axis)


@pytest.mark.parametrize("samples", [[], [1.0, 0.0], [1.0, -2.0], [math.nan], [1.0, math.inf]])
def test_what_is_no_speed_is_refused(samples: list[Any]) -> None:
    with pytest.raises(RecordError, match="sample") as caught:
        summarize(samples)
    assert caught.value.remedy == "Measure the case again"


@pytest.mark.parametrize(("count", "kept"), [(1, 1), (1000, 1000), (1001, 501), (10_000, 1000)])
def test_thinning_keeps_the_order_and_the_first(count: int, kept: int) -> None:
    samples = thinned(np.arange(1.0, count + 1))
    assert samples.size == kept
    assert samples[0] == 1
    assert (np.diff(samples) > 0).all()
