"""The verdict: every check that a run can be held to, the same training on the reference among them.

The reference is eager float32 on the CPU, from the same start, order and learning rates.

Two trainings that differ only in rounding stay together at first and drift apart as training amplifies the
difference, so the losses of all steps are compared twice: by the typical step of an epoch, which a wrong rule or
order moves, and by the worst step, which one bad batch moves. What counts in the end, accuracy and F1, is held to the
spread between seeds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from accelmnist.core.config import ExecutionConfig, RunConfig
from accelmnist.core.metrics import Metrics
from accelmnist.core.records import Check, ReferenceRun, Verdict
from accelmnist.data.types import ImageSet, upload
from accelmnist.device import resolve
from accelmnist.engines.contract import Job
from accelmnist.engines.eager import EagerEngine
from accelmnist.engines.model import MLP
from accelmnist.training.evaluation import Evaluation, evaluate
from accelmnist.training.loop import losses_of, prepare, train
from accelmnist.training.reference.answers import check_answers
from accelmnist.training.reference.audit import Audit
from accelmnist.training.reference.scores import OracleScores, check_scores
from accelmnist.training.reference.tolerances import (
    NUDGE_FACTOR,
    Tolerances,
    cells_limit,
    seed_spread_limit,
    tolerances,
)

NAME = "eager float32 on the CPU"

_LEAST_LOSS = 0.1
_MANY_IMAGES = 1000

Losses = Callable[[], torch.Tensor]


@dataclass(frozen=True)
class ReferenceTraining:
    """What the reference gave: the network, its scores and the loss of every step (steps,) float32."""

    model: MLP
    evaluation: Evaluation
    losses: torch.Tensor
    run: ReferenceRun


def is_reference(config: RunConfig, *, device_kind: str, engine: str) -> bool:
    """Whether a run by `engine` on a device of this kind is itself the reference."""
    alone = config.execution.ranks == 1 and config.execution.reduction == "sum"
    return device_kind == "cpu" and engine == "eager" and config.execution.precision == "fp32" and alone


def train_reference(config: RunConfig, training: ImageSet, test: ImageSet, *, nudge: float = 0.0) -> ReferenceTraining:
    """Train `config` on the CPU by the eager engine in float32 and evaluate it.

    `nudge` moves every weight at the start by that share of itself, up or down by chance.
    """
    device = resolve("cpu")
    execution = ExecutionConfig(device="cpu", engine="eager", threads=config.execution.threads)
    config = dataclasses.replace(config, execution=execution)
    job = Job(config, device, training)
    _nudge(job.model, nudge)
    results = list(train(prepare(EagerEngine, job), job, probe=None))
    train_s = sum(result.figures.train_s for result in results)
    images = sum(result.figures.train_s * result.figures.images_per_s for result in results)
    evaluation = evaluate(job.model, upload(test, device), device=device, precision="fp32")
    return ReferenceTraining(
        model=job.model,
        evaluation=evaluation,
        losses=torch.from_numpy(losses_of(results)),
        run=ReferenceRun(metrics=evaluation.metrics, train_s=train_s, images_per_s=images / train_s),
    )


@torch.no_grad()
def _nudge(model: MLP, share: float) -> None:
    chance = torch.Generator().manual_seed(0)
    for weights in model.parameters():
        weights.mul_(1 + share * (2 * torch.randint(2, weights.shape, generator=chance) - 1))


@dataclass(frozen=True)
class VerdictInputs:
    """What a run is judged by: `training` and `test` are the host's images, `losses` (steps,) those of all steps."""

    config: RunConfig
    model: MLP
    training: ImageSet
    test: ImageSet
    evaluation: Evaluation
    losses: torch.Tensor
    audit: Audit | None = None


def judge(
    evidence: VerdictInputs,
    *,
    oracle: Callable[[], OracleScores],
    reference: ReferenceTraining | None,
    nudged: Losses,
    is_reference: bool,
) -> Verdict:
    """The verdict on a run: `oracle` gives scikit-learn's scores, `reference` is the same training on the CPU.

    `reference` is None where it was not asked for, and for a run that `is_reference`, which would be held to itself.
    `nudged` gives the losses of the reference trained once more from weights moved by one rounding; it is called only
    if the run drifts further than most trainings do.
    """
    limits = tolerances(evidence.config.execution.precision)
    checks = [
        *check_answers(evidence.model, evidence.test, evidence.evaluation, limits),
        *_audited(evidence),
        *_check_plausible(evidence),
        *check_scores(evidence.evaluation.metrics, oracle()),
    ]
    if reference is not None:
        epochs = evidence.config.training.epochs
        losses = evidence.losses.view(epochs if len(evidence.losses) % epochs == 0 else 1, -1)
        checks += _check_losses(losses, reference.losses, limits, nudged)
        checks += _check_scores(evidence.evaluation.metrics, reference)
    return Verdict.of(_describe(evidence.audit, reference, is_reference=is_reference), checks)


def _audited(evidence: VerdictInputs) -> tuple[Check, ...]:
    if evidence.audit is None or not evidence.audit.windows:
        return ()
    evidence.audit.finish(evidence.model.arrays(), evidence.losses.numpy())
    return evidence.audit.checks()


def _describe(audit: Audit | None, reference: ReferenceTraining | None, *, is_reference: bool) -> str:
    """What the run was held against, and what that means."""
    parts = ["scikit-learn"]
    if audit is not None and audit.summary.steps:
        steps, of = audit.summary.steps, audit.summary.of_steps
        share = f"what lasts for {100 * audit.summary.lasting_share:.2g} % is found in 95 % of runs"
        every = "all steps" if steps == of else f"{steps} of {of} steps, so that {share}"
        parts = [f"an independent float64 ({every})", *parts]
    else:
        parts = ["float64", *parts]
    if is_reference:
        return f"{' and '.join(parts)}; this run is itself the reference, {NAME}"
    if reference is None:
        return f"{' and '.join(parts)}; the training was not repeated"
    return f"{', '.join(parts)}, and for a second opinion, which may only doubt, the training repeated in {NAME}"


def _check_plausible(evidence: VerdictInputs) -> list[Check]:
    """No network of this kind is always right: a full score means that the labels leaked or the count is wrong.

    A small test set can be classified without a mistake, so there is nothing to check.
    """
    metrics = evidence.evaluation.metrics
    if metrics.images < _MANY_IMAGES:
        return []
    return [
        Check(
            name="plausible accuracy",
            passed=metrics.accuracy < 1.0,
            value=metrics.accuracy,
            limit=1.0,
            detail="below 100 %",
            reason="a full score on a test set of this size is a fault, not a feat",
            group="scores",
        )
    ]


def _check_losses(losses: torch.Tensor, expected: torch.Tensor, limits: Tolerances, nudged: Losses) -> list[Check]:
    """Hold the losses of all steps (epochs, steps) against the reference's."""
    if losses.numel() != expected.numel():
        return [_wrong_number_of_steps(losses, expected)]
    expected = expected.view_as(losses)
    typical, worst = loss_differences(losses, expected)
    allowed_typical = torch.full_like(typical, limits.typical_step.limit)
    allowed_worst = torch.full_like(worst, limits.worst_step.limit)
    reasons = [limits.typical_step.reason, limits.worst_step.reason]
    if (typical > allowed_typical).any() or (worst > allowed_worst).any():
        by_rounding = [drift.cummax(dim=0).values for drift in loss_differences(nudged().view_as(losses), expected)]
        allowed_typical = torch.maximum(allowed_typical, NUDGE_FACTOR * by_rounding[0])
        allowed_worst = torch.maximum(allowed_worst, NUDGE_FACTOR * by_rounding[1])
        reasons = [f"{reason}; or {NUDGE_FACTOR:g} times what one rounding moves the reference" for reason in reasons]
    return [
        _loss_check("typical step", typical, allowed_typical, "median drift", reasons[0]),
        _loss_check("worst step", worst, allowed_worst, "largest drift", reasons[1]),
    ]


def _wrong_number_of_steps(losses: torch.Tensor, expected: torch.Tensor) -> Check:
    return Check(
        name="steps",
        passed=False,
        value=float(losses.numel()),
        limit=float(expected.numel()),
        detail="the reference took another number",
        reason="the same configuration takes the same steps",
        group="reference",
        condemns=False,
    )


def _loss_check(name: str, drift: torch.Tensor, allowed: torch.Tensor, what: str, reason: str) -> Check:
    """One check of all epochs: what is told is the epoch that comes closest to its limit, or exceeds it most."""
    epoch = int((drift / allowed).argmax())
    return Check(
        name=name,
        passed=bool((drift <= allowed).all()),
        value=drift[epoch].item(),
        limit=allowed[epoch].item(),
        detail=f"{what}, epoch {epoch + 1}",
        reason=f"over the epoch's mean loss: {reason}",
        group="reference",
        condemns=False,
    )


def loss_differences(losses: torch.Tensor, expected: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How far two runs' step losses (epochs, steps) are apart, as fractions of an epoch's mean loss, or of 0.1.

    Returns the median and the largest difference of every epoch, (epochs,) each; a NaN gives infinity. A loss near 0
    says little of an epoch's size: what is left of it is the noise of a few images, hence the 0.1.
    """
    ours, theirs = losses.double(), expected.double()
    relative = (ours - theirs).abs() / theirs.mean(dim=1, keepdim=True).clamp(min=_LEAST_LOSS)
    relative = torch.nan_to_num(relative, nan=float("inf"))
    return relative.median(dim=1).values, relative.max(dim=1).values


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
        group="reference",
        condemns=False,
    )
