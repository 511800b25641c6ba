"""One trial from its first weights to its last, by its own engine: what every other way is held against."""

from __future__ import annotations

from collections.abc import Callable

import torch

from accelmnist.core.errors import AccelmnistError, DeviceError, DivergedError
from accelmnist.device import Device, memory_errors
from accelmnist.engines.choose import engine_class
from accelmnist.engines.contract import Job
from accelmnist.engines.model import MLP
from accelmnist.engines.step.memory import require_memory
from accelmnist.sweep.trials.contract import DeviceData, OnEpoch, Trial, TrialResult
from accelmnist.training.loop import EpochResult, losses_of, prepare, train

REMEDY = "Try a smaller batch size or network, or fewer workers"


class AbandonedError(Exception):
    """Nobody waits for the trial any more."""


def train_alone(
    trial: Trial, data: DeviceData, device: Device, *, on_epoch: OnEpoch, is_abandoned: Callable[[], bool]
) -> TrialResult:
    """Train `trial`; a loss that diverges and a lack of memory are results, not exceptions.

    `on_epoch` is told every epoch's figures. Raises AbandonedError after the epoch in which `is_abandoned` became true.
    """
    model, cause, done = None, None, list[EpochResult]()
    try:
        with memory_errors(device, REMEDY):
            require_memory(trial.config, device, checked=False)
            job = job_of(trial, data, device)
            runner = prepare(engine_class(trial.config.execution.engine), job)
            for result in train(runner, job, probe=data.probe):
                done.append(result)
                on_epoch(trial.key, result.figures)
                if is_abandoned():
                    raise AbandonedError
        model = job.model
    except (DivergedError, DeviceError) as failure:
        cause = failure
    return result_of(trial, model, done, cause=cause)


def job_of(trial: Trial, data: DeviceData, device: Device) -> Job:
    """The trial's network from its start, on `device`, with the images that all trials share."""
    return Job(trial.config, device, data.training)


def result_of(
    trial: Trial, model: MLP | None, epochs: list[EpochResult], *, cause: AccelmnistError | None
) -> TrialResult:
    """The result of the epochs that a trial has behind it; `cause` is what ended it early."""
    figures = tuple(epoch.figures for epoch in epochs)
    return TrialResult(
        key=trial.key,
        model=model,
        epochs=figures,
        losses=torch.from_numpy(losses_of(epochs)),
        train_s=sum(epoch.train_s for epoch in figures),
        error=None if cause is None else cause.message,
        cause=cause,
    )
