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
left cold, and the region goes on from there. What a region leaves out is what isn't the step: the order of the images
is made and lies on the device before, nothing is evaluated, nothing is saved. That it did these very steps, `audit`
proves, which watches every region from outside.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, cycle, islice
from random import Random, randrange
from statistics import harmonic_mean, median
from typing import Any, TypeVar

import numpy as np
import torch

from accelmnist.core.config import CLASSES, RunConfig
from accelmnist.core.errors import DeviceError, UnsupportedError
from accelmnist.core.records import Check
from accelmnist.data.types import DeviceSet
from accelmnist.device import (
    Device,
    idle_threads_sleep,
    matmul_precision,
    memory_errors,
    set_threads,
    synchronize,
    threads_in_force,
)
from accelmnist.device.ranks import Ranks
from accelmnist.engines.choose import engine_class
from accelmnist.engines.compilation import Compilations, CompileWatch
from accelmnist.engines.contract import Engine, Job
from accelmnist.engines.model import MLP
from accelmnist.engines.own.faults import described, engine_errors
from accelmnist.engines.plan import Epoch, Floats, TrainingPlan
from accelmnist.engines.python_watch import PythonWatch
from accelmnist.measure.audit import Anchor, Region, Told, audit, check_latency, observe
from accelmnist.measure.machine import EnergyMeter
from accelmnist.measure.plan import LATENCY_BATCH, Case
from accelmnist.measure.record import Latency
from accelmnist.training.evaluation import Evaluation, evaluate
from accelmnist.training.loop import prepare

REGION_S = 0.1  # the least of all slices together; they aim at a quarter more, so that a fast sample isn't shorter
_AIM = 1.25  # times that
_MOST_STEPS, _IN_NO_TIME = 1 << 20, 1 << 24  # to find out with; of a region: a call of Python alone takes longer
_FAR = 5  # times as long as a region should take, or as short
_STEADY = 0.05  # relative spread of the last three warm-ups
_MOST_WARM_UPS = 8
_EMPTY_SLICES = 20
_MOST_SET_BACK_S, _MOST_SET_BACK = 10.0, 10.0  # seconds, and share of the timed ones; the largest network takes one
REMEDY = "Try a smaller batch size or network, or another device"
_LATENCY_CALLS = 16  # a slice
_TICK_S = 2 * time.get_clock_info("monotonic").resolution
FEWEST_TO_WARM = 4  # steps of a slice: beside fewer, one more would cost too much
SLICES = 8  # of a sample, at most
_REGIONS_WITH_WORKERS = 8  # in which the threads that work are counted: too dear for all

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
    """`take` measures the rate of one slice; `slices` of equal work make a sample, 1 to SLICES.

    `apart` says by what share the rates are apart from the work that was seen to be done, where nobody else does.
    """

    take: Callable[[], float]
    slices: int = SLICES
    apart: Callable[[], float] = lambda: 0.0


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
    `slice_steps` steps. With an `anchor`, `regions` keeps what was seen of every slice; `threads` are torch's when the
    case was made.
    """

    compile_s: float | None
    engine: type[Engine] | None  # that it is timed by
    most_slices, least_s = SLICES, REGION_S
    is_remote = False  # whether another process does the work
    watches_processor = True  # whether the processor's time tells who works

    def __init__(self, case: Case, device: Device) -> None:
        self.case, self.device = case, device
        self.slices, self.slice_steps = 1, 1
        self.fewest_steps = 1  # of a slice, where a region has so many
        self.region_s = math.nan
        self.anchor: Anchor | None = None
        self.regions: list[Region] = []
        self.threads = threads_in_force(None)
        self._set_back_s = self._timed_s = 0.0  # of all regions
        self.begin: Callable[[], object] = lambda: None  # called before the clock starts
        self.agree: Callable[[float], float] = lambda seconds: seconds  # what counts as the seconds of a region

    @abstractmethod
    def run(self, steps: int) -> None:
        """Run `steps` steps, on from where the last ones ended; nothing is synchronized."""

    @property
    @abstractmethod
    def given(self) -> int:
        """Images that the engine was given so far."""

    @abstractmethod
    def read(self) -> float:
        """A number of what the last run gave, on the host."""

    def restore(self) -> None:  # noqa: B027 - classifying changes nothing
        """Set back what a region changed."""

    @abstractmethod
    def go_to(self, step: int) -> None:
        """Step number `step`, counted from 0, comes next."""

    def warms_up(self, steps: int) -> bool:
        """Whether a step that isn't timed goes before a slice of `steps`."""
        return steps >= FEWEST_TO_WARM

    def time(self, steps: int) -> float:
        """Seconds of `steps` steps from the start, after one that isn't timed if there are several."""
        began = time.perf_counter()
        self.restore()
        with matmul_precision(self.device, self.case.precision):
            if self.warms_up(steps):
                self.run(1)
            self._set_back_s += time.perf_counter() - began
            seconds = self.agree(self._observed(lambda: seconds_of(lambda: self.run(steps), self.device)))
        self._timed_s += seconds
        if self._set_back_s > _MOST_SET_BACK_S + _MOST_SET_BACK * self._timed_s:
            told = f"{self._set_back_s:.0f} s passed before regions of {self._timed_s:.2g} s"
            raise DeviceError(f"{told}: its steps run while the clock stands still")
        return seconds

    def _observed(self, clock: Callable[[], float]) -> float:
        """The seconds by `clock`; what is seen of them from outside is kept."""
        if self.anchor is None:
            self.begin()
            return clock()
        synchronize(self.device)  # what was queued before is none of this region's, whoever reads the clocks
        region = observe(
            clock,
            given=lambda: self.given,
            read=self.read,
            threads=lambda: threads_in_force(None),
            deviation=self.anchor.deviation,
            counts_workers=len(self.regions) < _REGIONS_WITH_WORKERS,
            begin=self.begin,
        )
        self.regions.append(region)
        return region.seconds

    def sample(self) -> float:
        """Images a second of one slice."""
        return self.slice_images / self.time(self.slice_steps)

    @property
    def step_images(self) -> int:
        """Images of a step here."""
        return self.case.batch_size

    @property
    def slice_images(self) -> int:
        """Images of a slice here."""
        return self.slice_steps * self.step_images

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

    def warm_up(self, steps: int | None = None) -> None:
        """Find how many steps a region takes, and run regions until they are steady.

        It takes `steps` if they are given, unless they take far more or less time than a region should.
        """
        self._cut(steps or self._steps_per_region())
        shortest_s, longest_s = self.least_s / (2 if steps is None else _FAR), _FAR * _AIM * self.least_s
        last: list[float] = []
        for _ in range(_MOST_WARM_UPS):
            last = [*last[-2:], sum(self.time(self.slice_steps) for _ in range(self.slices))]
            is_long = steps is not None and last[-1] > longest_s and self.steps > 1
            if is_long or last[-1] < shortest_s:  # what was timed for their number was a stall, or other work
                self._cut(math.ceil(self.steps * _AIM * self.least_s / last[-1]))
                last = []
            elif len(last) == 3 and max(last) - min(last) <= _STEADY * min(last):
                break
        last = last or [self.slices * self.time(self.slice_steps)]
        self.region_s = sorted(last)[len(last) // 2]

    def _cut(self, steps: int) -> None:
        """Cut a region of so many steps into slices; raises DeviceError for more than anybody could do in its time."""
        if steps > _IN_NO_TIME:
            raise DeviceError(f"more than {_IN_NO_TIME:,} steps would be a region of {self.least_s} s: it skips them")
        self.slices = max(1, min(self.most_slices, steps // self.fewest_steps))
        self.slice_steps = math.ceil(steps / self.slices)

    def _steps_per_region(self) -> int:
        """Doubled until the time says something; then scaled to the aim."""
        steps, seconds = 1, self.time(1)
        while seconds < self.least_s / 4 and steps < _MOST_STEPS:
            steps *= 2
            seconds = self.time(steps)
        return max(1, math.ceil(steps * _AIM * self.least_s / seconds))


class TimedTraining(TimedCase):
    """Training steps by an engine; of every batch `ranks` compute a share each, None computes all of it here."""

    def __init__(
        self,
        case: Case,
        device: Device,
        config: RunConfig,
        data: DeviceSet,
        *,
        ranks: Ranks | None = None,
        epochs: int = 1,
    ) -> None:
        super().__init__(case, device)
        self.job = Job(config, device, data, ranks=ranks)
        engine = engine_class(config.execution.engine)
        self.watches_processor = self.job.share is None  # or the threads that sum are not the engine's
        self._given = 0
        runner = prepare(engine, self.job)
        self.runner, self.engine = replace(runner, train_epoch=self._counting(runner.train_epoch)), runner.engine
        self.compile_s = self.runner.prepare_s if device.kind in engine.compiles_on else None
        plan = TrainingPlan(config, len(data))
        self._epochs = [self.runner.upload(self.job.own_rows(plan.epoch(number))) for number in range(epochs)]
        self._at = 0  # of all their steps
        self._losses: list[Any] = []  # of the last run, still on the device
        self._weights = [weight.detach().clone() for weight in self.job.model.parameters()]
        self.state = self.runner.state()

    def _counting(self, train_epoch: Callable[[Epoch[Any]], Any]) -> Callable[[Epoch[Any]], Any]:
        def counted(epoch: Epoch[Any]) -> Any:
            steps, batch = epoch.order.shape
            self._given += steps * batch
            return train_epoch(epoch)

        return counted

    @property
    def step_images(self) -> int:
        """Images of a step here: of a batch that ranks share, this one's."""
        share = self.job.share
        return self.case.batch_size if share is None else share.rows * share.shards

    def run(self, steps: int) -> None:
        """Run `steps` steps of the epochs, on from where the last ones ended; after the last comes the first."""
        self._losses, whole = [], len(self._epochs[0])
        while steps:
            number, at = divmod(self._at, whole)
            if self.job.augmentation is not None and len(self._epochs) > 1 and at == 0:
                self.job.augmentation.write(number)
            part = self._epochs[number][at : at + steps]
            self._losses.append(self.runner.train_epoch(part))
            self._at = (self._at + len(part)) % (whole * len(self._epochs))
            steps -= len(part)

    def go_to(self, step: int) -> None:
        """Step number `step` of the epochs comes next."""
        self._at = step % (len(self._epochs[0]) * len(self._epochs))

    @property
    def given(self) -> int:
        """Images that the engine was given so far."""
        return self._given

    def read(self) -> float:
        """The last loss."""
        return float(self._losses[-1][-1])

    @property
    def losses(self) -> Floats:
        """The losses of the last run, on the host."""
        return np.concatenate([self.runner.download(losses) for losses in self._losses])

    def first_steps(self, steps: int) -> Epoch[Any]:
        """The plan of the first steps, on the device."""
        return self._epochs[0][:steps]

    def restore(self) -> None:
        """Weights and optimizer as they were before the first step."""
        self.begin_from(self._weights)

    @torch.no_grad()
    def begin_from(self, weights: Sequence[torch.Tensor]) -> None:
        """The first step comes next, from these weights."""
        torch._foreach_copy_(self.weights, list(weights))
        self.runner.load_state(self.state)
        self._at = 0

    def evaluated(self, test: DeviceSet) -> Evaluation:
        """What the network of now says of the test images."""
        return evaluate(self.job.model, test, device=self.device, precision=self.case.precision)

    @property
    def weights(self) -> list[torch.Tensor]:
        """The weights themselves, as they are now."""
        return [weight.detach() for weight in self.job.model.parameters()]


class TimedInference(TimedCase):
    """Calls of an engine's classifier on `images`, uint8 (n, 784) on the device, in batches that go round and round."""

    def __init__(
        self, case: Case, device: Device, model: MLP, images: torch.Tensor, *, engine: type[Engine] | None = None
    ) -> None:
        super().__init__(case, device)
        if case.batch_size > len(images):
            raise UnsupportedError(f"a batch of {case.batch_size} is larger than the {len(images)} images there are")
        self.engine = engine or engine_class(case.engine)
        classifier = self.engine.classifier(model, device, case.precision)
        if classifier is None:
            raise UnsupportedError(f"engine {case.engine} has no way of its own to classify; it only trains")
        self.classify = classifier
        whole = len(images) // case.batch_size
        self._batches = torch.split(images[: whole * case.batch_size], case.batch_size)
        # Counted where they are made, and all of it in C: a counter of Python's would cost 2 % of the shortest call.
        self._answers = zip(map(self.classify, cycle(self._batches)), count(), strict=False)
        self._last: tuple[torch.Tensor, int] = (torch.empty(0), -1)  # the latest logits, and which call's they are
        self.latencies_s: list[float] = []  # of all single calls
        self.seen_s: dict[int, tuple[float, float]] = {}  # of some of them: the least and the most by another clock
        with matmul_precision(device, case.precision):
            first = seconds_of(self._call, device)
            again = seconds_of(self._call, device)
        logits, due = self._last[0], (case.batch_size, CLASSES)
        if getattr(logits, "shape", None) != due:
            raise DeviceError(
                f"engine {case.engine} classified a batch as {described(logits)}, and not as logits {due}"
            )
        compiles = device.kind in self.engine.compiles_on
        self.compile_s = max(first - again, 0.0) if compiles else None

    def _call(self) -> None:
        self._last = next(self._answers)

    def go_to(self, step: int) -> None:
        """Batch number `step` comes next."""
        batches = self._batches[step % len(self._batches) :] + self._batches[: step % len(self._batches)]
        self._answers = zip(map(self.classify, cycle(batches)), count(), strict=False)

    def run(self, steps: int) -> None:
        """Classify `steps` batches."""
        (self._last,) = deque(islice(self._answers, steps), maxlen=1)

    @property
    def given(self) -> int:
        """Images that the engine was given so far."""
        logits, call = self._last
        return (call + 1) * len(logits)

    def read(self) -> float:
        """The last logit."""
        return float(self._last[0][-1, -1])

    @property
    def first_batch(self) -> torch.Tensor:
        """The first batch of images."""
        return self._batches[0]

    @property
    def answered(self) -> tuple[torch.Tensor, int]:
        """The logits of the last call, and which of the batches it was given."""
        logits, call = self._last
        return logits, call % len(self._batches)

    def run_empty(self, steps: int) -> None:
        """Take the batches, and leave them."""
        deque(islice(zip(cycle(self._batches), count(), strict=False), steps), maxlen=1)

    def latencies(self, calls: int) -> Iterator[float]:
        """Seconds of single calls, each synchronized at both ends."""
        with matmul_precision(self.device, self.case.precision):
            drawn = randrange(calls * SLICES if self.seen_s else calls)
            for number in range(calls):
                work, began = self._clocked_call if number == drawn else self._call, time.monotonic()
                self.latencies_s.append(seconds_of(work, self.device))
                if number == drawn:
                    around_s = time.monotonic() - began
                    self.seen_s[len(self.latencies_s) - 1] = self._within_s - _TICK_S, around_s + _TICK_S
                yield self.latencies_s[-1]

    def _clocked_call(self) -> None:
        """A call that another clock sees from within: it takes a tenth of a microsecond more, so few do."""
        began = time.monotonic()
        self._call()
        synchronize(self.device)
        self._within_s = time.monotonic() - began


class WarmCase:
    """A case that is warm; `sample` takes one slice and keeps what else it tells: latency, energy, compilations.

    `checks` are what was found while it was made ready.
    """

    def __init__(self, timed: TimedCase, threads: int, *, checks: tuple[Check, ...] = ()) -> None:
        self.timed, self._threads, self._checks = timed, threads, checks
        self.latencies: list[float] = []
        self.compilations = Compilations()
        self._energy = EnergyMeter(timed.device)
        self._joules = 0.0
        self._images = 0

    def sample(self) -> float:
        """Images a second of one slice; raises DeviceError if it fails."""
        timed = self.timed
        own_file = timed.engine.own_file if timed.engine is not None else None
        if not timed.is_remote:
            set_threads(self._threads)
        with memory_errors(timed.device, REMEDY), engine_errors(own_file), CompileWatch() as watch:
            self._energy.begin()
            speed = timed.sample()
            joules = self._energy.end()
            if timed.case.batch_size == LATENCY_BATCH and isinstance(timed, TimedInference) and not timed.is_remote:
                self.latencies += timed.latencies(_LATENCY_CALLS)
        self.compilations += watch.seen
        if joules is not None:
            self._joules += joules
            self._images += timed.slice_images
        return speed

    def audit(self, case: Case, samples: Sequence[float]) -> tuple[Check, ...]:
        """The checks of all that was timed; `samples` are what is told of it, as of `case`."""
        timed = self.timed
        if timed.anchor is None:
            return ()
        told = Told(
            is_own=timed.case == case,
            images=timed.slice_images,
            slices=timed.slices,
            samples=samples,
            threads=timed.case.threads or self._threads,
            prepared_threads=timed.threads,
            watches_processor=timed.device.kind == "cpu"
            and (timed.is_remote or idle_threads_sleep())
            and timed.watches_processor,
            has_queue=timed.device.kind != "cpu" and not timed.is_remote,
            is_remote=timed.is_remote,
        )
        checks = [*self._checks, *audit(timed.regions, timed.anchor, told), *_check_compilations(self.compilations)]
        checks += () if timed.is_remote else _check_python(timed)
        if self.latency is not None and isinstance(timed, TimedInference):
            checks += check_latency(self.latency, timed.latencies_s, timed.seen_s)
        return tuple(checks)

    @property
    def joules_per_image(self) -> float | None:
        """All that was counted over all images, or None: a counter that moves in steps is right on average alone."""
        return self._joules / self._images if self._images else None

    @property
    def latency(self) -> Latency | None:
        """Quantiles of the single calls so far."""
        return Latency.of(self.latencies) if self.latencies else None


def _check_python(timed: TimedCase) -> tuple[Check, ...]:
    """A failed check if one more step of `timed` runs in Python by an engine that has left it: it was not compiled."""
    timed.restore()
    with matmul_precision(timed.device, timed.case.precision), PythonWatch() as watch:
        timed.run(1)
    if not watch.ran or timed.engine is None or timed.engine.runs_python:
        return ()
    return (
        Check(
            name="no Python",
            passed=False,
            value=float(len(watch.ran)),
            limit=0.0,
            detail=", ".join(sorted(watch.ran)),
            reason=f"a step by {timed.case.engine} is compiled or captured, and runs none of the network's Python",
        ),
    )


def _check_compilations(seen: Compilations) -> tuple[Check, ...]:
    """A failed check if anything was compiled while the case was timed: the compiler was measured, or no graph."""
    return tuple(
        Check(
            name=f"no {name}",
            passed=False,
            value=float(len(causes)),
            limit=0.0,
            detail=causes[0],
            reason="while it was timed: the shapes of a case never change",
        )
        for name, causes in (("recompilation", seen.recompiles), ("graph break", seen.graph_breaks))
        if causes
    )
