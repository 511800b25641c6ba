"""The gate proven: a right run passes in every precision, and a program broken on purpose is caught.

Each fault below is one that programs really have. It is put into a run, which is then judged as any other run is:
against float64 and against the same training on the reference. What the gate can't see is a test as well.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
import torch

from accelmnist.core.config import EVERY_STEP, ModelConfig, RunConfig, TrainingConfig
from accelmnist.core.metrics import compute_metrics
from accelmnist.core.records import Verdict
from accelmnist.data.types import Dataset, ImageSet
from accelmnist.device import resolve
from accelmnist.engines.eager import EagerEngine
from accelmnist.engines.plan import TrainingPlan
from accelmnist.engines.step.device_runner import DeviceEpoch, device_runner, upload_epoch
from accelmnist.engines.step.torch_steps import EagerSteps
from accelmnist.training.evaluation import evaluate
from accelmnist.training.reference.audit import _Apart
from accelmnist.training.reference.scores import check_scores, oracle_scores
from accelmnist.training.reference.tolerances import tolerances
from accelmnist.training.reference.verdict import (
    ReferenceTraining,
    VerdictInputs,
    is_reference,
    judge,
    loss_differences,
    train_reference,
)
from tests.training_helpers import Finished, small_config, train_with

pytestmark = pytest.mark.numeric

CONFIG = RunConfig(
    model=ModelConfig(hidden=(64,)),
    training=TrainingConfig(
        epochs=2, batch_size=128, optimizer="sgd-momentum", learning_rate=0.1, label_smoothing=0.0, weight_decay=0.0
    ),
)


@pytest.fixture(scope="module")
def data(mnist: Dataset) -> Dataset:
    """A third of MNIST's training images, and all test images: the verdict's limits are made for real digits."""
    return dataclasses.replace(mnist, train=ImageSet(mnist.train.images[:20_000], mnist.train.labels[:20_000]))


@pytest.fixture(scope="module")
def reference(data: Dataset) -> ReferenceTraining:
    return train_reference(CONFIG, data.train, data.test)


def verdict_on(done: Finished, data: Dataset, reference: ReferenceTraining | None) -> Verdict:
    evidence = VerdictInputs(done.config, done.model, data.train, data.test, done.evaluation, done.losses, done.audit)
    said = done.evaluation.labels, done.evaluation.predictions

    def nudged() -> torch.Tensor:
        rounding = tolerances(done.config.execution.precision).rounding
        return train_reference(done.config, data.train, data.test, nudge=rounding).losses

    return judge(evidence, oracle=lambda: oracle_scores(*said), reference=reference, nudged=nudged, is_reference=False)


class FaultySteps(EagerSteps):
    """The eager engine's steps with places to break them."""

    def __init__(self, job: Any, faults: dict[str, Callable[..., Any]]) -> None:
        super().__init__(job)
        self.faults = faults
        self.epoch_number = 0
        self.step_number = 0
        if "upload" in faults:
            self.data = faults["upload"](self.data)
        update = self.update.update
        gradient_fault = faults.get("gradients", lambda gradients, number: gradients)

        def faulty_update(gradients: Any, rate: Any, **settings: Any) -> None:
            self.step_number += 1
            update(gradient_fault(list(gradients), self.step_number), rate, **settings)
            if "weights" in faults:
                with torch.no_grad():
                    faults["weights"](self.parameters)

        self.update.update = faulty_update

    def train_epoch(self, epoch: DeviceEpoch) -> torch.Tensor:
        epoch = self.faults.get("epoch", lambda epoch, number: epoch)(epoch, self.epoch_number)
        self.epoch_number += 1
        losses: torch.Tensor = self.faults.get("losses", lambda losses: losses)(super().train_epoch(epoch))
        return losses


def faulty_engine(**faults: Callable[..., Any]) -> type[EagerEngine]:
    class FaultyEngine(EagerEngine):
        @classmethod
        def prepare(cls, job: Any, sample: Any) -> Any:
            steps = FaultySteps(job, faults)
            return device_runner(steps.train_epoch, steps.update.kept, job.device)

    return FaultyEngine


def larger_gradient(gradients: Any, number: Any) -> Any:
    return [1.01 * gradient for gradient in gradients]


def no_bias_update(gradients: Any, number: Any) -> Any:
    return [gradients[0], torch.zeros_like(gradients[1]), *gradients[2:]]


def stale_rates(epoch: Any, number: Any) -> Any:
    rates = epoch.learning_rates
    return dataclasses.replace(epoch, learning_rates=torch.cat([rates[:1], rates[:-1]]))


def half_a_batch(epoch: Any, number: Any) -> Any:
    half = epoch.order.shape[1] // 2
    return dataclasses.replace(epoch, order=epoch.order[:, :half])


RIGHT_EPOCH = TrainingPlan.epoch


def repeated_order(plan: TrainingPlan, number: int) -> Any:
    """Every epoch sees the order of the first."""
    return dataclasses.replace(RIGHT_EPOCH(plan, number), order=RIGHT_EPOCH(plan, 0).order)


def wrong_labels_in_one_batch(data: Any) -> Any:
    """Labels off by one in the images of one batch in the middle of the second epoch."""
    plan = upload_epoch(TrainingPlan(CONFIG, len(data)).epoch(1), resolve("cpu"))
    labels = data.labels.clone()
    chosen = plan.order[len(plan) // 2].to(labels.device)
    labels[chosen] = (labels[chosen] + 1) % 10
    return dataclasses.replace(data, labels=labels)


def wrong_scale(data: Any) -> Any:
    """Inputs divided by 256 and not by 255, nearly: bytes lose their lowest bit."""
    return dataclasses.replace(data, images=data.images & 0xFE)


def weights_in_bf16(parameters: Any) -> None:
    for parameter in parameters:
        parameter.copy_(parameter.bfloat16())


def no_last_layer_gradient_mean(gradients: Any, number: Any) -> Any:
    """The last layer's gradient summed twice in one step of ten: a race between two updates."""
    return [*gradients[:-2], *(2 * g if number % 10 == 0 else g for g in gradients[-2:])]


TRAINING_FAULTS: dict[str, dict[str, Any]] = {
    "a gradient 1 % too large": {"gradients": larger_gradient},
    "a bias never updated": {"gradients": no_bias_update},
    "labels off by one in one batch": {"upload": wrong_labels_in_one_batch},
    "a learning rate one step stale": {"epoch": stale_rates},
    "losses told one step late": {"losses": lambda losses: losses.roll(1)},
    "half of every batch ignored": {"epoch": half_a_batch},
    "one epoch's order repeated": {"plan": repeated_order},
    "training images without their lowest bit": {"upload": wrong_scale},
    "weights kept in bf16": {"weights": weights_in_bf16},
    "a layer's gradient counted twice now and then": {"gradients": no_last_layer_gradient_mean},
}
CAUGHT_BY = {
    "a gradient 1 % too large": "audited optimizer state",
    "a bias never updated": "audited optimizer state",
    "labels off by one in one batch": "audited optimizer state",
    "a learning rate one step stale": "calls of many steps",
    "losses told one step late": "calls of many steps",
    "half of every batch ignored": "audited losses",
    "one epoch's order repeated": "audited losses",
    "training images without their lowest bit": "audited losses",
    "weights kept in bf16": "audited weights",
    "a layer's gradient counted twice now and then": "audited optimizer state",
}


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_right_run_passes(precision: str, data: Dataset, reference: ReferenceTraining) -> None:
    done = train_with("eager", CONFIG, data, resolve("cpu"), precision=precision, windows=8)
    verdict = verdict_on(done, data, reference)
    assert verdict.passed, verdict.failures
    assert not verdict.doubts


@pytest.mark.parametrize("fault", TRAINING_FAULTS)
def test_a_fault_in_training_is_caught(fault: str, data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = dict(TRAINING_FAULTS[fault])
    monkeypatch.setattr(TrainingPlan, "epoch", faults.pop("plan", RIGHT_EPOCH))
    windows = EVERY_STEP if "one batch" in fault or "now and then" in fault else 8
    done = train_with(faulty_engine(**faults), CONFIG, data, resolve("cpu"), windows=windows)
    assert CAUGHT_BY[fault] in {check.name for check in verdict_on(done, data, None).failures}


def break_row(done: Any, data: Any) -> Any:
    """A row of weights zeroed on its way to the device."""
    host = done.model
    broken = type(host)(host.config, seed=0)
    broken.load_state_dict(host.state_dict())
    with torch.no_grad():
        broken.layers[0].weight[3] = 0
    return evaluated(done, broken, data.test)


def break_scale(done: Any, data: Any) -> Any:
    images = data.test.images.astype("float32") * (255 / 256)
    return evaluated(done, done.model, ImageSet(images.round().astype("uint8"), data.test.labels))


def break_labels(done: Any, data: Any) -> Any:
    labels = data.test.labels.copy()
    labels[0] = (labels[0] + 1) % 10
    return evaluated(done, done.model, ImageSet(data.test.images, labels))


def break_count(done: Any, data: Any) -> Any:
    """The ragged last chunk left out."""
    return evaluated(done, done.model, ImageSet(data.test.images[:9984], data.test.labels[:9984]), keep=done)


def evaluated(done: Any, model: Any, test: Any, keep: Any = None) -> Any:
    from accelmnist.data.types import upload

    device = resolve("cpu")
    found = evaluate(model, upload(test, device), device=device, precision="fp32")
    return found if keep is None else dataclasses.replace(keep.evaluation, metrics=found.metrics)


def transpose(done: Any, data: Any) -> Any:
    confusion = torch.tensor(done.evaluation.metrics.confusion_matrix).T.numpy()
    return dataclasses.replace(done.evaluation, metrics=compute_metrics(confusion))


EVALUATION_FAULTS = {
    "a weight row zeroed at upload": (break_row, "logits"),
    "inputs scaled wrongly on the device only": (break_scale, "logits"),
    "one label changed on the device": (break_labels, "confusion matrix"),
    "the last images left out of the count": (break_count, "confusion matrix"),
    "a transposed confusion matrix": (transpose, "confusion matrix"),
}


@pytest.mark.parametrize("fault", EVALUATION_FAULTS)
def test_a_fault_in_evaluation_is_caught_without_the_reference(fault: str, data: Dataset) -> None:
    done = train_with("eager", CONFIG, data, resolve("cpu"))
    assert verdict_on(done, data, None).passed
    breaks, caught_by = EVALUATION_FAULTS[fault]
    broken = dataclasses.replace(done, evaluation=breaks(done, data))
    assert caught_by in {check.name for check in verdict_on(broken, data, None).failures}


def test_scikit_learn_catches_a_transposed_matrix_and_a_wrong_score(data: Dataset) -> None:
    done = train_with("eager", CONFIG, data, resolve("cpu"))
    theirs = oracle_scores(done.evaluation.labels, done.evaluation.predictions)
    assert all(check.passed for check in check_scores(done.evaluation.metrics, theirs))
    names = {check.name for check in check_scores(transpose(done, data).metrics, theirs) if not check.passed}
    assert names == {"matrix, scikit-learn", "scores, scikit-learn"}
    better = dataclasses.replace(done.evaluation.metrics, macro_f1=done.evaluation.metrics.macro_f1 + 1e-6)
    assert [check.name for check in check_scores(better, theirs) if not check.passed] == ["scores, scikit-learn"]


def test_a_gradient_of_another_scale_is_seen_in_adam_s_state(data: Dataset) -> None:
    """Adam divides by the gradient's own size, so 1 % more changes no weight but by rounding: the state tells."""
    config = dataclasses.replace(
        CONFIG, training=dataclasses.replace(CONFIG.training, optimizer="adam", learning_rate=0.003)
    )
    done = train_with(faulty_engine(gradients=larger_gradient), config, data, resolve("cpu"), windows=8)
    assert "audited optimizer state" in {check.name for check in verdict_on(done, data, None).failures}


def test_a_full_score_is_a_failure(data: Dataset) -> None:
    done = train_with("eager", CONFIG, data, resolve("cpu"))
    perfect = dataclasses.replace(done.evaluation.metrics, accuracy=1.0)
    broken = dataclasses.replace(done, evaluation=dataclasses.replace(done.evaluation, metrics=perfect))
    assert "plausible accuracy" in {check.name for check in verdict_on(broken, data, None).failures}


def test_losses_that_are_not_those_of_the_steps_fail(data: Dataset, reference: ReferenceTraining) -> None:
    done = train_with("eager", CONFIG, data, resolve("cpu"), windows=8)
    losses = done.losses.clone()
    losses[3] = torch.nan
    other = verdict_on(dataclasses.replace(done, losses=losses), data, reference)
    assert [check.name for check in other.failures] == ["unbroken training"]
    assert "worst step" in {check.name for check in other.doubts}
    shorter = verdict_on(dataclasses.replace(done, losses=done.losses[:-1]), data, reference)
    assert [check.name for check in shorter.failures] == ["unbroken training"]
    assert "steps" in {check.name for check in shorter.doubts}


def test_loss_differences_by_hand() -> None:
    expected = torch.tensor([[2.0, 2.0, 2.0], [0.02, 0.01, 0.03]])
    losses = torch.tensor([[2.0, 2.2, 2.4], [0.02, 0.06, torch.nan]])
    typical, worst = loss_differences(losses, expected)
    assert typical.tolist() == [pytest.approx(0.1), pytest.approx(0.5)]  # over 2.0, and over 0.1 where the mean is less
    assert worst.tolist() == [pytest.approx(0.2), float("inf")]


CHAOTIC = RunConfig(
    model=ModelConfig(hidden=(64,)),
    training=TrainingConfig(epochs=6, batch_size=64, optimizer="adam", learning_rate=0.06, label_smoothing=0.0),
)


@pytest.mark.slow
def test_a_chaotic_training_is_no_fault(data: Dataset) -> None:
    """So high a learning rate that two threads and one part ways: it drifts no further than a rounding drives it."""
    expected = train_reference(CHAOTIC, data.train, data.test)
    rounded = faulty_engine(gradients=lambda gradients, number: [gradient * (1 + 1e-7) for gradient in gradients])
    done = train_with(rounded, CHAOTIC, data, resolve("cpu"))
    typical, worst = loss_differences(done.losses.view(6, -1), expected.losses.view(6, -1))
    limits = tolerances("fp32")
    assert typical.max() > limits.typical_step.limit or worst.max() > limits.worst_step.limit
    verdict = verdict_on(done, data, expected)
    assert verdict.passed, verdict.failures
    assert not verdict.doubts


def test_only_eager_float32_on_the_cpu_is_the_reference() -> None:
    assert is_reference(CONFIG, device_kind="cpu", engine="eager")
    assert not is_reference(CONFIG, device_kind="cuda", engine="eager")
    assert not is_reference(CONFIG, device_kind="cpu", engine="compiled")
    half = dataclasses.replace(CONFIG, execution=dataclasses.replace(CONFIG.execution, precision="bf16"))
    assert not is_reference(half, device_kind="cpu", engine="eager")


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_every_limit_has_a_reason_and_grows_along_the_training(precision: str) -> None:
    limits = tolerances(precision)
    stated = [getattr(limits, field.name) for field in dataclasses.fields(limits) if field.name != "rounding"]
    assert all(limit.reason for limit in stated)
    assert 0 < limits.rounding < limits.typical_step.limit < limits.worst_step.limit < 1
    assert limits.logits.limit < 0.05


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no process is split off")
@pytest.mark.parametrize("is_killed", [False, True])
def test_steps_replayed_apart_are_found_as_here(data: Dataset, is_killed: bool) -> None:
    done = train_with("eager", small_config(), data, resolve("cpu"), windows=4)
    waiting, audit = list(done.audit._waiting), done.audit
    waiting[3] = dataclasses.replace(waiting[3], loss=2 * waiting[3].loss)
    apart = _Apart(audit, deque(waiting[:6]))
    audit._waiting, audit._apart = waiting[6:], apart
    if is_killed:
        apart._process.kill()
    failed = [check for check in audit.checks() if not check.passed]
    assert [(check.name, check.detail) for check in failed] == [
        ("audited losses", f"loss of {audit.place(waiting[3].step)}")
    ]
    assert audit.summary.steps == len(waiting)
    assert is_killed or not apart.windows  # the copies' memory is for others
