"""Cases made ready and judged: the data on every device, the references, the cases that are timed, and their verdicts.

Right, or it doesn't count. A training case trains as many epochs as asked for with the very engine that is timed, is
evaluated on the test set, and passes the checks of any run. An inference case classifies the whole test set with the
weights of the reference, in batches of its own size, and its logits are held against float64. The reference of a
configuration is trained once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch

from accelmnist.core.config import AUTO, ExecutionConfig, RunConfig, check_fits
from accelmnist.core.errors import AccelmnistError, DeviceError, DivergedError
from accelmnist.core.records import Check, Verdict
from accelmnist.data.mnist import load_dataset
from accelmnist.data.on_device import DeviceSet, upload
from accelmnist.data.types import Dataset
from accelmnist.device import Device, available, matmul_precision, precision_capability, resolve
from accelmnist.engines.choose import engine_class
from accelmnist.engines.compilation import Compilations
from accelmnist.engines.model import MLP
from accelmnist.engines.step.memory import require_memory
from accelmnist.measure.plan import BenchConfig, Case, run_config
from accelmnist.measure.timed_case import TimedCase, TimedInference, TimedTraining
from accelmnist.training.evaluation import evaluate, evaluation_of
from accelmnist.training.loop import losses_of, train
from accelmnist.training.reference.exact import check_evaluation
from accelmnist.training.reference.scores import Oracle, check_scores
from accelmnist.training.reference.tolerances import tolerances
from accelmnist.training.reference.training import ReferenceTraining, is_reference, train_reference
from accelmnist.training.reference.verdict import VerdictInputs, judge

Devices = Mapping[str, Device | DeviceError]


def resolve_devices(names: tuple[str, ...]) -> dict[str, Device | DeviceError]:
    """The devices by their full names, in order; in place of one that isn't here, the error that says why.

    `auto` is one of each kind that is here. Raises ConfigError for a name that means nothing.
    """
    found: dict[str, Device | DeviceError] = {}
    for name in names:
        for one in _one_of_each_kind() if name == AUTO else (name,):
            try:
                device = resolve(one)
                found[str(device)] = device
            except DeviceError as error:
                found[one] = error
    return found


def _one_of_each_kind() -> tuple[str, ...]:
    kinds: dict[str, str] = {}
    for name in available():
        kinds.setdefault(name.partition(":")[0], name)
    return tuple(kinds.values())


class CaseBuilder:
    """Makes subjects of cases and judges them; what several cases share is made once."""

    def __init__(self, config: BenchConfig, devices: Devices, oracle: Oracle) -> None:
        self.config, self.devices, self._oracle = config, devices, oracle
        folder = Path(config.data.folder) if config.data.folder is not None else None
        self.dataset = load_dataset(config.data.dataset, folder=folder, seed=0)
        self.references = References(self.dataset)
        self._sets: dict[tuple[str, str], DeviceSet] = {}
        self._networks: dict[str, MLP] = {}

    def device(self, case: Case) -> Device:
        """The case's device; raises the DeviceError that says why it isn't here."""
        device = self.devices[case.device]
        if isinstance(device, DeviceError):
            raise device
        return device

    def refusal(self, case: Case) -> str | None:
        """Why `case` can't run here, or None: what is known before anything is made."""
        try:
            device = self.device(case)
            config = run_config(case, self.config)
            check_fits(config, training_images=len(self.dataset.train))
            require_memory(config, device)
        except AccelmnistError as error:
            return error.message
        capability = precision_capability(device, case.precision)
        if not capability.available:
            return f"{case.precision} is not available on {device}: {capability.reason}"
        return engine_class(case.engine).unsupported(config, device)

    def timed(self, case: Case) -> TimedCase:
        """The case, prepared; raises DeviceError where that fails."""
        device = self.device(case)
        config = run_config(case, self.config)
        if case.mode == "training":
            return TimedTraining(case, device, config, self._set("train", device))
        name = "test" if case.batch_size <= len(self.dataset.test) else "train"
        return TimedInference(case, device, self._network(case), self._set(name, device).images)

    def verify(self, timed: TimedCase) -> tuple[float | None, Verdict]:
        """The accuracy on the test set, and the verdict."""
        test = self._set("test", timed.device)
        if isinstance(timed, TimedTraining):
            return verify_training(timed, test, self.references, self._oracle)
        assert isinstance(timed, TimedInference)
        return verify_inference(timed, self._network(timed.case), test, self.references, self._oracle)

    def _set(self, name: str, device: Device) -> DeviceSet:
        key = (name, str(device))
        if key not in self._sets:
            self._sets[key] = upload(self.dataset.train if name == "train" else self.dataset.test, device)
        return self._sets[key]

    def _network(self, case: Case) -> MLP:
        """The reference's trained network on the case's device."""
        key = f"{case.network} {case.device}"
        if key not in self._networks:
            network = self.references.network(run_config(case, self.config))
            self._networks[key] = network.to(torch.device(case.device))
        return self._networks[key]


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
        losses = torch.from_numpy(losses_of(list(train(timed.runner, job, probe=None))))
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
