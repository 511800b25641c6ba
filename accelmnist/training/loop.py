"""Training: the epochs of one job by one engine, timed, watched for divergence, stoppable and resumable between epochs.

The timed region of an epoch is what training takes: the order is made and sent to the device, the images are augmented,
the steps run, the weights are averaged, and the device is synchronized at both ends. The accuracy by epoch is measured
outside it. Losses come to the host once an epoch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from accelmnist.core.config import LEARNING_RATES, RunConfig
from accelmnist.core.errors import DivergedError
from accelmnist.core.records import EpochFigures
from accelmnist.data.on_device import DeviceSet
from accelmnist.device import matmul_precision, synchronize
from accelmnist.engines.contract import Engine, Job, Runner
from accelmnist.engines.plan import TrainingPlan
from accelmnist.training.averaging import WeightAverage
from accelmnist.training.evaluation import accuracy_of


@dataclass(frozen=True)
class EpochResult:
    """What an epoch gave: its figures for the record, and the loss of every step (steps,) float32 on the host."""

    figures: EpochFigures
    losses: Tensor


def prepare(engine: type[Engine], job: Job) -> Runner:
    """Let `engine` compile, capture and allocate, timed: `prepare_s`. The weights end as they began."""
    sample = TrainingPlan(job.config, len(job.data)).epoch(0)
    with matmul_precision(job.device, job.config.execution.precision):
        synchronize(job.device)
        started = time.perf_counter()
        runner = engine.prepare(job, sample)
        synchronize(job.device)
    return replace(runner, prepare_s=time.perf_counter() - started)


def train(
    runner: Runner, job: Job, *, probe: DeviceSet | None, first_epoch: int = 0, average: WeightAverage | None = None
) -> Iterator[EpochResult]:
    """Train from `first_epoch` to the last, one result an epoch; `probe` is the set whose accuracy each epoch tells.

    Where the weights are averaged, the module holds the average between the epochs and in the end; `average` is the
    caller's, who saves its state or goes on from one.
    Raises DivergedError at the end of the epoch in which a loss is no longer finite.
    """
    plan = TrainingPlan(job.config, len(job.data))
    average = average or WeightAverage(job.model, job.config.training.averaging)
    for number in range(first_epoch, job.config.training.epochs):
        losses, train_s = _timed_epoch(runner, job, plan, number, average)
        check_finite(losses, job.config, first_step=number * plan.steps)
        yield EpochResult(epoch_figures(job, plan, number, losses, train_s, probe), losses)


def _timed_epoch(
    runner: Runner, job: Job, plan: TrainingPlan, number: int, average: WeightAverage
) -> tuple[Tensor, float]:
    with matmul_precision(job.device, job.config.execution.precision):
        synchronize(job.device)
        started = time.perf_counter()
        average.resume_training()
        if job.augmentation is not None:
            job.augmentation.write(number)
        losses = runner.train_epoch(runner.upload(plan.epoch(number)))
        average.take_in(number + 1)
        synchronize(job.device)
        train_s = time.perf_counter() - started
    return losses.cpu(), train_s


def epoch_figures(
    job: Job, plan: TrainingPlan, number: int, losses: Tensor, train_s: float, probe: DeviceSet | None
) -> EpochFigures:
    """The figures of epoch `number`, counted from 0, which took `train_s` and had these `losses` (steps,)."""
    precision = job.config.execution.precision
    accuracy = None if probe is None else accuracy_of(job.model, probe, device=job.device, precision=precision)
    return plan.figures(number, losses.numpy(), train_s=train_s, accuracy=accuracy)


def check_finite(losses: Tensor, config: RunConfig, *, first_step: int) -> None:
    """Raise DivergedError where one of an epoch's `losses` (steps,) isn't finite; `first_step` is its first one's."""
    bad = torch.nonzero(~losses.isfinite())
    if len(bad) == 0:
        return
    position = int(bad[0])
    step, epoch = position + 1, first_step // len(losses) + 1
    before = f"{losses[position - 1].item():.4g}" if position else "unknown"
    raise DivergedError(
        f"the loss is {losses[position].item()} at step {step} of epoch {epoch}, before it {before}",
        step=first_step + step,
        remedy=_likely_cause(config),
    )


def _likely_cause(config: RunConfig) -> str:
    usual = LEARNING_RATES[config.training.optimizer]
    lower = min(config.training.learning_rate / 10, usual)
    rate = f"Likely the learning rate is too large: try --lr {lower:g}"
    if config.execution.precision == "fp16":
        return f"{rate}, or fp16's range is too small for this network: try --amp bf16"
    return rate
