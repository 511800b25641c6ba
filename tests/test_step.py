"""The pieces of a training step: update rules, dropout, loss scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from accelmnist.core.config import TrainingConfig
from accelmnist.device import Device
from accelmnist.engines.step.functional import FunctionalUpdate
from accelmnist.engines.step.loss import drop
from accelmnist.engines.step.rules import SLOTS
from accelmnist.engines.step.torch_update import LossScale, TorchUpdate
from tests.rounding import UNIT

pytestmark = pytest.mark.numeric

RULES = [
    TrainingConfig(optimizer="sgd", weight_decay=0.0),
    TrainingConfig(optimizer="sgd", weight_decay=0.1),
    TrainingConfig(optimizer="sgd-momentum", momentum=0.8, weight_decay=0.1),
    TrainingConfig(optimizer="sgd-momentum", momentum=0.8, nesterov=True, weight_decay=0.1),
    TrainingConfig(optimizer="adam", weight_decay=0.0),
    TrainingConfig(optimizer="adam", weight_decay=0.1),
    TrainingConfig(optimizer="adamw", weight_decay=0.1),
]


def rule_name(config: TrainingConfig) -> str:
    return f"{config.optimizer}{'-nesterov' * config.nesterov}-decay{config.weight_decay}"


def numpy_rule(config: TrainingConfig, weights: np.ndarray, gradients: list[np.ndarray], rates: list[float]) -> Any:
    """The rules as their papers state them, in float64."""
    velocity, mean, square = np.zeros_like(weights), np.zeros_like(weights), np.zeros_like(weights)
    for count, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        if config.optimizer == "adamw":
            weights = weights - rate * config.weight_decay * weights
        else:
            gradient = gradient + config.weight_decay * weights
        if config.optimizer == "sgd":
            weights = weights - rate * gradient
        elif config.optimizer == "sgd-momentum":
            velocity = config.momentum * velocity + gradient
            weights = weights - rate * (gradient + config.momentum * velocity if config.nesterov else velocity)
        else:
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.999 * square + 0.001 * gradient**2
            weights = weights - rate * (mean / (1 - 0.9**count)) / (np.sqrt(square / (1 - 0.999**count)) + 1e-8)
    return weights


class Functional:
    """The functional update of one weight in place: `tensors` are the weight, its slots and the count."""

    def __init__(self, weight: torch.Tensor, config: TrainingConfig) -> None:
        self.update = FunctionalUpdate(config)
        slots = [torch.zeros_like(weight) for _ in SLOTS[config.optimizer]]
        self.tensors = [weight, *slots, torch.zeros((), device=weight.device)]

    def __call__(self, gradients: Any, rate: torch.Tensor, keep: torch.Tensor | None = None) -> None:
        corrections = self.update.corrections(self.tensors[-1])
        after = self.update.advance(self.tensors, gradients, rate, corrections, keep=keep)
        for stored, value in zip(self.tensors, after, strict=True):
            stored.copy_(value)


@pytest.mark.parametrize("config", RULES, ids=rule_name)
@pytest.mark.parametrize("form", ["torch fused", "torch plain", "functional"])
def test_an_update_rule_is_its_papers(config: TrainingConfig, form: str, device: Device) -> None:
    chance = np.random.default_rng(4)
    start = chance.normal(size=(5, 3))
    gradients = [chance.normal(size=(5, 3)) for _ in range(12)]
    rates = list(np.linspace(0.01, 0.1, 12))
    weight = torch.tensor(start, dtype=torch.float32, device=device.torch_device)
    update = (
        Functional(weight, config)
        if form == "functional"
        else TorchUpdate([weight], config, fused=form == "torch fused")
    )
    for gradient, rate in zip(gradients, rates, strict=True):
        update(
            [torch.tensor(gradient, dtype=torch.float32, device=device.torch_device)],
            torch.tensor(rate, dtype=torch.float32, device=device.torch_device),
        )
    expected = numpy_rule(config, start, gradients, rates)
    # Each of twelve updates rounds four times; Adam also divides by 1 - beta^n, to which 1 - 0.999 brings its rounding.
    largest = np.abs([start, *np.cumsum(gradients, axis=0)]).max()
    limit = 4 * len(rates) * UNIT * largest + sum(rates) * UNIT / (1 - 0.999) * config.optimizer.startswith("adam")
    np.testing.assert_allclose(weight.cpu().numpy(), expected, rtol=0, atol=limit)


@pytest.mark.parametrize("config", RULES, ids=rule_name)
def test_a_step_left_out_changes_nothing(config: TrainingConfig, device: Device) -> None:
    weight = torch.ones(4, device=device.torch_device)
    update = Functional(weight, config)
    infinite = torch.full((4,), torch.inf, device=device.torch_device)
    rate = torch.tensor(0.1, device=device.torch_device)
    update([infinite], rate, keep=torch.tensor(False, device=device.torch_device))
    assert weight.tolist() == [1.0] * 4
    assert all(tensor.abs().sum() == 0 for tensor in update.tensors[1:])


@pytest.mark.parametrize("config", RULES, ids=rule_name)
def test_torchs_fused_update_leaves_out_an_overflow(config: TrainingConfig, device: Device) -> None:
    weight = torch.ones(4, device=device.torch_device)
    update = TorchUpdate([weight], config, fused=True)
    one = torch.ones((), device=device.torch_device)
    update([torch.full((4,), torch.inf, device=device.torch_device)], 0.1 * one, scale=one, overflowed=one)
    assert weight.tolist() == [1.0] * 4
    assert all(count.item() == 0 for count in update.counts)


def test_dropout_keeps_its_share_and_its_mean(device: Device) -> None:
    values = torch.ones(400, 500, device=device.torch_device)
    seed = torch.tensor(12345, device=device.torch_device)
    dropped = drop(values, 0.3, seed=seed, layer=0)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.005)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.01)
    assert dropped.max().item() == pytest.approx(1 / 0.7)


def test_dropout_is_the_same_on_every_device(device: Device) -> None:
    values = torch.rand(64, 33, generator=torch.Generator().manual_seed(0))
    expected = drop(values, 0.5, seed=torch.tensor(99), layer=2)
    found = drop(values.to(device.torch_device), 0.5, seed=torch.tensor(99, device=device.torch_device), layer=2)
    assert torch.equal(found.cpu() == 0, expected == 0)


def test_dropout_masks_of_seeds_layers_and_units_are_independent() -> None:
    values = torch.ones(256, 256)
    masks = [
        drop(values, 0.5, seed=torch.tensor(seed), layer=layer) > 0 for seed in (1, 2, 2**31 - 1) for layer in (0, 1)
    ]
    for first in range(len(masks)):
        for second in range(first):
            agreement = (masks[first] == masks[second]).float().mean().item()
            assert agreement == pytest.approx(0.5, abs=0.01)
    columns = masks[0].float() - 0.5
    correlation = (columns.T @ columns / 64).fill_diagonal_(0)
    assert correlation.abs().max() < 0.4  # 5 to 6 standard deviations of independent columns


def test_the_loss_scale_falls_at_an_overflow_and_grows_after_many_good_steps(device: Device) -> None:
    scale = LossScale(device.torch_device)
    start = scale.scale.item()
    yes, no = (torch.tensor(value, device=device.torch_device) for value in (True, False))
    scale.update(no)
    assert (scale.scale.item(), scale.good_steps.item()) == (start / 2, 0)
    for _ in range(1999):
        scale.update(yes)
    assert (scale.scale.item(), scale.good_steps.item()) == (start / 2, 1999)
    scale.update(yes)
    assert (scale.scale.item(), scale.good_steps.item()) == (start, 0)


def test_an_overflow_is_seen(device: Device) -> None:
    scale = LossScale(device.torch_device)
    fine = torch.ones(3, device=device.torch_device)
    assert scale.are_finite([fine, fine]).item()
    assert not scale.are_finite([fine, fine * torch.inf]).item()
    assert not scale.are_finite([fine * torch.nan, fine]).item()
