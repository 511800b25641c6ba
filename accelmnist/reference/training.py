"""The same training on the reference: eager float32 on the CPU, from the same start, order and learning rates.

Two trainings that differ only in rounding stay together at first and drift apart as training amplifies the
difference, so the losses of all steps are compared twice: by the typical step of an epoch, which a wrong rule or
order moves, and by the worst step, which one bad batch moves. What counts in the end, accuracy and F1, is held to the
spread between seeds.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch

from accelmnist.config import ExecutionConfig, RunConfig
from accelmnist.data.on_device import upload
from accelmnist.data.types import ImageSet
from accelmnist.device import resolve
from accelmnist.engines.eager import EagerEngine
from accelmnist.evaluation import Evaluation, evaluate
from accelmnist.metrics import Metrics
from accelmnist.model import MLP
from accelmnist.reference.tolerances import Tolerances, cells_limit, seed_spread_limit
from accelmnist.results import Check, ReferenceRun
from accelmnist.step.contract import Job
from accelmnist.training import prepare, train

_LEAST_LOSS = 0.1
NAME = "eager float32 on the CPU"


@dataclass(frozen=True)
class ReferenceTraining:
    """What the reference gave: its scores and the loss of every step (steps,) float32."""

    evaluation: Evaluation
    losses: torch.Tensor
    run: ReferenceRun


def is_reference(config: RunConfig, *, device_kind: str, engine: str) -> bool:
    """Whether a run by `engine` on a device of this kind is itself the reference."""
    return device_kind == "cpu" and engine == "eager" and config.execution.precision == "fp32"


def train_reference(config: RunConfig, training: ImageSet, test: ImageSet) -> ReferenceTraining:
    """Train `config` on the CPU by the eager engine in float32 and evaluate it."""
    device = resolve("cpu")
    execution = ExecutionConfig(device="cpu", engine="eager", threads=config.execution.threads)
    config = dataclasses.replace(config, execution=execution)
    model = MLP(config.model, seed=config.training.seed)
    job = Job(config, device, model, upload(training, device))
    engine = EagerEngine()
    prepare(engine, job)
    results = list(train(engine, job, probe=None))
    train_s = sum(result.figures.train_s for result in results)
    images = sum(result.figures.train_s * result.figures.images_per_s for result in results)
    evaluation = evaluate(model, upload(test, device), device=device, precision="fp32")
    return ReferenceTraining(
        evaluation=evaluation,
        losses=torch.cat([result.losses for result in results]),
        run=ReferenceRun(metrics=evaluation.metrics, train_s=train_s, images_per_s=images / train_s),
    )


def compare_training(
    metrics: Metrics, losses: torch.Tensor, reference: ReferenceTraining, limits: Tolerances, *, epochs: int
) -> list[Check]:
    """Hold a run's losses and scores against the reference's; `losses` are those of all its steps, (steps,) float32."""
    return [*_check_losses(losses, reference.losses, limits, epochs=epochs), *_check_scores(metrics, reference)]


def _check_losses(losses: torch.Tensor, expected: torch.Tensor, limits: Tolerances, *, epochs: int) -> list[Check]:
    if losses.shape != expected.shape:
        return [
            Check(
                name="steps",
                passed=False,
                value=float(len(losses)),
                limit=float(len(expected)),
                detail="the reference took another number",
                reason="the same configuration takes the same steps",
            )
        ]
    typical, worst = loss_differences(losses, expected, epochs=epochs)
    return [
        Check(
            name="typical step",
            passed=typical <= limits.typical_step.limit,
            value=typical,
            limit=limits.typical_step.limit,
            detail="median loss difference",
            reason=f"over the mean loss, in the worst epoch: {limits.typical_step.reason}",
        ),
        Check(
            name="worst step",
            passed=worst <= limits.worst_step.limit,
            value=worst,
            limit=limits.worst_step.limit,
            detail="largest loss difference",
            reason=f"over the epoch's mean loss: {limits.worst_step.reason}",
        ),
    ]


def loss_differences(losses: torch.Tensor, expected: torch.Tensor, *, epochs: int) -> tuple[float, float]:
    """How far two runs' step losses (steps,) are apart, as fractions of its mean loss, or of 0.1 if that is more.

    A loss near 0 says little of an epoch's size: what is left of it is the noise of a few images.
    Returns the median difference in the worst epoch, and the largest difference of any step. A NaN gives infinity.
    """
    ours, theirs = losses.double().view(epochs, -1), expected.double().view(epochs, -1)
    relative = (ours - theirs).abs() / theirs.mean(dim=1, keepdim=True).clamp(min=_LEAST_LOSS)
    relative = torch.nan_to_num(relative, nan=float("inf"))
    return relative.median(dim=1).values.max().item(), relative.max().item()


def _check_scores(metrics: Metrics, reference: ReferenceTraining) -> list[Check]:
    theirs = reference.evaluation.metrics
    error, images = 1 - theirs.accuracy, metrics.images
    moved = np.abs(np.array(metrics.confusion_matrix) - np.array(theirs.confusion_matrix)).sum() / 2 / images
    return [
        _score_check("accuracy", metrics.accuracy - theirs.accuracy, seed_spread_limit("accuracy", error, images)),
        _score_check("macro F1", metrics.macro_f1 - theirs.macro_f1, seed_spread_limit("macro F1", error, images)),
        _furthest_class(metrics, theirs),
        _score_check("cells", float(moved), cells_limit(error, images), "images in other cells"),
    ]


def _furthest_class(metrics: Metrics, theirs: Metrics) -> Check:
    rows = [
        (mine.f1 - other.f1, seed_spread_limit("class F1", 1 - other.f1, max(other.support, 1)), mine.label)
        for mine, other in zip(metrics.per_class, theirs.per_class, strict=True)
    ]
    difference, limit, label = max(rows, key=lambda row: abs(row[0]) / row[1])
    return _score_check("class F1", difference, limit, f"class {label}, the furthest")


def _score_check(name: str, difference: float, limit: float, what: str = "difference") -> Check:
    return Check(
        name=f"{name}, reference",
        passed=abs(difference) <= limit,
        value=difference,
        limit=limit,
        detail=what,
        reason="the spread between seeds, measured",
    )
