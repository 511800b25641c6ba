"""Counted work: against torch's own counter on real steps, against real tensors, and by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from accelmnist.core.config import OPTIMIZERS, ModelConfig, Optimizer, TrainingConfig
from accelmnist.data.types import Dataset
from accelmnist.device import resolve
from accelmnist.engines.choose import engine_class
from accelmnist.engines.model import MLP, logits_of
from accelmnist.engines.plan import TrainingPlan
from accelmnist.engines.step.functional import FunctionalUpdate
from accelmnist.engines.step.rules import SLOTS
from accelmnist.engines.step.torch_update import TorchUpdate
from accelmnist.measure.limits.cost import (
    UPDATE_FLOPS,
    Product,
    cost_of,
    product_flops,
    step_products,
)
from accelmnist.measure.plan import Case
from tests.training_helpers import make_job, run_epoch, small_config

NETWORKS = [(), (32,), (24, 16), (40, 8, 20)]
TINY = ModelConfig(hidden=(3,))  # 784-3-10: 2352 + 30 weights, 13 biases
CASE = Case(
    mode="training",
    device="cpu",
    engine="eager",
    precision="fp32",
    batch_size=2,
    hidden=(3,),
    optimizer="sgd",
)


@pytest.mark.parametrize("hidden", NETWORKS)
@pytest.mark.parametrize("batch_size", [64, 37])
def test_products_of_a_training_step_are_those_that_torch_counts(
    hidden: tuple[int, ...], batch_size: int, synthetic: Dataset
) -> None:
    config = small_config(model={"hidden": hidden}, training={"batch_size": batch_size})
    job = make_job(config, synthetic, resolve("cpu"))
    epoch = TrainingPlan(config, len(synthetic.train)).epoch(0)
    runner = engine_class("eager").prepare(job, epoch)
    with FlopCounterMode(display=False) as counter:
        run_epoch(runner, epoch[:1])
    assert counter.get_total_flops() == product_flops(config.model, batch_size, "training")


@pytest.mark.parametrize("hidden", NETWORKS)
def test_products_of_a_call_are_those_that_torch_counts(hidden: tuple[int, ...], synthetic: Dataset) -> None:
    model, cpu = MLP(ModelConfig(hidden=hidden), seed=0), resolve("cpu")
    images = torch.from_numpy(synthetic.test.images[:50]).view(50, -1)
    with FlopCounterMode(display=False) as counter:
        logits_of(model, images, device=cpu, precision="fp32")
    assert counter.get_total_flops() == product_flops(model.config, 50, "inference")


def test_products_by_hand() -> None:
    assert step_products(TINY, 2, "inference") == (
        Product("forward", 0, 2, 784, 3),
        Product("forward", 1, 2, 3, 10),
    )
    assert step_products(TINY, 2, "training")[2:] == (
        Product("weight gradient", 1, 10, 2, 3),
        Product("input gradient", 1, 2, 10, 3),
        Product("weight gradient", 0, 3, 2, 784),
    )
    assert product_flops(TINY, 2, "training") == 2 * (2 * 2 * 784 * 3) + 3 * (2 * 2 * 3 * 10)


class CountElements(TorchDispatchMode):
    """Arithmetic on tensors of `numel` elements, by element."""

    FLOPS: ClassVar = {"mul": 1, "add": 1, "sub": 1, "div": 1, "sqrt": 1, "lerp": 3}

    def __init__(self, numel: int) -> None:
        super().__init__()
        self.numel, self.flops = numel, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.numel() == self.numel:
            self.flops += self.FLOPS.get(func.overloadpacket.__name__, 0)
        return result


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_flops_of_an_update_are_those_of_our_own_rules(optimizer: str) -> None:
    update = FunctionalUpdate(TrainingConfig(optimizer=optimizer, weight_decay=0.01))
    tensors = [torch.ones(7), *(torch.zeros(7) for _ in SLOTS[optimizer]), torch.zeros(())]
    with CountElements(7) as counter:
        update.advance(tensors, [torch.ones(7)], torch.tensor(0.1), update.corrections(tensors[-1]))
    assert counter.flops == UPDATE_FLOPS[optimizer]


def test_a_training_step_by_hand() -> None:
    """784-3-10, two images, plain SGD: 2395 parameters."""
    cost = cost_of(CASE)
    # Pixels, biases and rectifiers forward and backward, 9 a logit, 4 a parameter.
    elementwise = 2 * 784 + 2 * (2 * 13 + 2 * 3) + 9 * 20 + 4 * 2395
    assert cost.flops == product_flops(TINY, 2, "training") + elementwise
    forward = (1568 + 4 * (2352 + 3) + 4 * 6) + (4 * 6 + 4 * (30 + 10) + 4 * 20)
    loss = 2 * (4 * 20) + 2 * 2 * 8
    weight_gradients = (4 * 20 + 4 * 6 + 4 * (30 + 10)) + (4 * 6 + 1568 + 4 * (2352 + 3))
    input_gradient = 4 * 20 + 4 * 30 + 4 * 6 + 4 * 6
    update = 3 * 4 * 2395
    assert cost.bytes == forward + loss + weight_gradients + input_gradient + update


def test_a_call_by_hand() -> None:
    cost = cost_of(replace(CASE, mode="inference", optimizer=None))
    assert cost.flops == 2 * 2 * (2352 + 30) + 2 * 784 + 2 * 13 + 2 * 3
    assert cost.bytes == (1568 + 4 * 2355 + 4 * 6) + (4 * 6 + 4 * 40 + 4 * 20)
    assert cost.working_set_bytes == 1568 + 4 * 2395 + 4 * 26


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("hidden", NETWORKS)
def test_the_working_set_is_the_size_of_the_real_tensors(hidden: tuple[int, ...], optimizer: str) -> None:
    model = MLP(ModelConfig(hidden=hidden), seed=0)
    parameters = list(model.parameters())
    update = TorchUpdate(parameters, TrainingConfig(optimizer=optimizer), fused=False)
    images, labels = torch.zeros(37, 784, dtype=torch.uint8), torch.zeros(37, dtype=torch.int64)
    tensors = [images, labels, torch.empty_like(labels), *parameters, *parameters]  # the order; the gradients
    tensors += [tensor for slot in update.slots.values() for tensor in slot]
    activations = [torch.zeros(37, units) for units in (*hidden, 10)]
    tensors += [*activations, *activations]  # and their gradients
    cost = cost_of(replace(CASE, batch_size=37, hidden=hidden, optimizer=optimizer))
    assert cost.working_set_bytes == sum(tensor.nbytes for tensor in tensors)


def test_sixteen_bits_halve_activations_and_nothing_else() -> None:
    wide, narrow = cost_of(CASE), cost_of(replace(CASE, precision="bf16"))
    assert wide.flops == narrow.flops
    assert wide.working_set_bytes - narrow.working_set_bytes == 2 * 2 * (2 * 13)
    # Forward 6 + 6 + 20, loss 40, weight gradients 26 + 6, input gradient 20 + 12: elements of 2 bytes less.
    assert wide.bytes - narrow.bytes == 2 * (32 + 40 + 32 + 32)
    assert cost_of(replace(CASE, precision="tf32")) == wide
    assert cost_of(replace(CASE, precision="fp16")) == narrow


def test_the_optimizers_state_is_read_and_written() -> None:
    plain, momentum, adam = (
        cost_of(replace(CASE, optimizer=optimizer)) for optimizer in ("sgd", "sgd-momentum", "adam")
    )
    assert momentum.bytes - plain.bytes == 2 * 4 * 2395
    assert adam.bytes - plain.bytes == 4 * 4 * 2395
    assert momentum.working_set_bytes - plain.working_set_bytes == 4 * 2395


def test_every_optimizer_has_a_count() -> None:
    counted: set[Optimizer] = set(UPDATE_FLOPS)
    assert counted == set(OPTIMIZERS)
