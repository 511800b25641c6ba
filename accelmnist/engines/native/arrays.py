"""A network in NumPy's arrays that the native kernels train and ask: what needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import CLASSES, RunConfig
from accelmnist.data.types import ImageSet
from accelmnist.engines import native
from accelmnist.engines.initial_weights import initial_parameters
from accelmnist.engines.plan import HostEpoch
from accelmnist.engines.step.rules import BETA1, BETA2, EPSILON, SLOTS

_LEAST_UNITS = 16  # of the widest layer for each thread; with fewer, meeting costs more than it brings

Floats = NDArray[np.float32]


class NativeNetwork:
    """The network of `config` from its first weights on; trains on `images` with `threads` threads.

    `parameters` are weight (units, inputs) and bias (units,) of every layer in turn, `slots` the optimizer's state by
    name, as many arrays each, and `count` its updates so far.
    """

    def __init__(self, config: RunConfig, images: ImageSet, *, threads: int) -> None:
        self.config, self.threads = config, threads
        self.parameters = initial_parameters(config.model, seed=config.training.seed)
        names = SLOTS[config.training.optimizer]
        self.slots = {name: [np.zeros_like(parameter) for parameter in self.parameters] for name in names}
        self.count = 0.0
        self._team = useful_threads(config.model.hidden, threads)
        self._labels = images.labels
        self._pixels = native.list_pixels(images.images, threads=self._team, level=native.chosen_level())

    def train(self, plan: HostEpoch) -> Floats:
        """Run the steps of an epoch; returns their losses (steps,)."""
        losses = run_epoch(
            self.config,
            self.parameters,
            self.slots,
            self._pixels,
            self._labels,
            plan,
            count=self.count,
            threads=self._team,
        )
        self.count += len(losses)
        return losses

    def logits(self, images: NDArray[np.uint8]) -> Floats:
        """Logits (n, 10) of images (n, 784)."""
        return array_classifier(self.parameters, activation=self.config.model.activation, threads=self.threads)(images)


def array_classifier(
    parameters: Sequence[Floats], *, activation: str, threads: int
) -> Callable[[NDArray[np.uint8]], Floats]:
    """Logits (n, 10) of images (n, 784) by a copy of `parameters`, on at most `threads` threads."""
    level = native.chosen_level()
    classifier = native.make_classifier(tuple(parameters), activation=activation, threads=threads, level=level)

    def classify(images: NDArray[np.uint8]) -> Floats:
        logits = np.empty((len(images), CLASSES), np.float32)
        native.classify(classifier, images, logits)
        return logits

    return classify


def run_epoch(
    config: RunConfig,
    parameters: Sequence[Floats],
    slots: Mapping[str, Sequence[Floats]],
    pixels: Any,
    labels: NDArray[np.int64],
    plan: HostEpoch,
    *,
    count: float,
    threads: int,
) -> Floats:
    """Run the steps of `plan` by `native.train`: `parameters` and `slots` change in place; returns losses (steps,).

    `pixels` are those of `native.list_pixels`; `count` updates were made before.
    """
    losses = np.empty(len(plan.order), dtype=np.float32)
    training, model = config.training, config.model
    native.train(
        tuple(parameters),
        tuple(tuple(row) for row in slots.values()),
        pixels,
        labels,
        plan.order,
        plan.learning_rates,
        plan.dropout_seeds,
        losses,
        activation=model.activation,
        output=model.output,
        rule=training.optimizer,
        nesterov=training.nesterov,
        momentum=training.momentum,
        weight_decay=training.weight_decay,
        label_smoothing=training.label_smoothing,
        dropout=model.dropout,
        beta1=BETA1,
        beta2=BETA2,
        epsilon=EPSILON,
        count=count,
        threads=threads,
        level=native.chosen_level(),
    )
    return losses


def useful_threads(hidden: Sequence[int], threads: int) -> int:
    """How many of `threads` are worth their meeting."""
    return max(1, min(threads, max(hidden, default=1) // _LEAST_UNITS))
