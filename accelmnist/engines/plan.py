"""The weights that a run starts from, and the plan of each epoch: made on the host from its configuration alone.

Initial weights are uniform: He's variance for rectifiers, Glorot's for saturating functions (He et al. 2015; Glorot and
Bengio 2010). Biases start from zero. All are the same to the bit for every device.

Order. One seeded permutation an epoch: the same seed gives the same batches on every device and engine, which is what
makes their results comparable. A permutation depends on its seed and epoch alone, so a resumed run needs no state of a
generator. Training drops the ragged last batch, so that every step has one shape; the permutation makes it another one
each epoch.

Learning rates of every step of a run are made once, in float64, so that all devices get the same. `one-cycle` rises in
a straight line from 1/25 of the peak, then falls as a cosine to 1/10,000 of it (Smith and Topin 2019, in the form of
torch's OneCycleLR); `cosine` falls from the peak to 0 (Loshchilov and Hutter 2017); `constant` stays.

Nothing here needs torch, so that training can be planned, and begin, before it is loaded.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import (
    SHARDS,
    Activation,
    ModelConfig,
    RunConfig,
    TrainingConfig,
    check_shares,
    steps_per_epoch,
)
from accelmnist.core.records import EpochFigures
from accelmnist.core.seeds import Stream, generator

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float32]
Positions = NDArray[np.float64]

_SATURATING: tuple[Activation, ...] = ("tanh", "sigmoid")
_LINE = 16  # float32 numbers in 64 bytes
_FIRST_SHARE = 1 / 25
_LAST_SHARE = 1 / 10_000

Array = TypeVar("Array", NDArray[Any], "Tensor")  # NumPy's on the host, or torch's on a device
Other = TypeVar("Other", NDArray[Any], "Tensor")


@dataclass(frozen=True)
class Epoch(Generic[Array]):
    """The plan of one epoch, or of some of its steps: everything that differs from step to step.

    `order` (steps, batch) int64 are indexes of images, `learning_rates` (steps,) float32, `dropout_seeds` (steps,)
    int64.
    """

    order: Array
    learning_rates: Array
    dropout_seeds: Array

    def __getitem__(self, steps: slice) -> Epoch[Array]:
        """The plan of these steps alone."""
        return Epoch(self.order[steps], self.learning_rates[steps], self.dropout_seeds[steps])

    def __len__(self) -> int:
        return len(self.order)

    def steps(self) -> Iterator[tuple[Any, Any, Any]]:
        """Order, learning rate and dropout seed of each step."""
        return zip(self.order, self.learning_rates, self.dropout_seeds, strict=True)

    def fill(self, part: Epoch[Array]) -> None:
        """Copy `part` into the first steps: within the device if both are there."""
        assert part.order.shape[1:] == self.order.shape[1:], "the batch of an epoch is the sample's"
        here = slice(len(part))
        self.order[here], self.learning_rates[here] = part.order, part.learning_rates
        self.dropout_seeds[here] = part.dropout_seeds

    def map(self, change: Callable[[Array], Other]) -> Epoch[Other]:
        """The plan with `change` done to each of its three parts."""
        return Epoch(change(self.order), change(self.learning_rates), change(self.dropout_seeds))


HostEpoch = Epoch[NDArray[Any]]


@dataclass(frozen=True)
class Share:
    """What a rank computes of every batch of `of` images: `shards` pieces of `rows` each, from row `first` on."""

    first: int
    rows: int
    shards: int
    of: int

    @classmethod
    def of_rank(cls, rank: int, config: RunConfig) -> Share:
        """That of `rank`, of as many as `config` says; raises ConfigError for a batch that they can't share equally."""
        size, execution = config.training.batch_size, config.execution
        check_shares(size, ranks=execution.ranks, reduction=execution.reduction)
        parts = SHARDS if execution.reduction == "exact" else execution.ranks
        own = parts // execution.ranks
        return cls(first=rank * own * (size // parts), rows=size // parts, shards=own, of=size)

    def cut(self, epoch: HostEpoch) -> HostEpoch:
        """The plan of an epoch with these rows of its batches alone."""
        own = np.ascontiguousarray(epoch.order[:, self.first : self.first + self.shards * self.rows])
        return Epoch(own, epoch.learning_rates, epoch.dropout_seeds)


class TrainingPlan:
    """The plan of every epoch of a run over `images` training images."""

    def __init__(self, config: RunConfig, images: int) -> None:
        self.training = config.training
        self.images = images
        self.steps = steps_per_epoch(images, config.training.batch_size)
        self.rates = learning_rates(config.training, self.steps * config.training.epochs)
        self.made_at = math.nan  # when the last plan was made, by `time.perf_counter`

    def epoch(self, number: int) -> HostEpoch:
        """The plan of epoch `number`, counted from 0."""
        self.made_at = time.perf_counter()
        seed = self.training.seed
        return Epoch[NDArray[Any]](
            order=epoch_order(self.images, self.training.batch_size, seed=seed, epoch=number),
            learning_rates=self.rates[number * self.steps : (number + 1) * self.steps],
            dropout_seeds=dropout_seeds(self.steps, seed=seed, epoch=number),
        )

    def figures(self, number: int, losses: Floats, *, train_s: float, accuracy: float | None) -> EpochFigures:
        """The figures of epoch `number`, counted from 0, which took `train_s` and had these `losses` (steps,)."""
        return EpochFigures(
            epoch=number + 1,
            train_loss=float(losses.mean(dtype=np.float64)),
            accuracy=accuracy,
            learning_rate=float(self.rates[(number + 1) * self.steps - 1]),
            train_s=train_s,
            images_per_s=self.steps * self.training.batch_size / train_s,
        )


def epoch_order(count: int, batch_size: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Indexes of the images of every step of `epoch`: (steps, batch), none of them twice."""
    steps = steps_per_epoch(count, batch_size)
    permutation = generator(seed, Stream.ORDER, epoch).permutation(count)
    return permutation[: steps * batch_size].reshape(steps, batch_size)


def dropout_seeds(steps: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """One seed below 2^31 for the dropout of every step of `epoch`: (steps,)."""
    return generator(seed, Stream.DROPOUT, epoch).integers(2**31, size=steps)


def learning_rates(config: TrainingConfig, steps: int) -> Floats:
    """The learning rate of each of `steps` steps: (steps,)."""
    position = np.arange(steps) / max(steps - 1, 1)  # 0 at the first step, 1 at the last
    return (config.peak_rate * _share_of_peak(config, position)).astype(np.float32)


def _share_of_peak(config: TrainingConfig, position: Positions) -> Positions:
    if config.schedule == "constant":
        return np.ones_like(position)
    return _cosine(position) if config.schedule == "cosine" else _one_cycle(position, config.warmup)


def _cosine(position: Positions) -> Positions:
    return np.asarray((1 + np.cos(np.pi * position)) / 2)


def _one_cycle(position: Positions, warmup: float) -> Positions:
    rise = _FIRST_SHARE + (1 - _FIRST_SHARE) * position / max(warmup, 1e-12)
    fall = _LAST_SHARE + (1 - _LAST_SHARE) * _cosine((position - warmup) / (1 - warmup))
    return np.where(position < warmup, rise, fall)


def initial_parameters(config: ModelConfig, *, seed: int) -> list[Floats]:
    """Weight (units, inputs) and bias (units,) of every layer in turn."""
    rng = generator(seed, Stream.WEIGHTS)
    parameters = []
    for inputs, units in zip(config.sizes, config.sizes[1:], strict=False):
        bound = np.float32(_bound(inputs, units, config.activation))
        weight = aligned_zeros(units, inputs)
        rng.random(dtype=np.float32, out=weight)
        np.multiply(2 * weight - 1, bound, out=weight)
        parameters += [weight, aligned_zeros(units)]
    return parameters


def aligned_zeros(*shape: int) -> Floats:
    """Zeros that begin where a line of the processor's cache does, as torch's own memory: kernels depend on it."""
    size = math.prod(shape)
    memory = np.zeros(size + _LINE, dtype=np.float32)
    start = (-memory.ctypes.data // memory.itemsize) % _LINE
    return memory[start : start + size].reshape(shape)


def _bound(inputs: int, units: int, activation: Activation) -> float:
    return math.sqrt(6 / (inputs + units)) if activation in _SATURATING else math.sqrt(6 / inputs)
