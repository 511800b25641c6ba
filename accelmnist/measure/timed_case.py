"""What is timed: the clock, rounds in which every case and every limit has a sample, and a case made ready for them.

A GPU runs behind the host: a call returns when its work is queued, not when it is done. So the device is synchronized
before the clock is read, at both ends of a region, and never inside, which would drain the queue that hides launch
costs. It is the host's clock on every device: MPS's own events can't be trusted, and of regions of 100 ms the
microseconds that a synchronization takes are a hundred-thousandth.

The machine's speed moves while a benchmark runs. Cases measured one after the other would each see another machine;
here all see the same one, round by round, and what moves cancels in their ratios. How finely they are mixed decides how
well. A neighbour on a shared processor speeds and slows it over some tens of milliseconds: on one such machine two
regions of a tenth of a second, back to back, differed by 12 % in the standard deviation, and the same two by 4 to 6 %
when their eighths took turns. So a region is cut into slices, and the slices of all are shuffled turn by turn.

Before each slice the weights and the optimizer's state are set back, so that every one does the same work, on the same
images, and no warm-up helps the result; then a step that isn't timed brings both into the caches, which the case before
left cold. What a region leaves out is what isn't the step: the order of the images is made and lies on the device
before, nothing is evaluated, nothing is saved.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from random import Random
from statistics import harmonic_mean, median
from typing import Any, TypeVar

import numpy as np
import torch

from accelmnist.core.config import RunConfig
from accelmnist.core.errors import DeviceError
from accelmnist.data.types import DeviceSet
from accelmnist.device import Device, matmul_precision, memory_errors, set_threads, synchronize
from accelmnist.engines.choose import engine_class
from accelmnist.engines.compilation import Compilations, CompileWatch
from accelmnist.engines.contract import Job
from accelmnist.engines.model import MLP
from accelmnist.engines.plan import Epoch, TrainingPlan
from accelmnist.measure.machine import EnergyMeter
from accelmnist.measure.plan import LATENCY_BATCH, Case
from accelmnist.measure.record import Latency
from accelmnist.training.loop import prepare

REGION_S = 0.1  # the least of all slices together; they aim at a quarter more, so that a fast sample isn't shorter
_AIM_S = 1.25 * REGION_S
_MOST_STEPS = 1 << 20
_STEADY = 0.05  # relative spread of the last three warm-ups
_MOST_WARM_UPS = 8
_EMPTY_SLICES = 20
REMEDY = "Try a smaller batch size or network, or another device"
_LATENCY_CALLS = 16  # a slice
_FEWEST_TO_WARM = 4  # steps of a slice: beside fewer, one more would cost too much
SLICES = 8  # of a sample, at most

Key = TypeVar("Key", bound=Hashable)


def seconds_of(work: Callable[[], object], device: Device) -> float:
    """Seconds that `work` takes on `device`, all of it."""
    synchronize(device)
    started = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - started


@dataclass(frozen=True)
class Sampler:
    """`take` measures the rate of one slice; `slices` of equal work make a sample, 1 to SLICES."""

    take: Callable[[], float]
    slices: int = SLICES


def sample_round(samplers: Mapping[Key, Sampler], rng: Random) -> dict[Key, float | DeviceError]:
    """One sample of each, by key; a DeviceError in place of one that failed.

    Each of SLICES turns takes a slice of all in random order; who has fewer slices sits some turns out.
    """
    turns = {key: set(rng.sample(range(SLICES), sampler.slices)) for key, sampler in samplers.items()}
    rates: dict[Key, list[float]] = {key: [] for key in samplers}
    failures: dict[Key, DeviceError] = {}
    for turn in range(SLICES):
        order = [key for key in samplers if turn in turns[key] and key not in failures]
        rng.shuffle(order)
        for key in order:
            try:
                rates[key].append(samplers[key].take())
            except DeviceError as error:
                failures[key] = error
    # Of equal pieces of work: all of it over all of the time.
    return {key: failures[key] if key in failures else harmonic_mean(rates[key]) for key in samplers}


class TimedCase(ABC):
    """A case that is ready to be timed. A step is a training step, or one call of the classifier.

    `compile_s` is what making it ready took if its engine compiles, else None. A region is `slices` times
    `slice_steps` steps.
    """

    compile_s: float | None

    def __init__(self, case: Case, device: Device) -> None:
        self.case, self.device = case, device
        self.slices, self.slice_steps = 1, 1
        self.region_s = math.nan

    @abstractmethod
    def run(self, steps: int) -> None:
        """Run `steps` steps; nothing is synchronized."""

    def restore(self) -> None:  # noqa: B027 - classifying changes nothing
        """Set back what a region changed."""

    def time(self, steps: int) -> float:
        """Seconds of `steps` steps from the start, after one that isn't timed if there are several."""
        self.restore()
        with matmul_precision(self.device, self.case.precision):
            if steps >= _FEWEST_TO_WARM:
                self.run(1)
            return seconds_of(lambda: self.run(steps), self.device)

    def sample(self) -> float:
        """Images a second of one slice."""
        return self.slice_steps * self.case.batch_size / self.time(self.slice_steps)

    @property
    def steps(self) -> int:
        """Steps of a region."""
        return self.slices * self.slice_steps

    def overhead_s(self) -> float:
        """Seconds of a region that are the measurement's own."""
        slices = (seconds_of(lambda: self.run_empty(self.slice_steps), self.device) for _ in range(_EMPTY_SLICES))
        return self.slices * median(slices)

    def run_empty(self, steps: int) -> None:  # noqa: B027 - a region that calls the engine once has no loop
        """The loop of a region without its work."""

    def warm_up(self) -> None:
        """Find how many steps a region takes, and run regions until they are steady."""
        steps = self._steps_per_region()
        self.slices = min(SLICES, steps)
        self.slice_steps = math.ceil(steps / self.slices)
        last: list[float] = []
        for _ in range(_MOST_WARM_UPS):
            last = [*last[-2:], sum(self.time(self.slice_steps) for _ in range(self.slices))]
            if len(last) == 3 and max(last) - min(last) <= _STEADY * min(last):
                break
        self.region_s = sorted(last)[len(last) // 2]

    def _steps_per_region(self) -> int:
        """Doubled until the time says something; then scaled to the aim."""
        steps, seconds = 1, self.time(1)
        while seconds < REGION_S / 4 and steps < _MOST_STEPS:
            steps *= 2
            seconds = self.time(steps)
        return max(1, math.ceil(steps * _AIM_S / seconds))


class TimedTraining(TimedCase):
    """Training steps by an engine."""

    def __init__(self, case: Case, device: Device, config: RunConfig, data: DeviceSet) -> None:
        super().__init__(case, device)
        self.job = Job(config, device, data)
        engine = engine_class(case.engine)
        self.runner = prepare(engine, self.job)
        self.compile_s = self.runner.prepare_s if device.kind in engine.compiles_on else None
        self._epoch = self.runner.upload(TrainingPlan(config, len(data)).epoch(0))
        self._weights = [weight.detach().clone() for weight in self.job.model.parameters()]
        self._state = self.runner.state()

    def run(self, steps: int) -> None:
        """Run the first `steps` steps of the first epoch; over and over if it has fewer."""
        whole, rest = divmod(steps, len(self._epoch))
        for _ in range(whole):
            self.runner.train_epoch(self._epoch)
        if rest:
            self.runner.train_epoch(self.first_steps(rest))

    def first_steps(self, steps: int) -> Epoch[Any]:
        """The plan of the first steps, on the device."""
        return self._epoch[:steps]

    @torch.no_grad()
    def restore(self) -> None:
        """Weights and optimizer as they were before the first step."""
        torch._foreach_copy_([weight.detach() for weight in self.job.model.parameters()], self._weights)
        self.runner.load_state(self._state)


class TimedInference(TimedCase):
    """Calls of an engine's classifier on `images`, uint8 (n, 784) on the device, in batches that go round and round."""

    def __init__(self, case: Case, device: Device, model: MLP, images: torch.Tensor) -> None:
        super().__init__(case, device)
        if case.batch_size > len(images):
            raise DeviceError(f"a batch of {case.batch_size} is larger than the {len(images)} images there are")
        classifier = engine_class(case.engine).classifier(model, device, case.precision)
        if classifier is None:
            raise DeviceError(f"engine {case.engine} has no way of its own to classify; it only trains")
        self.classify = classifier
        whole = len(images) // case.batch_size
        self._batches = torch.split(images[: whole * case.batch_size], case.batch_size)
        self._next = cycle(self._batches)
        with matmul_precision(device, case.precision):
            first = seconds_of(self._call, device)
            again = seconds_of(self._call, device)
        compiles = device.kind in engine_class(case.engine).compiles_on
        self.compile_s = max(first - again, 0.0) if compiles else None

    def _call(self) -> torch.Tensor:
        return self.classify(next(self._next))

    def run(self, steps: int) -> None:
        """Classify `steps` batches."""
        for batch in islice(self._next, steps):
            self.classify(batch)

    def run_empty(self, steps: int) -> None:
        """Take the batches, and leave them."""
        for _ in islice(self._next, steps):
            pass

    def latencies(self, calls: int) -> Iterator[float]:
        """Seconds of single calls, each synchronized at both ends."""
        with matmul_precision(self.device, self.case.precision):
            for _ in range(calls):
                yield seconds_of(self._call, self.device)


class WarmCase:
    """A case that is warm; `sample` takes one slice and keeps what else it tells: latency, energy, compilations."""

    def __init__(self, timed: TimedCase, threads: int) -> None:
        self.timed, self._threads = timed, threads
        self.latencies: list[float] = []
        self.compilations = Compilations()
        self._energy = EnergyMeter(timed.device)
        self._joules = 0.0
        self._images = 0

    def sample(self) -> float:
        """Images a second of one slice; raises DeviceError if it fails."""
        timed = self.timed
        set_threads(self._threads)
        with memory_errors(timed.device, REMEDY), CompileWatch() as watch:
            self._energy.begin()
            speed = timed.sample()
            joules = self._energy.end()
            if timed.case.batch_size == LATENCY_BATCH and isinstance(timed, TimedInference):
                self.latencies += timed.latencies(_LATENCY_CALLS)
        self.compilations += watch.seen
        if joules is not None:
            self._joules += joules
            self._images += timed.slice_steps * timed.case.batch_size
        return speed

    @property
    def joules_per_image(self) -> float | None:
        """All that was counted over all images, or None: a counter that moves in steps is right on average alone."""
        return self._joules / self._images if self._images else None

    @property
    def latency(self) -> Latency | None:
        """Quantiles of the single calls so far."""
        if not self.latencies:
            return None
        p50, p90, p99 = np.quantile(self.latencies, [0.5, 0.9, 0.99]).tolist()
        calls = len(self.latencies)
        return Latency(calls=calls, p50_s=p50, p90_s=p90, p99_s=p99, worst_s=max(self.latencies))
