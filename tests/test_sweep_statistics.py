"""What differences between networks are worth: against scipy, against simulated seeds, and in words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import optimize, special, stats

from accelmnist.core.metrics import wilson_interval
from accelmnist.sweep.conclusion import accuracies, conclude
from accelmnist.sweep.plan import candidates
from accelmnist.sweep.statistics import (
    against_best,
    log_errors,
    moderate,
    own_noise,
    paired_gap,
    paired_noise,
    relative_half_widths,
)
from tests.sweep_samples import IMAGES, sweep_config, sweep_record


def noisy(chance: Any, centres: Any, *, seeds: int, noise: float | np.ndarray = 0.05) -> Any:
    return np.asarray(centres)[:, None] + np.asarray(noise).reshape(-1, 1) * chance.standard_normal(
        (len(centres), seeds)
    )


def test_of_two_candidates_the_test_is_the_paired_t_test() -> None:
    """What the seeds do to both alike cancels, however large it is."""
    chance = np.random.default_rng(3)
    logs = noisy(chance, [-4.0, -3.9], seeds=5) + chance.standard_normal((1, 5))
    found = against_best(logs, 0, paired_noise(logs))
    expected = stats.ttest_rel(logs[1], logs[0], alternative="greater")
    # The pool of two has the 4 degrees of freedom of their five differences.
    assert paired_noise(logs).df == pytest.approx(4)
    assert found.p_values[0] == 1
    assert found.p_values[1] == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.error_ratios[1] == pytest.approx(stats.gmean(np.exp(logs[1] - logs[0])), rel=1e-9)


def test_the_shared_variance_is_smyths_estimate() -> None:
    """The same equations solved by scipy's root finder instead of Newton's method."""
    variances = np.random.default_rng(5).chisquare(2, 40) * np.random.default_rng(6).lognormal(-6, 0.9, 40)
    logs = np.log(variances) - special.digamma(1) + np.log(1)
    excess = logs.var(ddof=1) - special.polygamma(1, 1)
    half = optimize.brentq(lambda half: special.polygamma(1, half) - excess, 0.05, 1e6)
    shared = math.exp(logs.mean() + special.digamma(half) - math.log(half))
    made = moderate(variances, 2)
    assert made.prior_df == pytest.approx(2 * half, rel=1e-6)
    assert made.pooled == pytest.approx(shared, rel=1e-6)
    assert made.variances == pytest.approx((2 * half * shared + 2 * variances) / (2 * half + 2), rel=1e-6)


def test_equally_noisy_candidates_share_one_variance() -> None:
    chance = np.random.default_rng(8)
    variances = 0.0025 * chance.chisquare(2, 400) / 2
    made = moderate(variances, 2)
    assert made.prior_df > 30  # three seeds alone would have 2 degrees of freedom
    assert made.pooled == pytest.approx(0.0025, rel=0.15)


def test_a_candidate_that_is_noisier_than_the_others_keeps_its_noise() -> None:
    variances = np.concatenate([0.0025 * np.random.default_rng(9).chisquare(2, 60) / 2, [4.0]])
    made = moderate(variances, 2)
    assert made.variances[-1] > 100 * np.median(made.variances)


def test_intervals_cover_the_mean_as_often_as_they_say() -> None:
    """With three seeds and candidates that are not equally noisy, 12,000 intervals."""
    chance, hits = np.random.default_rng(0), []
    noise = np.linspace(0.03, 0.07, 30)
    for _ in range(400):
        logs = noisy(chance, np.zeros(30), seeds=3, noise=noise)
        hits.append(np.abs(logs.mean(axis=1)) <= relative_half_widths(own_noise(logs), 3))
    assert 0.94 <= np.mean(hits) <= 0.975


@pytest.mark.parametrize("count", [3, 30])
def test_the_truly_best_is_rarely_called_worse(count: int) -> None:
    """All are as good as one another but for a hair of one: it is excluded in 5 % of the sweeps at most."""
    chance, excluded = np.random.default_rng(1), 0
    centres = np.zeros(count)
    centres[1] = -1e-9
    for _ in range(600):
        logs = noisy(chance, centres, seeds=3)
        excluded += bool(against_best(logs, int(logs.mean(axis=1).argmin()), paired_noise(logs)).is_worse[1])
    assert excluded / 600 <= 0.05


def test_a_true_difference_is_found_though_there_are_three_seeds() -> None:
    """A quarter more mistakes, which three seeds alone could never tell after thirty comparisons."""
    chance, found = np.random.default_rng(2), 0
    centres = np.array([0.0, *np.full(29, math.log(1.25))])
    for _ in range(100):
        logs = noisy(chance, centres, seeds=3)
        found += int(against_best(logs, 0, paired_noise(logs)).is_worse.sum())
    assert found / 2900 > 0.9


def test_identical_seeds_leave_no_noise() -> None:
    logs = np.array([[-4.0] * 3, [-4.0] * 3, [-3.0] * 3, [-2.0] * 3])
    found = against_best(logs, 0, paired_noise(logs))
    assert found.p_values.tolist() == [1, 1, 0, 0]


def test_a_perfect_score_is_half_a_mistake() -> None:
    assert log_errors(np.array([1.0]), 999).tolist() == [math.log(0.0005)]


def test_gaps_are_students_intervals() -> None:
    values = np.array([0.1, 0.3, 0.2, 0.5])
    mean, low, high = paired_gap(values)
    expected = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    assert (low, high) == pytest.approx(expected)
    assert mean == pytest.approx(0.275)
    assert paired_gap(values[:1]) is None


def test_wilsons_interval_is_scipys() -> None:
    expected = stats.binomtest(9_850, 10_000).proportion_ci(0.95, method="wilson")
    assert wilson_interval(9_850, 10_000) == pytest.approx((expected.low, expected.high), abs=1e-9)


# --- what is said


def independent_verdicts(record: Any) -> Any:
    """Which candidates may be as good as the best, by scipy's distributions and a loop over candidates."""
    wrong = np.round((1 - accuracies(record.candidates)) * IMAGES)
    logs = np.log((wrong + 0.5) / (IMAGES + 1))
    rows, seeds = logs.shape
    best = max(range(rows), key=lambda place: np.mean([trial.accuracy for trial in record.candidates[place].trials]))
    by_seed = [np.mean([row[seed] for row in logs]) for seed in range(seeds)]
    own_df = (seeds - 1) * (rows - 1) / rows
    residuals = [[row[s] - np.mean(row) - by_seed[s] + np.mean(logs) for s in range(seeds)] for row in logs]
    pool = moderate(np.array([sum(r * r for r in row) / own_df for row in residuals]), own_df)
    df = min(pool.prior_df + own_df, rows * own_df)
    said = {best: "best"}
    for place in set(range(rows)) - {best}:
        error = math.sqrt((pool.variances[place] + pool.variances[best]) / seeds)
        tail = stats.t.sf(np.mean(logs[place] - logs[best]) / error, df)
        said[place] = "worse" if tail * (rows - 1) < 0.05 else "within noise"
    return said


@pytest.mark.parametrize("seed", range(5))
def test_what_is_noise_is_what_scipy_calls_noise(seed: int) -> None:
    errors = np.linspace(0.020, 0.035, 24)
    record = sweep_record(errors=errors, seed=seed)
    said = {place: result.standing.verdict for place, result in enumerate(record.candidates)}
    assert said == independent_verdicts(record)
    assert set(said.values()) == {"best", "within noise", "worse"}


def test_the_sentences_say_what_the_standings_say() -> None:
    record = sweep_record(errors=np.linspace(0.020, 0.035, 24))
    level = [result for result in record.ranked if result.standing.verdict == "within noise"]
    best = record.ranked[0]
    assert record.findings[0].startswith(
        f"{best.network} {best.activation} {best.output} has the best mean over 3 seeds"
    )
    assert f"{100 * best.accuracy.mean:.2f} %" in record.findings[0]
    assert record.findings[1].startswith(f"Within the noise of the seeds lie {len(level)} of the 23 others: ")
    assert f"{level[0].network} {level[0].activation} {level[0].output}" in record.findings[1]


def test_one_clear_winner_is_said_to_be_one() -> None:
    record = sweep_record(errors=[0.01, *np.full(23, 0.05)])
    assert record.findings[1] == "All 23 others are worse by more than the noise of the seeds"
    assert not any(sentence.startswith("The smallest of these") for sentence in record.findings)


def test_the_smallest_that_may_be_the_best_is_named() -> None:
    config = sweep_config()
    errors = [0.02 if candidate.activation == "relu" else 0.08 for candidate in candidates(config)]
    record = sweep_record(config, errors=errors)
    level = [result for result in record.ranked if result.standing.verdict != "worse"]
    smallest = min(level, key=lambda result: result.parameters)
    said = next((sentence for sentence in record.findings if sentence.startswith("The smallest")), None)
    if smallest is record.ranked[0]:
        assert said is None
    else:
        assert f"{smallest.network} relu" in said


def test_a_planted_effect_is_found_and_a_missing_one_is_called_chance() -> None:
    """tanh makes 1.5 times relu's mistakes everywhere; the outputs differ in nothing."""
    config = sweep_config()
    factor = {"relu": 1.0, "tanh": 1.5, "sigmoid": 2.0}
    errors = [0.02 * factor[candidate.activation] for candidate in candidates(config)]
    record = sweep_record(config, errors=errors, noise=0.02)
    by_factor = {effect.factor: effect for effect in record.effects}
    levels = by_factor["activation"].levels
    assert [level.value for level in levels] == ["relu", "tanh", "sigmoid"]
    assert levels[1].gap == pytest.approx(0.01, rel=0.1)
    assert levels[1].low < 0.01 < levels[1].high
    assert levels[0].wins == levels[0].settings == 8
    outputs = next(sentence for sentence in record.findings if sentence.startswith("Of the outputs"))
    assert "which may be chance" in outputs
    activations = next(sentence for sentence in record.findings if sentence.startswith("Of the activations"))
    assert "Of the activations relu makes the fewest mistakes over 8 settings" in activations
    assert [level.error_ratio for level in levels] == pytest.approx([1.0, 1.5, 2.0], rel=0.05)
    assert levels[1].ratio_low < 1.5 < levels[1].ratio_high
    assert "chance" not in activations
    depths = by_factor["layers"].levels
    assert {level.value for level in depths} == {"1", "2"}
    assert depths[0].settings == 6  # only the width of 64 has two depths


def test_small_networks_do_not_decide_alone_which_value_is_best() -> None:
    """tanh makes half of relu's mistakes in all but the smallest networks, which err more than all others together."""
    config = sweep_config()
    smallest = min(max(candidate.hidden, default=0) for candidate in candidates(config))
    errors = []
    for one in candidates(config):
        small = max(one.hidden, default=0) == smallest
        base = 0.30 if small else 0.02
        factor = {"relu": 1.0, "tanh": 1.2 if small else 0.5, "sigmoid": 2.0}[one.activation]
        errors.append(base * factor)
    (effect,) = [one for one in sweep_record(config, errors=errors, noise=0.01).effects if one.factor == "activation"]
    means = {level.value: level.mean for level in effect.levels}
    assert means["relu"] > means["tanh"]
    assert effect.levels[0].value == "tanh"


def test_a_single_seed_has_no_noise_and_no_claims() -> None:
    record = sweep_record(sweep_config(seeds=1))
    assert record.noise is None
    assert record.findings == ()
    assert all(result.accuracy.low is None for result in record.candidates)
    assert all(result.standing is None for result in record.candidates)


def test_concluding_twice_changes_nothing() -> None:
    record = sweep_record()
    assert conclude(record) == record


def test_the_fronts_are_those_of_a_plain_search() -> None:
    record = sweep_record(errors=np.random.default_rng(4).uniform(0.02, 0.1, 24))
    for cost, price in (("parameters", lambda r: r.parameters), ("time", lambda r: r.train_s)):
        for result in record.candidates:
            beaten = any(
                other.accuracy.mean >= result.accuracy.mean
                and price(other) <= price(result)
                and (
                    other.accuracy.mean > result.accuracy.mean
                    or price(other) < price(result)
                    or other.rank < result.rank
                )
                for other in record.candidates
                if other is not result
            )
            assert (cost in result.on_front) == (not beaten)
