"""Order, split, seeds and schedules: what every device and engine must see alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from accelmnist.core.config import ModelConfig, TrainingConfig
from accelmnist.core.seeds import Stream, mixed_seed
from accelmnist.data.split import split_validation
from accelmnist.engines.plan import dropout_seeds, epoch_order, initial_parameters, learning_rates

FIRST_WEIGHTS = (-0.04434087872505188, 0.05586638301610947, -0.04069206491112709)


@given(count=st.integers(1, 500), batch=st.integers(1, 500), seed=st.integers(0, 2**63 - 1))
def test_an_epoch_sees_no_image_twice_and_drops_less_than_a_batch(count: Any, batch: Any, seed: Any) -> None:
    order = epoch_order(count, batch, seed=seed, epoch=0)
    assert order.shape == (count // batch, batch)
    assert order.dtype == np.int64
    assert len(set(order.flatten().tolist())) == order.size > count - batch
    assert order.size == 0 or (order.min() >= 0 and order.max() < count)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    first = epoch_order(100, 10, seed=3, epoch=1)
    np.testing.assert_array_equal(first, epoch_order(100, 10, seed=3, epoch=1))
    assert not np.array_equal(first, epoch_order(100, 10, seed=3, epoch=2))
    assert not np.array_equal(first, epoch_order(100, 10, seed=4, epoch=1))


def test_the_order_of_a_seed_is_part_of_every_record() -> None:
    """These numbers must never change: a record of today is only comparable with one of tomorrow if they don't."""
    assert epoch_order(10, 5, seed=0, epoch=0).tolist() == [[2, 4, 9, 5, 3], [1, 6, 0, 7, 8]]


def test_the_first_weights_of_a_seed_are_part_of_every_record() -> None:
    """As the order is; and no further weight may move those before it."""
    first, bias, *_ = initial_parameters(ModelConfig(hidden=(3,)), seed=0)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first[0, :3], FIRST_WEIGHTS)
    assert not bias.any()
    np.testing.assert_array_equal(first, initial_parameters(ModelConfig(hidden=(3, 5)), seed=0)[0])


def test_streams_are_apart() -> None:
    seeds = {mixed_seed(seed, stream, index) for seed in range(20) for stream in Stream for index in range(20)}
    assert len(seeds) == 20 * len(Stream) * 20
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_dropout_seeds_differ_by_step_and_epoch() -> None:
    seeds = np.concatenate([dropout_seeds(50, seed=1, epoch=epoch) for epoch in range(4)])
    assert len(set(seeds.tolist())) == 200


@given(held_out=st.integers(0, 99), seed=st.integers(0, 1000))
def test_a_split_is_stratified_and_loses_nothing(held_out: Any, seed: Any) -> None:
    labels = np.repeat(np.arange(10), [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]).astype(np.int64)
    kept, validation = split_validation(labels, held_out, seed=seed)
    assert len(validation) == held_out
    assert sorted([*kept, *validation]) == list(range(100))
    for label in range(10):
        exact = (labels == label).sum() * held_out / 100
        assert abs((labels[validation] == label).sum() - exact) < 1


@pytest.mark.parametrize("steps", [1, 2, 100])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "one-cycle"])
def test_rates_stay_between_zero_and_the_peak(schedule: str, steps: int) -> None:
    rates = learning_rates(TrainingConfig(schedule=schedule, learning_rate=0.5), steps)
    assert rates.shape == (steps,)
    assert rates.dtype == np.float32
    assert np.isfinite(rates).all()
    assert rates.min() >= 0
    assert rates.max() <= 0.5


def test_one_cycle_follows_torchs() -> None:
    """torch's OneCycleLR with a linear rise would fall linearly too, so its cosine fall is compared alone."""
    config = TrainingConfig(schedule="one-cycle", learning_rate=0.4, warmup=0.25)
    rates = learning_rates(config, 101)
    assert rates[0].item() == pytest.approx(0.4 / 25)
    assert rates[25].item() == pytest.approx(0.4)
    assert rates[-1].item() == pytest.approx(0.4 / 10_000)
    assert np.diff(rates[:26]).std() < 1e-6
    parameter = torch.nn.Parameter(torch.zeros(1))
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(torch.optim.SGD([parameter], lr=0.4), 75, eta_min=0.4 / 10_000)
    fall = []
    for _ in range(76):
        fall.append(theirs.get_last_lr()[0])
        theirs.optimizer.step()
        theirs.step()
    np.testing.assert_allclose(rates[25:], fall, rtol=1e-4, atol=1e-8)


def test_cosine_is_half_in_the_middle_and_nothing_at_the_end() -> None:
    rates = learning_rates(TrainingConfig(schedule="cosine", learning_rate=1.0), 101)
    assert rates[[0, 50, 100]].tolist() == [1.0, pytest.approx(0.5), pytest.approx(0.0, abs=1e-7)]
