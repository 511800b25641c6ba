"""Right, or it doesn't count: the verdict on a case against the CPU reference.

A training case trains as many epochs as asked for with the very engine that is timed, is evaluated on the test set, and
passes the checks of any run. An inference case classifies the whole test set with the weights of the reference, in
batches of its own size, and its logits are held against float64. The reference of a configuration is trained once.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import torch

from accelmnist.core.config import ExecutionConfig, RunConfig
from accelmnist.core.errors import DivergedError
from accelmnist.core.records import Check, Verdict
from accelmnist.data.on_device import DeviceSet
from accelmnist.data.types import Dataset
from accelmnist.device import matmul_precision
from accelmnist.engines.compilation import Compilations
from accelmnist.engines.model import MLP
from accelmnist.measure.timed_case import TimedInference, TimedTraining
from accelmnist.training.evaluation import evaluate, evaluation_of
from accelmnist.training.loop import train
from accelmnist.training.reference.exact import check_evaluation
from accelmnist.training.reference.scores import Oracle, check_scores
from accelmnist.training.reference.tolerances import tolerances
from accelmnist.training.reference.training import ReferenceTraining, is_reference, train_reference
from accelmnist.training.reference.verdict import VerdictInputs, judge


class References:
    """The reference of every configuration, trained when it is first asked for and kept."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._trained: dict[tuple[RunConfig, float], ReferenceTraining] = {}

    def of(self, config: RunConfig, *, nudge: float = 0.0) -> ReferenceTraining:
        """The reference of `config`, whatever device, engine and precision that names; `nudge` as in its training."""
        key = (dataclasses.replace(config, execution=ExecutionConfig()), nudge)
        if key not in self._trained:
            self._trained[key] = train_reference(key[0], self.dataset.train, self.dataset.test, nudge=nudge)
        return self._trained[key]

    def network(self, config: RunConfig) -> MLP:
        """A network with the reference's weights, on the CPU."""
        model = MLP(config.model, seed=config.training.seed)
        model.load_state_dict(self.of(config).model.state_dict())
        return model


def verify_training(
    timed: TimedTraining, test: DeviceSet, references: References, oracle: Oracle
) -> tuple[float | None, Verdict]:
    """Train the whole of the case's run and judge it; returns the accuracy. `test` is the test set on the device.

    The timed ends as it began.
    """
    config, job = timed.job.config, timed.job
    timed.restore()
    try:
        losses = torch.cat([result.losses for result in train(timed.runner, job, probe=None)])
    except DivergedError as error:
        return None, _diverged(error)
    evaluation = evaluate(job.model, test, device=timed.device, precision=timed.case.precision)
    itself = is_reference(config, device_kind=timed.device.kind, engine=timed.case.engine)
    evidence = VerdictInputs(
        config=config,
        model=job.model,
        training=references.dataset.train,
        test=references.dataset.test,
        evaluation=evaluation,
        losses=losses,
    )
    verdict = judge(
        evidence,
        oracle=oracle(evaluation.labels, evaluation.predictions),
        reference=None if itself else references.of(config),
        nudged=partial(_nudged_losses, references, config),
        is_reference=itself,
    )
    timed.restore()
    return evaluation.metrics.accuracy, verdict


def _nudged_losses(references: References, config: RunConfig) -> torch.Tensor:
    return references.of(config, nudge=tolerances(config.execution.precision).rounding).losses


def _diverged(error: DivergedError) -> Verdict:
    check = Check(
        name="finite losses", passed=False, value=None, limit=None, detail=error.message, reason="a NaN is a failure"
    )
    return Verdict(passed=False, reference="none: the training diverged", checks=(check,))


@torch.no_grad()
def verify_inference(
    timed: TimedInference, model: MLP, test: DeviceSet, references: References, oracle: Oracle
) -> tuple[float, Verdict]:
    """Classify the whole test set and judge it; `model` has the weights that the timed classifies with.

    The images that are left over from whole batches are classified in one smaller batch.
    """
    with matmul_precision(timed.device, timed.case.precision):
        parts = [timed.classify(part).clone() for part in torch.split(test.images, timed.case.batch_size)]
    evaluation = evaluation_of(torch.cat(parts), test, model.config.output)
    limits = tolerances(timed.case.precision)
    checks = [
        *check_evaluation(model, references.dataset.test, evaluation, limits),
        *check_scores(evaluation.metrics, oracle(evaluation.labels, evaluation.predictions)()),
    ]
    passed = all(check.passed for check in checks)
    return evaluation.metrics.accuracy, Verdict(
        passed=passed, reference="float64 and scikit-learn", checks=tuple(checks)
    )


def with_checks(verdict: Verdict, *checks: Check) -> Verdict:
    """The verdict with more checks, failed where one of them is."""
    passed = verdict.passed and all(check.passed for check in checks)
    return dataclasses.replace(verdict, passed=passed, checks=(*verdict.checks, *checks))


def compile_checks(compilations: Compilations) -> tuple[Check, ...]:
    """What failed while the case was timed: a region that compiles measures the compiler, a break leaves the graph."""
    found = (("recompilation", compilations.recompiles), ("graph break", compilations.graph_breaks))
    return tuple(
        Check(
            name=f"no {name}",
            passed=False,
            value=float(len(causes)),
            limit=0.0,
            detail=causes[0],
            reason="while it was timed: the shapes of a case never change",
        )
        for name, causes in found
        if causes
    )
