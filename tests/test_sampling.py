"""Rounds: everything once, in an order that changes; failures stay with the case that failed."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from accelmnist.core.errors import DeviceError
from accelmnist.measure.statistics.summary import FEWEST_ROUNDS, is_settled, summarize
from accelmnist.measure.timed_case import SLICES, Sampler, sample_round


def test_every_turn_takes_a_slice_of_each_in_random_order() -> None:
    taken: list[str] = []
    samplers = {name: Sampler(lambda name=name: taken.append(name) or 1.0) for name in "abc"}
    chance = Random(0)
    for _ in range(10):
        assert sample_round(samplers, chance) == {"a": 1.0, "b": 1.0, "c": 1.0}
    turns = ["".join(taken[start : start + 3]) for start in range(0, len(taken), 3)]
    assert len(turns) == 10 * SLICES
    assert all(sorted(turn) == ["a", "b", "c"] for turn in turns)
    assert len(Counter(turns)) == 6  # 3! orders, each with probability 1/6: a missing one in 80 has 3e-6


def test_who_has_fewer_slices_sits_turns_out_at_random() -> None:
    seen: list[int] = []
    clock = [0]

    def tick() -> float:
        clock[0] += 1
        return 1.0

    for seed in range(40):
        clock[0] = 0
        sample_round(
            {"all": Sampler(tick), "one": Sampler(lambda: seen.append(clock[0]) or 1.0, slices=1)}, Random(seed)
        )
    assert len(seen) == 40
    assert len(set(seen)) > 4


def test_a_sample_is_all_its_work_over_all_its_time() -> None:
    """Slices of 100 images each: one takes 1 s, one 3 s, so it is 200 images in 4 s and not the mean of two rates."""
    rates = iter([100 / 1, 100 / 3])
    assert sample_round({"a": Sampler(lambda: next(rates), slices=2)}, Random(0)) == {"a": pytest.approx(50.0)}


def test_a_case_that_fails_does_not_end_the_round() -> None:
    calls = []

    def fail() -> float:
        calls.append(1)
        raise DeviceError("out of memory")

    outcomes = sample_round({"good": Sampler(lambda: 2.0), "bad": Sampler(fail)}, Random(0))
    assert outcomes["good"] == 2.0
    assert isinstance(outcomes["bad"], DeviceError)
    assert len(calls) == 1


def test_sampling_settles_on_a_narrow_interval_only_after_enough_rounds() -> None:
    narrow = [100.0, 100.1] * 50
    assert not is_settled(summarize(narrow[: FEWEST_ROUNDS - 1]), target=0.01)
    assert is_settled(summarize(narrow[:FEWEST_ROUNDS]), target=0.01)
    assert not is_settled(summarize([80.0, 120.0] * 6), target=0.01)
