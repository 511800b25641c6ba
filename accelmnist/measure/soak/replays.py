"""One training, replayed from the same start, each time held to the first one to the bit; what differs is named.

An epoch runs in segments. After each, the losses of its steps and a digest of every weight tensor have to be the first
replay's, and after the last one all bits of losses and weights. A digest is the sum of a tensor's bits taken as whole
numbers, modulo 2^64: one flipped bit always changes it, in whatever order it is added up, and it takes 25 microseconds
for 200,000 weights. Segments are as short as they may be if all of them together cost a fiftieth of the training.

If a segment differs, its weights are kept, and a third replay runs up to the same place. It sides with one of the two,
and the other one was wrong. Where the weights part most, a bit was flipped, as long as few steps came after that: so
the segments. If all three differ, and by no more than rounding takes them, the device adds in no fixed order: that is
told, and from then on only its losses are held to the first one's, and roughly: training amplifies roundings.
"""

from __future__ import annotations

import hashlib
import math
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from accelmnist.device import matmul_precision
from accelmnist.engines.contract import Job, Runner, Snapshot
from accelmnist.engines.plan import Floats, TrainingPlan
from accelmnist.measure.soak.record import Fault, FaultKind
from accelmnist.training.loop import EpochSteps, Steps, Stopwatch, train
from accelmnist.training.reference.audit import CALL_ROUNDINGS, difference
from accelmnist.training.reference.verdict import loss_differences
from accelmnist.training.reference.witness import ROUNDOFF

_SHARE = 0.02  # of the training's time, for all that segments cost
_SAMPLE_STEPS, TRIES = 64, 5
_FAR = 0.25  # of an epoch's mean loss: more than a run's verdict allows in any precision

Place = tuple[int, int]  # an epoch, counted from 0, and how many of its steps are over


@dataclass(frozen=True)
class Mark:
    """What a replay is held to at a place: the losses of the segment's steps, and a digest of each weight tensor."""

    losses: Floats
    digests: tuple[int, ...]

    def is_like(self, other: Mark) -> bool:
        """Whether all bits are the same."""
        return self.digests == other.digests and self.losses.tobytes() == other.losses.tobytes()


@dataclass(frozen=True)
class Replayed:
    """A replay: the images a second of its training, None if that did not come to its end, and its fault, if any."""

    images_per_s: float | None
    fault: Fault | None = None


class _Unlike(Exception):  # noqa: N818 - no error, but the way out of a training
    """A replay parted from the first one in the segment that ends at `place`."""

    def __init__(self, place: Place, first: int, mark: Mark, weights: Snapshot) -> None:
        super().__init__()
        self.place, self.first, self.mark, self.weights = place, first, mark, weights


class _Reached(Exception):  # noqa: N818
    """A replay came to the place up to which it was to run."""

    def __init__(self, mark: Mark, weights: Snapshot) -> None:
        super().__init__()
        self.mark, self.weights = mark, weights


class _Watch:
    """Cuts a training into segments of `every` steps; each has a mark at its end, held to a `known` one if there is."""

    def __init__(self, job: Job, every: int, known: dict[Place, Mark] | None, until: Place | None = None) -> None:
        self.job, self.every, self.known, self.until = job, every, known, until
        self.marks: dict[Place, Mark] = {}

    def watch(self, epoch: int, steps: Steps) -> Floats:
        """Let the steps run; raises _Unlike and _Reached."""
        losses = []
        for first in range(0, len(steps), self.every):
            place = epoch, min(first + self.every, len(steps))
            losses.append(steps.run(slice(first, place[1])))
            mark = self.marks[place] = Mark(losses[-1].copy(), digests_of(self.job))
            if place == self.until:
                raise _Reached(mark, self.job.model.arrays())
            if self.known is not None and not mark.is_like(self.known[place]):
                raise _Unlike(place, first, mark, self.job.model.arrays())
        return np.concatenate(losses)

    def take_average(self, epoch: int, now: Snapshot) -> None:
        """An average follows from the weights, and is in no segment."""


class Replays:
    """The replays of one `job` by its `runner`, counted from `done` on."""

    def __init__(self, job: Job, runner: Runner, *, done: int = 0) -> None:
        self.job, self.runner, self.count = job, runner, done
        self.deterministic: bool | None = None
        self._steps = EpochSteps(runner, job, None, Stopwatch(None))  # type: ignore[arg-type]  # no epoch of its own
        with matmul_precision(job.device, job.config.execution.precision):
            self._start = self._steps.look()
        self._marks: dict[Place, Mark] | None = None
        self.fingerprint: str | None = None  # the digest of the first replay's end
        self._first = 0  # the number of the replay that the others are held to
        self.every = self._chosen_segment()

    def replay(self) -> Replayed:
        """Train once more from the start, and hold that to the first replay."""
        self.count += 1
        watch = _Watch(self.job, self.every, self._marks if self.deterministic is not False else None)
        try:
            speed, fingerprint = self._train(watch)
        except _Unlike as unlike:
            return Replayed(None, self._explained(unlike))
        if self._marks is None:
            self._marks, self.fingerprint, self._first = watch.marks, fingerprint, self.count
            return Replayed(speed)
        if self.deterministic is False:
            return Replayed(speed, self._too_far(watch.marks))
        if fingerprint != self.fingerprint:  # what no digest saw
            last = max(watch.marks)
            return Replayed(speed, self._fault("wrong", last, 0))
        self.deterministic = True
        return Replayed(speed)

    def _train(self, watch: _Watch) -> tuple[float, str]:
        """A whole training by the watch: its images a second, and the digest of its end; raises what the watch does."""
        self._steps.put_back(self._start)
        epochs = list(train(self.runner, self.job, probe=None, audit=watch))
        train_s = sum(epoch.figures.train_s for epoch in epochs)
        images = sum(epoch.figures.train_s * epoch.figures.images_per_s for epoch in epochs)
        digest = hashlib.sha256()
        for part in (*(epoch.losses for epoch in epochs), *self.job.model.arrays().values()):
            digest.update(np.ascontiguousarray(part).data)
        return images / train_s, digest.hexdigest()

    def _explained(self, unlike: _Unlike) -> Fault | None:
        """Which of the two replays was wrong, by a third one, and where; None if the device can't do better."""
        again = self._run_to(unlike.place)
        assert self._marks is not None
        if again is not None and again.mark.is_like(self._marks[unlike.place]):
            return self._named("wrong", unlike, expected=again.weights, found=unlike.weights)
        if again is not None and again.mark.is_like(unlike.mark):
            self._marks = self.fingerprint = None  # the next replay is the first one to hold to
            return self._fault("first wrong", unlike.place, unlike.first, replay=self._first)
        if again is not None and self.deterministic is None and self._is_rounding(unlike, again):
            self.deterministic = False
            return None
        return self._fault("never alike", unlike.place, unlike.first)

    def _run_to(self, place: Place) -> _Reached | None:
        """Where a training is at a place; None if it never gets there."""
        try:
            self._train(_Watch(self.job, self.every, None, until=place))
        except _Reached as reached:
            return reached
        return None

    def _is_rounding(self, unlike: _Unlike, again: _Reached) -> bool:
        limit = min(CALL_ROUNDINGS * ROUNDOFF[self.job.config.execution.precision], 0.05)
        start = {name: self._start[name] for name in again.weights}
        return difference(start, unlike.weights, again.weights) <= limit

    def _too_far(self, marks: dict[Place, Mark]) -> Fault | None:
        """If the typical loss of an epoch is further from the first replay's than a drift of roundings takes it."""
        assert self._marks is not None
        epochs = self.job.config.training.epochs
        found, first = (
            torch.from_numpy(np.concatenate([them[place].losses for place in sorted(them)])).view(epochs, -1)
            for them in (marks, self._marks)
        )
        typical, _ = loss_differences(found, first)
        beyond = (typical > _FAR).nonzero().flatten().tolist()
        if not beyond:
            return None
        return self._fault("too far", (beyond[0], found.shape[1]), 0)

    def _named(self, kind: FaultKind, unlike: _Unlike, *, expected: Snapshot, found: Snapshot) -> Fault:
        """The fault, with the element that is furthest from what it should be."""
        assert self._marks is not None
        alike = _alike(self._marks[unlike.place].losses, unlike.mark.losses)
        step = min(unlike.first + alike + 1, unlike.place[1])  # the first one whose loss, or else whose end, differs
        fault = self._fault(kind, (unlike.place[0], step), unlike.first)
        unlike_bits = {name: _bits(expected[name]) != _bits(found[name]) for name in expected}
        elements = sum(int(where.sum()) for where in unlike_bits.values())
        if not elements:
            return replace(fault, tensor="the loss", elements=0)
        name = max(expected, key=lambda name: _furthest(expected[name], found[name])[1])
        place = _furthest(expected[name], found[name])[0]
        one, other = _bits(expected[name]).flat[place], _bits(found[name]).flat[place]
        flipped = int(one) ^ int(other)
        return replace(
            fault,
            tensor=name,
            index=tuple(int(axis) for axis in np.unravel_index(place, expected[name].shape)),
            expected=_finite(expected[name].flat[place]),
            found=_finite(found[name].flat[place]),
            expected_bits=f"{int(one):08x}",
            found_bits=f"{int(other):08x}",
            bit=flipped.bit_length() - 1 if elements == 1 and flipped.bit_count() == 1 else None,
            elements=elements,
        )

    def _fault(self, kind: FaultKind, place: Place, after: int, *, replay: int | None = None) -> Fault:
        return Fault(
            replay=self.count if replay is None else replay,
            kind=kind,
            epoch=place[0] + 1,
            step=place[1],
            after_step=after,
        )

    def _chosen_segment(self) -> int:
        """Steps of a segment, so that what each costs takes its share of the time and no more.

        The same steps tell it, run at once and one by one: an engine's call may cost more than a digest.
        """
        steps = TrainingPlan(self.job.config, len(self.job)).steps
        some = min(steps, _SAMPLE_STEPS)
        runs = [(self._seconds_of(some, some), self._seconds_of(some, 1)) for _ in range(TRIES)]
        whole_s, cut_s = (min(run) for run in zip(*runs, strict=True))
        self.step_s = whole_s / some
        each_s = max(cut_s - whole_s, 0.0) / some
        return int(min(max(math.ceil(each_s / (_SHARE * self.step_s)), 1), steps))

    def _seconds_of(self, steps: int, every: int) -> float:
        """What the first steps take in segments of `every`."""
        self._steps.put_back(self._start)
        began = time.perf_counter()
        with suppress(_Reached):
            list(train(self.runner, self.job, probe=None, audit=_Watch(self.job, every, None, until=(0, steps))))
        return time.perf_counter() - began


def digests_of(job: Job) -> tuple[int, ...]:
    """A digest of each weight tensor of the network, where they lie: on a device with one wait for all."""
    weights = [weight.detach() for weight in job.model.parameters()]
    if job.device.kind == "cpu":
        return tuple(_sum_of_bits(weight.numpy()) for weight in weights)
    sums: list[int] = torch.stack([weight.view(torch.int32).sum() for weight in weights]).tolist()
    return tuple(sums)


def _sum_of_bits(weights: NDArray[np.float32]) -> int:
    flat = np.ascontiguousarray(weights).reshape(-1)
    if flat.size % 2:
        return int(flat.view(np.uint32).sum(dtype=np.uint64))
    return int(flat.view(np.uint64).sum())


def _alike(known: Floats, found: Floats) -> int:
    """How many losses are the same, from the first one on."""
    pairs = zip(_bits(known), _bits(found), strict=True)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _bits(numbers: NDArray[Any]) -> NDArray[np.uint32]:
    return np.ascontiguousarray(numbers, dtype=np.float32).view(np.uint32)


def _furthest(expected: Floats, found: Floats) -> tuple[int, float]:
    """The element that differs most, and by how much; one that is no number is further than any."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(expected.astype(np.float64) - found.astype(np.float64)).reshape(-1)
    apart = np.where(_bits(expected).reshape(-1) == _bits(found).reshape(-1), -1.0, np.nan_to_num(apart, nan=np.inf))
    place = int(apart.argmax())
    return place, float(apart[place])


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(float(value)) else None
