"""One trial: what is trained, what comes of it, and its training by its own engine, against which others are held."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from accelmnist.core.config import RunConfig
from accelmnist.core.errors import AccelmnistError, DeviceError, DivergedError
from accelmnist.core.records import EpochFigures
from accelmnist.data.types import DeviceSet
from accelmnist.device import Device, memory_errors
from accelmnist.engines.choose import engine_class
from accelmnist.engines.contract import Job
from accelmnist.engines.model import MLP
from accelmnist.engines.step.rules import require_memory
from accelmnist.training.loop import EpochResult, losses_of, prepare, train
from accelmnist.training.reference.audit import Audit
from accelmnist.training.reference.chain import clock_faults

REMEDY = "Try a smaller batch size or network, or fewer workers"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training. `key` names it among the others; `config` tells its device and engine by name, never `auto`."""

    key: str
    config: RunConfig


@dataclass(frozen=True, eq=False, kw_only=True)
class Shared:
    """What trials have in common: one copy of the images on the device, which they only read, and who is told.

    `probe` are the images whose accuracy each epoch tells, if any; `on_epoch` is told the key and the figures of every
    epoch; when `should_stop` says so, the trials under way are the last ones. `audit` makes what watches a trial.
    """

    device: Device
    training: DeviceSet
    probe: DeviceSet | None
    should_stop: Callable[[], bool] = lambda: False
    on_epoch: Callable[[str, EpochFigures], None] = lambda *_: None
    audit: Callable[[Trial], Audit | None] = lambda _trial: None


@dataclass(frozen=True)
class TrialResult:
    """What a trial gave: the trained network on its device, and the loss of every step (steps,) float32 on the host.

    `train_s` is the time of its epochs, which trials beside it share. With an `error`, one line that says why the
    trial ended early, there is no model, and the rest is what was there before. `faults` are those of its epochs, their
    time by another clock included.
    """

    key: str
    model: MLP | None
    epochs: tuple[EpochFigures, ...]
    losses: Tensor
    train_s: float
    error: str | None
    cause: AccelmnistError | None = None  # the exception behind `error`, with its remedy
    audit: Audit | None = None
    faults: tuple[str, ...] = ()


def train_alone(trial: Trial, shared: Shared) -> TrialResult:
    """Train `trial`; a loss that diverges and a lack of memory are results, not exceptions."""
    model, cause, done, audit = None, None, list[EpochResult](), shared.audit(trial)
    try:
        with memory_errors(shared.device, REMEDY):
            require_memory(trial.config, shared.device, checked=False)
            job = Job(trial.config, shared.device, shared.training)
            runner = prepare(engine_class(trial.config.execution.engine), job)
            for result in train(runner, job, probe=shared.probe, audit=audit):
                done.append(result)
                shared.on_epoch(trial.key, result.figures)
        model = job.model
    except (DivergedError, DeviceError) as failure:
        cause = failure
    return result_of(trial, model, done, cause=cause, audit=audit)


def result_of(
    trial: Trial,
    model: MLP | None,
    epochs: list[EpochResult],
    *,
    cause: AccelmnistError | None,
    audit: Audit | None = None,
) -> TrialResult:
    """The result of the epochs that a trial has behind it; `cause` is what ended it early."""
    figures = tuple(epoch.figures for epoch in epochs)
    faults = [fault for epoch in epochs for fault in (*epoch.faults, *_late(epoch))]
    return TrialResult(
        key=trial.key,
        model=model,
        epochs=figures,
        losses=torch.from_numpy(losses_of(epochs)),
        train_s=sum(epoch.train_s for epoch in figures),
        error=None if cause is None else cause.message,
        cause=cause,
        audit=audit,
        faults=tuple(faults),
    )


def _late(epoch: EpochResult) -> Iterator[str]:
    figures = epoch.figures
    return clock_faults(f"epoch {figures.epoch}", figures.train_s, (epoch.least_s, epoch.most_s))
