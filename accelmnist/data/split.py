"""The images of a run: those that train, those that give the accuracy by epoch, and those that are the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import RunConfig, check_fits
from accelmnist.core.records import DataSummary
from accelmnist.core.seeds import Stream, generator
from accelmnist.data.likeness import is_light
from accelmnist.data.mnist import load_in_background
from accelmnist.data.types import Dataset, ImageSet

_PROBE_IMAGES = 5000  # of the training set, for the accuracy by epoch if no image is held out


@dataclass(frozen=True)
class RunImages:
    """`probe` gives the accuracy by epoch: the validation images, or some of the training ones.

    `files` are the data set's.
    """

    training: ImageSet
    probe: ImageSet
    test: ImageSet
    summary: DataSummary
    files: tuple[Path, ...] = ()


def load_images(config: RunConfig, load: Callable[[], Dataset] | None) -> RunImages:
    """The images of `config`, split; `load` returns the data set if that is on its way already.

    Raises DataError, and ConfigError if the batch or the validation split is larger than the set.
    """
    seed = config.training.seed
    dataset = (load or load_in_background(config.data, seed=seed))()
    whole = dataset.train
    check_fits(config, training_images=len(whole.labels))
    kept, held_out = split_validation(whole.labels, config.data.validation, seed=seed)
    probe = held_out if config.data.validation else np.arange(min(_PROBE_IMAGES, len(kept)))
    summary = summary_of(dataset, validation_images=config.data.validation)
    return RunImages(
        training=whole.part(kept) if config.data.validation else whole,
        probe=whole.part(probe),
        test=dataset.test,
        summary=replace(summary, test_in_training=0 if dataset.source == "embedded" else copies_in_training(dataset)),
        files=dataset.files,
    )


def summary_of(dataset: Dataset, *, validation_images: int) -> DataSummary:
    """What a record says of the images, of which so many are held out; the test images are not looked at."""
    return DataSummary(
        dataset=dataset.name,
        source=dataset.source,
        training_images=len(dataset.train) - validation_images,
        validation_images=validation_images,
        test_images=len(dataset.test),
        class_names=dataset.class_names,
        light=is_light(dataset.train.images),
    )


def copies_in_training(dataset: Dataset) -> int:
    """The number of test images that are among the training images, pixel for pixel, by 64-bit hashes."""
    known = {hash(image.tobytes()) for image in dataset.train.images}
    return sum(hash(image.tobytes()) in known for image in dataset.test.images)


def split_validation(
    labels: NDArray[np.int64], held_out: int, *, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indexes to train on and indexes to validate on, every class in proportion (stratified), both sorted.

    The classes' shares of `held_out` are rounded by largest remainder, so that they add up exactly.
    """
    if held_out == 0:
        return np.arange(len(labels)), np.empty(0, dtype=np.int64)
    chooser = generator(seed, Stream.SPLIT)
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * (held_out / len(labels))
    shares = np.floor(exact).astype(np.int64)
    short = held_out - int(shares.sum())
    shares[np.argsort(shares - exact, kind="stable")[:short]] += 1
    held_out_of = [
        chooser.choice(np.flatnonzero(labels == label), share, replace=False)
        for label, share in zip(classes, shares, strict=True)
    ]
    validation = np.sort(np.concatenate(held_out_of))
    return np.setdiff1d(np.arange(len(labels)), validation), validation
