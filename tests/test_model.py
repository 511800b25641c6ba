"""The network against NumPy in float64: forward, losses and gradients written out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from accelmnist.core.config import ACTIVATIONS, OUTPUTS, ModelConfig
from accelmnist.engines.model import MLP, apply_output, batch_loss, image_losses, scale_images
from tests.rounding import logits_and_bound

pytestmark = pytest.mark.numeric

NUMPY_ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "leaky-relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "gelu": lambda x: x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


def inputs(count: int = 7) -> torch.Tensor:
    return torch.rand(count, 784, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(), (16,), (12, 8, 5)])
def test_forward_is_the_formula(activation: str, hidden: tuple[int, ...]) -> None:
    model = MLP(ModelConfig(hidden=hidden, activation=activation), seed=5)
    values = inputs().double().numpy()
    layers = list(model.layers)
    for position, layer in enumerate(layers):
        values = values @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()
        if position < len(layers) - 1:
            values = NUMPY_ACTIVATIONS[activation](values)
    parameters = [parameter.detach() for parameter in model.parameters()]
    _, bound = logits_and_bound(parameters, 255 * inputs().double(), activation=activation)
    assert (np.abs(model(inputs()).detach().numpy() - values) <= bound).all()


LABELS = torch.tensor([0, 9, 3, 3, 7, 1])


def some_logits(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(6, 10, dtype=dtype, generator=torch.Generator().manual_seed(1))


def loss_of(output: str, smoothing: float = 0.0) -> Any:
    return batch_loss(output, label_smoothing=smoothing, device=torch.device("cpu"))


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradient_at_the_logits_is_output_minus_target(output: str, smoothing: float) -> None:
    """The loss that belongs to an output function makes its gradient (output - target) / batch."""
    logits = some_logits().requires_grad_()
    (gradient,) = torch.autograd.grad(loss_of(output, smoothing)(logits, LABELS), logits)
    target = torch.nn.functional.one_hot(LABELS, 10) * (1 - smoothing) + smoothing / 10
    expected = (apply_output(logits, output) - target) / 6
    torch.testing.assert_close(gradient, expected.detach(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_softmax_loss_is_torchs(smoothing: float) -> None:
    expected = torch.nn.functional.cross_entropy(some_logits(), LABELS, label_smoothing=smoothing)
    torch.testing.assert_close(loss_of("softmax", smoothing)(some_logits(), LABELS), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("output", OUTPUTS)
def test_batch_loss_is_the_mean_of_the_images(output: str) -> None:
    each = image_losses(some_logits(), torch.eye(10, dtype=torch.float64)[LABELS], output)
    assert each.shape == (6,)
    torch.testing.assert_close(loss_of(output)(some_logits(), LABELS), each.mean())


def test_losses_by_hand() -> None:
    logits = torch.zeros(1, 10, dtype=torch.float64)
    target = torch.eye(10, dtype=torch.float64)[[4]]
    assert image_losses(logits, target, "softmax").item() == pytest.approx(math.log(10))
    assert image_losses(logits, target, "sigmoid").item() == pytest.approx(10 * math.log(2))
    assert image_losses(logits, target, "linear").item() == pytest.approx(0.5)


def test_sixteen_bit_logits_are_widened_before_the_loss() -> None:
    for smoothing in (0.0, 0.1):
        assert loss_of("softmax", smoothing)(some_logits(torch.bfloat16), LABELS).dtype == torch.float32


def test_scaling_is_exact_at_both_ends() -> None:
    scaled = scale_images(torch.tensor([0, 255], dtype=torch.uint8))
    assert scaled.dtype == torch.float32
    assert scaled.tolist() == [0.0, pytest.approx(1.0, abs=1e-7)]


def test_same_seed_same_weights_to_the_bit() -> None:
    config = ModelConfig(hidden=(20, 10))
    first, again, other = MLP(config, seed=7), MLP(config, seed=7), MLP(config, seed=8)
    pairs = zip(first.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


def test_building_a_model_leaves_the_global_generator_where_it_was() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    config = ModelConfig(hidden=(4,))
    MLP(config, seed=1)
    after = torch.get_rng_state()
    assert torch.equal(before, after)


@pytest.mark.parametrize(("activation", "variance"), [("relu", 2 / 784), ("tanh", 2 / (784 + 400))])
def test_initial_variance(activation: str, variance: float) -> None:
    weight = MLP(ModelConfig(hidden=(400,), activation=activation), seed=0).layers[0].weight
    assert weight.var().item() == pytest.approx(variance, rel=0.02)


def test_parameter_count() -> None:
    config = ModelConfig(hidden=(128, 64))
    assert config.parameters == sum(p.numel() for p in MLP(config, seed=0).parameters()) == 109_386
