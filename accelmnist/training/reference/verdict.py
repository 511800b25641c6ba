"""The verdict: every check that a run can be held to, put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from accelmnist.core.config import RunConfig
from accelmnist.core.records import Check, Verdict
from accelmnist.data.types import ImageSet
from accelmnist.engines.model import MLP
from accelmnist.training.evaluation import Evaluation
from accelmnist.training.reference.exact import check_evaluation, check_first_steps
from accelmnist.training.reference.scores import OracleScores, check_scores
from accelmnist.training.reference.tolerances import tolerances
from accelmnist.training.reference.training import NAME, ReferenceTraining, compare_training

_MANY_IMAGES = 1000


@dataclass(frozen=True)
class VerdictInputs:
    """What a run is judged by: `training` and `test` are the host's images, `losses` (steps,) those of all steps."""

    config: RunConfig
    model: MLP
    training: ImageSet
    test: ImageSet
    evaluation: Evaluation
    losses: torch.Tensor


def judge(
    evidence: VerdictInputs,
    *,
    oracle: Callable[[], OracleScores],
    reference: ReferenceTraining | None,
    nudged: Callable[[], torch.Tensor],
    is_reference: bool,
) -> Verdict:
    """The verdict on a run: `oracle` gives scikit-learn's scores, `reference` is the same training on the CPU.

    `reference` is None where it was not asked for, and for a run that `is_reference`, which would be held to itself.
    `nudged` gives the losses of the reference trained once more from weights moved by one rounding.
    """
    limits = tolerances(evidence.config.execution.precision)
    checks = [
        *check_evaluation(evidence.model, evidence.test, evidence.evaluation, limits),
        check_first_steps(evidence.config, evidence.training, evidence.losses, limits),
        *_check_plausible(evidence),
        *check_scores(evidence.evaluation.metrics, oracle()),
    ]
    if reference is not None:
        losses = _by_epoch(evidence.losses, evidence.config.training.epochs)
        checks += compare_training(evidence.evaluation.metrics, losses, reference, limits, nudged=nudged)
    return Verdict(
        passed=all(check.passed for check in checks),
        reference=_describe(reference, is_reference=is_reference),
        checks=tuple(checks),
    )


def _by_epoch(losses: torch.Tensor, epochs: int) -> torch.Tensor:
    return losses.view(epochs, -1) if len(losses) % epochs == 0 else losses.view(1, -1)


def _describe(reference: ReferenceTraining | None, *, is_reference: bool) -> str:
    if is_reference:
        return f"float64 and scikit-learn; this run is itself the reference, {NAME}"
    if reference is None:
        return "float64 and scikit-learn; the training was not repeated"
    return f"float64, scikit-learn, and the same training repeated in {NAME}"


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
        )
    ]
