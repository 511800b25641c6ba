"""Trials of one shape as one graph: what a GPU is given, since one small network leaves most of it idle.

Trials with the same network, batch size, optimizer, epochs and precision share a graph; their seeds, learning rates,
schedules and weight decays are data. As many of them as fit into memory go side by side. Their losses follow those of
training alone within rounding, not to the bit: a batched product adds in another order. The time of an epoch is that of
all networks together, and each is told the same.

The graph's step is that of one network (`step.functional`) mapped over a first dimension that counts the networks, so
that the mathematics is written once: torch's `vmap` makes batched products of the products, and a learning rate, a
weight decay, an order and a dropout seed are each one a network. The epoch's plan lies on the device and a counter
there says which step is next, so that a CUDA graph captures a step once and replays it: a small network's step costs
more in launches than in arithmetic, and the launches of N networks are those of one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from accelmnist.core.config import RunConfig
from accelmnist.core.errors import AccelmnistError, DeviceError, DivergedError
from accelmnist.device import Device, capture_graph, free_memory_bytes, matmul_precision, memory_errors
from accelmnist.engines.contract import Job, Snapshot
from accelmnist.engines.model import MLP
from accelmnist.engines.plan import Epoch, Floats, TrainingPlan
from accelmnist.engines.step.device_runner import DeviceEpoch, upload_epoch
from accelmnist.engines.step.functional import FunctionalStep
from accelmnist.engines.step.rules import require_memory, training_bytes
from accelmnist.sweep.trials.trial import REMEDY, Shared, Trial, TrialResult, result_of
from accelmnist.training.evaluation import accuracy_of
from accelmnist.training.loop import EpochResult, Stopwatch, check_finite
from accelmnist.training.reference.audit import Audit, Pair, Watch


def train_in_batches(trials: Sequence[Trial], shared: Shared) -> Iterator[TrialResult]:
    """Train `trials`, one batch of the same shape after the other, and yield the results of each at its end."""
    for same in batches_of(trials, free=free_memory_bytes(shared.device)):
        if shared.should_stop():
            return
        batch, cause = Batch(same, shared), None
        try:
            with memory_errors(shared.device, REMEDY):
                require_memory(same[0].config, shared.device, checked=False)
                batch.train()
        except DeviceError as failure:
            cause = failure
        yield from batch.results(cause)


def batches_of(trials: Sequence[Trial], *, free: int | None) -> list[list[Trial]]:
    """Trials that may share a graph, in batches of nearly the same size that take half of `free` bytes at most."""
    shapes: dict[RunConfig, list[Trial]] = {}
    for trial in trials:
        shapes.setdefault(_shape_of(trial.config), []).append(trial)
    batches = []
    for shape, same in shapes.items():
        # A step makes every tensor anew before it stores them, hence twice the memory.
        most = len(same) if free is None else max(1, free // 2 // (2 * training_bytes(shape)))
        parts = math.ceil(len(same) / most)
        bounds = [len(same) * part // parts for part in range(parts + 1)]
        batches += [same[start:end] for start, end in itertools.pairwise(bounds)]
    return batches


def _shape_of(config: RunConfig) -> RunConfig:
    """What trials of one graph have in common: the configuration without what is data."""
    data = {"seed": 0, "learning_rate": 1.0, "weight_decay": 0.0, "schedule": "constant", "warmup": 0.0}
    return replace(config, training=replace(config.training, **data))  # type: ignore[arg-type]  # of several types


class Batch:
    """Trials of one shape in training: their networks, and what is known of each so far."""

    def __init__(self, trials: Sequence[Trial], shared: Shared) -> None:
        self.trials, self.shared, self.device = trials, shared, shared.device
        self.plans = [TrainingPlan(trial.config, len(shared.training)) for trial in trials]
        self.epochs: list[list[EpochResult]] = [[] for _ in trials]
        self.causes: list[AccelmnistError | None] = [None for _ in trials]
        self.jobs: list[Job] = []
        audits = [shared.audit(trial) for trial in trials]
        self.audits = [audit for audit in audits if audit is not None]
        self.watch = BatchWatch(self.audits) if self.audits else None

    def train(self) -> None:
        """All epochs of all networks; one that diverges is carried along, and told of no more."""
        self.jobs = [Job(trial.config, self.device, self.shared.training) for trial in self.trials]
        with matmul_precision(self.device, self.trials[0].config.execution.precision):
            step = BatchedStep(self.jobs)
            epochs = BatchedEpochs(step, self._plan(0), self.device)
            for number in range(self.trials[0].config.training.epochs):
                if all(self.causes):
                    return
                losses, train_s = self._timed_epoch(step, epochs, number)
                for place, own in enumerate(losses.T):
                    self._keep(place, number, own, train_s)

    def _plan(self, number: int) -> DeviceEpoch:
        epochs = [plan.epoch(number) for plan in self.plans]
        together = Epoch(
            np.stack([epoch.order for epoch in epochs], axis=1),
            np.stack([epoch.learning_rates for epoch in epochs], axis=1),
            np.stack([epoch.dropout_seeds for epoch in epochs], axis=1),
        )
        return upload_epoch(together, self.device)

    def _timed_epoch(self, step: BatchedStep, epochs: BatchedEpochs, number: int) -> tuple[Floats, float]:
        """The losses (steps, networks), and the seconds that all networks took together."""
        clock = Stopwatch(self.device)
        with clock:
            plan = self._plan(number)
        steps = BatchSteps(step, epochs, plan, clock)
        losses = steps.run(slice(None)) if self.watch is None else self.watch.watch(number, steps)
        return losses, clock.seconds

    def _keep(self, place: int, number: int, losses: Floats, train_s: float) -> None:
        if self.causes[place]:
            return
        job, plan = self.jobs[place], self.plans[place]
        try:
            check_finite(losses, job.config, first_step=number * plan.steps)
        except DivergedError as diverged:
            self.causes[place] = diverged
            return
        probe, precision = self.shared.probe, job.config.execution.precision
        accuracy = None if probe is None else accuracy_of(job.model, probe, device=self.device, precision=precision)
        figures = plan.figures(number, losses, train_s=train_s, accuracy=accuracy)
        self.epochs[place].append(EpochResult(figures, losses))
        self.shared.on_epoch(self.trials[place].key, figures)

    def results(self, ended: AccelmnistError | None) -> Iterator[TrialResult]:
        """What came of each; `ended` is what ended all of them early."""
        for place, trial in enumerate(self.trials):
            cause = self.causes[place] or ended
            model = None if cause else _on_its_own(self.jobs[place].model)
            audit = self.audits[place] if self.audits else None
            yield result_of(trial, model, self.epochs[place], cause=cause, audit=audit)


@torch.no_grad()
def _on_its_own(model: MLP) -> MLP:
    """The network with weights of its own, so that it doesn't keep all the others in memory."""
    for parameter in model.parameters():
        parameter.data = parameter.detach().clone()
    return model


# --- the audit


class BatchSteps:
    """The steps of an epoch of all networks; weights, state and losses have a first dimension that counts these."""

    def __init__(self, step: BatchedStep, epochs: BatchedEpochs, plan: DeviceEpoch, clock: Stopwatch) -> None:
        self.step, self.epochs, self.plan, self.clock = step, epochs, plan, clock

    def __len__(self) -> int:
        return len(self.plan)

    def run(self, part: slice) -> Floats:
        """Run a part of the steps; returns their losses (steps, networks)."""
        with self.clock:
            losses = self.epochs.train_epoch(self.plan[part])
        return losses.cpu().numpy()

    def run_again(self, part: slice) -> Floats:
        """The same off the clock."""
        return self.epochs.train_epoch(self.plan[part]).cpu().numpy()

    def look(self) -> Snapshot:
        """Copies of weights and state, on the host."""
        return {name: tensor.to("cpu", copy=True).numpy() for name, tensor in self.step.named.items()}

    def put_back(self, snapshot: Snapshot) -> None:
        """Go on from what `look` gave."""
        for name, tensor in self.step.named.items():
            tensor.copy_(torch.from_numpy(snapshot[name]))


class BatchWatch(Watch):
    """The audits of networks that train as one graph: all look at the steps that the first one drew."""

    def __init__(self, audits: Sequence[Audit]) -> None:
        super().__init__(audits[0].per_epoch, audits[0].steps, audits[0].calls)
        self.audits = audits

    def begin(self, epoch: int, now: Snapshot) -> None:
        """Each holds its own."""
        for place, audit in enumerate(self.audits):
            audit.begin(epoch, _own(now, place))

    def keep(self, step: int, before: Snapshot, after: Snapshot, losses: Floats) -> None:
        """Each keeps its own."""
        for place, audit in enumerate(self.audits):
            audit.keep(step, _own(before, place), _own(after, place), losses[:, place])

    def hold_call(self, steps: range, before: Snapshot, ends: Pair[Snapshot], losses: Pair[Floats]) -> None:
        """Each holds its own."""
        for place, audit in enumerate(self.audits):
            own = _own(ends[0], place), _own(ends[1], place)
            audit.hold_call(steps, _own(before, place), own, (losses[0][:, place], losses[1][:, place]))

    def miss(self, what: str) -> None:
        """All miss it."""
        for audit in self.audits:
            audit.miss(what)

    def end(self, epoch: int, now: Snapshot, losses: Floats) -> None:
        """Each ends with its own."""
        for place, audit in enumerate(self.audits):
            audit.end(epoch, _own(now, place), losses[:, place])


def _own(all_networks: Snapshot, place: int) -> Snapshot:
    return {name: part[place] for name, part in all_networks.items()}


# --- the graph


class BatchedStep:
    """One step of all of `jobs` at once, in place; their networks' weights become views of the stacked ones.

    The jobs differ in nothing but seeds, learning rates and weight decays.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._one = FunctionalStep(jobs[0])
        self.tensors = [torch.stack([tensor] * len(jobs)) for tensor in self._one.tensors()]
        self.named = dict(zip(self._one.kept.tensor_names(), self.tensors, strict=True))
        _share_weights([job.model for job in jobs], self.tensors)
        decays = [job.config.training.weight_decay for job in jobs]
        self._decays = torch.tensor(decays, device=jobs[0].device.torch_device)
        self._advance = torch.vmap(self._advance_one)

    def __call__(self, index: Tensor, rates: Tensor, seeds: Tensor) -> Tensor:
        """One step on the images at `index` (networks, batch); rates, seeds and the returned losses (networks,)."""
        losses, after = self._advance(self.tensors, index, rates, seeds, self._decays)
        for stored, value in zip(self.tensors, after, strict=True):
            stored.copy_(value)
        losses_of_all: Tensor = losses
        return losses_of_all

    def _advance_one(
        self, tensors: list[Tensor], index: Tensor, rate: Tensor, seed: Tensor, decay: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        corrections = self._one.corrections(tensors)
        return self._one.advance(tensors, corrections, index, rate, seed, weight_decay=decay)


@torch.no_grad()
def _share_weights(models: Sequence[MLP], stacked: Sequence[Tensor]) -> None:
    for place, model in enumerate(models):
        for parameter, stack in zip(model.parameters(), stacked, strict=False):
            stack[place].copy_(parameter)
            parameter.data = stack[place]


class BatchedEpochs:
    """Epochs of a batched step, by a captured graph on CUDA and by plain calls elsewhere.

    The plan of an epoch is an `Epoch` whose tensors have the networks as their second dimension: order (steps,
    networks, batch), rates and seeds (steps, networks). `sample` has the shape of all plans that follow, and as many
    steps as the longest.
    """

    def __init__(self, step: BatchedStep, sample: DeviceEpoch, device: Device) -> None:
        self._step = step
        self._plan = sample.map(torch.clone)
        self._losses = torch.zeros_like(sample.learning_rates)
        self._position = torch.zeros(1, dtype=torch.int64, device=sample.order.device)
        self._run = self._captured(device) if device.kind == "cuda" else self._next_step

    def train_epoch(self, plan: DeviceEpoch) -> Tensor:
        """Run all steps; returns their losses (steps, networks) float32 on the device, without a host sync."""
        self._plan.fill(plan)
        self._position.zero_()
        for _ in range(len(plan)):
            self._run()
        return self._losses[: len(plan)].clone()

    def _next_step(self) -> None:
        here = self._position
        step = self._plan.map(lambda tensor: tensor.index_select(0, here).squeeze(0))
        losses = self._step(step.order, step.learning_rates, step.dropout_seeds)
        self._losses.index_copy_(0, here, losses.unsqueeze(0))
        self._position += 1

    def _captured(self, device: Device) -> Callable[[], None]:
        """The step as a graph; what its warm-up changed is set back."""
        before = [tensor.clone() for tensor in self._step.tensors]
        replay = capture_graph(device, self._next_step)
        for tensor, value in zip(self._step.tensors, before, strict=True):
            tensor.copy_(value)
        return replay
