"""Augmented images against SciPy and against slices, the same on every device, and right in the eyes of the verdict."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from accelmnist.core.config import AUGMENTS, TrainingConfig
from accelmnist.data.augment import BLOCK, PARTS, Augmentation, epoch_maps, sources
from accelmnist.data.types import Dataset, ImageSet, upload
from accelmnist.device import Device, resolve
from accelmnist.engines.choose import engine_class
from accelmnist.training.loop import prepare, train
from accelmnist.training.reference.scores import oracle_scores
from accelmnist.training.reference.tolerances import tolerances
from accelmnist.training.reference.verdict import VerdictInputs, judge, train_reference
from tests.rounding import images_seen
from tests.training_helpers import make_job, small_config, train_with

pytestmark = pytest.mark.numeric

KINDS = [kind for kind in AUGMENTS if kind != "none"]
CPU = resolve("cpu")


def first_images(mnist: Dataset, count: int = 600) -> ImageSet:
    """Two whole blocks and a part of one."""
    return ImageSet(mnist.train.images[:count], mnist.train.labels[:count])


def written(kind: Any, images: ImageSet, device: Any = CPU, *, seed: int = 3, epoch: float = 1) -> np.ndarray:
    augmentation = Augmentation(kind, upload(images, device), seed=seed)
    augmentation.write(epoch)
    return augmentation.data.images.cpu().numpy()


def test_affine_is_scipys_bilinear_interpolation(mnist: Dataset) -> None:
    """At places rounded to eighths, which both get; black outside; halves rounded up."""
    images = first_images(mnist)
    maps = epoch_maps("affine", len(images), seed=3, epoch=1)
    rows, columns = np.divmod(np.arange(784), 28)
    expected = []
    for number, image in enumerate(images.images.reshape(-1, 28, 28)):
        (a, b, down), (c, d, right) = maps[number // BLOCK]
        y, x = rows - 13.5, columns - 13.5
        places = np.stack([a * y + b * x + down, c * y + d * x + right]) + 13.5
        places = np.rint(places * PARTS) / PARTS
        expected.append(map_coordinates(image.astype(float), places, order=1, mode="grid-constant"))
    assert np.array_equal(written("affine", images), np.floor(np.array(expected) + 0.5 + 1e-9))


def test_shift_is_a_slice(mnist: Dataset) -> None:
    images = first_images(mnist)
    found = written("shift", images).reshape(-1, 28, 28)
    padded = np.pad(images.images.reshape(-1, 28, 28), ((0, 0), (1, 1), (1, 1)))
    moves = set()
    for start in range(0, len(images), BLOCK):
        block = slice(start, start + BLOCK)
        fits = [
            (down, right)
            for down in range(3)
            for right in range(3)
            if np.array_equal(found[block], padded[block, down : down + 28, right : right + 28])
        ]
        assert len(fits) == 1
        moves.update(fits)
    assert len(moves) > 1


def test_maps_stay_within_their_limits_and_use_them() -> None:
    moves = epoch_maps("shift", 60_000, seed=0, epoch=0)[:, :, 2]
    assert {tuple(move) for move in moves} == {(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)}
    maps = epoch_maps("affine", 600_000, seed=0, epoch=0)
    assert maps.shape == (2400, 2, 3)
    assert 1.45 < np.abs(maps[:, :, 2]).max() <= 1.5
    areas = np.linalg.det(maps[:, :, :2])
    assert 0.88**2 <= areas.min() < 0.8
    assert 1.2 < areas.max() <= 1.12**2
    assert np.abs(maps.mean(axis=0) - [[1, 0, 0], [0, 1, 0]]).max() < 0.06  # no direction is preferred


def test_maps_depend_on_seed_and_epoch_alone() -> None:
    first = epoch_maps("affine", 1000, seed=3, epoch=1)
    assert np.array_equal(first, epoch_maps("affine", 1000, seed=3, epoch=1))
    assert not np.array_equal(first, epoch_maps("affine", 1000, seed=3, epoch=2))
    assert not np.array_equal(first, epoch_maps("affine", 1000, seed=4, epoch=1))


def test_the_maps_of_a_seed_are_part_of_every_record() -> None:
    """These numbers must never change: a record of today is only comparable with one of tomorrow if they don't."""
    assert epoch_maps("shift", 1000, seed=0, epoch=0)[:, :, 2].tolist() == [[0, 1], [1, -1], [-1, 0], [-1, 0]]
    places = sources(epoch_maps("affine", 1, seed=0, epoch=0))[0]
    assert places[:, [0, 405, 783]].tolist() == [
        [21, 102, 172],
        [-20, 95, 217],
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_every_device_and_the_check_see_the_same_bytes(kind: str, mnist: Dataset, device: Device) -> None:
    images = first_images(mnist)
    found = written(kind, images, device)
    index = np.array([0, 7, 249, 250, 599])
    training = TrainingConfig(augment=kind, seed=3)
    assert np.array_equal(found[index], images_seen(images.images, index, training, epoch=1))
    assert not np.array_equal(found, images.images)
    assert not np.array_equal(found, written(kind, images, device, epoch=2))


@pytest.mark.parametrize("kind", KINDS)
def test_the_set_that_was_given_stays_as_it_is(kind: str, mnist: Dataset) -> None:
    """On the CPU a device's set is the host's memory, which the verdict reads."""
    images = first_images(mnist)
    before = images.images.copy()
    train_with("eager", small_config(training={"augment": kind}), dataclasses.replace(mnist, train=images), CPU)
    assert np.array_equal(images.images, before)


def test_every_epoch_has_images_of_its_own(synthetic: Dataset) -> None:
    config = small_config(training={"augment": "affine", "epochs": 2, "seed": 3})
    job = make_job(config, synthetic, CPU)
    runner = prepare(engine_class("eager"), job)
    for number, _ in enumerate(train(runner, job, probe=None)):
        assert np.array_equal(job.data.images.numpy(), written("affine", synthetic.train, epoch=number))


def test_without_augmentation_nothing_is_copied(synthetic: Dataset) -> None:
    data = upload(synthetic.train, CPU)
    job = make_job(small_config(), synthetic, CPU)
    assert job.augmentation is None
    assert job.data.images.data_ptr() == data.images.data_ptr()


def augmented_config(kind: Any) -> Any:
    return small_config(training={"augment": kind, "averaging": 0.4, "epochs": 3}, model={"dropout": 0.2})


@pytest.mark.parametrize("engine", ["eager", "fused"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_verdict_passes_with_augmentation_averaging_and_dropout(kind: str, engine: str, mnist: Dataset) -> None:
    data = dataclasses.replace(mnist, train=first_images(mnist, 8000))
    config = augmented_config(kind)
    done = train_with(engine, config, data, CPU, windows=8)
    said = done.evaluation.labels, done.evaluation.predictions
    verdict = judge(
        VerdictInputs(done.config, done.model, data.train, data.test, done.evaluation, done.losses, done.audit),
        oracle=lambda: oracle_scores(*said),
        reference=train_reference(config, data.train, data.test),
        nudged=lambda: train_reference(config, data.train, data.test, nudge=tolerances("fp32").rounding).losses,
        is_reference=False,
    )
    assert verdict.passed, verdict.failures


def test_training_on_other_images_is_caught(mnist: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch that keeps the images of the one before."""
    data = dataclasses.replace(mnist, train=first_images(mnist, 2000))
    config = small_config(training={"augment": "shift"})
    write = Augmentation.write
    monkeypatch.setattr(Augmentation, "write", lambda self, epoch: write(self, 0))
    done = train_with("eager", config, data, CPU, windows=1)
    losses = next(check for check in done.audit.step_checks() if check.name == "audited losses")
    assert not losses.passed
    assert "epoch 2" in losses.detail
