"""Verdicts on pairs: known answers, scipy's p-values, false alarms and power on simulated noise, symmetries."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from accelmnist.core.errors import RecordError
from accelmnist.measure.statistics.comparison import Comparison, compare, compare_processes, regressed
from accelmnist.measure.statistics.summary import minimum_samples
from bench.studies import simulate_statistics as simulation
from bench.studies.simulate_statistics import NOISES, Simulator, from_records, interleaved

TRIALS = 400
MIRRORED = {"faster": "slower", "slower": "faster", "same": "same", "ambiguous": "ambiguous"}

speed_pairs = st.lists(st.tuples(st.floats(50, 200), st.floats(50, 200)), min_size=1, max_size=20)


def lognormal(sigma: float, count: int, *, seed: int, factor: float = 1.0) -> list[float]:
    return (factor * np.random.default_rng(seed).lognormal(0, sigma, count)).tolist()


def test_six_rounds_by_hand() -> None:
    """Log ratios of 1 to 6 times log 1.01: the median of their pair means is 3.5; the interval leaves out none of them.

    Wilcoxon's sum of positive ranks is 21 of 21: z = (21 - 10.5 - 0.5) / sqrt(6 * 7 * 13 / 24).
    """
    new = [100 * 1.01**power for power in range(1, 7)]
    found = compare([100.0] * 6, new, paired=True)
    assert found.ratio == pytest.approx(1.01**3.5)
    assert (found.low, found.high) == (pytest.approx(1.01), pytest.approx(1.01**6))
    assert found.p_value == pytest.approx(2 * stats.norm.sf(10 / math.sqrt(22.75)))
    assert found.verdict == "faster"


def test_two_records_by_hand() -> None:
    """All four of new are above all four of base: U is 16 of 16; the interval leaves out no difference.

    The test alone would call it significant, but of four samples nobody knows the median.
    """
    found = compare([100.0, 101, 102, 103], [110.0, 111, 112, 113], paired=False)
    quotients = sorted(new / base for new in (110, 111, 112, 113) for base in (100, 101, 102, 103))
    assert found.ratio == pytest.approx(math.sqrt(quotients[7] * quotients[8]))
    assert (found.low, found.high) == (pytest.approx(110 / 103), pytest.approx(113 / 100))
    assert found.p_value == pytest.approx(2 * stats.norm.sf(7.5 / math.sqrt(12)))
    assert found.p_value < 0.05
    assert found.verdict == "ambiguous"


@given(st.integers(6, 40), st.floats(-0.02, 0.02), st.integers(0, 1000))
def test_p_values_are_scipys(count: Any, shift: Any, seed: Any) -> None:
    base, new = lognormal(0.02, count, seed=seed), lognormal(0.02, count + 3, seed=seed + 1, factor=1 + shift)
    logs = np.log(base), np.log(new)
    theirs = stats.mannwhitneyu(*logs, method="asymptotic").pvalue
    assert compare(base, new, paired=False).p_value == pytest.approx(theirs, rel=1e-9)
    pairs = stats.wilcoxon(logs[1][:count] - logs[0], correction=True, method="asymptotic").pvalue
    assert compare(base, new[:count], paired=True).p_value == pytest.approx(pairs, rel=1e-9)


@pytest.mark.parametrize("count", [6, 8, 12])
def test_p_values_are_near_the_exact_ones(count: int) -> None:
    for seed in range(50):
        base, new = lognormal(0.02, count, seed=seed), lognormal(0.02, count, seed=seed + 1, factor=1.02)
        exact_pairs = stats.wilcoxon(np.log(new) - np.log(base), method="exact").pvalue
        exact = stats.mannwhitneyu(new, base, method="exact").pvalue
        for paired, theirs in ((True, exact_pairs), (False, exact)):
            if theirs < 0.1:
                assert compare(base, new, paired=paired).p_value == pytest.approx(theirs, abs=0.007)


@given(st.integers(6, 30), st.integers(0, 1000), st.booleans())
def test_the_interval_holds_what_the_test_would_not_reject(count: Any, seed: Any, paired: Any) -> None:
    """Taking out a ratio inside it leaves nothing significant; one outside does."""
    base, new = lognormal(0.03, count, seed=seed), lognormal(0.03, count, seed=seed + 1)
    found = compare(base, new, paired=paired)
    for ratio, significant in (
        (found.low * (1 - 1e-9), True),
        (found.low * (1 + 1e-9), False),
        (found.high * (1 - 1e-9), False),
        (found.high * (1 + 1e-9), True),
    ):
        p_value = compare(base, [sample / ratio for sample in new], paired=paired).p_value
        assert (p_value < 0.05) == significant


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(
    ("factor", "threshold", "verdict"),
    [
        (1.05, 0.02, "faster"),
        (0.95, 0.02, "slower"),
        (1.01, 0.02, "same"),  # significant, and below the threshold
        (1.01, 0.005, "faster"),
        (1.00, 0.02, "same"),
        (1.00, 0.0005, "ambiguous"),  # the interval is wider than the threshold
    ],
)
def test_verdicts(factor: float, threshold: float, verdict: str, paired: bool) -> None:
    base, new = lognormal(0.005, 30, seed=1), lognormal(0.005, 30, seed=2, factor=factor)
    found = compare(base, new, paired=paired, threshold=threshold)
    assert found.verdict == verdict
    assert found.ratio == pytest.approx(factor, abs=0.004)


def test_an_effect_above_the_threshold_that_is_not_significant_is_ambiguous() -> None:
    base, new = lognormal(0.2, 30, seed=1), lognormal(0.2, 30, seed=3, factor=1.05)
    found = compare(base, new, paired=True)
    assert abs(found.ratio - 1) > 0.02
    assert found.p_value > 0.05
    assert found.verdict == "ambiguous"


@pytest.mark.parametrize("paired", [True, False])
def test_too_few_samples_are_ambiguous_however_clear_or_equal_they_look(paired: bool) -> None:
    """Fewer than those of which `bench` says that they are too few."""
    slow, fast = [100.0] * 5, [200.0] * 5
    assert minimum_samples() == 6
    assert compare(slow, fast, paired=paired).verdict == compare(slow, slow, paired=paired).verdict == "ambiguous"
    assert compare([*slow, 100.0], [*fast, 200.0], paired=paired).verdict == "faster"


def test_the_smaller_of_two_records_decides_whether_samples_are_too_few() -> None:
    assert compare([100.0] * 5, [200.0] * 30, paired=False).verdict == "ambiguous"
    assert compare([100.0] * 30, [200.0] * 5, paired=False).verdict == "ambiguous"


@given(speed_pairs, st.booleans())
def test_a_case_against_itself_is_1(pairs: Any, paired: Any) -> None:
    base = [pair[0] for pair in pairs]
    found = compare(base, base, paired=paired)
    assert found.ratio == pytest.approx(1, rel=1e-12)
    assert found.p_value == 1.0
    assert found.verdict in ("same", "ambiguous")


def test_a_case_paired_with_itself_is_the_same() -> None:
    base = lognormal(0.2, 30, seed=0)
    assert compare(base, base, paired=True) == Comparison(ratio=1.0, low=1.0, high=1.0, verdict="same", p_value=1.0)


@given(speed_pairs, st.booleans(), st.floats(0.001, 0.1))
def test_swapping_inverts_ratio_interval_and_verdict(pairs: Any, paired: Any, threshold: Any) -> None:
    base, new = (list(side) for side in zip(*pairs, strict=True))
    found = compare(base, new, paired=paired, threshold=threshold)
    swapped = compare(new, base, paired=paired, threshold=threshold)
    np.testing.assert_allclose(
        (swapped.ratio, swapped.low, swapped.high), (1 / found.ratio, 1 / found.high, 1 / found.low)
    )
    assert swapped.verdict == MIRRORED[found.verdict]
    assert swapped.p_value == found.p_value


@given(speed_pairs, st.booleans(), st.integers(-20, 20))
def test_the_unit_does_not_matter(pairs: Any, paired: Any, power: Any) -> None:
    base, new = (np.array(side) for side in zip(*pairs, strict=True))
    found = compare(base, new, paired=paired)
    scaled = compare(base * 2.0**power, new * 2.0**power, paired=paired)
    np.testing.assert_allclose((scaled.ratio, scaled.low, scaled.high), (found.ratio, found.low, found.high))


@given(speed_pairs, st.randoms())
def test_the_order_does_not_matter(pairs: Any, random: Any) -> None:
    """Of the rounds where they are pairs, of each side's samples where they are not."""
    base, new = (list(side) for side in zip(*pairs, strict=True))
    shuffled = random.sample(pairs, len(pairs))
    other_base, other_new = (list(side) for side in zip(*shuffled, strict=True))
    assert compare(other_base, other_new, paired=True) == compare(base, new, paired=True)
    assert compare(other_base, new, paired=False) == compare(base, new, paired=False)


@given(speed_pairs, st.lists(st.floats(0.1, 1.0), min_size=20, max_size=20))
def test_what_slows_a_whole_round_cancels_in_pairs(pairs: Any, slowdowns: Any) -> None:
    base, new = (np.array(side) for side in zip(*pairs, strict=True))
    factors = np.array(slowdowns[: len(pairs)])
    quiet, noisy = compare(base, new, paired=True), compare(base * factors, new * factors, paired=True)
    np.testing.assert_allclose((noisy.ratio, noisy.low, noisy.high), (quiet.ratio, quiet.low, quiet.high))


def test_the_limit_cancels_a_slower_machine() -> None:
    """The same program on a machine that is 10 % slower the second time, and whose limit says so."""
    base, new = lognormal(0.01, 30, seed=1), lognormal(0.01, 30, seed=2, factor=0.9)
    limits = lognormal(0.01, 30, seed=3, factor=4e11), lognormal(0.01, 30, seed=4, factor=0.9 * 4e11)
    assert compare(base, new, paired=False).verdict == "slower"
    found = compare(base, new, paired=False, limits=limits)
    assert found.verdict == "same"
    assert found.ratio == pytest.approx(1, abs=0.01)


def test_many_samples_are_thinned_and_still_answered() -> None:
    base, new = lognormal(0.02, 30_000, seed=1), lognormal(0.02, 20_000, seed=2, factor=1.03)
    found = compare(base, new, paired=False)
    assert found.verdict == "faster"
    assert found.low < 1.03 < found.high


# --- rates, on simulated noise: at 30 rounds, the default ---


@pytest.mark.parametrize("noise", NOISES)
def test_pairs_alike_are_called_different_in_5_percent_at_most(noise: str) -> None:
    shares = Simulator(TRIALS, seed=1).shares(partial(interleaved, draw=NOISES[noise], rounds=30))
    assert shares["faster"] + shares["slower"] <= 0.05


@pytest.mark.parametrize("noise", NOISES)
def test_a_true_slowdown_of_5_percent_is_found_in_95_percent_at_least(noise: str) -> None:
    shares = Simulator(TRIALS, seed=2).shares(partial(interleaved, draw=NOISES[noise], rounds=30, slowdown=0.05))
    assert shares["slower"] >= 0.95
    assert shares["faster"] == 0


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("count", [8, 30])
def test_significance_alone_is_wrong_in_5_percent(paired: bool, count: int) -> None:
    """Without a threshold what is left is the test: its rate is 5 %, or somewhat less, as it has few values."""
    random = np.random.default_rng(count)
    samples = random.lognormal(0, 0.02, (1000, 2, count)).tolist()
    found = Counter(compare(*sides, paired=paired, threshold=0.0).verdict for sides in samples)
    assert 0.02 <= (found["faster"] + found["slower"]) / 1000 <= 0.07
    assert abs(found["faster"] - found["slower"]) < 35


@pytest.mark.parametrize("paired", [True, False])
def test_the_interval_covers_the_true_ratio(paired: bool) -> None:
    random = np.random.default_rng(3)
    samples = random.lognormal(0, 0.03, (1000, 2, 20))
    found = (compare(base, new * 1.04, paired=paired) for base, new in samples)
    assert 0.93 <= np.mean([comparison.low <= 1.04 <= comparison.high for comparison in found]) <= 0.98


def test_records_of_a_machine_that_moves_need_its_limits() -> None:
    trial = partial(from_records, draw=NOISES["jitter 2 %"], rounds=30, level=0.03, apart=0.0)
    simulator = Simulator(TRIALS, seed=1)
    as_they_are, over_limit = (simulator.shares(partial(trial, by_limits=flag)) for flag in (False, True))
    assert as_they_are["faster"] + as_they_are["slower"] > 0.4
    assert over_limit["faster"] + over_limit["slower"] <= 0.05
    assert simulator.shares(partial(trial, by_limits=True, slowdown=0.05))["slower"] >= 0.95


def test_the_report_has_a_row_for_every_noise_and_marks_what_missed_its_bar() -> None:
    text = simulation.report(Simulator(trials=8, seed=0), rounds=6)
    assert all(f"| {noise} |" in text for noise in NOISES)
    assert "**" in next(line for line in text.splitlines() if line.startswith("| moves by 3 %"))
    assert text.count("| jitter 1 % |") == 1 + 1 + 3  # pairs, stopping, symptoms at three numbers of samples


# --- use ---


@pytest.mark.parametrize(
    ("ratio", "verdict", "fail_on", "expected"),
    [
        (0.90, "slower", 0.05, True),
        (1 / 1.05, "slower", 0.05, True),
        (0.96, "slower", 0.05, False),
        (0.90, "ambiguous", 0.05, False),
        (1.20, "faster", 0.05, False),
        (0.96, "slower", 0.02, True),
    ],
)
def test_regressed(ratio: float, verdict: str, fail_on: float, expected: bool) -> None:
    comparison = Comparison(ratio=ratio, low=ratio * 0.99, high=ratio * 1.01, verdict=verdict, p_value=0.001)
    assert regressed(comparison, fail_on=fail_on) is expected


@pytest.mark.parametrize(
    ("base", "new", "limits", "message"),
    [
        ([1.0, 2.0], [1.0], None, "2 samples can't be paired with 1"),
        ([1.0], [0.0], None, "a sample is 0.0"),
        ([], [1.0], None, "there are no samples"),
    ],
)
def test_what_does_not_fit_is_refused(base: list[Any], new: list[float], limits: None, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        compare(base, new, paired=True)


def test_a_limit_a_sample() -> None:
    with pytest.raises(RecordError, match="2 samples have 1 limits"):
        compare([1.0, 2.0], [1.0, 2.0], paired=False, limits=([1.0], [1.0, 1.0]))


def test_one_pair_of_processes_says_nothing_below_a_tenth() -> None:
    said = [compare_processes([[1.0] * 60], [[speed] * 60], threshold=0.01).verdict for speed in (0.8, 0.93, 1.0, 1.3)]
    assert said == ["slower", "ambiguous", "ambiguous", "faster"]
