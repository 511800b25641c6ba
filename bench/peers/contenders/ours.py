"""This package's engines, as `accelmnist run` uses them: the same classes, the same order and upload of an epoch.

The variant is the engine's name. A region that is shorter than an epoch is a slice of the epoch's plan.
"""

from __future__ import annotations

import torch

from accelmnist.core.config import ExecutionConfig, ModelConfig, Optimizer, RunConfig, TrainingConfig
from accelmnist.data.types import upload
from accelmnist.device import matmul_precision, resolve
from accelmnist.engines.choose import engine_class
from accelmnist.engines.contract import Classifier
from accelmnist.engines.contract import Job as EngineJob
from accelmnist.engines.eager import EagerEngine
from accelmnist.engines.model import MLP
from accelmnist.engines.plan import TrainingPlan
from accelmnist.training.loop import prepare
from bench.peers.contract import Contender, Digits, as_digits
from bench.peers.workloads import Floats, Job, Workload

_EPOCHS = 1000  # the learning rate is constant, so the number only has to be large enough


def _optimizer(workload: Workload) -> Optimizer:
    return "adam" if workload.rule == "adam" else "sgd-momentum" if workload.momentum else "sgd"


def run_config(job: Job, engine: str) -> RunConfig:
    """The package's configuration of the job."""
    workload = job.workload
    training = TrainingConfig(
        epochs=_EPOCHS,
        batch_size=workload.batch_size,
        optimizer=_optimizer(workload),
        learning_rate=workload.learning_rate or None,
        momentum=workload.momentum,
        weight_decay=0.0,
        label_smoothing=0.0,
        schedule="constant",
    )
    execution = ExecutionConfig(device="cpu", engine=engine, precision=job.precision)
    return RunConfig(model=ModelConfig(hidden=workload.hidden), training=training, execution=execution)


class Ours(Contender):
    """An engine of this package."""

    @classmethod
    def unsupported(cls, job: Job, variant: str) -> str | None:
        """What the engine says of itself."""
        config, device = run_config(job, variant), resolve("cpu")
        engine = engine_class(variant)
        if job.workload.mode == "inference":
            model = MLP(config.model, seed=0)
            return None if engine.classifier(model, device, job.precision) else "it has no way to classify of its own"
        return engine.unsupported(config, device)

    def __init__(self, job: Job, variant: str) -> None:
        self.config, self.device, self.precision = run_config(job, variant), resolve("cpu"), job.precision
        self.start = [torch.from_numpy(values) for weight, bias in job.weights for values in (weight.T.copy(), bias)]
        self.model = MLP(self.config.model, seed=0)
        self.test = upload(job.data.test, self.device)
        self._set_weights()
        self.classifier: Classifier | None = None  # made anew where the weights change
        self.kind = engine_class(variant)
        if job.workload.mode == "training":
            data = upload(job.data.train, self.device)
            self.runner = prepare(self.kind, EngineJob(self.config, self.device, data, self.model))
            self.first_state = self.runner.state()
            self.plan = TrainingPlan(self.config, len(data))
            self.number, self.position = -1, self.plan.steps
        else:
            self.classifier = self._new_classifier()

    def _set_weights(self) -> None:
        with torch.no_grad():
            torch._foreach_copy_(list(self.model.parameters()), self.start)

    def reset(self) -> None:
        """Start weights, the state after `prepare`, the first epoch."""
        self._set_weights()
        self.runner.load_state(self.first_state)
        self.number, self.position = -1, self.plan.steps

    def train(self, steps: int) -> Floats:
        """A slice of the epoch's plan; the plan itself is made when an epoch begins."""
        if self.position + steps > self.plan.steps:
            self.number, self.position = self.number + 1, 0
            self.epoch = self.runner.upload(self.plan.epoch(self.number))
        part = slice(self.position, self.position + steps)
        self.position += steps
        with matmul_precision(self.device, self.precision):
            losses: Floats = self.runner.download(self.runner.train_epoch(self.epoch[part]))
        return losses

    def classify(self) -> Digits:
        """By the engine's own classifier where it has one, else by the forward pass of every evaluation."""
        classifier = self.classifier or self._new_classifier()
        return as_digits(classifier(self.test.images).argmax(dim=1).numpy())

    def _new_classifier(self) -> Classifier:
        """With the weights of now: an engine may keep a copy of them in a form of its own."""
        own = self.kind.classifier(self.model, self.device, self.precision)
        return own or EagerEngine.classifier(self.model, self.device, self.precision)


CONTENDER = Ours
