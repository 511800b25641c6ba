"""The engine `fused` on images with much ink: all pixels are multiplied, not those alone that are not black.

The ink of the whole set decides, so that whoever trains on it gets the same bits. Random jobs of both forms are in
tests/native/fuzz.cpp, under the sanitizers.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from accelmnist.core.config import OPTIMIZERS, DataConfig, ExecutionConfig
from accelmnist.data.idx import write_idx
from accelmnist.data.types import Dataset, ImageSet
from accelmnist.engines import native
from accelmnist.engines.contract import State
from accelmnist.engines.native.network import _MOST_LISTED, NativeGradients, NativeNetwork
from accelmnist.engines.plan import TrainingPlan
from accelmnist.show.observer import SilentObserver
from accelmnist.training.execute import execute
from accelmnist.training.loop import prepare
from accelmnist.training.run import RunRequest, choose_setup
from tests.test_fused import NETWORKS, assert_audited, with_threads
from tests.training_helpers import CPU, images_of, make_job, run_epoch, small_config, train_with

pytestmark = [
    pytest.mark.numeric,
    pytest.mark.skipif(native.why_missing() is not None, reason=str(native.why_missing())),
]

LEVELS = native.levels() if native.why_missing() is None else ()


@pytest.fixture(scope="module")
def inverted(synthetic: Dataset) -> Dataset:
    """Dark digits on light: nearly all pixels have ink."""
    sets = {name: getattr(synthetic, name) for name in ("train", "test")}
    return dataclasses.replace(synthetic, **{n: ImageSet(255 - part.images, part.labels) for n, part in sets.items()})


def with_ink(data: Dataset, share: float, *, more: int = 0) -> Dataset:
    """The set with ink in at most `share` of its pixels, to the pixel, and in so many `more`; black is anywhere."""
    images = np.maximum(data.train.images, 1)
    inked = int(share * images.size) + more
    images.reshape(-1)[np.random.default_rng(0).permutation(images.size)[inked:]] = 0
    return dataclasses.replace(data, train=ImageSet(images, data.train.labels))


def pixels_told(job: Any) -> str:
    (choice,) = NativeNetwork(job).choices
    return choice.value


@pytest.mark.parametrize("name", [*NETWORKS, "a thousand units", "widths of 3 and 17"])
def test_every_step_of_every_network_is_right(name: str, inverted: Dataset) -> None:
    """With more than two threads too, which would share the lists."""
    odd = {"a thousand units": {"hidden": (1000,)}, "widths of 3 and 17": {"hidden": (3, 17), "activation": "gelu"}}
    config = small_config(model=(NETWORKS | odd)[name], training={"epochs": 1, "learning_rate": 0.005})
    for threads in (1, 2, 5):
        assert_audited(config, images_of(inverted, 8 * 64), threads=threads)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_step_at_every_level_is_right(
    level: str, optimizer: str, inverted: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(native.LEVEL_VARIABLE, level)
    training = {"epochs": 1, "learning_rate": 0.001, "optimizer": optimizer, "weight_decay": 0.02}
    config = small_config(model={"hidden": (72, 24), "dropout": 0.2}, training=training)
    data = images_of(inverted, 8 * 64)
    assert pixels_told(make_job(config, data, CPU)) == "all"
    assert_audited(config, data)


@pytest.mark.parametrize("batch", [1, 17, 128, 129, 300, 2048])
def test_every_batch_is_right(batch: int, inverted: Dataset) -> None:
    """Those that fill no row of a product, one chunk of images, several, and all images at once."""
    training = {"epochs": 1, "batch_size": batch, "learning_rate": 0.005, "optimizer": "sgd"}
    config = small_config(model={"hidden": (70,)}, training=training)
    assert_audited(config, images_of(inverted, min(8 * batch, len(inverted.train))), threads=3)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("more", "pixels"), [(0, "those that are not black"), (1, "all")])
def test_a_pixel_more_than_lists_are_good_for_has_all_multiplied(
    more: int, pixels: str, level: str, synthetic: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(native.LEVEL_VARIABLE, level)
    data = with_ink(images_of(synthetic, 8 * 64), _MOST_LISTED[level], more=more)
    config = small_config(training={"epochs": 1, "learning_rate": 0.005})
    assert pixels_told(make_job(config, data, CPU)) == pixels
    assert_audited(config, data)


@pytest.mark.parametrize("augment", ["shift", "affine"])
def test_images_that_move_are_taken_anew_and_as_the_originals(augment: str, synthetic: Dataset) -> None:
    """Moved they have less ink, since black comes in from outside."""
    level = native.chosen_level()
    data = with_ink(images_of(synthetic, 8 * 64), _MOST_LISTED[level] + 0.001)
    job = make_job(small_config(training={"augment": augment}), data, CPU)
    with torch.inference_mode():
        job.augmentation.write(1)
    assert job.host_images.images.astype(bool).mean() != job.host_originals.images.astype(bool).mean()
    assert pixels_told(job) == "all"
    assert_audited(job.config, data)


@pytest.mark.parametrize("augment", ["none", "shift"])
def test_a_training_that_goes_on_ends_at_the_same_bits(augment: str, inverted: Dataset) -> None:
    """An epoch, then another by a new engine from the state and the weights: as if one had done both."""
    config = small_config(training={"optimizer": "adamw", "learning_rate": 0.001, "augment": augment})
    whole = train_with(with_threads(3), config, inverted, CPU)
    job, plan = make_job(config, inverted, CPU), TrainingPlan(config, len(inverted.train))
    losses: list[torch.Tensor] = []
    states: list[State] = []
    for epoch in range(2):
        runner = prepare(with_threads(3), job)
        if job.augmentation is not None:
            with torch.inference_mode():
                job.augmentation.write(epoch)
        for state in states:
            runner.load_state(state)
        losses.append(run_epoch(runner, plan.epoch(epoch)))
        states = [runner.state()]
    assert torch.equal(torch.cat(losses), whole.losses)
    assert all(torch.equal(a, b) for a, b in zip(job.model.parameters(), whole.model.parameters(), strict=True))


@pytest.mark.parametrize("hidden", [(), (33,), (40, 17)])
def test_the_gradients_for_ranks_are_those_of_the_update(hidden: tuple[int, ...], inverted: Dataset) -> None:
    training = {"optimizer": "sgd", "schedule": "constant", "weight_decay": 0.0}
    training |= {"learning_rate": 0.5, "epochs": 1, "batch_size": 100}
    config = small_config(model={"hidden": hidden, "dropout": 0.3}, training=training)
    data = images_of(inverted, 100)
    plan = TrainingPlan(config, 100).epoch(0)
    gradients = NativeGradients(make_job(config, data, CPU))
    _, found = gradients(torch.from_numpy(plan.order[0]), torch.tensor(plan.dropout_seeds[0]), 0)
    job = make_job(config, data, CPU)
    before = [parameter.detach().clone() for parameter in job.model.parameters()]
    run_epoch(prepare(with_threads(1), job), plan)
    for old, gradient, new in zip(before, found, job.model.parameters(), strict=True):
        torch.testing.assert_close(old - 0.5 * gradient, new.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("precision", "told"), [("fp32", ["all"]), ("bf16", [])])
def test_a_run_tells_which_pixels_it_multiplied(
    precision: Any, told: list[str], inverted: Dataset, tmp_path: Path
) -> None:
    for name, part in (("train", inverted.train), ("t10k", inverted.test)):
        write_idx(tmp_path / f"{name}-images-idx3-ubyte", part.images.reshape(-1, 28, 28))
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte", part.labels.astype(np.uint8))
    execution = ExecutionConfig(device="cpu", engine="fused", threads=1, precision=precision)
    config = small_config(training={"learning_rate": 0.005})
    config = dataclasses.replace(config, data=DataConfig(folder=str(tmp_path)), execution=execution)
    record = execute(RunRequest(config=config), choose_setup(config), SilentObserver).record
    assert record.verdict is not None
    assert record.verdict.passed, record.verdict.failures
    assert [choice.value for choice in record.choices if choice.what == "pixels"] == told
