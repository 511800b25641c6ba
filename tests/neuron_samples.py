"""A data set and a network whose neurons are known, because both are made by hand.

An image of class d has a bar of ink in a place of its own, missing in some, and specks everywhere. The detectors are
sums over such bars. Nothing here is trained.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from accelmnist.core.config import Activation, ModelConfig, Output
from accelmnist.data.types import DIGIT_NAMES, Dataset, ImageSet
from accelmnist.engines.model import MLP

BAR_PIXELS = 24
ZERO, FIVE_NINE, NOISE, DEAD, COPY = range(5)  # the planted neurons, by index; the rest are detectors of one class
SINGLE = (1, 2, 3, 4, 6, 7, 8, 5)  # what neurons 5 to 12 detect


@dataclass(frozen=True)
class Planted:
    """The data, the network, and which test images hold the bar of each class: bool (n, 10)."""

    data: Dataset
    model: MLP
    bars: NDArray[np.bool_]


def bar_pixels(label: int) -> NDArray[np.int64]:
    """The pixels of the bar of a class: two rows of twelve."""
    rows, columns = np.meshgrid([4 + 2 * label, 5 + 2 * label], np.arange(8, 20), indexing="ij")
    return (28 * rows + columns).ravel()


def planted(images: int = 2000) -> Planted:
    """The same every time."""
    random = np.random.default_rng(7)
    labels = np.arange(images) % 10
    bars = random.random((images, 10)) < 0.03
    bars[np.arange(images), labels] = random.random(images) < 0.94
    pixels = np.where(random.random((images, 784)) < 0.2, random.integers(0, 256, (images, 784)), 0)
    pixels.reshape(-1, 28, 28)[:, [0, 27], :] = 0  # a border that is never inked
    pixels.reshape(-1, 28, 28)[:, :, [0, 27]] = 0
    for label in range(10):
        pixels[np.ix_(bars[:, label], bar_pixels(label))] = 255
    part = ImageSet(images=pixels.astype(np.uint8), labels=labels.astype(np.int64))
    data = Dataset(name="mnist", source="made by hand", train=part, test=part, class_names=DIGIT_NAMES)
    return Planted(data, planted_network(), bars)


@torch.no_grad()
def planted_network() -> MLP:
    """784-13-10 of rectifiers: the planted neurons, and eight more without which it would know two classes."""
    model = MLP(ModelConfig(hidden=(13,)), seed=0)
    weight, bias = np.zeros((13, 784)), np.full(13, -BAR_PIXELS / 2)
    outgoing = np.zeros((10, 13))
    for neuron, labels in {
        ZERO: (0,),
        FIVE_NINE: (5, 9),
        **{5 + i: (label,) for i, label in enumerate(SINGLE)},
    }.items():
        for label in labels:
            weight[neuron, bar_pixels(label)] = 1.0
            outgoing[label, neuron] = 0.5 / len(labels)
    weight[NOISE], bias[NOISE] = _noise(), 0.0
    outgoing[:, NOISE] = np.random.default_rng(3).normal(0, 0.02, 10)
    weight[DEAD] = -1.0
    outgoing[3, DEAD] = 1.0
    weight[COPY], bias[COPY] = 2 * weight[FIVE_NINE], 2 * bias[FIVE_NINE]
    outgoing[:, COPY] = outgoing[:, FIVE_NINE] / 4
    fill(model, weight, bias, outgoing, np.zeros(10))
    return model


def _noise() -> NDArray[np.float64]:
    """White noise that no bar moves."""
    weights = np.random.default_rng(5).normal(0, 1, 784)
    for label in range(10):
        weights[bar_pixels(label)] -= weights[bar_pixels(label)].mean()
    return weights


@torch.no_grad()
def fill(model: MLP, *values: NDArray[np.float64]) -> None:
    """Put weights and biases, in their order, into `model`."""
    for parameter, value in zip(model.parameters(), values, strict=True):
        parameter.copy_(torch.from_numpy(value))


def random_network(
    hidden: tuple[int, ...], *, activation: Activation = "relu", output: Output = "softmax", seed: int = 1
) -> MLP:
    """A network as it starts, with biases that aren't 0, so that forgetting one would show."""
    model = MLP(ModelConfig(hidden=hidden, activation=activation, output=output), seed=seed)
    random = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.copy_(torch.from_numpy(random.normal(0, 0.3, tuple(parameter.shape))))
    return model
