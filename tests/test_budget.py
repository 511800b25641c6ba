"""Time is kept: what is left, and what a piece of work is expected to take."""

from __future__ import annotations

import math

import pytest

from accelmnist.measure.session import FINISH_S, Budget


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_was_spent_before_counts() -> None:
    clock = Clock()
    budget = Budget(30.0, spent_s=4.0, clock=clock)
    clock.now += 6.0
    assert budget.elapsed_s == pytest.approx(10.0)
    assert budget.left_s == pytest.approx(20.0 - FINISH_S)


def test_a_short_limit_keeps_no_more_than_a_tenth_back() -> None:
    assert Budget(2.0, clock=Clock()).left_s == pytest.approx(1.8)


def test_without_an_end_there_is_always_time() -> None:
    assert Budget(None, spent_s=1e9).left_s == math.inf


def test_the_longest_of_a_kind_is_expected_again() -> None:
    budget = Budget(30.0, clock=Clock())
    assert budget.expect_s("compiled", compiles=True) > budget.expect_s("eager", compiles=False)
    for seconds in (3.0, 5.0, 4.0):
        budget.learn("compiled", seconds)
    assert budget.expect_s("compiled", compiles=True) == 5.0
