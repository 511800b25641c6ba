"""Cases made ready and judged: the data on every device, the references, the cases that are timed, and their verdicts.

A training case trains as many epochs as asked for with the very engine that is timed, is
evaluated on the test set, and passes the checks of any run. An inference case classifies the whole test set with the
weights of the reference, in batches of its own size, and its logits are held against float64. The reference of a
configuration is trained once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from accelmnist.core.config import AUTO, ExecutionConfig, RunConfig, check_fits
from accelmnist.core.engine_file import EngineFile
from accelmnist.core.errors import AccelmnistError, DeviceError, DivergedError
from accelmnist.core.records import Check, Verdict
from accelmnist.data.mnist import load_dataset
from accelmnist.data.types import DeviceSet, upload
from accelmnist.device import Device, available, matmul_precision, memory_errors, precision_capability, resolve
from accelmnist.device.ranks import Ranks
from accelmnist.engines.choose import engine_class
from accelmnist.engines.model import MLP, logits_of
from accelmnist.engines.plan import Floats
from accelmnist.engines.step.rules import require_memory
from accelmnist.measure.anchors import anchor_inference, anchor_training
from accelmnist.measure.audit import Anchor
from accelmnist.measure.plan import BenchConfig, Case, run_config
from accelmnist.measure.timed_case import REMEDY, TimedCase, TimedInference, TimedTraining
from accelmnist.training.evaluation import evaluation_of
from accelmnist.training.loop import losses_of, train
from accelmnist.training.reference.answers import check_answers
from accelmnist.training.reference.audit import Audit
from accelmnist.training.reference.scores import Oracle, check_scores
from accelmnist.training.reference.tolerances import tolerances
from accelmnist.training.reference.verdict import ReferenceTraining, VerdictInputs, is_reference, judge, train_reference

Devices = Mapping[str, Device | DeviceError]

_AUDITED = 16  # parts of a case's training from each of which a step is replayed: its regions prove themselves besides


def resolve_devices(names: tuple[str, ...]) -> dict[str, Device | DeviceError]:
    """The devices by their full names, in order; in place of one that isn't here, the error that says why.

    `auto` is one of each kind that is here. Raises ConfigError for a name that means nothing.
    """
    devices: dict[str, Device | DeviceError] = {}
    first_of_kind = {name.partition(":")[0]: name for name in reversed(available())}
    for name in names:
        for one in reversed(first_of_kind.values()) if name == AUTO else (name,):
            try:
                device = resolve(one, option="--devices")
                devices[str(device)] = device
            except DeviceError as error:
                devices[one] = error
    return devices


class CaseBuilder:
    """Makes cases ready and judges them; what several of them share is made once."""

    def __init__(self, config: BenchConfig, devices: Devices, oracle: Oracle) -> None:
        self.config, self.devices, self._oracle = config, devices, oracle
        folder = Path(config.data.folder) if config.data.folder is not None else None
        self.dataset = load_dataset(config.data.dataset, folder=folder, seed=0)
        self._sets: dict[tuple[str, str], DeviceSet] = {}
        self._references: dict[tuple[RunConfig, float], ReferenceTraining] = {}
        self._networks: dict[tuple[tuple[int, ...], str], MLP] = {}
        self._judged: dict[Case, Floats] = {}  # the losses of the trainings that verdicts are of
        self._logits: dict[tuple[tuple[int, ...], str], Floats] = {}

    def device(self, case: Case) -> Device:
        """The case's device; raises the DeviceError that says why it isn't here."""
        no_such = DeviceError(f"{case.device} is none of the benchmark's devices", remedy="Start a new benchmark")
        device = self.devices.get(case.device, no_such)
        if isinstance(device, DeviceError):
            raise device
        return device

    def refusal(self, case: Case) -> str | None:
        """Why `case` can't run here, or None: what is known before anything is made; EngineError of a user's engine."""
        try:
            device = self.device(case)
            config = run_config(case, self.config)
        except AccelmnistError as error:
            return error.message
        return refusal_of(config, device, len(self.dataset.train))

    def timed(self, case: Case) -> TimedCase:
        """The case, prepared; raises DeviceError if that fails."""
        device = self.device(case)
        if case.mode == "training":
            return TimedTraining(case, device, run_config(case, self.config), self._given("train", case))
        return self.classification(case, self.network(case))

    def classification(self, case: Case, model: MLP) -> TimedInference:
        """The case of an inference by `model`, prepared; raises DeviceError if that fails."""
        device = self.device(case)
        with memory_errors(device, REMEDY):
            engine = engine_class(self.config.engine_of(case))
            images = self._given(self._classified(case), case).images
            return TimedInference(case, device, model, images, engine=engine)

    def training(self, case: Case, config: RunConfig, ranks: Ranks | None, *, epochs: int = 1) -> TimedTraining:
        """A training of `config`, prepared, of which `ranks` share every batch; raises DeviceError if that fails.

        It has the steps of so many `epochs`, to go through again and again.
        """
        device = self.device(case)
        with memory_errors(device, REMEDY):
            return TimedTraining(case, device, config, self._given("train", case), ranks=ranks, epochs=epochs)

    def _classified(self, case: Case) -> str:
        """The set that an inference case classifies."""
        return "test" if case.batch_size <= len(self.dataset.test) else "train"

    def anchor(self, timed: TimedCase, config: RunConfig | None = None) -> Anchor:
        """What the regions of a case that is warm must end with; the case ends as it began.

        `config` is its run, if that isn't the benchmark's own of the case.
        """
        case, config = timed.case, config or run_config(timed.case, self.config)
        if isinstance(timed, TimedTraining):
            return anchor_training(timed, config, self.dataset.train, self._judged.get(case))
        assert isinstance(timed, TimedInference)
        return anchor_inference(timed, list(self.network(case).parameters()), self._expected_logits(case, config))

    def _expected_logits(self, case: Case, config: RunConfig) -> Floats:
        """Logits of the images that `case` classifies, by the reference on the host in float32."""
        name = self._classified(case)
        key = (case.hidden, name)
        if key not in self._logits:
            images = torch.from_numpy((self.dataset.train if name == "train" else self.dataset.test).images)
            logits = logits_of(self.reference(config).model, images, device=resolve("cpu"), precision="fp32")
            self._logits[key] = logits.numpy()
        return self._logits[key]

    def verify(self, timed: TimedCase) -> tuple[float | None, Verdict]:
        """The accuracy on the test set, and the verdict; the case ends as it began."""
        if isinstance(timed, TimedInference):
            return self._verify_inference(timed)
        assert isinstance(timed, TimedTraining)
        return self._verify_training(timed)

    def _verify_training(self, timed: TimedTraining) -> tuple[float | None, Verdict]:
        """Train the whole of the case's run and judge it."""
        config, job = timed.job.config, timed.job
        timed.restore()
        audit = Audit(config, self.dataset.train, _AUDITED, brief=True)
        try:
            judged = losses_of(list(train(timed.runner, job, probe=None, audit=audit)))
        except DivergedError as error:
            return None, _diverged(error)
        self._judged[timed.case] = judged
        test = self.images("test", timed.device)
        evaluation = timed.evaluated(test)
        itself = is_reference(config, device_kind=timed.device.kind, engine=timed.case.engine) and not timed.is_remote
        data = self.dataset
        inputs = VerdictInputs(
            config=config,
            model=job.model,
            training=data.train,
            test=data.test,
            evaluation=evaluation,
            losses=torch.from_numpy(judged),
            audit=audit,
        )
        nudge = tolerances(config.execution.precision).rounding
        verdict = judge(
            inputs,
            oracle=self._oracle(evaluation.labels, evaluation.predictions),
            reference=None if itself else self.reference(config),
            nudged=lambda: self.reference(config, nudge=nudge).losses,
            is_reference=itself,
        )
        timed.restore()
        return evaluation.metrics.accuracy, verdict

    @torch.no_grad()
    def _verify_inference(self, timed: TimedInference) -> tuple[float, Verdict]:
        """Classify the whole test set and judge it; what is left over from whole batches is one smaller batch."""
        model, test = self.network(timed.case), self.images("test", timed.device)
        given = self._given("test", timed.case).images
        with matmul_precision(timed.device, timed.case.precision):
            parts = [timed.classify(part).clone() for part in torch.split(given, timed.case.batch_size)]
        evaluation = evaluation_of(torch.cat(parts), test, model.config.output)
        checks = (
            *check_answers(model, self.dataset.test, evaluation, tolerances(timed.case.precision)),
            *check_scores(evaluation.metrics, self._oracle(evaluation.labels, evaluation.predictions)()),
        )
        return evaluation.metrics.accuracy, Verdict.of("float64 and scikit-learn", checks)

    def images(self, name: str, device: Device) -> DeviceSet:
        """The `train` or `test` images on the device."""
        key = (name, str(device))
        if key not in self._sets:
            self._sets[key] = upload(self.dataset.train if name == "train" else self.dataset.test, device)
        return self._sets[key]

    def _given(self, name: str, case: Case) -> DeviceSet:
        """What the engine of `case` is given: one in a user's file might change it, so it has a set of its own."""
        device, engine = self.device(case), self.config.engine_of(case)
        shared = self.images(name, device)
        if EngineFile.of(engine) is None:
            return shared
        key = (f"{name} of {engine}", str(device))
        if key not in self._sets:
            self._sets[key] = DeviceSet(shared.images.clone(), shared.labels.clone())
        return self._sets[key]

    def reference(self, config: RunConfig, *, nudge: float = 0.0) -> ReferenceTraining:
        """The reference of `config`, whatever device, engine and precision that names; `nudge` as in its training."""
        key = (replace(config, execution=ExecutionConfig()), nudge)
        if key not in self._references:
            self._references[key] = train_reference(key[0], self.dataset.train, self.dataset.test, nudge=nudge)
        return self._references[key]

    def network(self, case: Case) -> MLP:
        """A network with the reference's weights on the case's device."""
        key = (case.hidden, case.device)
        if key not in self._networks:
            config = run_config(case, self.config)
            model = MLP(config.model, seed=config.training.seed)
            model.load_state_dict(self.reference(config).model.state_dict())
            self._networks[key] = model.to(torch.device(case.device))
        return self._networks[key]


def refusal_of(config: RunConfig, device: Device, training_images: int) -> str | None:
    """Why `config` can't run on `device` with so many training images, or None: known before anything is made.

    Raises EngineError for a bad engine in a user's file. The engine `auto` is whoever's: only the rest is looked at.
    """
    try:
        check_fits(config, training_images=training_images)
        require_memory(config, device)
    except AccelmnistError as error:
        return error.message
    precision = config.execution.precision
    capability = precision_capability(device, precision)
    if not capability.available:
        return f"{precision} is not available on {device}: {capability.reason}"
    return (
        None if config.execution.engine == AUTO else engine_class(config.execution.engine).unsupported(config, device)
    )


def _diverged(error: DivergedError) -> Verdict:
    check = Check(
        name="finite losses", passed=False, value=None, limit=None, detail=error.message, reason="a NaN is a failure"
    )
    return Verdict.of("none: the training diverged", (check,))


def with_checks(verdict: Verdict, checks: tuple[Check, ...]) -> Verdict:
    """The verdict with further checks, each in place of the one of its name; one that failed before stays."""
    failed = {check.name for check in verdict.failures}
    new = {check.name: check for check in checks if check.name not in failed}
    kept = (check for check in verdict.checks if check.name not in new)
    return Verdict.of(verdict.reference, (*kept, *new.values()))
