"""The first epochs of a run by the native kernels, without torch: as many as end before it would be there.

An epoch's figures are what `training` measures: its time holds the making of the order and the steps, and its accuracy
is taken outside of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import RunConfig
from accelmnist.core.records import EpochFigures
from accelmnist.data.split import RunImages, load_images
from accelmnist.data.types import ImageSet
from accelmnist.engines.native.arrays import NativeNetwork
from accelmnist.engines.plan import TrainingPlan
from accelmnist.training.head_start.foresight import LONGEST_S, expected_epoch_s, threads_of


@dataclass(frozen=True, kw_only=True)
class HeadStart:
    """A run after its first epochs: its images, which took `load_s` to load, and all that the next epoch depends on.

    `losses` (steps,). Where no epoch is left, `accuracy` is the share of the test set that is right, found in
    `evaluate_s` and known `to_accuracy_s` after the start of the process (None where that can't be told).
    """

    threads: int
    images: RunImages
    load_s: float
    network: NativeNetwork
    losses: NDArray[np.float32]
    epochs: tuple[EpochFigures, ...]
    accuracy: float | None = None
    evaluate_s: float | None = None
    to_accuracy_s: float | None = None


def begin(config: RunConfig, *, since_start: Callable[[], float | None]) -> HeadStart | None:
    """Load the images of `config` and train while time allows; `since_start` tells the age of the process.

    None where a loss isn't finite: the run proper will find and tell it. Raises DataError and ConfigError as it does.
    """
    started = time.perf_counter()
    images = load_images(config, None)
    load_s = time.perf_counter() - started
    threads = threads_of(config)
    network = NativeNetwork(config, images.training, threads=threads)
    losses, epochs = _train(config, network, images.probe, len(images.training))
    every = np.concatenate([np.empty(0, dtype=np.float32), *losses])
    if not np.isfinite(every).all():
        return None
    head_start = HeadStart(
        threads=threads,
        images=images,
        load_s=load_s,
        network=network,
        losses=every,
        epochs=tuple(epochs),
    )
    return _evaluated(head_start, since_start) if len(epochs) == config.training.epochs else head_start


def _evaluated(head_start: HeadStart, since_start: Callable[[], float | None]) -> HeadStart:
    started = time.perf_counter()
    accuracy = accuracy_of(head_start.network, head_start.images.test)
    evaluate_s = time.perf_counter() - started
    return replace(head_start, accuracy=accuracy, evaluate_s=evaluate_s, to_accuracy_s=since_start())


def _train(
    config: RunConfig, network: NativeNetwork, probe: ImageSet, count: int
) -> tuple[list[NDArray[np.float32]], list[EpochFigures]]:
    """The losses and figures of the epochs that end in time."""
    plans, begun = TrainingPlan(config, count), time.perf_counter()
    losses: list[NDArray[np.float32]] = []
    epochs: list[EpochFigures] = []
    takes_s = expected_epoch_s(config, count)
    while len(epochs) < config.training.epochs and time.perf_counter() - begun + takes_s <= LONGEST_S:
        number, started = len(epochs), time.perf_counter()
        losses.append(network.train(plans.epoch(number)))
        takes_s = time.perf_counter() - started
        accuracy = accuracy_of(network, probe)
        epochs.append(plans.figures(number, losses[-1], train_s=takes_s, accuracy=accuracy))
    return losses, epochs


def accuracy_of(network: NativeNetwork, images: ImageSet) -> float:
    """The share of `images` that `network` classifies rightly."""
    return float((network.logits(images.images).argmax(axis=1) == images.labels).mean())
