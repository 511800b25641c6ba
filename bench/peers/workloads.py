"""The work that everyone does: four workloads, their start weights and their data.

    a    training 784-128-10 by SGD on batches of 128
    b    training 784-512-512-10 by SGD with momentum on batches of 512
    c    training 784-128-10 by Adam on batches of 128
    d    inference: the digits of all 10,000 test images, from bytes, by a trained 784-128-10

Training is softmax cross-entropy at a constant learning rate over rectified units, on images from 0 to 1, shuffled anew
each epoch, the ragged last batch dropped. All start from the same weights, so that what their accuracy differs by is
the order of the images and rounding, nothing else.

A step is a batch in training, and a pass over the test set in inference. What is timed at a time is a region of steps,
whose number divides the epoch's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import CLASSES, INPUTS
from accelmnist.data.types import Dataset

Floats = NDArray[np.float32]
Weights = list[tuple[Floats, Floats]]  # of each layer: (inputs, units) and (units,)
Rule = Literal["sgd", "adam"]
Mode = Literal["training", "inference"]
PeerPrecision = Literal["fp32", "bf16"]

TRAINING_IMAGES, TEST_IMAGES = 60_000, 10_000
SCALE = np.float32(1 / 255)
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Kingma and Ba, "Adam", 2015: the defaults of every framework but Keras

PRECISIONS: tuple[PeerPrecision, ...] = ("fp32", "bf16")


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One of the four: network, batch and rule of update.

    `goals` are how many times as fast as the best peer an engine of ours is meant to be.
    """

    key: str
    title: str
    hidden: tuple[int, ...]
    batch_size: int
    mode: Mode = "training"
    rule: Rule = "sgd"
    momentum: float = 0.0
    learning_rate: float = 0.0
    goals: tuple[float, ...] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of every layer, inputs and outputs included."""
        return (INPUTS, *self.hidden, CLASSES)

    @property
    def epoch_steps(self) -> int:
        """Full batches in an epoch; of inference, the most passes that are timed at a time."""
        return TRAINING_IMAGES // self.batch_size if self.mode == "training" else 64

    def checkpoints(self, epochs: int) -> list[int]:
        """After how many steps from the start accuracies are compared: a ninth and a third of an epoch, and each."""
        return [self.epoch_steps // 9, self.epoch_steps // 3, *(n * self.epoch_steps for n in range(1, epochs + 1))]

    def regions(self, unit: int = 1) -> list[int]:
        """Every number of steps that a region may have: multiples of `unit` that divide the epoch's."""
        steps = range(unit, self.epoch_steps + 1, unit)
        return [number for number in steps if self.epoch_steps % number == 0]


WORKLOADS: dict[str, Workload] = {
    workload.key: workload
    for workload in (
        Workload(
            key="a",
            title="Training 784-128-10, batch 128, SGD",
            hidden=(128,),
            batch_size=128,
            learning_rate=0.1,
            goals=(1.4, 3.0),
        ),
        Workload(
            key="b",
            title="Training 784-512-512-10, batch 512, SGD with momentum 0.9",
            hidden=(512, 512),
            batch_size=512,
            momentum=0.9,
            learning_rate=0.05,
            goals=(1.6,),
        ),
        Workload(
            key="c",
            title="Training 784-128-10, batch 128, Adam",
            hidden=(128,),
            batch_size=128,
            rule="adam",
            learning_rate=0.001,
            goals=(2.0,),
        ),
        Workload(
            key="d",
            title="Inference 784-128-10, 10,000 images at a time",
            hidden=(128,),
            batch_size=TEST_IMAGES,
            mode="inference",
            goals=(2.0,),
        ),
    )
}


def start_weights(sizes: Sequence[int], *, seed: int = 0) -> Weights:
    """Uniform weights of He's variance and zero biases: (inputs, units) and (units,) of each layer, float32."""
    source = np.random.default_rng(seed)
    layers = []
    for inputs, units in pairwise(sizes):
        bound = math.sqrt(6 / inputs)
        layers.append((source.uniform(-bound, bound, (inputs, units)).astype(np.float32), np.zeros(units, np.float32)))
    return layers


@dataclass(frozen=True)
class Job:
    """What a contender gets: the work, its precision, the images as bytes, and the weights to start from."""

    workload: Workload
    precision: PeerPrecision
    data: Dataset
    weights: Weights

    def inputs(self) -> Floats:
        """The training images from 0 to 1: (60,000, 784); none for inference, which has no use for them."""
        images = self.data.train.images
        return (images if self.workload.mode == "training" else images[:0]) * SCALE

    def shuffle(self) -> Shuffle:
        """The order of the images, which is the same for all who take it from here."""
        return Shuffle(len(self.data.train), self.workload.batch_size)


class Slices:
    """Consecutive images for libraries that shuffle what they get: the whole epoch's, or where a region is shorter, a
    part after the other."""

    def __init__(self, workload: Workload) -> None:
        self.batch_size, self.steps, self.position = workload.batch_size, workload.epoch_steps, 0

    def take(self, steps: int) -> slice:
        """The images of the next `steps`, or of the first ones where fewer are left."""
        start = self.position if self.position + steps <= self.steps else 0
        self.position = start + steps
        return slice(start * self.batch_size, self.position * self.batch_size)


class Shuffle:
    """Indexes of the images of step after step, in a new permutation every epoch."""

    def __init__(self, images: int, batch_size: int, *, seed: int = 0) -> None:
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self.steps = images // batch_size
        self.restart()

    def restart(self) -> None:
        """Begin with the first epoch again."""
        self.source = np.random.default_rng(self.seed)
        self.position = self.steps

    def take(self, steps: int) -> NDArray[np.int64]:
        """The next `steps` of the epoch, (steps, batch), or the first ones of a new one where fewer are left."""
        if self.position + steps > self.steps:
            permutation = self.source.permutation(self.images)[: self.steps * self.batch_size]
            self.order = permutation.reshape(self.steps, self.batch_size)
            self.position = 0
        self.position += steps
        return self.order[self.position - steps : self.position]
