"""Rounds: everything once, in an order that changes; failures stay with the case that failed."""

from __future__ import annotations

from collections import Counter
from random import Random

from accelmnist.errors import DeviceError
from accelmnist.measure.sampling import FEWEST_ROUNDS, is_settled, sample_round


def test_a_round_samples_each_once_in_random_order():
    taken: list[str] = []
    samplers = {name: (lambda name=name: taken.append(name) or 1.0) for name in "abc"}
    chance = Random(0)
    for _ in range(60):
        assert sample_round(samplers, chance) == {"a": 1.0, "b": 1.0, "c": 1.0}
    orders = ["".join(taken[start : start + 3]) for start in range(0, len(taken), 3)]
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert len(Counter(orders)) == 6  # 3! of them, each with probability 1/6: a missing one in 60 has 1e-4


def test_a_case_that_fails_does_not_end_the_round():
    def fail() -> float:
        raise DeviceError("out of memory")

    outcomes = sample_round({"good": lambda: 2.0, "bad": fail}, Random(0))
    assert outcomes["good"] == 2.0
    assert isinstance(outcomes["bad"], DeviceError)


def test_sampling_settles_on_a_narrow_interval_only_after_enough_rounds():
    narrow = [100.0, 100.1] * 50
    assert not is_settled(narrow[: FEWEST_ROUNDS - 1], target=0.01)
    assert is_settled(narrow[:FEWEST_ROUNDS], target=0.01)
    assert not is_settled([80.0, 120.0] * 6, target=0.01)
