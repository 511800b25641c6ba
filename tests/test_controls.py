"""Limits as controls: what they did by themselves between two records is no difference of a program."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from accelmnist.core.errors import RecordError
from accelmnist.measure.statistics.comparison import compare
from accelmnist.measure.statistics.controls import against_controls, machine_speeds, spread_of_controls

ROUNDS = 40
CONTROLS = 12


def record(random: Any, *, apart: Any, jitter: float = 0.02, factor: float = 1.0, controls: Any = CONTROLS) -> Any:
    """Speeds of a case and of the controls: all follow the machine, each has its own level, and its own jitter."""
    machine = random.normal(0, 0.1) + random.normal(0, 0.05, ROUNDS)
    levels = random.normal(0, apart, controls + 1)
    logs = machine + levels[:, None] + random.normal(0, jitter, (controls + 1, ROUNDS))
    return factor * np.exp(logs[0]), {f"limit {number}": np.exp(row) for number, row in enumerate(logs[1:])}


def judged(base: Any, new: Any, *, threshold: float = 0.02) -> Any:
    """Both comparisons: by the mean of the limits alone, and against what they did."""
    plain = compare(base[0], new[0], paired=False, limits=machine_speeds(base[1], new[1]), threshold=threshold)
    spread = spread_of_controls(base[1], new[1])
    return plain, against_controls(plain, spread, len(base[1]), threshold=threshold)


def shares(seed: int, trials: Any, *, apart: Any, factor: float = 1.0, controls: Any = CONTROLS) -> Any:
    """How often a difference is claimed, both ways, and how often the truth is in the interval."""
    random = np.random.default_rng(seed)
    found = [
        judged(
            record(random, apart=apart, controls=controls),
            record(random, apart=apart, factor=factor, controls=controls),
        )
        for _ in range(trials)
    ]
    claimed = [np.mean([each[way].verdict in ("faster", "slower") for each in found]) for way in (0, 1)]
    held = np.mean([each[1].low <= factor <= each[1].high for each in found])
    return *claimed, held


@pytest.mark.parametrize("controls", [4, 12])
@pytest.mark.parametrize("apart", [0.0, 0.01, 0.05])
@pytest.mark.slow
def test_records_alike_are_called_different_in_5_percent_at_most(apart: float, controls: int) -> None:
    """Up to two standard errors of so many trials."""
    plain, counted, held = shares(0, 600, apart=apart, controls=controls)
    assert counted <= 0.05 + 0.018
    assert held >= 0.95 - 0.018
    if apart == 0.05:
        assert plain > 0.5


def test_a_difference_beyond_the_controls_is_found() -> None:
    assert shares(1, 100, apart=0.005, factor=0.95)[1] >= 0.95
    assert shares(2, 100, apart=0.02, factor=0.85)[1] >= 0.95


def test_where_the_controls_agree_little_is_lost() -> None:
    plain, counted, _ = shares(3, 200, apart=0.0, factor=0.975)
    assert counted >= plain - 0.15


def test_with_samples_that_agree_the_interval_is_that_of_a_further_observation() -> None:
    random = np.random.default_rng(4)
    base, new = (record(random, apart=0.05, jitter=1e-9) for _ in range(2))
    found = judged(base, new)[1]
    moved = [math.log(np.median(new[1][key]) / np.median(base[1][key])) for key in base[1]]
    margin = stats.t.ppf(0.975, CONTROLS - 1) * np.std(moved, ddof=1) * math.sqrt(1 + math.pi / 2 / CONTROLS)
    assert math.log(found.high / found.ratio) == pytest.approx(margin, rel=1e-3)
    assert math.log(found.ratio / found.low) == pytest.approx(margin, rel=1e-3)
    apart = abs(math.log(found.ratio)) / (np.std(moved, ddof=1) * math.sqrt(1 + math.pi / 2 / CONTROLS))
    assert found.p_value == pytest.approx(2 * stats.t.sf(apart, CONTROLS - 1), rel=1e-3)


def test_p_value_and_interval_agree_on_what_is_significant() -> None:
    random = np.random.default_rng(5)
    for _ in range(200):
        found = judged(record(random, apart=0.01), record(random, apart=0.01, factor=0.97))[1]
        if not 0.045 < found.p_value < 0.055:
            assert (found.p_value < 0.05) == (not found.low <= 1 <= found.high)


def test_swapping_the_records_inverts_the_answer() -> None:
    random = np.random.default_rng(6)
    base, new = record(random, apart=0.02), record(random, apart=0.02, factor=0.9)
    one, other = judged(base, new)[1], judged(new, base)[1]
    assert (one.ratio, one.low, one.high) == pytest.approx((1 / other.ratio, 1 / other.high, 1 / other.low))
    assert one.p_value == pytest.approx(other.p_value)


def test_controls_alike_to_the_bit_change_nothing() -> None:
    base, new = record(np.random.default_rng(7), apart=0.0), record(np.random.default_rng(8), apart=0.0)
    rates = {key: np.ones(ROUNDS) for key in base[1]}
    plain, counted = judged((base[0], rates), (new[0], rates))
    assert counted == plain


def test_the_machine_is_the_median_and_its_own_drift_is_no_spread() -> None:
    rates = {"flop/s": [1e11, 4e11, 2e11], "bytes/s": [1e9, 4e9, 2e9], "operations/s": [1e5, 4e5, 2e5]}
    halved = {key: [rate / 2 for rate in taken] for key, taken in rates.items()}
    base, new = machine_speeds(rates, halved)
    assert np.array(base) / np.array(new) == pytest.approx([2, 2, 2])
    assert np.array(base) / base[0] == pytest.approx([1, 4, 2])
    assert spread_of_controls(rates, halved) == pytest.approx(0.0, abs=1e-12)
    assert spread_of_controls({"a": [1.0], "b": [1.0]}, {"a": [1.0], "b": [2.0]}) is None


def test_the_stall_of_one_limit_does_not_move_the_machine() -> None:
    rates = {str(number): [1.0, 1.0, 1.0] for number in range(5)}
    stalled = rates | {"3": [1.0, 0.1, 1.0]}
    assert machine_speeds(rates, stalled) == ((1.0, 1.0, 1.0), (1.0, 1.0, 1.0))


def test_a_rate_that_cannot_be_is_refused() -> None:
    with pytest.raises(RecordError):
        machine_speeds({"a": [1.0, 0.0]}, {"a": [1.0, 1.0]})
