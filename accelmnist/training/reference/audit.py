"""The audit of a training: single steps of it, drawn at random, replayed by the independent witness in float64.

A training amplifies every rounding, so two right ones part after some epochs and the end proves little. A single step
does not: from the run's own weights and optimizer state before it, what it must leave is known to some roundings. So
both are kept before and after steps that the engine can't know, and each is replayed (see `witness`).

The promise. With the steps of a training cut into n equal parts and one drawn from each, a fault that touches a share p
of the steps, whichever they are, is found with a probability of at least 1 - (1 - p)^n. One that lasts for a share p
of them is missed with (2 - p n)^3 / 6 where p n is from 1 to 2, and never beyond: with 67, whatever lasts for 2 % of
the steps is found in 95 % of trainings. Added to them are the first 16 steps, an epoch's last step with its successor's
first, three times at most, and a step of every epoch that has none.

An engine runs many steps a call, and might do in a row what it doesn't do one by one. So some calls of 2 to 64 steps
are run again from where they began, step by step, and have to end alike: to the bit, or on a device that adds in no
fixed order, within roundings.

Between epochs, weights and state have to stay the same to the bit, in every epoch, and the first epoch has to begin
with the weights that the seed gives: so nothing happens beside the steps.

Copies are made with the clock stopped. They are replayed when the training is over, or when they take too much memory.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import AUDIT_WINDOWS, RunConfig
from accelmnist.core.records import AuditSummary, Check
from accelmnist.data.types import ImageSet
from accelmnist.device import free_memory_bytes, threads_in_force
from accelmnist.engines.contract import Snapshot
from accelmnist.engines.plan import Floats
from accelmnist.training.loop import EpochSteps
from accelmnist.training.reference.witness import ROUNDOFF, SMALL, U32, Witness, first_weights

FIRST_STEPS = 16
_BORDERS = 3
_CALLS = 8
_LONGEST_CALL = 64
_SURE = 0.95
_MOST_BYTES = 2**30  # of copies that wait for their replay, or an eighth of the free memory
_CALL_ROUNDINGS = 1000.0  # by which two ends of a call may differ, over what it changed
_FRESH = {"scalar/count": 0.0, "scalar/scale": 2.0**13, "scalar/good_steps": 0.0}


@dataclass(frozen=True)
class Window:
    """A step, counted over the whole training: weights and state before and after it, and its loss."""

    step: int
    before: Snapshot
    after: Snapshot
    loss: float


def lasting_share(windows: int, steps: int) -> float:
    """The least share of all steps for which a fault has to last to be found in 95 % of trainings."""
    if windows >= steps:
        return 1 / steps
    return min(1.0, (2 - (6 * (1 - _SURE)) ** (1 / 3)) / windows) if windows else 1.0


def draw_steps(
    steps: int, epochs: int, windows: int, rng: np.random.Generator, *, first: int = FIRST_STEPS
) -> NDArray[np.int64]:
    """The numbers of the steps to audit, of `epochs` with `steps` each: sorted; no `windows`, no step."""
    total = steps * epochs
    if windows >= total:
        return np.arange(total)
    if windows == 0:
        return np.arange(0)
    bounds = np.linspace(0, total, windows + 1)
    drawn = np.minimum(bounds[:-1] + rng.random(windows) * np.diff(bounds), total - 1).astype(np.int64)
    borders = steps * rng.permutation(np.arange(1, epochs))[:_BORDERS]
    chosen = np.concatenate([np.arange(min(first, total)), drawn, borders - 1, borders])
    bare = np.setdiff1d(np.arange(epochs), chosen // steps)
    return np.unique(np.concatenate([chosen, bare * steps + rng.integers(steps, size=len(bare))]))


def draw_calls(steps: int, epochs: int, rng: np.random.Generator) -> list[range]:
    """Rows of steps, each within an epoch, of which none meet: short and long ones alike, in many epochs."""
    calls: list[range] = []
    for epoch in np.resize(rng.permutation(epochs), _CALLS):
        length = min(int(2 * ((_LONGEST_CALL + 1) / 2) ** rng.random()), steps)
        start = int(epoch * steps + rng.integers(steps - length + 1))
        if length > 1 and all(start >= call.stop or start + length <= call.start for call in calls):
            calls.append(range(start, start + length))
    return calls


@dataclass
class _Worst:
    """The largest distance of a kind over its limit, and where it was."""

    ratio: float = 0.0
    place: str = ""

    def see(self, ratio: float, place: str) -> None:
        if not ratio <= self.ratio:
            self.ratio, self.place = ratio, place


@dataclass
class _Findings:
    loss: _Worst = field(default_factory=_Worst)
    weights: _Worst = field(default_factory=_Worst)
    state: _Worst = field(default_factory=_Worst)
    calls: _Worst = field(default_factory=_Worst)
    average: _Worst = field(default_factory=_Worst)


class Audit:
    """Watches the training of `config` on the host's `images`; `windows` as for `draw_steps`.

    The steps are drawn from the system's entropy, anew for every training.
    """

    def __init__(
        self, config: RunConfig, images: ImageSet, windows: int = AUDIT_WINDOWS, *, first: int = FIRST_STEPS
    ) -> None:
        self.config, self.windows = config, windows
        self.witness = Witness(config, images.images, images.labels)
        rng, steps, epochs = np.random.default_rng(), self.witness.steps, config.training.epochs
        self.calls = draw_calls(steps, epochs, rng) if windows else []
        drawn = draw_steps(steps, epochs, windows, rng, first=first).tolist()
        self.steps = {*drawn, *(int(rng.integers(call.start, call.stop)) for call in self.calls)}
        self.replayed, self.replay_s, self._calls_held = 0, 0.0, 0
        self.breaks: list[str] = []
        self._found = _Findings()
        self._waiting: list[Window] = []
        self._losses: list[Floats] = []
        self._last: Snapshot | None = None  # what the epoch before ended with
        self._end_epoch = int(rng.integers(epochs))
        self.end: tuple[int, Snapshot] | None = None  # the weights after an epoch drawn by chance, with its number
        self._average: Snapshot | None = None  # what the network held between two epochs, if weights are averaged

    # --- while it trains

    def watch(self, epoch: int, steps: EpochSteps) -> Floats:
        """Let the `steps` of `epoch` run in parts, and return the losses of all."""
        begin, count = epoch * self.witness.steps, len(steps)
        audited = {step - begin for step in self.steps if begin <= step < begin + count}
        own = [call for call in self.calls if begin <= call.start and call.stop <= begin + count]
        calls = {call.start - begin: slice(call.start - begin, call.stop - begin) for call in own}
        within = {step for call in calls.values() for step in range(call.start, call.stop)}
        cuts = {0, count} | {cut for step in audited - within for cut in (step, step + 1)}
        cuts |= {cut for call in calls.values() for cut in (call.start, call.stop)}
        first = steps.look()
        self._hold_start(epoch, first)
        now: Snapshot | None = first
        losses = []
        for start, end in pairwise(sorted(cuts)):
            before = (now or steps.look()) if start in audited or start in calls else None
            losses.append(found := steps.run(slice(start, end)))
            if len(found) != end - start:
                self.breaks.append(f"{len(found)} losses of {end - start} steps from {self._place(begin + start)}")
            if before is None:
                now = None
            elif start in calls:
                now = self._hold_call(begin, calls[start], audited, before, found, steps)
            else:
                now = self._keep(begin + start, before, steps.look(), found)
        self._last = now or steps.look()
        self._keep_end(epoch, self._last)
        self._losses.append(np.concatenate(losses))
        return self._losses[-1]

    def _keep_end(self, epoch: int, now: Snapshot) -> None:
        if epoch == self._end_epoch:
            self.end = epoch + 1, {name: part for name, part in now.items() if "/" not in name}

    def _hold_call(
        self, begin: int, call: slice, audited: set[int], before: Snapshot, losses: Floats, steps: EpochSteps
    ) -> Snapshot:
        """Run a call again from `before` it, step by step; returns what the last one ends with."""
        ended, now, again = steps.look(), before, []
        self._calls_held += 1
        steps.put_back(before)
        for step in range(call.start, call.stop):
            again.append(steps.run_again(slice(step, step + 1)))
            if step in audited or step + 1 in audited or step + 1 == call.stop:
                last, now = now, steps.look()
                if step in audited:
                    self._keep(begin + step, last, now, again[-1])
        if not _same(np.concatenate(again), losses) or any(not _same(ended[name], now[name]) for name in ended):
            limit = min(_CALL_ROUNDINGS * ROUNDOFF[self.config.execution.precision], 0.05)
            place = f"{call.stop - call.start} steps from {self._place(begin + call.start)}"
            self._found.calls.see(_apart(before, ended, now) / limit, place)
        return now

    def _hold_start(self, epoch: int, now: Snapshot) -> None:
        """An epoch has to begin with what the one before ended with, and the first with the seed's weights."""
        expected, what = self._last, f"epoch {epoch} ended with"
        if epoch == 0:
            expected, what = self._fresh(now), "the seed gives"
        unlike = [] if expected is None else [name for name in expected if not _same(expected[name], now.get(name))]
        if unlike:
            self.breaks.append(f"epoch {epoch + 1} begins with another {unlike[0]} than {what}")

    def _fresh(self, like: Snapshot) -> Snapshot:
        """What training begins with: the seed's weights, slots of zeros, and the scalars of `like` at their start."""
        slots = {name: np.zeros_like(part) for name, part in like.items()}
        scalars = {name: np.full_like(like[name], value) for name, value in _FRESH.items() if name in like}
        return slots | scalars | first_weights(self.config)

    def take_average(self, epoch: int, now: Snapshot) -> None:
        """Hold the average that the network has after `epoch` against the one before it and the epoch's last weights.

        That one moves to these by (1 - d) / (1 - d^k) after epoch k, where d is what it keeps.
        """
        decay, last = self.config.training.averaging, self._last
        share = (1 - decay) / (1 - decay ** (epoch + 1))
        if last is not None and (self._average is not None or epoch == 0):
            for name in first_weights(self.config):
                new = last[name].astype(np.float64)
                old = np.zeros_like(new) if self._average is None else self._average[name].astype(np.float64)
                limit = 8 * U32 * (np.abs(old) + np.abs(new)) + SMALL
                ratio = float((np.abs(now[name] - (old + share * (new - old))) / limit).max())
                self._found.average.see(ratio, f"{name} after epoch {epoch + 1}")
        self._average = now
        self._keep_end(epoch, now)

    def _keep(self, step: int, before: Snapshot, after: Snapshot, losses: Floats) -> Snapshot:
        """Keep a step for its replay; returns what it ended with."""
        self._waiting.append(Window(step, before, after, float(losses[0]) if len(losses) == 1 else math.nan))
        taken = len(self._waiting) * sum(part.nbytes for part in after.values()) * 2
        if taken > min(_MOST_BYTES, (free_memory_bytes(None) or _MOST_BYTES) // 8):
            self.replay()
        return after

    def _place(self, step: int) -> str:
        return f"step {step % self.witness.steps + 1} of epoch {step // self.witness.steps + 1}"

    # --- when it is over

    def replay(self) -> None:
        """Replay the steps that wait, side by side on the threads of the run, with a thread of arithmetic each."""
        from threadpoolctl import threadpool_limits  # here: it looks through all loaded libraries

        started = time.perf_counter()
        windows, self._waiting = self._waiting, []
        threads = threads_in_force(self.config.execution.threads)
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
            for window, distances in zip(windows, pool.map(self._distances, windows), strict=True):
                self._take(window, distances)
        self.replayed += len(windows)
        self.replay_s += time.perf_counter() - started

    def _distances(self, window: Window) -> dict[str, float]:
        with np.errstate(all="ignore"):  # what overflows is infinitely far
            return self.witness.distances(window.step, window.before, window.after, window.loss)

    def _take(self, window: Window, distances: Mapping[str, float]) -> None:
        for name, ratio in distances.items():
            kind = self._found.loss if name == "loss" else self._found.state if "/" in name else self._found.weights
            kind.see(ratio, f"{name} of {self._place(window.step)}")

    def checks(self, weights: Snapshot, losses: Floats) -> tuple[Check, ...]:
        """What the audit found, with the network's `weights` as they are now, and the `losses` that the run tells."""
        breaks = [*self.breaks, *self._breaks_at_the_end(weights, losses)]
        unbroken = Check.at_most(
            "unbroken training",
            len(breaks),
            0.0,
            detail=breaks[0] if breaks else "changes between epochs, or untold losses",
            reason="the seed's weights at the start, and between epochs the same weights and state, to the bit",
            group="audit",
        )
        return (*self.step_checks(), unbroken)

    def _breaks_at_the_end(self, weights: Snapshot, losses: Floats) -> Iterator[str]:
        """What is not, to the bit, as it was seen: the weights when the training ended, and the losses."""
        end = self._average or self._last or weights
        yield from (
            f"{name} is not what training ended with" for name in weights if not _same(end[name], weights[name])
        )
        seen, steps = np.concatenate(self._losses or [losses]), self.witness.steps * self.config.training.epochs
        if len(losses) != steps:
            yield f"{len(losses)} losses of {steps} steps"
        elif not _same(losses[steps - len(seen) :], seen):
            yield "the losses told are not those of the steps"

    def step_checks(self) -> tuple[Check, ...]:
        """What the replays found."""
        self.replay()
        found, rounding = self._found, "over what rounding may make of it, from the run's own weights before the step"
        kinds = (("losses", found.loss), ("weights", found.weights), ("optimizer state", found.state))
        what = f"the furthest of {self.replayed} steps replayed"
        checks = [_check(f"audited {name}", worst, what, rounding) for name, worst in kinds if self.replayed]
        if self._calls_held:
            alike = "to the bit; or over a thousand roundings of what the steps changed"
            what = f"{self._calls_held} calls and their steps one by one"
            checks.append(_check("calls of many steps", found.calls, what, alike))
        if self.config.training.averaging:
            checks.append(_check("weight average", found.average, "the furthest after an epoch", rounding))
        return tuple(checks)

    @property
    def summary(self) -> AuditSummary:
        """What the record says of it."""
        total = self.witness.steps * self.config.training.epochs
        share = lasting_share(self.windows, total)
        return AuditSummary(steps=self.replayed, of_steps=total, lasting_share=share, replay_s=self.replay_s)


def _apart(before: Snapshot, one: Snapshot, other: Snapshot) -> float:
    """How far two ends of the same steps are apart, over what these changed: the largest over all tensors."""
    far = 0.0
    for name, start in before.items():
        first, second = one[name].astype(np.float64), other[name].astype(np.float64)
        moved = float(np.linalg.norm(second - start))
        far = max(far, float(np.linalg.norm(first - second)) / (moved or SMALL))
    return far


def _same(expected: NDArray[Any], found: NDArray[Any] | None) -> bool:
    return found is not None and np.array_equal(expected, found)


def _check(name: str, worst: _Worst, what: str, reason: str) -> Check:
    value = worst.ratio if math.isfinite(worst.ratio) else math.nan
    return Check.at_most(
        name, value, 1.0, detail=worst.place if not worst.ratio <= 1 else what, reason=reason, group="audit"
    )
