"""Trials of one shape as one graph: what a GPU is given, since one small network leaves most of it idle.

Trials with the same network, batch size, optimizer, epochs and precision share a graph; their seeds, learning rates,
schedules and weight decays are data. As many of them as fit into memory go side by side. Their losses follow those of
training alone within rounding, not to the bit: a batched product adds in another order.

The time of an epoch is that of all networks together, and each is told the same.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from accelmnist.core.config import RunConfig
from accelmnist.core.errors import AccelmnistError, DeviceError, DivergedError
from accelmnist.data.on_device import DeviceSet
from accelmnist.device import Device, free_memory_bytes, matmul_precision, memory_errors, synchronize
from accelmnist.engines.contract import Floats, Job
from accelmnist.engines.model import MLP
from accelmnist.engines.plan import Epoch, TrainingPlan
from accelmnist.engines.step.device_runner import DeviceEpoch, upload_epoch
from accelmnist.engines.step.memory import require_memory, training_bytes
from accelmnist.sweep.trials.alone import REMEDY, job_of, result_of
from accelmnist.sweep.trials.batched_step import BatchedEpochs, BatchedStep
from accelmnist.sweep.trials.contract import DeviceData, OnEpoch, Trial, TrialResult
from accelmnist.training.evaluation import accuracy_of
from accelmnist.training.loop import EpochResult, check_finite


def train_in_batches(
    trials: Sequence[Trial],
    data: DeviceData,
    device: Device,
    *,
    should_stop: Callable[[], bool],
    on_epoch: OnEpoch,
) -> Iterator[TrialResult]:
    """Train `trials`, one batch of the same shape after the other, and yield the results of each at its end."""
    for batch in batches_of(trials, free=free_memory_bytes(device)):
        if should_stop():
            return
        yield from _train_batch(batch, data, device, on_epoch)


def batches_of(trials: Sequence[Trial], *, free: int | None) -> list[list[Trial]]:
    """Trials that may share a graph, in batches of nearly the same size that take half of `free` bytes at most."""
    shapes: dict[RunConfig, list[Trial]] = {}
    for trial in trials:
        shapes.setdefault(_shape_of(trial.config), []).append(trial)
    return [batch for shape, same in shapes.items() for batch in _split(same, _most(shape, free))]


def _shape_of(config: RunConfig) -> RunConfig:
    """What trials of one graph have in common: the configuration without what is data."""
    data = {"seed": 0, "learning_rate": 1.0, "weight_decay": 0.0, "schedule": "constant", "warmup": 0.0}
    return replace(config, training=replace(config.training, **data))  # type: ignore[arg-type]  # of several types


def _most(config: RunConfig, free: int | None) -> int | None:
    """How many networks fit; a step makes every tensor anew before it stores them, hence twice the memory."""
    return None if free is None else max(1, free // 2 // (2 * training_bytes(config)))


def _split(trials: list[Trial], most: int | None) -> list[list[Trial]]:
    parts = 1 if most is None else math.ceil(len(trials) / most)
    bounds = [len(trials) * part // parts for part in range(parts + 1)]
    return [trials[start:end] for start, end in itertools.pairwise(bounds)]


def _train_batch(trials: Sequence[Trial], data: DeviceData, device: Device, on_epoch: OnEpoch) -> Iterator[TrialResult]:
    batch = Batch(trials, data, device)
    cause = None
    try:
        with memory_errors(device, REMEDY):
            require_memory(trials[0].config, device, checked=False)
            batch.train(on_epoch)
    except DeviceError as failure:
        cause = failure
    yield from batch.results(cause)


class Batch:
    """Trials of one shape in training: their networks, and what is known of each so far."""

    def __init__(self, trials: Sequence[Trial], data: DeviceData, device: Device) -> None:
        self.trials, self.data, self.device = trials, data, device
        self.plans = [TrainingPlan(trial.config, len(data.training)) for trial in trials]
        self.epochs: list[list[EpochResult]] = [[] for _ in trials]
        self.causes: list[AccelmnistError | None] = [None for _ in trials]
        self.jobs: list[Job] = []

    def train(self, on_epoch: OnEpoch) -> None:
        """All epochs of all networks; one that diverges is carried along, and told of no more."""
        self.jobs = [job_of(trial, self.data, self.device) for trial in self.trials]
        with matmul_precision(self.device, self.trials[0].config.execution.precision):
            epochs = BatchedEpochs(BatchedStep(self.jobs), self._plan(0), self.device)
            for number in range(self.trials[0].config.training.epochs):
                if all(self.causes):
                    return
                losses, train_s = self._timed_epoch(epochs, number)
                for place, own in enumerate(losses.cpu().numpy()):
                    self._keep(place, number, own, train_s, on_epoch)

    def _plan(self, number: int) -> DeviceEpoch:
        epochs = [plan.epoch(number) for plan in self.plans]
        together = Epoch(
            np.stack([epoch.order for epoch in epochs], axis=1),
            np.stack([epoch.learning_rates for epoch in epochs], axis=1),
            np.stack([epoch.dropout_seeds for epoch in epochs], axis=1),
        )
        return upload_epoch(together, self.device)

    def _timed_epoch(self, epochs: BatchedEpochs, number: int) -> tuple[Tensor, float]:
        """The losses (networks, steps) on the device, and the seconds that all networks took together."""
        synchronize(self.device)
        started = time.perf_counter()
        losses = epochs.train_epoch(self._plan(number))
        synchronize(self.device)
        return losses.T.contiguous(), time.perf_counter() - started

    def _keep(self, place: int, number: int, losses: Floats, train_s: float, on_epoch: OnEpoch) -> None:
        if self.causes[place]:
            return
        job, plan = self.jobs[place], self.plans[place]
        try:
            check_finite(losses, job.config, first_step=number * plan.steps)
        except DivergedError as diverged:
            self.causes[place] = diverged
            return
        probe = self.data.probe
        accuracy = None if probe is None else self._accuracy_of(job, probe)
        figures = plan.figures(number, losses, train_s=train_s, accuracy=accuracy)
        self.epochs[place].append(EpochResult(figures, losses))
        on_epoch(self.trials[place].key, figures)

    def _accuracy_of(self, job: Job, probe: DeviceSet) -> float:
        return accuracy_of(job.model, probe, device=self.device, precision=job.config.execution.precision)

    def results(self, ended: AccelmnistError | None) -> Iterator[TrialResult]:
        """What came of each; `ended` is what ended all of them early."""
        for place, trial in enumerate(self.trials):
            cause = self.causes[place] or ended
            model = None if cause else _on_its_own(self.jobs[place].model)
            yield result_of(trial, model, self.epochs[place], cause=cause)


@torch.no_grad()
def _on_its_own(model: MLP) -> MLP:
    """The network with weights of its own, so that it doesn't keep all the others in memory."""
    for parameter in model.parameters():
        parameter.data = parameter.detach().clone()
    return model
