"""The engine `fused` in bf16 on the CPU: every step within the audit's bounds, at every level of instructions.

The audit's bounds are those of rounding the operands of every product, and gradients are held to what these roundings
make of them. So is the classifier: with the weights rounded as it rounds them, what is left is float32's. Random jobs
are in tests/native/fuzz.cpp, under the sanitizers.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from accelmnist.core.config import OPTIMIZERS
from accelmnist.core.errors import DivergedError
from accelmnist.data.types import Dataset, ImageSet
from accelmnist.engines import native
from accelmnist.engines.choose import choose_engine
from accelmnist.engines.contract import Job
from accelmnist.engines.native.network import NativeGradients
from accelmnist.engines.plan import TrainingPlan
from accelmnist.training.loop import prepare
from tests import test_fused
from tests.rounding import logits_and_bound
from tests.test_fused import NETWORKS, train_arrays, with_threads
from tests.test_native_classifier import logits_by, made, network, some_images
from tests.training_helpers import CPU, images_of, make_job, run_epoch, small_config, train_with

pytestmark = [
    pytest.mark.numeric,
    pytest.mark.skipif(native.why_missing() is not None, reason=str(native.why_missing())),
]

LEVELS = native.levels() if native.why_missing() is None else ()
BF16 = {"precision": "bf16", "engine": "fused"}
assert_audited = partial(test_fused.assert_audited, precision="bf16")


# --- training


@pytest.mark.parametrize("name", [*NETWORKS, "two units too many", "a thousand units", "widths of 3 and 17"])
def test_every_step_of_every_network_is_right(name: str, synthetic: Dataset) -> None:
    odd = {
        "two units too many": {"hidden": (130,), "output": "linear"},
        "a thousand units": {"hidden": (1000,), "output": "sigmoid"},
        "widths of 3 and 17": {"hidden": (3, 17), "activation": "gelu"},
    }
    config = small_config(model=(NETWORKS | odd)[name], training={"epochs": 1, "learning_rate": 0.02})
    for threads in (1, 2, 5):
        assert_audited(config, images_of(synthetic, 8 * 64), threads=threads)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_step_at_every_level_is_right(
    level: str, optimizer: str, synthetic: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(native.LEVEL_VARIABLE, level)
    training = {"epochs": 1, "learning_rate": 0.01, "optimizer": optimizer, "weight_decay": 0.02}
    config = small_config(model={"hidden": (72, 24), "dropout": 0.2}, training=training)
    assert_audited(config, images_of(synthetic, 8 * 64))


@pytest.mark.parametrize("batch", [1, 2, 7, 127, 128, 129, 300, 2048])
@pytest.mark.parametrize("hidden", [(20,), (40, 33)])
def test_every_batch_is_right(batch: int, hidden: tuple[int, ...], synthetic: Dataset) -> None:
    """Those that fill no row of a product, one chunk of images, several, and all images at once."""
    training = {"epochs": 1, "batch_size": batch, "learning_rate": 0.01, "optimizer": "sgd", "schedule": "cosine"}
    config = small_config(model={"hidden": hidden}, training=training)
    assert_audited(config, images_of(synthetic, min(8 * batch, len(synthetic.train))), threads=3)


@pytest.mark.slow
def test_a_batch_of_60_000_is_right(synthetic: Dataset) -> None:
    repeated = ImageSet(*(np.resize(array, (60_000, *array.shape[1:])) for array in train_arrays(synthetic)))
    training = {"epochs": 1, "batch_size": 60_000, "learning_rate": 0.01, "optimizer": "sgd"}
    config = small_config(model={"hidden": (17, 3)}, training=training)
    assert_audited(config, Dataset("repeated", "", repeated, synthetic.test, synthetic.class_names))


def test_weights_that_overflow_are_told(synthetic: Dataset) -> None:
    config = small_config(training={"learning_rate": 1e30, "epochs": 1, "optimizer": "sgd"})
    with pytest.raises(DivergedError, match=r"the loss is (nan|inf)"):
        train_with(with_threads(2), config, synthetic, CPU, precision="bf16")


@pytest.mark.parametrize("augment", ["shift", "affine"])
def test_images_that_move_are_taken_anew(augment: str, synthetic: Dataset) -> None:
    config = small_config(training={"augment": augment})
    assert_audited(config, images_of(synthetic, 8 * 64))


def test_tiny_weights_and_black_images_are_right(synthetic: Dataset) -> None:
    """Weights that are subnormal numbers, and images of a single faint pixel."""
    data = images_of(synthetic, 4 * 64)
    data.train.images[:] = 0
    data.train.images[::3, 400] = 1
    config = small_config(training={"epochs": 1, "schedule": "constant"}, execution=BF16)
    job = make_job(config, data, CPU)
    with torch.no_grad():
        job.model.layers[0].weight.mul_(1e-38)
    losses = run_epoch(prepare(with_threads(2), job), TrainingPlan(config, len(data.train)).epoch(0))
    assert torch.isfinite(losses).all()
    assert all(torch.isfinite(parameter).all() for parameter in job.model.parameters())


def test_the_same_number_of_threads_gives_the_same_bits(synthetic: Dataset) -> None:
    config = small_config(model={"hidden": (70, 33), "dropout": 0.2}, training={"optimizer": "adamw", "epochs": 1})
    first, second = (train_with(with_threads(3), config, synthetic, CPU, precision="bf16") for _ in range(2))
    assert torch.equal(first.losses, second.losses)
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True))


@pytest.mark.parametrize("hidden", [(), (33,), (40, 17)])
def test_the_gradients_for_ranks_are_those_of_the_update(hidden: tuple[int, ...], synthetic: Dataset) -> None:
    training = {"optimizer": "sgd", "schedule": "constant", "weight_decay": 0.0}
    training |= {"learning_rate": 0.5, "epochs": 1, "batch_size": 100}
    config = small_config(model={"hidden": hidden, "dropout": 0.3}, training=training, execution=BF16)
    data = images_of(synthetic, 100)
    plan = TrainingPlan(config, 100).epoch(0)
    gradients = NativeGradients(make_job(config, data, CPU))
    _, found = gradients(torch.from_numpy(plan.order[0]), torch.tensor(plan.dropout_seeds[0]), 0)
    job = make_job(config, data, CPU)
    before = [parameter.detach().clone() for parameter in job.model.parameters()]
    run_epoch(prepare(with_threads(1), job), plan)
    for old, gradient, new in zip(before, found, job.model.parameters(), strict=True):
        torch.testing.assert_close(old - 0.5 * gradient, new.detach(), rtol=1e-5, atol=1e-6)


def test_bf16_is_taken_where_it_is_asked_for() -> None:
    assert choose_engine(small_config(execution={"precision": "bf16"}), CPU).name == "fused"
    assert choose_engine(small_config(), CPU).name == "fused"
    job = Job(small_config(), CPU, some_set())
    assert prepare(with_threads(1), job).train_epoch.__self__.job.config.execution.precision == "fp32"


def some_set() -> ImageSet:
    return ImageSet(some_images(64), np.zeros(64, np.int64))


# --- inference


def rounded(array: np.ndarray) -> np.ndarray:
    """To bf16: the upper half of a float, ties to even."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("hidden", [(), (1,), (37,), (128,), (1000,)])
def test_a_classifier_rounds_its_weights_and_nothing_else(hidden: tuple[int, ...], level: str) -> None:
    """Bytes are exact in bf16 and the output layer is float32: for one hidden layer float32's bound has to hold."""
    parameters, images = network(hidden), some_images(300)
    expected, bound = logits_and_bound((rounded(parameters[0]), *parameters[1:]), images)
    found = logits_by(made(parameters, precision="bf16", level=level), images)
    assert (np.abs(found - expected) <= bound).all()
    exact, _ = logits_and_bound(parameters, images)
    assert (np.abs(found - exact) > bound).any()  # and so it isn't float32 that was computed


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("hidden", [(70, 33), (17, 3, 1)])
def test_a_deep_classifier_is_within_the_roundings_of_bf16(hidden: tuple[int, ...], level: str) -> None:
    parameters, images = network(hidden), some_images(300)
    expected, bound = logits_and_bound(parameters, images, precision="bf16", activation="tanh")
    found = logits_by(made(parameters, precision="bf16", level=level, activation="tanh"), images)
    assert (np.abs(found - expected) <= bound).all()


@pytest.mark.parametrize("hidden", [(), (128,), (70, 33)])
def test_every_number_of_images_and_threads_gives_the_same_bits(hidden: tuple[int, ...]) -> None:
    parameters, images = network(hidden), some_images(700)
    classifiers = [made(parameters, precision="bf16", threads=threads) for threads in (1, 2, 3, 8)]
    whole = logits_by(classifiers[0], images)
    for classifier in classifiers:
        for size in (1, 2, 3, 5, 127, 128, 129, 700):
            assert np.array_equal(logits_by(classifier, images[-size:]), whole[-size:])
