"""Seconds to a target: what is on the clock, and what a miss does to the median."""

from __future__ import annotations

import itertools
from math import comb
from typing import Any

import numpy as np
import pytest

from accelmnist.core.config import DataConfig, ExecutionConfig, ModelConfig, RunConfig, TrainingConfig
from accelmnist.device import resolve
from accelmnist.measure import time_to_accuracy
from accelmnist.measure.time_to_accuracy import summarize_seconds, train_to_target

QUICK = RunConfig(
    data=DataConfig(dataset="synthetic"),
    model=ModelConfig(hidden=(32,)),
    training=TrainingConfig(epochs=3, batch_size=64),
    execution=ExecutionConfig(device="cpu", engine="eager"),
)


def test_a_reached_target_tells_when_and_after_how_many_epochs() -> None:
    trained = train_to_target(QUICK, resolve("cpu"), "eager", 0.5)
    assert trained.epochs == 1
    assert trained.accuracy >= 0.5
    assert trained.seconds is not None
    assert trained.seconds == trained.without_compile_s  # eager compiles nothing


def test_a_target_out_of_reach_ends_and_is_a_miss() -> None:
    trained = train_to_target(QUICK, resolve("cpu"), "eager", 0.99999999)
    assert (trained.seconds, trained.without_compile_s, trained.epochs) == (None, None, None)
    assert 0.5 < trained.accuracy <= 1.0


def test_data_preparation_and_evaluation_are_on_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them takes ten seconds of a clock that stands still otherwise."""
    now = [0.0]

    def slow(name: str) -> None:
        original = getattr(time_to_accuracy, name)

        def wrapped(*arguments: Any, **settings: Any) -> Any:
            now[0] += 10.0
            return original(*arguments, **settings)

        monkeypatch.setattr(time_to_accuracy, name, wrapped)

    for name in ("load_dataset", "prepare", "accuracy_of"):
        slow(name)
    ticks = itertools.count()
    monkeypatch.setattr("time.perf_counter", lambda: now[0] + 1e-9 * next(ticks))
    trained = train_to_target(QUICK, resolve("cpu"), "eager", 0.5)
    assert trained.seconds == pytest.approx(30.0)
    assert not trained.check.passed, "no other clock saw them"


@pytest.mark.parametrize("count", range(1, 40))
def test_the_interval_holds_the_median_in_95_percent_of_all_cases(count: int) -> None:
    """By the binomial law, counted out: leaving one more value out at either end would hold it too rarely."""
    made = summarize_seconds([float(value) for value in range(count)])
    assert made.low_s is not None
    left_out = int(made.low_s)
    assert made.high_s == count - 1 - left_out

    def coverage(rank: int) -> float:
        return 1 - 2 * sum(comb(count, heads) for heads in range(rank + 1)) / 2**count

    assert coverage(left_out) >= 0.95 or left_out == 0
    assert coverage(left_out + 1) < 0.95


def test_a_miss_is_infinite_and_none_is_left_out() -> None:
    made = summarize_seconds([1.0, None, 3.0, 2.0, 4.0])
    assert made.median_s == 3.0
    assert (made.low_s, made.high_s) == (1.0, None)
    assert made.seconds == (1.0, None, 3.0, 2.0, 4.0)
    assert summarize_seconds([1.0, None, None]).median_s is None


def test_the_median_is_numpys_where_all_reached_it() -> None:
    seconds = np.random.default_rng(0).uniform(1, 2, size=10).tolist()
    assert summarize_seconds(seconds).median_s == pytest.approx(float(np.median(seconds)))
