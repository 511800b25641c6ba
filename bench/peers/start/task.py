"""What everyone trains from a cold start: the recipe mnist-98, as arrays that need no framework.

Everything comes from `accelmnist.core.config`: 784-192-10, two epochs of batches of 128, AdamW on a one-cycle
schedule, smoothed labels. The schedule is written out here once more, because the package's own needs torch, which most
of those who take part don't load; a test holds the two together.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import CLASSES, RECIPES
from accelmnist.data.types import Dataset
from bench.peers.workloads import SCALE, Floats, Shuffle, Weights, Workload, start_weights

RECIPE = RECIPES["mnist-98"]
TARGET = RECIPE.accuracy
TRAINING = RECIPE.training
WORKLOAD = Workload(
    key="start",
    title="From the start of a process to 98.0 % on the test set",
    hidden=RECIPE.model.hidden,
    batch_size=TRAINING.batch_size,
    rule="adam",
    learning_rate=TRAINING.peak_rate,
)
STEPS = TRAINING.epochs * WORKLOAD.epoch_steps


def learning_rates() -> Floats:
    """The rate of every step, (steps,): a straight rise from 1/25 of the peak, then a cosine to 1/10,000 of it."""
    position = np.arange(STEPS) / (STEPS - 1)
    rise = 1 / 25 + (1 - 1 / 25) * position / TRAINING.warmup
    falling = (1 + np.cos(np.pi * (position - TRAINING.warmup) / (1 - TRAINING.warmup))) / 2
    shares = np.where(position < TRAINING.warmup, rise, 1e-4 + (1 - 1e-4) * falling)
    return (TRAINING.peak_rate * shares).astype(np.float32)


@dataclass(frozen=True)
class Task:
    """The data as bytes, and what follows from the seed."""

    data: Dataset
    seed: int

    def inputs(self) -> Floats:
        """The training images from 0 to 1: (60,000, 784)."""
        return self.data.train.images * SCALE

    def test_inputs(self) -> Floats:
        """The test images from 0 to 1: (10,000, 784)."""
        return self.data.test.images * SCALE

    def targets(self) -> Floats:
        """The smoothed target of each class, one a row: (10, 10)."""
        share = TRAINING.label_smoothing
        return (np.eye(CLASSES) * (1 - share) + share / CLASSES).astype(np.float32)

    def weights(self) -> Weights:
        """Weights and biases to start from."""
        return start_weights(WORKLOAD.sizes, seed=self.seed)

    def order(self) -> NDArray[np.int64]:
        """The images of every step of all epochs: (steps, batch)."""
        shuffle = Shuffle(len(self.data.train), WORKLOAD.batch_size, seed=self.seed)
        return np.concatenate([shuffle.take(WORKLOAD.epoch_steps) for _ in range(TRAINING.epochs)])

    def accuracy(self, digits: NDArray[np.int64]) -> float:
        """The share of the test set that `digits` have right."""
        return float((digits == self.data.test.labels).mean())


@dataclass
class Watch:
    """Seconds of the parts of a process: `mark` ends one."""

    parts: dict[str, float] = field(default_factory=dict)
    since: float = field(default_factory=time.perf_counter)

    def mark(self, part: str) -> None:
        """What passed since the last mark belongs to `part`."""
        now = time.perf_counter()
        self.parts[part] = self.parts.get(part, 0.0) + now - self.since
        self.since = now


# By the keys of `bench.peers.catalogue`: the file in programs/.
PROGRAMS = {
    "torch-preloaded": "torch_loop",
    "torch-compiled": "torch_graph",
    "sklearn": "sklearn_fit",
    "jax": "jax_scan",
    "keras-jax": "keras_fit",
    "numpy": "numpy_loop",
    "mlx": "mlx_loop",
    "tinygrad": "tinygrad_loop",
}
