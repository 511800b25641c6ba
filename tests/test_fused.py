"""The engine `fused` on the CPU: it follows the reference for every network, rule, thread count and level.

The contract that all engines share is in test_engines.py, the kernels' border and the sanitizers in test_native.py, its
form on CUDA in test_gpu_kernels.py.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from accelmnist.core.config import EVERY_STEP, ExecutionConfig
from accelmnist.core.errors import DivergedError
from accelmnist.data.types import Dataset, upload
from accelmnist.device import Device, resolve
from accelmnist.engines import native, room
from accelmnist.engines.eager import EagerEngine
from accelmnist.engines.fused import FusedEngine
from accelmnist.engines.model import MLP, logits_of
from accelmnist.engines.native.network import NativeNetwork
from accelmnist.engines.plan import Epoch, TrainingPlan
from accelmnist.engines.room import Room
from accelmnist.training.loop import prepare, train
from accelmnist.training.reference.scores import oracle_scores
from accelmnist.training.reference.tolerances import tolerances
from accelmnist.training.reference.verdict import VerdictInputs, judge, train_reference
from tests.rounding import Followed, assert_logits, leave
from tests.training_helpers import ends_of, make_job, reference, run_epoch, small_config, train_with

pytestmark = [
    pytest.mark.numeric,
    pytest.mark.skipif(native.why_missing() is not None, reason=str(native.why_missing())),
]

CPU = resolve("cpu")
NETWORKS = {
    "no hidden layer": {"hidden": ()},
    "one unit": {"hidden": (1,)},
    "units that fill no vector": {"hidden": (37,)},
    "more units than a panel": {"hidden": (150,)},
    "three layers": {"hidden": (70, 33, 20)},
    "three tanh layers": {"hidden": (40, 24, 17), "activation": "tanh"},
    "leaky relu": {"hidden": (40,), "activation": "leaky-relu"},
    "silu": {"hidden": (40, 20), "activation": "silu"},
    "sigmoid": {"hidden": (40,), "activation": "sigmoid"},
    "dropout in two layers": {"hidden": (48, 24), "dropout": 0.4},
    "dropout of gelu": {"hidden": (48,), "dropout": 0.4, "activation": "gelu"},
}


def with_threads(threads: int) -> type[FusedEngine]:
    """The engine with a number of threads of its own, whatever torch has and the network's size deserves."""

    class WithThreads(FusedEngine):
        @classmethod
        def prepare(cls, job: Any, sample: Any) -> Any:
            runner = super().prepare(job, sample)
            runner.train_epoch.__self__.threads = threads
            return runner

    return WithThreads


def assert_follows(config: Any, data: Any, *, threads: int) -> None:
    reference(config, data).hold(*ends_of(train_with(with_threads(threads), config, data, CPU)))


def assert_audited(config: Any, data: Dataset, *, threads: int = 2, precision: str = "fp32") -> None:
    """Every step of the training is within what rounding may make of it."""
    config = dataclasses.replace(config, execution=dataclasses.replace(config.execution, engine="fused"))
    done = train_with(with_threads(threads), config, data, CPU, precision=precision, windows=EVERY_STEP)
    checks = done.audit.step_checks()
    assert done.audit.replayed == len(done.losses) > 0
    assert [(check.name, check.value, check.detail) for check in checks if not check.passed] == []


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_ends_where_the_reference_does(name: str, synthetic: Dataset) -> None:
    config = small_config(model=NETWORKS[name], training={"epochs": 1, "learning_rate": 0.02})
    for threads in (1, 2, 5):
        assert_follows(config, synthetic, threads=threads)


@pytest.mark.parametrize("level", native.levels() if native.why_missing() is None else ())
@pytest.mark.parametrize("optimizer", ["sgd", "sgd-momentum", "adam", "adamw"])
def test_every_level_ends_where_the_reference_does(
    level: str, optimizer: str, synthetic: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(native.LEVEL_VARIABLE, level)
    training = {"epochs": 1, "learning_rate": 0.01, "optimizer": optimizer, "weight_decay": 0.02}
    config = small_config(model={"hidden": (72, 24)}, training=training)
    assert_follows(config, synthetic, threads=2)


@pytest.mark.parametrize("batch", [1, 7, 128, 129, 300, 2048])
def test_every_batch_ends_where_the_reference_does(batch: int, synthetic: Dataset) -> None:
    """Those that fill no vector, one chunk of images, several, and all images at once."""
    data = dataclasses.replace(
        synthetic, train=type(synthetic.train)(*(a[: 40 * batch] for a in train_arrays(synthetic)))
    )
    config = small_config(training={"epochs": 1, "batch_size": batch, "learning_rate": 0.01})
    assert_follows(config, data, threads=3)


def train_arrays(data: Any) -> Any:
    return data.train.images, data.train.labels


def test_a_batch_too_large_to_fetch_ahead(synthetic: Dataset) -> None:
    """Beyond 4,096 images there is one buffer, and the threads meet more often."""
    order = torch.randint(2048, (3, 5000), generator=torch.Generator().manual_seed(0))
    epoch = Epoch(order.numpy(), np.full(3, 0.05, np.float32), np.zeros(3, np.int64))

    def ends(engine: Any, nudge: Any = leave) -> Any:
        job = make_job(small_config(model={"hidden": (48, 32)}), synthetic, CPU)
        nudge(job.model.parameters())
        return [run_epoch(engine.prepare(job, epoch), epoch), *job.model.parameters()]

    Followed.by(lambda nudge: ends(EagerEngine, nudge)).hold(*ends(with_threads(3)))


@pytest.mark.parametrize("level", native.levels() if native.why_missing() is None else ())
@pytest.mark.parametrize("bias", [-0.1, 0.1, 0.3])
def test_few_activations_and_nearly_all_end_where_the_reference_does(
    bias: float, level: str, synthetic: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few are listed, many are all multiplied: layers and panels differ in that, and steps."""
    monkeypatch.setenv(native.LEVEL_VARIABLE, level)
    order = torch.randint(2048, (4, 300), generator=torch.Generator().manual_seed(0))
    epoch = Epoch(order.numpy(), np.full(4, 0.02, np.float32), np.zeros(4, np.int64))

    def ends(engine: Any, nudge: Any = leave) -> Any:
        job = make_job(small_config(model={"hidden": (150, 70, 33)}), synthetic, CPU)
        with torch.no_grad():
            for parameter in list(job.model.parameters())[1:-2:2]:
                parameter += bias
        nudge(job.model.parameters())
        return [run_epoch(engine.prepare(job, epoch), epoch), *job.model.parameters()]

    Followed.by(lambda nudge: ends(EagerEngine, nudge)).hold(*ends(with_threads(2)))


@pytest.mark.parametrize("hidden", [(100,), (70, 33)])
def test_the_same_number_of_threads_gives_the_same_bits(hidden: tuple[int, ...], synthetic: Dataset) -> None:
    config = small_config(model={"hidden": hidden, "dropout": 0.2}, training={"optimizer": "adamw", "epochs": 1})
    first, second = (train_with(with_threads(3), config, synthetic, CPU) for _ in range(2))
    assert torch.equal(first.losses, second.losses)
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True))


@pytest.mark.parametrize("optimizer", ["sgd", "sgd-momentum", "adamw"])
def test_a_training_that_goes_on_ends_at_the_same_bits(optimizer: str, synthetic: Dataset) -> None:
    """An epoch, then another by a new engine from the state and the weights: as if one had done both."""
    config = small_config(training={"optimizer": optimizer, "learning_rate": 0.01})
    whole = train_with(with_threads(2), config, synthetic, CPU)
    job, plan = make_job(config, synthetic, CPU), TrainingPlan(config, len(synthetic.train))
    first = prepare(with_threads(2), job)
    losses = [run_epoch(first, plan.epoch(0))]
    second = prepare(with_threads(2), job)
    second.load_state(first.state())
    losses.append(run_epoch(second, plan.epoch(1)))
    assert torch.equal(torch.cat(losses), whole.losses)
    assert all(torch.equal(a, b) for a, b in zip(job.model.parameters(), whole.model.parameters(), strict=True))


def test_it_passes_the_verdict_on_real_digits(mnist: Dataset) -> None:
    data = dataclasses.replace(mnist, train=type(mnist.train)(*(array[:20_000] for array in train_arrays(mnist))))
    training = {"batch_size": 128, "learning_rate": 0.1, "label_smoothing": 0.0, "weight_decay": 0.0}
    config = small_config(model={"hidden": (64,)}, training=training)
    done, reference = (
        train_with(with_threads(2), config, data, CPU, windows=8),
        train_reference(config, data.train, data.test),
    )
    evidence = VerdictInputs(done.config, done.model, data.train, data.test, done.evaluation, done.losses, done.audit)
    said = done.evaluation.labels, done.evaluation.predictions
    verdict = judge(
        evidence,
        oracle=lambda: oracle_scores(*said),
        reference=reference,
        nudged=lambda: train_reference(config, data.train, data.test, nudge=tolerances("fp32").rounding).losses,
        is_reference=False,
    )
    assert verdict.passed, verdict.failures


def test_a_training_that_diverges_is_told(synthetic: Dataset) -> None:
    config = small_config(training={"learning_rate": 1e6, "schedule": "constant"})
    job = make_job(config, synthetic, CPU)
    runner = prepare(FusedEngine, job)
    with pytest.raises(DivergedError, match=r"the loss is (nan|inf)"):
        list(train(runner, job, probe=None))


def test_an_epoch_without_steps_changes_nothing(synthetic: Dataset) -> None:
    job = make_job(small_config(), synthetic, CPU)
    before = [parameter.detach().clone() for parameter in job.model.parameters()]
    plan = TrainingPlan(job.config, len(synthetic.train)).epoch(0)
    assert run_epoch(prepare(with_threads(2), job), plan[:0]).shape == (0,)
    assert all(torch.equal(old, new) for old, new in zip(before, job.model.parameters(), strict=True))


# --- inference


@pytest.mark.parametrize("name", NETWORKS)
def test_it_classifies_as_the_model_does(name: str, synthetic: Dataset) -> None:
    model = MLP(small_config(model=NETWORKS[name]).model, seed=0)
    images = upload(synthetic.test, CPU).images
    classify = FusedEngine.classifier(model, CPU, "fp32")
    assert classify is not None
    expected = logits_of(model, images, device=CPU, precision="fp32")
    error = (classify(images) - expected).abs().max() / expected.abs().max()
    assert error < tolerances("fp32").logits.limit


@pytest.mark.parametrize("count", [0, 1, 127, 128, 129, 400])
def test_it_classifies_any_number_of_images(count: int, synthetic: Dataset) -> None:
    model = MLP(small_config().model, seed=0)
    images = upload(synthetic.test, CPU).images[:count]
    classify = FusedEngine.classifier(model, CPU, "fp32")
    assert classify is not None
    assert_logits(classify(images), model, images)


def test_a_classifier_keeps_the_weights_that_it_was_made_with(synthetic: Dataset) -> None:
    model = MLP(small_config().model, seed=0)
    images = upload(synthetic.test, CPU).images[:50]
    classify = FusedEngine.classifier(model, CPU, "fp32")
    assert classify is not None
    before = classify(images)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(classify(images), before)


def test_it_has_no_classifier_for_other_devices_and_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MLP(small_config().model, seed=0)
    assert FusedEngine.classifier(model, CPU, "fp16") is None
    assert FusedEngine.classifier(model, Device("mps", "a chip", "asked for"), "fp32") is None
    monkeypatch.setenv(native.LEVEL_VARIABLE, "none such")
    assert FusedEngine.classifier(model, CPU, "fp32") is None


# --- what it can't do, and threads


def test_it_says_what_it_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    chip = Device("mps", "a chip", "asked for")
    assert FusedEngine.unsupported(small_config(), CPU) is None
    assert FusedEngine.unsupported(small_config(), chip) == "its kernels are for the CPU and for CUDA, and this is mps"
    half = dataclasses.replace(small_config(), execution=ExecutionConfig(precision="fp16"))
    assert FusedEngine.unsupported(half, CPU) == "its kernels for the CPU compute in fp32 and bf16, not in fp16"
    monkeypatch.setattr(native, "why_missing", lambda: "the native kernels are not built")
    assert FusedEngine.unsupported(small_config(), CPU) == "the native kernels are not built"


@pytest.mark.parametrize(("hidden", "expected"), [((), 1), ((8,), 1), ((64,), 4), ((32, 4096), 6)])
def test_a_small_network_gets_few_threads(
    hidden: tuple[int, ...], expected: int, synthetic: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    runner = prepare(FusedEngine, make_job(small_config(model={"hidden": hidden}), synthetic, CPU))
    assert runner.train_epoch.__self__.threads == expected


def test_pixels_are_listed_anew_when_their_images_have_changed(synthetic: Dataset) -> None:
    job = make_job(small_config(training={"augment": "shift"}), synthetic, CPU)
    network = NativeNetwork(job)
    first = network._pixels()
    assert network._pixels() is first
    with torch.inference_mode():
        job.augmentation.write(1)
    assert network._pixels() is not first


@pytest.mark.parametrize("ahead", [0, 9])
def test_no_two_copies_share_their_memory(ahead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_ARRAY_BYTES", 80)  # four pieces
    made = Room(5, ahead=ahead)
    pieces = [made.take() for _ in range(14)]
    for number, piece in enumerate(pieces):
        piece[:] = number
    assert [piece.tolist() for piece in pieces] == [[number] * 5 for number in range(14)]
