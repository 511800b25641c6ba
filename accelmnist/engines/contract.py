"""What an engine is: one way of running the steps of an epoch.

An engine gets a `Job` (weights and data on the device, and the configuration) and prepares a `Runner`, which then runs
epochs. It says of itself what it can't do. From the same start and the same order every engine follows the eager
float32 reference on the CPU within a stated tolerance; one parametrised test holds all of them to that.

A new engine is one file in `accelmnist/engines/`, which ends in `ENGINE = ItsClass`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor

from accelmnist.core.config import Precision, RunConfig
from accelmnist.data.augment import Augmentation
from accelmnist.data.on_device import DeviceSet
from accelmnist.device import KINDS, Device
from accelmnist.engines.model import MLP
from accelmnist.engines.plan import Epoch, HostEpoch

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
class Runner:
    """An engine that is ready to train its job; the network's weights are current before and after each epoch.

    `upload` puts the plan of an epoch where `train_epoch` reads it, on the device. `train_epoch` runs all steps and
    returns their losses (steps,) float32 there, without a host sync. `state` is everything besides the weights that the
    next epoch depends on, by name, as copies on the host; `load_state` goes on from a state of this or another engine
    that trained the same configuration.
    """

    train_epoch: Callable[[Epoch[Any]], Tensor]
    state: Callable[[], State]
    load_state: Callable[[State], None]
    upload: Callable[[HostEpoch], Epoch[Any]]
    prepare_s: float = 0.0  # what it took to compile, capture and allocate


class Engine(ABC):
    """One way of running the steps of an epoch. It is never made: what an engine keeps, its runner has."""

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

    @classmethod
    @abstractmethod
    def prepare(cls, job: Job, sample: HostEpoch) -> Runner:
        """Compile, capture, allocate. The weights end as they began.

        `sample` has the batch shape of every epoch to come; those may have fewer steps.
        """

    @classmethod
    def classifier(cls, model: MLP, device: Device, precision: Precision) -> Classifier | None:  # noqa: ARG003
        """The engine's own way to classify images with the weights that `model` has now; None where it has none.

        The first call with a new number of images may compile.
        """
        return None
