"""Training in a few lines, for tests of the step, the engines and the verdict."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from accelmnist.core.config import ExecutionConfig, ModelConfig, RunConfig, TrainingConfig
from accelmnist.data.types import Dataset, upload
from accelmnist.device import Device, resolve
from accelmnist.engines.choose import engine_class
from accelmnist.engines.contract import Engine, Job, Runner
from accelmnist.engines.model import MLP
from accelmnist.engines.plan import HostEpoch
from accelmnist.sweep.trials import TrialResult
from accelmnist.training.evaluation import Evaluation, evaluate
from accelmnist.training.loop import losses_of, prepare, train
from accelmnist.training.reference.audit import Audit
from tests.rounding import Followed, Nudge, leave

CPU = resolve("cpu")


@dataclass
class Finished:
    """A finished training: what a verdict needs."""

    config: RunConfig
    model: MLP
    runner: Runner
    losses: torch.Tensor
    evaluation: Evaluation
    audit: Audit


def small_config(
    *,
    model: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    execution: dict[str, Any] | None = None,
) -> RunConfig:
    """784-32-10 by momentum, batch 64, two epochs, unless told otherwise."""
    defaults: dict[str, Any] = {"epochs": 2, "batch_size": 64, "optimizer": "sgd-momentum", "learning_rate": 0.05}
    return RunConfig(
        model=ModelConfig(**({"hidden": (32,)} | (model or {}))),
        training=TrainingConfig(**(defaults | (training or {}))),
        execution=ExecutionConfig(**(execution or {})),
    )


def make_job(config: RunConfig, data: Dataset, device: Device) -> Job:
    """The job of `config` on `device`, from the start."""
    return Job(config, device, data.train)


def run_epoch(runner: Runner, epoch: HostEpoch) -> torch.Tensor:
    """The losses (steps,) of the steps of `epoch` by `runner`."""
    return torch.from_numpy(runner.download(runner.train_epoch(runner.upload(epoch))))


def train_with(
    engine: type[Engine] | str,
    config: RunConfig,
    data: Dataset,
    device: Device,
    *,
    precision: str = "fp32",
    nudge: Nudge = leave,
    windows: int = 0,
) -> Finished:
    """Train `config` by `engine`, a name or a class, from weights that are nudged, and evaluate it.

    If there are `windows`, an audit looks at so many steps and some more.
    """
    execution = dataclasses.replace(config.execution, precision=precision, device=str(device))
    if isinstance(engine, str):
        execution = dataclasses.replace(execution, engine=engine)
    config = dataclasses.replace(config, execution=execution)
    job = make_job(config, data, device)
    nudge(job.model.parameters())
    runner = prepare(engine_class(engine) if isinstance(engine, str) else engine, job)
    audit = Audit(config, data.train, windows)
    losses = torch.from_numpy(losses_of(list(train(runner, job, probe=None, audit=audit if windows else None))))
    evaluation = evaluate(job.model, upload(data.test, device), device=device, precision=config.execution.precision)
    return Finished(config, job.model, runner, losses, evaluation, audit)


def images_of(data: Dataset, count: int) -> Dataset:
    """The set with its first `count` training images alone."""
    return dataclasses.replace(data, train=data.train.part(np.arange(count)))


_REFERENCES: dict[tuple[RunConfig, int], tuple[Dataset, Followed]] = {}


def reference(config: RunConfig, data: Dataset) -> Followed:
    """The losses and weights by the eager engine on the CPU, trained once for each configuration and set."""
    precision, key = config.execution.precision, (config, id(data))

    def run(nudge: Nudge) -> list[torch.Tensor]:
        return ends_of(train_with("eager", config, data, CPU, precision=precision, nudge=nudge))

    if key not in _REFERENCES:
        _REFERENCES[key] = data, Followed.by(run, precision)
    return _REFERENCES[key][1]


def ends_of(done: Finished | TrialResult) -> list[torch.Tensor]:
    """What a training is held against another by: its losses, then its weights."""
    assert done.losses is not None
    assert done.model is not None
    return [done.losses, *done.model.parameters()]
