"""What an engine is: one way of running the steps of an epoch.

An engine gets a `Job` (weights and data on the device, and the configuration), prepares itself, and then runs epochs.
It says of itself what it can't do. From the same start and the same order every engine follows the eager float32
reference on the CPU within a stated tolerance; one parametrised test holds all of them to that.

A new engine is one file in `accelmnist/engines/`, which ends in `ENGINE = ItsClass`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from accelmnist.core.config import Precision, RunConfig
from accelmnist.data.augment import Augmentation
from accelmnist.data.on_device import DeviceSet
from accelmnist.device import KINDS, Device
from accelmnist.engines.model import MLP
from accelmnist.engines.plan import EpochArrays

State = dict[str, Tensor]
# Bytes (n, 784) -> logits (n, 10) float32, both on the device; the next call may overwrite what this one gave.
Classifier = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Job:
    """What is to be trained: the weights in `model` and the images in `data` lie on `device`.

    Where the images are augmented, `data` becomes a copy that `augmentation` writes every epoch's images into.
    """

    config: RunConfig
    device: Device
    model: MLP
    data: DeviceSet
    augmentation: Augmentation | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        training = self.config.training
        if training.augment != "none":
            augmentation = Augmentation(training.augment, self.data, seed=training.seed)
            object.__setattr__(self, "augmentation", augmentation)
            object.__setattr__(self, "data", augmentation.data)


@dataclass(frozen=True)
class Epoch:
    """The plan of one epoch, on the device: everything that differs from step to step.

    `order` (steps, batch) int64 are indexes of images, `learning_rates` (steps,) float32, `dropout_seeds` (steps,)
    int64.
    """

    order: Tensor
    learning_rates: Tensor
    dropout_seeds: Tensor

    @classmethod
    def of(cls, arrays: EpochArrays) -> Epoch:
        """The plan in torch's tensors, which share the arrays' memory."""
        parts = (arrays.order, arrays.learning_rates, arrays.dropout_seeds)
        return cls(*(torch.from_numpy(part) for part in parts))

    def to(self, device: torch.device) -> Epoch:
        """The same plan on `device`."""
        return Epoch(self.order.to(device), self.learning_rates.to(device), self.dropout_seeds.to(device))

    def __len__(self) -> int:
        return len(self.order)


class Engine(ABC):
    """One way of running the steps of an epoch; the module's weights are current before and after each epoch."""

    summary: ClassVar[str]  # for people: what it does, in a phrase
    kinds: ClassVar[tuple[str, ...]] = KINDS  # of device on which it can run at all, whatever is installed
    compiles: ClassVar[bool] = False  # whether `prepare` takes so long that people should be told

    @classmethod
    def compiles_on(cls, kind: str) -> bool:  # noqa: ARG003 - for most engines the device makes no difference
        """`compiles` on devices of `kind`, where that depends on it."""
        return cls.compiles

    @classmethod
    @abstractmethod
    def unsupported(cls, config: RunConfig, device: Device) -> str | None:
        """Why this engine can't train `config` on `device`, or None when it can."""

    @abstractmethod
    def prepare(self, job: Job, sample: Epoch) -> None:
        """Compile, capture, allocate. The weights end as they began.

        `sample` has the batch shape of every epoch to come; those may have fewer steps.
        """

    @abstractmethod
    def train_epoch(self, epoch: Epoch) -> Tensor:
        """Run all steps; returns their losses (steps,) float32 on the device, without a host sync."""

    @abstractmethod
    def state(self) -> State:
        """Everything besides the weights that the next epoch depends on, by name, as copies on the host."""

    @abstractmethod
    def load_state(self, state: State) -> None:
        """Continue from a `state` of this or another engine that trained the same configuration."""

    @classmethod
    def classifier(cls, model: MLP, device: Device, precision: Precision) -> Classifier | None:  # noqa: ARG003
        """The engine's own way to classify images with the weights that `model` has now; None where it has none.

        The first call with a new number of images may compile.
        """
        return None
