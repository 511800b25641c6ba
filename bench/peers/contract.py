"""What a peer is: a `Contender`, one way of doing the training of a `Job`, or of classifying with its weights.

A contender builds itself from the job, and starts from what `load` gives it. `train` runs steps, and returns when they
are done: whoever runs asynchronously waits for the end inside. Everything that a user pays for lies inside too: the
gathering of batches, and bringing the losses to the host.

Weights and optimizer state have one form for all, a `State`: the arrays of the protocol by their names
(`accelmnist.measure.beside.protocol`). A new contender is one file in `bench/peers/contenders/` that ends in
`CONTENDER = ItsClass`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import CLASSES, Precision, RunConfig
from accelmnist.data.types import Dataset
from accelmnist.engines.plan import Floats, TrainingPlan, initial_parameters
from accelmnist.engines.step.rules import SLOTS
from accelmnist.measure.plan import Mode

State = dict[str, NDArray[Any]]
Digits = NDArray[np.int64]

SCALE = np.float32(1 / 255)
COUNT = "scalar/count"


@dataclass(frozen=True)
class Images:
    """The training set and the images of the test set, as bytes; all jobs of a process share them."""

    images: NDArray[np.uint8]  # (n, 784)
    labels: NDArray[np.int64]  # (n,)
    test: NDArray[np.uint8]  # (10,000, 784)

    @cached_property
    def inputs(self) -> Floats:
        """The training images from 0 to 1, for those that keep them so: (n, 784)."""
        return self.images * SCALE


@dataclass(frozen=True, kw_only=True)
class Job:
    """The work: its configuration, images, which of them every step takes, every step's rate, and first weights."""

    config: RunConfig
    mode: Mode
    data: Images
    order: NDArray[np.int64]  # (steps, batch)
    rates: Floats  # (steps,)
    start: Mapping[str, Floats]

    @classmethod
    def of(cls, config: RunConfig, dataset: Dataset, *, mode: Mode = "training") -> Job:
        """The job of a run of `config`, as this package would plan it."""
        plan = TrainingPlan(config, len(dataset.train))
        epochs = [plan.epoch(number) for number in range(config.training.epochs)]
        arrays = initial_parameters(config.model, seed=config.training.seed)
        return cls(
            config=config,
            mode=mode,
            data=Images(dataset.train.images, dataset.train.labels, dataset.test.images),
            order=np.concatenate([epoch.order for epoch in epochs]),
            rates=np.concatenate([epoch.learning_rates for epoch in epochs]),
            start=dict(zip(parameter_names(config), arrays, strict=True)),
        )

    @property
    def names(self) -> list[str]:
        """Of the weights and biases, layer by layer."""
        return parameter_names(self.config)

    @property
    def slots(self) -> tuple[str, ...]:
        """What the optimizer keeps of every weight."""
        return SLOTS[self.config.training.optimizer]

    @property
    def is_adam(self) -> bool:
        """Whether the optimizer is Adam or AdamW."""
        return len(self.slots) == 2

    def images_of(self, steps: slice) -> NDArray[np.int64]:
        """The images of these steps, one after the other, for libraries that shuffle what they get."""
        return self.order[steps].ravel()

    def fresh(self) -> State:
        """The state before the first step."""
        slots = {f"{slot}/{name}": np.zeros_like(self.start[name]) for slot in self.slots for name in self.names}
        return {**self.start, **slots, **({COUNT: np.zeros((), np.float32)} if self.is_adam else {})}

    def targets(self) -> Floats:
        """The target of each class, one a row: (10, 10), one-hot but for what smoothing spreads."""
        share = self.config.training.label_smoothing
        return (np.eye(CLASSES) * (1 - share) + share / CLASSES).astype(np.float32)


def parameter_names(config: RunConfig) -> list[str]:
    """Of the weights and biases, layer by layer."""
    return [f"layers.{layer}.{part}" for layer in range(len(config.model.hidden) + 1) for part in ("weight", "bias")]


class Contender(ABC):
    """One way of doing a job."""

    packages: ClassVar[tuple[str, ...]]  # distributions whose versions are told
    shuffles: ClassVar[bool] = (
        False  # whether it takes its images in an order of its own, and keeps its state to itself
    )
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32",)
    compiles: ClassVar[bool] = False  # whether the first call takes longer than those that follow
    first_steps: ClassVar[int] = 1  # of that call

    @abstractmethod
    def __init__(self, job: Job) -> None:
        """Build it: data brought into the form that it likes, network and optimizer made."""

    @classmethod
    def unsupported(cls, job: Job) -> str | None:  # noqa: ARG003
        """Why it can't do exactly this job, or None when it can; what nobody does here is left out before."""
        return None

    @abstractmethod
    def load(self, state: State) -> None:
        """Set weights and optimizer state; those that shuffle are given the start alone."""

    def save(self) -> State:
        """Weights and optimizer state as they are now."""
        raise NotImplementedError(f"{type(self).__name__} keeps its state to itself")

    @abstractmethod
    def train(self, steps: slice) -> Floats:
        """Run these steps of the job, counted from 0; returns losses on the host: one a step, or their mean alone."""

    def upload(self, images: NDArray[np.uint8]) -> Any:
        """Images (n, 784) in the form that `classify` takes; what an application holds is not on the clock."""
        return images

    @abstractmethod
    def classify(self, images: Any) -> NDArray[Any]:
        """Logits (n, 10) on the host of what `upload` gave; of those that shuffle, digits (n,) do after a training."""


def refusal(kind: type[Contender], job: Job) -> str | None:
    """Why this kind of contender can't do exactly this job, or None when it can."""
    config = job.config
    execution, training = config.execution, config.training
    reasons = {
        "it has no dropout by given seeds": config.model.dropout > 0,
        "it doesn't move its images": training.augment != "none",
        "it keeps no average of its weights": training.averaging > 0,
        "it runs on the CPU": execution.device not in ("cpu", "auto"),
        "it shares its batches with nobody": execution.ranks > 1,
        f"it has no {execution.precision}": execution.precision not in kind.precisions,
    }
    return next((reason for reason, holds in reasons.items() if holds), None) or kind.unsupported(job)
