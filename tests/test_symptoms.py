"""Each symptom on what it is there for, on what it must not be taken in by, and its false alarms on clean noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from accelmnist.measure.statistics.symptoms import RoundLoad, find_symptoms, trend_p_value

TRIALS = 400
ROUNDS = 30


def jitter(sigma: float, count: int = ROUNDS, *, seed: int = 0) -> np.ndarray:
    return 1e5 * np.random.default_rng(seed).lognormal(0, sigma, count)


def codes(samples: np.ndarray, load: Sequence[RoundLoad] = ()) -> tuple[str, ...]:
    return tuple(symptom.code for symptom in find_symptoms(samples.tolist(), load=load))


def hint(samples: np.ndarray, code: str, load: Sequence[RoundLoad] = ()) -> str:
    return next(symptom.hint for symptom in find_symptoms(samples.tolist(), load=load) if symptom.code == code)


@pytest.mark.parametrize("count", [6, 10, ROUNDS])
@pytest.mark.parametrize("sigma", [0.01, 0.03])
@pytest.mark.slow
def test_clean_noise_raises_no_more_than_5_percent_false_alarms(sigma: float, count: int) -> None:
    idle = np.random.default_rng(1)
    found: Counter[str] = Counter()
    for seed in range(TRIALS):
        load = [RoundLoad(share, throttled=False) for share in idle.exponential(0.01, count)]
        found.update(codes(jitter(sigma, count, seed=seed), load))
    assert max(found.values(), default=0) <= 0.05 * TRIALS, found


@pytest.mark.parametrize("count", range(1, 6))
def test_too_few(count: int) -> None:
    samples = jitter(0.01, count)
    assert codes(samples) == ("too few",)
    assert hint(samples, "too few").startswith(f"{count} of the 6 samples")


def test_six_are_enough() -> None:
    assert codes(np.array([100.0, 101, 99, 100.5, 99.5, 100])) == ()


def test_unstable_is_an_interquartile_range_above_a_tenth_of_the_median() -> None:
    """Quartiles 90.5 and 109.5, or 97.5 and 102.5, with a median of 100."""
    wide = np.array([81, 119, 90, 110, 92, 108, 100], dtype=float)
    narrow = np.array([119, 81, 97, 103, 98, 102, 100], dtype=float)
    assert codes(wide) == ("unstable",)
    assert hint(wide, "unstable").startswith("half of the samples lie 18 % apart")
    assert codes(narrow) == ()


def test_slow_first() -> None:
    samples = jitter(0.02)
    samples[0] *= 0.5
    assert codes(samples) == ("slow first",)
    assert "warm up longer" in hint(samples, "slow first")


def test_a_fast_first_a_slow_one_later_or_a_second_slow_one_is_not_slow_first() -> None:
    for change in ({0: 2.0}, {5: 0.5}, {0: 0.5, 9: 0.5}):
        samples = jitter(0.02)
        for position, factor in change.items():
            samples[position] *= factor
        assert codes(samples) == ()


def test_a_first_that_is_rare_but_no_two_percent_slower_harms_nobody() -> None:
    samples = jitter(0.0005)
    samples[0] *= 0.985
    assert codes(samples) == ()
    samples[0] *= 0.985
    assert codes(samples) == ("slow first",)


@pytest.mark.parametrize(("total", "course"), [(-0.10, "slower"), (0.10, "faster")])
def test_drifting(total: float, course: str) -> None:
    samples = jitter(0.01) * np.linspace(1, 1 + total, ROUNDS)
    assert codes(samples) == ("drifting",)
    assert f"% {course} from the first round to the last" in hint(samples, "drifting")


def test_a_trend_that_comes_to_less_than_two_percent_harms_nobody() -> None:
    samples = jitter(0.001) * np.linspace(1, 0.985, ROUNDS)
    assert trend_p_value(samples) < 1e-6
    assert codes(samples) == ()


@given(st.permutations(range(12)))
def test_the_trend_is_kendalls_tau(order: Any) -> None:
    """Against scipy's exact p-value, which the normal approximation must meet; S is tau times the number of pairs."""
    theirs = stats.kendalltau(range(12), order, method="exact").pvalue
    assert trend_p_value(np.array(order, dtype=float)) == pytest.approx(theirs, abs=0.02)


def test_the_trend_to_the_digit() -> None:
    """Seven rising numbers: S is 21, its variance 7 * 6 * 19 / 18, z = 20 / sqrt(44.33)."""
    assert trend_p_value(np.arange(1.0, 8.0)) == pytest.approx(2 * stats.norm.sf(20 / (7 * 6 * 19 / 18) ** 0.5))
    assert trend_p_value(np.ones(9)) == 1.0


def test_bimodal() -> None:
    random = np.random.default_rng(0)
    samples = jitter(0.01) * random.permutation(np.repeat([1.0, 0.9], [18, 12]))
    assert codes(samples) == ("bimodal",)
    assert hint(samples, "bimodal").startswith("40 % of the samples are a group 10 % slower")


def test_two_values_and_nothing_between_are_bimodal_one_value_is_not() -> None:
    assert codes(np.tile([100.0, 95.0], 10)) == ("bimodal",)
    assert codes(np.full(20, 100.0)) == ()


def test_two_modes_too_close_to_matter_are_none() -> None:
    samples = jitter(0.0005) * np.tile([1.0, 0.985], 15)
    assert codes(samples) == ()


@pytest.mark.parametrize("kind", ["uniform", "stalls", "lopsided"])
def test_one_mode_of_any_shape_is_not_bimodal(kind: str) -> None:
    """Uniform noise of 8 %; a twentieth at half speed; an exponential tail."""
    random = np.random.default_rng(4)
    shapes = {
        "uniform": 1 + 0.08 * random.random((TRIALS, ROUNDS)),
        "stalls": (1 + 0.02 * random.standard_normal((TRIALS, ROUNDS)))
        * np.where(random.random((TRIALS, ROUNDS)) < 0.05, 0.5, 1.0),
        "lopsided": 1 / (1 + random.exponential(0.03, (TRIALS, ROUNDS))),
    }
    assert sum("bimodal" in codes(row) for row in shapes[kind]) <= 0.05 * TRIALS


def test_machine_busy() -> None:
    samples = jitter(0.01)
    busy = [RoundLoad(share, None) for share in (0.0, None, 0.3, 0.06)]
    assert codes(samples, busy) == ("machine busy",)
    assert hint(samples, "machine busy", busy).startswith("other processes used 12 % of the processors")
    assert codes(samples, [RoundLoad(share, None) for share in (0.05, 0.05, None)]) == ()


def test_gpu_throttled() -> None:
    samples = jitter(0.01)
    hot = [RoundLoad(None, throttled) for throttled in (False, True, None, True)]
    assert codes(samples, hot) == ("GPU throttled",)
    assert "in 2 of 4 rounds" in hint(samples, "GPU throttled", hot)


def test_what_nobody_looked_at_is_no_symptom() -> None:
    samples = jitter(0.01)
    assert codes(samples) == codes(samples, []) == codes(samples, [RoundLoad(None, None)]) == ()


def test_several_at_once_are_all_told() -> None:
    samples = jitter(0.12)[:5]
    assert codes(samples, [RoundLoad(0.5, throttled=True)]) == ("too few", "machine busy", "GPU throttled")


@given(st.lists(st.floats(50, 200), min_size=1, max_size=40), st.floats(1e-3, 1e6))
def test_symptoms_do_not_depend_on_the_unit(samples: Any, factor: Any) -> None:
    """In powers of two, so that rounding can't tip a figure that lies on a limit."""
    factor = 2.0 ** round(np.log2(factor))
    assert find_symptoms([sample * factor for sample in samples]) == find_symptoms(samples)
