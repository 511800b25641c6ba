"""One training, replayed from the same start, each time held to the first one to the bit; what differs is named.

An epoch runs in segments. After each, the losses of its steps and a digest of every weight tensor have to be the first
replay's (`marks`), and after the last one all bits of losses and weights. Segments are as short as they may be if all
of them together cost a fiftieth of the training.

If a segment differs, its weights are kept, and a third replay runs up to the same place. It sides with one of the two,
and the other one was wrong. If a single flipped bit explains it, which `flips` tries, it is named with its step; else
the weight that differs most. If all three differ, and by no more than rounding takes them, the device adds in no fixed
order: that is told, and from then on only its losses are held to the first one's, and roughly: training amplifies
roundings.
"""

from __future__ import annotations

import hashlib
import math
import time
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch

from accelmnist.device import matmul_precision
from accelmnist.engines.contract import Job, Runner
from accelmnist.engines.plan import TrainingPlan
from accelmnist.measure.soak.flips import Element, FlipSearch, Searched
from accelmnist.measure.soak.marks import Mark, Place, Reached, Unlike, Watch, alike, bits_of, distances
from accelmnist.measure.soak.record import Fault, FaultKind
from accelmnist.training.loop import EpochSteps, Stopwatch, Watcher, train
from accelmnist.training.reference.audit import CALL_ROUNDINGS, difference
from accelmnist.training.reference.verdict import loss_differences
from accelmnist.training.reference.witness import ROUNDOFF

_SHARE = 0.02  # of the training's time, for all that segments cost
_SAMPLE_STEPS, _CUTS, _LONG_STEPS = 64, (1, 8), 256
_TIMES, _LONG_TIMES = 5, 3
TRIALS = _TIMES * (1 + len(_CUTS)) + 2 * _LONG_TIMES
_SEARCH, _LEAST_SEARCH_S = 4.0, 0.5  # for a flipped bit: replays' time, and the least
_FAR = 0.25  # of an epoch's mean loss: more than a run's verdict allows in any precision


@dataclass(frozen=True)
class Replayed:
    """A replay: the images a second of its training, None if that did not come to its end, and its fault, if any."""

    images_per_s: float | None
    fault: Fault | None = None


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
        watch = Watch(self.job, self.every, self._marks if self.deterministic is not False else None)
        try:
            speed, fingerprint = self._train(watch)
        except Unlike as unlike:
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

    def put_start_back(self) -> None:
        """Go back to the weights and the state that every replay begins with."""
        self._steps.put_back(self._start)

    def _train(self, watch: Watcher) -> tuple[float, str]:
        """A whole training by the watch: its images a second, and the digest of its end; raises what the watch does."""
        self.put_start_back()
        epochs = list(train(self.runner, self.job, probe=None, audit=watch))
        train_s = sum(epoch.figures.train_s for epoch in epochs)
        images = sum(epoch.figures.train_s * epoch.figures.images_per_s for epoch in epochs)
        digest = hashlib.sha256()
        for part in (*(epoch.losses for epoch in epochs), *self.job.model.arrays().values()):
            digest.update(np.ascontiguousarray(part).data)
        return images / train_s, digest.hexdigest()

    def _explained(self, unlike: Unlike) -> Fault | None:
        """Which of the two replays was wrong, by a third one, and where; None if the device can't do better."""
        again = self._run_to(unlike.place)
        assert self._marks is not None
        if again is not None and again.mark.is_like(self._marks[unlike.place]):
            return self._located(self._named(unlike, again), unlike, again)
        step = self._step(unlike)
        if again is not None and again.mark.is_like(unlike.mark):
            self._marks = self.fingerprint = None  # the next replay is the first one to hold to
            return self._fault("first wrong", step, unlike.first, replay=self._first)
        if again is not None and self.deterministic is None and self._is_rounding(unlike, again):
            self.deterministic = False
            return None
        return self._fault("never alike", step, unlike.first)

    def _step(self, unlike: Unlike) -> Place:
        """The first step whose loss differs, or else the end of the segment."""
        assert self._marks is not None
        same = alike(self._marks[unlike.place].losses, unlike.mark.losses)
        return unlike.place[0], min(unlike.first + same + 1, unlike.place[1])

    def _run_to(self, place: Place) -> Reached | None:
        """Where a training is at a place; None if it never gets there."""
        try:
            self._train(Watch(self.job, self.every, None, until=place))
        except Reached as reached:
            return reached
        return None

    def _is_rounding(self, unlike: Unlike, again: Reached) -> bool:
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

    def _named(self, unlike: Unlike, right: Reached) -> Fault:
        """The fault, with the element that is furthest from what it should be."""
        expected, found = right.weights, unlike.weights
        fault = self._fault("wrong", self._step(unlike), unlike.first)
        elements = sum(int((bits_of(expected[name]) != bits_of(found[name])).sum()) for name in expected)
        if not elements:
            return replace(fault, tensor="the loss", elements=0)
        name = max(expected, key=lambda name: float(distances(expected[name], found[name]).max()))
        place = int(distances(expected[name], found[name]).argmax())
        one, other = (int(bits_of(each[name]).flat[place]) for each in (expected, found))
        return self._at(fault, (name, place), one, other, elements=elements)

    def _located(self, fault: Fault, unlike: Unlike, right: Reached) -> Fault:
        """The fault, with its step and its bit if it was a single one."""
        training = self.job.config.training
        replay_s = self.step_s * TrainingPlan(self.job.config, len(self.job)).steps * training.epochs
        search = FlipSearch(self.job, self.every, unlike, right, within_s=max(_SEARCH * replay_s, _LEAST_SEARCH_S))
        with suppress(Searched):
            self._train(search)
        flip = search.found
        if flip is None:
            return fault
        step, after_step = unlike.first + max(flip.after, 1), unlike.first + max(flip.since - 1, 0)
        fault = replace(fault, step=step, after_step=after_step)
        return self._at(fault, flip.element, flip.expected, flip.found, elements=1)

    def _at(self, fault: Fault, element: Element, one: int, other: int, *, elements: int) -> Fault:
        """The fault at an element that should have the bits `one`."""
        name, place = element
        flipped = one ^ other
        return replace(
            fault,
            tensor=name,
            index=tuple(int(axis) for axis in np.unravel_index(place, self.job.model.get_parameter(name).shape)),
            expected=_number(one),
            found=_number(other),
            expected_bits=f"{one:08x}",
            found_bits=f"{other:08x}",
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

        The same steps tell it, run at once, one by one and in parts. An engine's call may cost more than a digest, and
        the more the longer the part before it was: then other threads are asleep, and its data has left the caches. So
        segments of the length that would do are tried as well, in more steps.
        """
        steps = TrainingPlan(self.job.config, len(self.job)).steps
        some = min(steps, _SAMPLE_STEPS)
        whole_s, *cut_s = self._least_s(some, (some, *_CUTS), _TIMES)
        self.step_s = whole_s / some

        def enough(each_s: float) -> int:
            return min(max(math.ceil(each_s / (_SHARE * self.step_s)), 1), steps)

        each_s = max(_each_s(some, every, taken_s - whole_s) for every, taken_s in zip(_CUTS, cut_s, strict=True))
        every = enough(each_s)
        some = min(steps, every * max(_LONG_STEPS // every, 1))
        whole_s, taken_s = self._least_s(some, (some, every), _LONG_TIMES)
        return enough(max(each_s, _each_s(some, every, taken_s - whole_s)))

    def _least_s(self, steps: int, cuts: tuple[int, ...], times: int) -> list[float]:
        """The least seconds of the first steps in segments of each length, which take turns."""
        runs = [[self._seconds_of(steps, every) for every in cuts] for _ in range(times)]
        return list(map(min, zip(*runs, strict=True)))

    def _seconds_of(self, steps: int, every: int) -> float:
        """What the first steps take in segments of `every`."""
        self.put_start_back()
        began = time.perf_counter()
        with suppress(Reached):
            list(train(self.runner, self.job, probe=None, audit=Watch(self.job, every, None, until=(0, steps))))
        return time.perf_counter() - began


def _each_s(steps: int, every: int, more_s: float) -> float:
    """What a segment costs, if segments of `every` steps take so much more than all steps at once."""
    return more_s / max(math.ceil(steps / every) - 1, 1)


def _number(bits: int) -> float | None:
    """What 32 bits are as a number; None if they are none, or infinite."""
    value = float(np.uint32(bits).view(np.float32))
    return value if math.isfinite(value) else None
