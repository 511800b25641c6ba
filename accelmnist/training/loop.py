"""Training: the epochs of one job by one runner, timed, watched for divergence, stoppable and resumable between epochs.

The timed region of an epoch is what training takes: the order is made and sent to the device, the images are augmented,
the steps run, the weights are averaged, and the device is synchronized at both ends. The accuracy by epoch is measured
outside it. Losses come to the host once an epoch. torch is loaded only if the runner, augmenting or averaging needs it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from accelmnist.core.config import LEARNING_RATES, RunConfig
from accelmnist.core.errors import CheckpointError, DivergedError
from accelmnist.core.records import EpochFigures
from accelmnist.data.types import DeviceSet, ImageSet
from accelmnist.device import Device, matmul_precision, synchronize, threads_in_force
from accelmnist.engines.contract import Engine, Job, Runner, Snapshot, State
from accelmnist.engines.plan import Epoch, Floats, TrainingPlan
from accelmnist.engines.python_watch import PythonWatch

if TYPE_CHECKING:
    from torch import Tensor

    from accelmnist.engines.model import MLP

Call = tuple[int, float, float]  # of an engine: its steps, and when it began and ended

_TRAINED = "trained"  # in a saved state: the weights that training goes on from


class Steps(Protocol):
    """The steps of an epoch, to be run part by part."""

    def __len__(self) -> int: ...

    def run(self, part: slice) -> Floats:
        """Run a part of the steps by the clock of the training; returns their losses."""

    def run_again(self, part: slice) -> Floats:
        """The same off the clock."""

    def look(self) -> Snapshot:
        """Copies of weights and state, on the host."""

    def put_back(self, snapshot: Snapshot) -> None:
        """Go on from what `look` gave."""


class Watcher(Protocol):
    """Who looks at some steps of a training while the clock stands still."""

    def watch(self, epoch: int, steps: Steps) -> Floats:
        """Let the `steps` of `epoch` run in parts, and return the losses of all."""

    def take_average(self, epoch: int, now: Snapshot) -> None:
        """The weights were averaged after `epoch`; `now` is what the network holds."""


@dataclass(frozen=True)
class EpochResult:
    """What an epoch gave: its figures for the record, and the loss of every step (steps,) on the host.

    By another clock its training took from `least_s` to `most_s`, as far as that was seen; `faults` are what was seen
    to be wrong with its way: parts that were made when the clock stood still, another number of threads, or Python in
    the steps of an engine that leaves it.
    """

    figures: EpochFigures
    losses: Floats
    least_s: float = 0.0
    most_s: float = math.inf
    faults: tuple[str, ...] = ()


def losses_of(epochs: Sequence[EpochResult]) -> Floats:
    """The losses of all steps of `epochs`: (steps,)."""
    return np.concatenate([np.empty(0, dtype=np.float32), *(epoch.losses for epoch in epochs)])


def prepare(engine: type[Engine], job: Job) -> Runner:
    """Let `engine` compile, capture and allocate, timed: `prepare_s`. The weights end as they began."""
    sample = TrainingPlan(job.config, len(job)).epoch(0)
    clock = Stopwatch(job.device)
    with matmul_precision(job.device, job.config.execution.precision), clock:
        runner = (engine.prepare if job.share is None else engine.prepare_shared)(job, job.own_rows(sample))
    return replace(runner, prepare_s=clock.seconds, prepare_seen_s=(clock.least_s, clock.most_s), engine=engine)


class WeightAverage:
    """The average of `model`'s weights that keeps the share `decay` of its past each epoch; 0 leaves the weights.

    After epoch k it moves towards the weights by (1 - d) / (1 - d^k), where d is `decay`: an exponential average
    without the bias of its start (Polyak and Juditsky 1992; the correction is Adam's, Kingma and Ba 2015). Training
    goes on from the weights themselves. Between two epochs the module holds the average, so whoever evaluates or saves
    it sees what the run would give; engines see nothing of it.
    """

    def __init__(self, model: MLP, decay: float) -> None:
        self._decay = decay
        self._named = {name: weight.detach() for name, weight in model.named_parameters()} if decay else {}
        self._trained: dict[str, Tensor] = {}  # empty before the first epoch
        self.taken_at = math.nan  # when the last one was taken in
        self._average = {name: weight.new_zeros(weight.shape) for name, weight in self._named.items()}

    def resume_training(self) -> None:
        """Before an epoch: give the module the weights to train on, and keep the average."""
        for name, trained in self._trained.items():
            self._average[name].copy_(self._named[name])
            self._named[name].copy_(trained)

    def take_in(self, epochs: int) -> None:
        """After epoch number `epochs`, counted from 1: take its weights in, and give the module the average."""
        self.taken_at = time.perf_counter()
        for name, weight in self._named.items():
            self._trained[name] = weight.clone()
            share = (1 - self._decay) / (1 - self._decay**epochs)
            weight.copy_(self._average[name].lerp_(weight, share))

    def state(self) -> State:
        """The weights to train on, as copies on the host; empty where nothing is averaged."""
        return {f"{_TRAINED}/{name}": trained.to("cpu", copy=True) for name, trained in self._trained.items()}

    def load_state(self, state: State) -> None:
        """Go on from a `state()`; the module holds the average already. Raises CheckpointError where it is missing."""
        for name, weight in self._named.items():
            found = state.get(f"{_TRAINED}/{name}")
            if found is None or found.shape != weight.shape:
                raise CheckpointError(
                    f"the saved training state: {_TRAINED}/{name} is missing or of another shape",
                    remedy="Resume with the run's own options",
                )
            self._trained[name] = found.to(weight.device, copy=True)


def average_of(job: Job) -> WeightAverage | None:
    """What averages the weights of `job`, if its configuration asks for that."""
    decay = job.config.training.averaging
    return WeightAverage(job.model, decay) if decay else None


def train(
    runner: Runner,
    job: Job,
    *,
    probe: ImageSet | DeviceSet | None,
    first_epoch: int = 0,
    average: WeightAverage | None = None,
    audit: Watcher | None = None,
) -> Iterator[EpochResult]:
    """Train from `first_epoch` to the last, one result an epoch; `probe` is the set whose accuracy each epoch tells.

    If the weights are averaged, the network holds the average between the epochs and in the end; `average` is the
    caller's, who saves its state or goes on from one. `audit` looks at some steps while the clock stands still.
    Raises DivergedError at the end of the epoch in which a loss is no longer finite.
    """
    plan = TrainingPlan(job.config, len(job))
    average = average or average_of(job)
    for number in range(first_epoch, job.config.training.epochs):
        calls: list[Call] = []
        losses, steps = _timed_epoch(_noted(runner, calls), job, plan, number, average, audit)
        clock = steps.clock
        check_finite(losses, job.config, first_step=number * plan.steps)
        accuracy = None if probe is None else accuracy_by(runner, job, probe)
        figures = plan.figures(number, losses, train_s=clock.seconds, accuracy=accuracy)
        faults = tuple(f"epoch {number + 1}: {fault}" for fault in _faults_of_way(steps, plan, average, calls))
        yield EpochResult(figures, losses, clock.least_s, clock.most_s, faults)


def _noted(runner: Runner, calls: list[Call]) -> Runner:
    """`runner`, whose every call is added to `calls`."""

    def train_epoch(part: Epoch[Any]) -> Any:
        began = time.perf_counter()
        losses = runner.train_epoch(part)
        calls.append((len(part), began, time.perf_counter()))
        return losses

    return replace(runner, train_epoch=train_epoch)


def _faults_of_way(
    steps: EpochSteps, plan: TrainingPlan, average: WeightAverage | None, calls: Sequence[Call]
) -> Iterator[str]:
    """What was made of an epoch while its clock stood still; threads, or Python, that are not those of the engine."""
    job, clock, engine = steps.job, steps.clock, steps.runner.engine
    made = {"order": plan.made_at}
    if job.augmentation is not None:
        made["images"] = job.augmentation.written_at
    if average is not None:
        made["average"] = average.taken_at
    yield from (f"its {part} was made off the clock" for part, at in made.items() if not clock.ran(at))
    timed = sum(count for count, *moments in calls if all(map(clock.ran, moments)))
    if timed != plan.steps:
        yield f"{timed} of its {plan.steps} steps were run by the clock"
    asked = job.config.execution.threads
    if asked and (threads := threads_in_force(asked)) != asked:
        yield f"there were {threads} threads, and not {asked}"
    if steps.ran and engine is not None and not engine.runs_python:
        yield f"its steps ran in Python ({', '.join(sorted(steps.ran))}): they were not compiled"


class Stopwatch:
    """Adds up the seconds within its context, in which `device` is synchronized at both ends, if one is given.

    Another clock is read around that and within it: by that one it took from `least_s` to `most_s`, its ticks counted.
    """

    def __init__(self, device: Device | None) -> None:
        self.device, self.seconds, self.least_s, self.most_s = device, 0.0, 0.0, 0.0
        self._laps: list[tuple[float, float]] = []
        self._tick = 2 * time.get_clock_info("monotonic").resolution

    def __enter__(self) -> None:
        self._around = time.monotonic()
        if self.device is not None:
            synchronize(self.device)
        self._started = time.perf_counter()
        self._within = time.monotonic()

    def __exit__(self, *_: object) -> None:
        if self.device is not None:
            synchronize(self.device)
        within = time.monotonic() - self._within
        ended = time.perf_counter()
        self.seconds += ended - self._started
        self._laps.append((self._started, ended))
        self.least_s += within - self._tick
        self.most_s += time.monotonic() - self._around + self._tick

    def ran(self, moment: float) -> bool:
        """Whether it ran at that moment of `time.perf_counter`."""
        return any(started <= moment <= ended for started, ended in self._laps)


@dataclass(frozen=True)
class EpochSteps:
    """The steps of `epoch`, a plan where `runner` reads it, to be run part by part by the clock of the training.

    `ran` is the network's Python that ran in steps off the clock.
    """

    runner: Runner
    job: Job
    epoch: Epoch[Any]
    clock: Stopwatch
    ran: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.epoch)

    def run(self, part: slice) -> Floats:
        """Run a part of the steps by the clock; returns their losses."""
        with self.clock:
            losses = self.runner.train_epoch(self.epoch[part])
        return self.runner.download(losses)

    def run_again(self, part: slice) -> Floats:
        """The same off the clock."""
        with PythonWatch() as watch:
            losses = self.runner.train_epoch(self.epoch[part])
        self.ran.update(watch.ran)
        return self.runner.download(losses)

    def look(self) -> Snapshot:
        """Copies of weights and state, on the host."""
        if self.runner.look is not None:
            return self.runner.look()
        return {**self.job.model.arrays(), **{name: part.numpy() for name, part in self.runner.state().items()}}

    def put_back(self, snapshot: Snapshot) -> None:
        """Go on from what `look` gave."""
        if self.runner.put_back is not None:
            self.runner.put_back(snapshot)
            return
        import torch

        from accelmnist.training.checkpoint import load_weights

        tensors = {name: torch.from_numpy(part) for name, part in snapshot.items()}
        names = [name for name, _ in self.job.model.named_parameters()]
        load_weights(self.job.model, {name: tensors.pop(name) for name in names}, source="a copy")
        self.runner.load_state(tensors)


def _timed_epoch(
    runner: Runner, job: Job, plan: TrainingPlan, number: int, average: WeightAverage | None, audit: Watcher | None
) -> tuple[Floats, EpochSteps]:
    clock = Stopwatch(job.device)
    with matmul_precision(job.device, job.config.execution.precision):
        with clock:
            if average is not None:
                average.resume_training()
            if job.augmentation is not None:
                job.augmentation.write(number)
            epoch = runner.upload(job.own_rows(plan.epoch(number)))
        steps = EpochSteps(runner, job, epoch, clock)
        losses = steps.run(slice(None)) if audit is None else audit.watch(number, steps)
        if average is not None:
            with clock:
                average.take_in(number + 1)
            if audit is not None:
                audit.take_average(number, steps.look())
    return losses, steps


def accuracy_by(runner: Runner, job: Job, images: ImageSet | DeviceSet) -> float:
    """The share of `images` that the network classifies rightly: by the runner's own way, else by the evaluation's.

    Of several ranks each classifies its part of them.
    """
    if job.ranks is not None and job.ranks.size > 1:
        from accelmnist.training.evaluation import shared_accuracy_of

        return shared_accuracy_of(job, images)
    if runner.classify is not None:
        host = images if isinstance(images, ImageSet) else ImageSet(images.images.numpy(), images.labels.numpy())
        return float((runner.classify(host.images).argmax(axis=1) == host.labels).mean())
    from accelmnist.data.types import upload
    from accelmnist.training.evaluation import accuracy_of

    data = images if isinstance(images, DeviceSet) else upload(images, job.device)
    return accuracy_of(job.model, data, device=job.device, precision=job.config.execution.precision)


def check_finite(losses: Floats, config: RunConfig, *, first_step: int) -> None:
    """Raise DivergedError where one of an epoch's `losses` (steps,) isn't finite; `first_step` is its first one's."""
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad) == 0:
        return
    position = int(bad[0])
    step, epoch = position + 1, first_step // len(losses) + 1
    before = f"{losses[position - 1]:.4g}" if position else "unknown"
    raise DivergedError(
        f"the loss is {losses[position]} at step {step} of epoch {epoch}, before it {before}",
        step=first_step + step,
        remedy=_likely_cause(config),
    )


def _likely_cause(config: RunConfig) -> str:
    usual = LEARNING_RATES[config.training.optimizer]
    lower = min(config.training.peak_rate / 10, usual)
    rate = f"Likely the learning rate is too large: try --lr {lower:g}"
    if config.execution.precision == "fp16":
        return f"{rate}, or fp16's range is too small for this network: try --amp bf16"
    return rate
