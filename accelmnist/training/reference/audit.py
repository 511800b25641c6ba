"""The audit of a training: single steps of it, drawn at random, replayed by the independent witness in float64.

A training amplifies every rounding, so two right ones part after some epochs and the end proves little. A single step
does not: from the run's own weights and optimizer state before it, what it must leave is known to some roundings. So
both are kept before and after steps that the engine can't know, and each is replayed (see `witness`).

The promise. With the steps of a training cut into n equal parts, from a beginning drawn by chance, and one drawn from
each, a fault that touches a share p of the steps, whichever they are, is found with a probability of at least
1 - (1 - p)^n. One that lasts for a share p of them is missed with (2 - p n)^3 / 6 where p n is from 1 to 2, and never
beyond: with 67, whatever lasts for 2 % of the steps, wherever they are, is found in 95 % of trainings. Added to them
are the first 16 steps, an epoch's last step with its successor's first, three times at most, a step of every epoch that
has none, and in fp16 every 2000th, at which the scale grows. It holds for faults beyond rounding: in 16 bits a gradient
that is 10 % too large is not beyond it, in float32 one that is 1 % too large is by far. In 16 bits the gradients of a
quarter of the steps are held closer, where it is known where the engine rounds: what is wrong in most steps, be it one
image of the batch that is left out, is found by its norm (see `rounded`).

An engine runs many steps a call, and might do in a row what it doesn't do one by one. So some calls of 2 to 64 steps,
and one as long as the longest of the training, are run again from where they began, step by step, and have to end
alike: to the bit, or on a device that adds in no fixed order, within roundings.

Between epochs, weights and state have to stay the same to the bit, in every epoch, and the first epoch has to begin
with the weights that the seed gives: so nothing happens beside the steps.

Copies are made with the clock stopped. They are replayed when the training is over, or when they take too much memory;
or already while torch is imported, by a process of its own: that takes one processor, and the interpreter's lock. A
copy that was replayed is let go, and its memory holds what is imported.
"""

from __future__ import annotations

import hashlib
import math
import signal
import statistics
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import AUDIT_WINDOWS, RunConfig
from accelmnist.core.records import AuditSummary, Check
from accelmnist.data.types import ImageSet
from accelmnist.device import free_memory_bytes, keep_freed_memory, threads_in_force
from accelmnist.engines.contract import Snapshot
from accelmnist.engines.plan import Floats
from accelmnist.training.loop import Steps
from accelmnist.training.reference.rounded import rounding_of, unexplained
from accelmnist.training.reference.witness import GROWTH_INTERVAL, ROUNDOFF, SMALL, U32, Witness, first_weights

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Value = TypeVar("Value")
Pair = tuple[Value, Value]
Replay = tuple[int, dict[str, float], dict[str, float]]  # a step; how far what it left, and its gradients, are off

_LONG_CALL = 64
_PARTS = 32  # of a training: with the default windows, no call is longer than one of them
_SURE = 0.95
_ROUNDED_SHARE, _LEAST_ROUNDED = 1 / 4, 8  # of the steps that are replayed: those whose gradients `rounded` looks at
_MOST_BYTES = 2**30  # of copies that wait for their replay, or an eighth of the free memory; a brief audit's are 16 MB
_LEAST_LOSS = 0.1
CALL_ROUNDINGS = 1000.0  # by which two ends of a call may differ, over what it changed
_AVERAGE = "average/"
_FRESH = {"scalar/count": 0.0, "scalar/scale": 2.0**13, "scalar/good_steps": 0.0}


@dataclass(frozen=True)
class Extent:
    """What is looked at besides the steps that are drawn: first steps, borders of epochs, calls of many steps."""

    first: int
    borders: int
    calls: int


WHOLE, BRIEF = Extent(16, 3, 6), Extent(2, 1, 1)


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


def draw_steps(steps: int, epochs: int, windows: int, rng: np.random.Generator, extent: Extent) -> NDArray[np.int64]:
    """The numbers of the steps to audit, of `epochs` with `steps` each: sorted; no `windows`, no step."""
    total = steps * epochs
    if windows >= total:
        return np.arange(total)
    if windows == 0:
        return np.arange(0)
    # The parts begin anywhere and go round, or a fault that lies in halves of two would be found less often.
    drawn = (np.arange(windows) + rng.random() + rng.random(windows)) * total / windows % total
    drawn = np.minimum(drawn, total - 1).astype(np.int64)
    borders = steps * rng.permutation(np.arange(1, epochs))[: extent.borders]
    chosen = np.concatenate([np.arange(min(extent.first, total)), drawn, borders - 1, borders])
    bare = np.setdiff1d(np.arange(epochs), chosen // steps)
    return np.unique(np.concatenate([chosen, bare * steps + rng.integers(steps, size=len(bare))]))


def draw_calls(steps: int, epochs: int, rng: np.random.Generator, extent: Extent) -> list[range]:
    """Rows of steps, each within an epoch, of which none meet: of several one is long, others as short as long.

    The long one is of 64 steps, or of a 32nd of all: longer calls than that the steps drawn leave no room for.
    """
    longest, calls = max(_LONG_CALL, steps * epochs // _PARTS), list[range]()
    for epoch in np.resize(rng.permutation(epochs), extent.calls):
        drawn = int(2 * ((_LONG_CALL + 1) / 2) ** rng.random()) if calls or extent.calls == 1 else longest
        length = min(drawn, steps)
        start = int(epoch * steps + rng.integers(steps - length + 1))
        if length > 1 and all(start >= call.stop or start + length <= call.start for call in calls):
            calls.append(range(start, start + length))
    return calls


def _part_of(steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of the `steps` whose gradients are held to `rounded`, which takes three quarters of a replay."""
    count = min(len(steps), max(_LEAST_ROUNDED, math.ceil(_ROUNDED_SHARE * len(steps))))
    return steps[np.linspace(0, len(steps) - 1, count).astype(np.int64)]


def _most_bytes() -> int:
    return min(_MOST_BYTES, (free_memory_bytes(None) or _MOST_BYTES) // 8)


def expected_copies(windows: int, size: int) -> int:
    """How many copies of `size` bytes an audit with so many `windows` keeps until they are replayed, about."""
    most = 2 * (windows + WHOLE.first + WHOLE.borders + WHOLE.calls)
    return min(most, _most_bytes() // size) if windows else 0


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
    gradient_ratios: dict[str, list[float]] = field(default_factory=dict)

    @property
    def gradients(self) -> _Worst:
        """The largest of all tensors' medians, of those with enough steps for one."""
        worst = _Worst()
        for name, ratios in self.gradient_ratios.items():
            if len(ratios) >= _LEAST_ROUNDED:
                worst.see(statistics.median(ratios), f"{name}, the median of {len(ratios)} steps")
        return worst


class Watch(ABC):
    """Cuts epochs of `per_epoch` steps at the `steps` and `calls` to look at, counted over the whole training.

    What it sees it hands on: a step with its ends, a call of many steps with its two ends, an epoch with its own.
    """

    def __init__(self, per_epoch: int, steps: Iterable[int], calls: Sequence[range]) -> None:
        self.per_epoch, self.steps, self.calls = per_epoch, frozenset(steps), calls

    @abstractmethod
    def begin(self, epoch: int, now: Snapshot) -> None:
        """An epoch begins with this."""

    @abstractmethod
    def keep(self, step: int, before: Snapshot, after: Snapshot, losses: Floats) -> None:
        """A step went from one to the other."""

    @abstractmethod
    def hold_call(self, steps: range, before: Snapshot, ends: Pair[Snapshot], losses: Pair[Floats]) -> None:
        """Steps had these ends and losses in one call, and one by one."""

    @abstractmethod
    def miss(self, what: str) -> None:
        """Something is not as it has to be."""

    @abstractmethod
    def end(self, epoch: int, now: Snapshot, losses: Floats) -> None:
        """An epoch ended with this."""

    def watch(self, epoch: int, steps: Steps) -> Floats:
        """Let the `steps` of `epoch` run in parts, and return the losses of all."""
        begin, count = epoch * self.per_epoch, len(steps)
        audited = {step - begin for step in self.steps if begin <= step < begin + count}
        own = [call for call in self.calls if begin <= call.start and call.stop <= begin + count]
        calls = {call.start - begin: call for call in own}
        within = {step - begin for call in own for step in call}
        cuts = {0, count} | {cut for step in audited - within for cut in (step, step + 1)}
        cuts |= {cut - begin for call in own for cut in (call.start, call.stop)}
        first = steps.look()
        self.begin(epoch, first)
        now: Snapshot | None = first
        losses = []
        for start, end in pairwise(sorted(cuts)):
            before = (now or steps.look()) if start in audited or start in calls else None
            losses.append(found := steps.run(slice(start, end)))
            if len(found) != end - start:
                self.miss(f"{len(found)} losses of {end - start} steps from {self.place(begin + start)}")
            if before is None:
                now = None
            elif start in calls:
                now = self._run_again(begin, calls[start], before, found, steps)
            else:
                now = steps.look()
                self.keep(begin + start, before, now, found)
        told = np.concatenate(losses)
        self.end(epoch, now or steps.look(), told)
        return told

    def _run_again(self, begin: int, call: range, before: Snapshot, losses: Floats, steps: Steps) -> Snapshot:
        """Run a call again from `before` it, step by step; returns what the last one ends with."""
        ended, now, again = steps.look(), before, []
        steps.put_back(before)
        for step in call:
            again.append(steps.run_again(slice(step - begin, step - begin + 1)))
            if step in self.steps or step + 1 in self.steps or step + 1 == call.stop:
                last, now = now, steps.look()
                if step in self.steps:
                    self.keep(step, last, now, again[-1])
        self.hold_call(call, before, (ended, now), (losses, np.concatenate(again)))
        return now

    def place(self, step: int) -> str:
        """A step's place, in words."""
        return f"step {step % self.per_epoch + 1} of epoch {step // self.per_epoch + 1}"


class Audit(Watch):
    """Watches the training of `config` on the host's `images`; `windows` as for `draw_steps`.

    The steps are drawn from the system's entropy, anew for every training. A `brief` audit, one of many, has two first
    steps, one border and one call. Ranks of one training draw the same by a common `entropy`, and one of them
    `replays`.
    """

    def __init__(
        self,
        config: RunConfig,
        images: ImageSet,
        windows: int = AUDIT_WINDOWS,
        *,
        brief: bool = False,
        entropy: int | None = None,
        replays: bool = True,
    ) -> None:
        self.config, self.windows, self._replays = config, windows, replays
        self._most_bytes = min(_most_bytes(), _MOST_BYTES // (64 if brief else 1))
        self.see(images)
        rng, per_epoch, epochs = np.random.default_rng(entropy), self.witness.steps, config.training.epochs
        extent = BRIEF if brief else WHOLE
        steps = draw_steps(per_epoch, epochs, windows, rng, extent)
        if windows and config.execution.precision == "fp16":
            steps = np.union1d(steps, np.arange(GROWTH_INTERVAL - 1, per_epoch * epochs, GROWTH_INTERVAL))
        super().__init__(per_epoch, steps.tolist(), draw_calls(per_epoch, epochs, rng, extent) if windows else [])
        self._rounding = rounding_of(config)
        self._rounded = frozenset(_part_of(steps).tolist() if self._rounding else [])
        self.replayed, self.replay_s, self._calls_held = 0, 0.0, 0
        self.breaks: list[str] = []
        self._found = _Findings()
        self._waiting: list[Window] = []
        self._apart: _Apart | None = None
        self._losses: list[Floats] = []
        self._last: Snapshot | None = None  # what the epoch before ended with
        self._resumes: Mapping[str, str] = {}  # the digests of that, if it was in another process
        self._drawn_epoch = int(rng.integers(epochs))
        self.drawn: tuple[int, Snapshot] | None = None  # the weights after an epoch drawn by chance, with its number
        self._average: Snapshot | None = None  # what the network held between two epochs, if weights are averaged

    def see(self, images: ImageSet) -> None:
        """Take the host's images, which an audit leaves behind on its way to another process."""
        self.witness = Witness(self.config, images.images, images.labels)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "witness"}

    # --- while it trains

    def miss(self, what: str) -> None:
        """Keep it for the check."""
        self.breaks.append(what)

    def end(self, epoch: int, now: Snapshot, losses: Floats) -> None:
        """Keep what an epoch ended with."""
        self._last = now
        self._losses.append(losses)
        self._draw(epoch, now)

    def _draw(self, epoch: int, now: Snapshot) -> None:
        if epoch == self._drawn_epoch:
            self.drawn = epoch + 1, {name: part for name, part in now.items() if "/" not in name}

    def hold_call(self, steps: range, before: Snapshot, ends: Pair[Snapshot], losses: Pair[Floats]) -> None:
        """Hold the two ends against each other."""
        self._calls_held += 1
        (one, other), is_same = ends, _same(*losses)
        if not is_same or any(not _same(part, other.get(name)) for name, part in one.items()):
            limit = min(CALL_ROUNDINGS * ROUNDOFF[self.config.execution.precision], 0.05)
            apart = max(difference(before, one, other), _losses_apart(*losses))
            self._found.calls.see(apart / limit, f"{len(steps)} steps from {self.place(steps.start)}")

    def begin(self, epoch: int, now: Snapshot) -> None:
        """An epoch has to begin with what the one before ended with, and the first with the seed's weights."""
        expected, what = self._last, f"epoch {epoch} ended with"
        if epoch == 0:
            expected, what = self._fresh(now), "the seed gives"
        if expected is None:
            unlike = [name for name, known in self._resumes.items() if name in now and _digest(now[name]) != known]
        else:
            unlike = [name for name in expected if not _same(expected[name], now.get(name))]
        if unlike:
            self.breaks.append(f"epoch {epoch + 1} begins with another {unlike[0]} than {what}")

    def digests(self) -> dict[str, str]:
        """Of all that the last epoch ended with, by name, for a run that goes on from there in another process."""
        average = {_AVERAGE + name: part for name, part in (self._average or {}).items() if "/" not in name}
        return digests_of((self._last or {}) | average)

    def resume(self, digests: Mapping[str, str], weights: Snapshot) -> None:
        """Go on with the network's `weights` where a run with these `digests` was stopped; an older one has none."""
        self._resumes, is_average = digests, self.config.training.averaging > 0
        kind = _AVERAGE if is_average else ""
        unlike = [name for name, part in weights.items() if digests and digests.get(kind + name) != _digest(part)]
        self.breaks += [f"{name} is not what the stopped run ended with" for name in unlike]
        self._average = weights if is_average and digests else None

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
        self._draw(epoch, now)

    def keep(self, step: int, before: Snapshot, after: Snapshot, losses: Floats) -> None:
        """Keep a step for its replay."""
        if not self._replays:
            return
        self._waiting.append(Window(step, before, after, float(losses[0]) if len(losses) == 1 else math.nan))
        taken = len(self._waiting) * sum(part.nbytes for part in after.values()) * 2
        if taken > self._most_bytes:
            self.replay()

    # --- when it is over

    def replay_apart(self) -> None:
        """Begin to replay the steps that wait in a process of its own, where one can be split off this one."""
        # Elsewhere than on Linux, or beside torch's threads, a process that was split off can't count on its libraries.
        is_safe = sys.platform == "linux" and "torch" not in sys.modules
        if self._waiting and self._apart is None and is_safe:
            waiting = deque(self._waiting)
            self._waiting.clear()  # nobody else may hold what was replayed
            self._apart = _Apart(self, waiting)

    def replay(self) -> None:
        """Replay the steps that wait, side by side on the threads of the run, with a thread of arithmetic each."""
        if self._apart is not None:
            apart, self._apart = self._apart, None
            self._take(*apart.result())
            self._waiting = [*apart.windows, *self._waiting]
        windows, self._waiting = self._waiting, []
        if windows:
            started = time.perf_counter()
            found = list(self.replays(windows, threads_in_force(self.config.execution.threads)))
            self._take(found, time.perf_counter() - started)

    def replays(self, windows: Iterable[Window], threads: int) -> Iterator[Replay]:
        """Replay the `windows` one after the other, some at once."""
        from threadpoolctl import threadpool_limits  # here: it looks through all loaded libraries

        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
            yield from pool.map(self._replay, windows)

    def _replay(self, window: Window) -> Replay:
        step, before, after = window.step, window.before, window.after
        with np.errstate(all="ignore"):  # what overflows is infinitely far
            distances = self.witness.distances(step, before, after, window.loss)
            if self._rounding is None or step not in self._rounded or math.inf in distances.values():
                return step, distances, {}
            return step, distances, unexplained(self.witness, step, before, after, self._rounding)

    def _take(self, replays: Sequence[Replay], seconds: float) -> None:
        for step, distances, gradients in replays:
            for name, ratio in gradients.items():
                self._found.gradient_ratios.setdefault(name, []).append(ratio)
            for name, ratio in distances.items():
                kind = self._found.loss if name == "loss" else self._found.state if "/" in name else self._found.weights
                kind.see(ratio, f"{name} of {self.place(step)}")
        self.replayed += len(replays)
        self.replay_s += seconds

    def finish(self, weights: Snapshot, losses: Floats) -> None:
        """Hold the network's `weights`, and the `losses` that the run tells, to what was seen, to the bit."""
        end = self._average or self._last or weights
        self.breaks += [
            f"{name} is not what training ended with" for name in weights if not _same(end[name], weights[name])
        ]
        seen, steps = np.concatenate(self._losses or [losses]), self.per_epoch * self.config.training.epochs
        if len(losses) != steps:
            self.breaks.append(f"{len(losses)} losses of {steps} steps")
        elif not _same(losses[steps - len(seen) :], seen):
            self.breaks.append("the losses told are not those of the steps")

    def checks(self) -> tuple[Check, ...]:
        """What the audit found."""
        unbroken = Check.without(
            "unbroken training",
            self.breaks,
            finds="changes between epochs, or untold losses",
            reason="the seed's weights at the start, and between epochs the same weights and state, to the bit",
            group="audit",
        )
        return (*self.step_checks(), unbroken)

    def step_checks(self) -> tuple[Check, ...]:
        """What the replays found."""
        self.replay()
        found, rounding = self._found, "over what rounding may make of it, from the run's own weights before the step"
        kinds = (("losses", found.loss), ("weights", found.weights), ("optimizer state", found.state))
        what = f"the furthest of {self.replayed} steps replayed"
        checks = [_check(f"audited {name}", worst, what, rounding) for name, worst in kinds if self.replayed]
        if found.gradients.place:
            what = "the tensor that is furthest in the median of its steps"
            explained = (
                "over what the engine's own roundings explain of it: a gradient's norm is closer than its elements"
            )
            checks.append(_check("audited gradients", found.gradients, what, explained))
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
        total = self.per_epoch * self.config.training.epochs
        share = lasting_share(self.windows, total)
        return AuditSummary(steps=self.replayed, of_steps=total, lasting_share=share, replay_s=self.replay_s)


class _Apart:
    """A copy of this process that replays the `windows` of `audit` on one thread.

    A window that was replayed is dropped here and there; those that are left when it ends were not.
    """

    def __init__(self, audit: Audit, windows: deque[Window]) -> None:
        from multiprocessing import get_context  # here: few need it

        self.windows = windows
        self._started, self._seconds, self._found = time.perf_counter(), 0.0, list[Replay]()
        context = get_context("fork")
        self._reader, writer = context.Pipe(duplex=False)
        self._process = context.Process(target=self._run, args=(audit, writer), daemon=True)
        self._process.start()
        writer.close()
        self._receiver = threading.Thread(target=self._receive, daemon=True)
        self._receiver.start()

    def _run(self, audit: Audit, writer: Connection) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # who waits for it has its own way to stop
        self._reader.close()
        keep_freed_memory()  # touching new memory is a third of a replay
        each = (self.windows.popleft() for _ in range(len(self.windows)))
        with suppress(BrokenPipeError):  # nobody waits any more
            for replay in audit.replays(each, threads=1):
                writer.send(replay)

    def _receive(self) -> None:
        with suppress(EOFError, OSError):  # it was killed
            while self.windows:
                self._found.append(self._reader.recv())
                self.windows.popleft()
                self._seconds = time.perf_counter() - self._started

    def result(self) -> tuple[list[Replay], float]:
        """What it found, and the seconds that it took."""
        self._receiver.join()
        self._process.join()
        return self._found, self._seconds


def difference(before: Snapshot, one: Snapshot, other: Snapshot) -> float:
    """How far two ends of the same steps are apart, over what these changed: the largest over all tensors."""
    far = 0.0
    for name, start in before.items():
        first, second = one[name].astype(np.float64), other[name].astype(np.float64)
        moved = float(np.linalg.norm(second - start))
        far = max(far, float(np.linalg.norm(first - second)) / (moved or SMALL))
    return far


def digests_of(snapshot: Snapshot) -> dict[str, str]:
    """Of each part of a snapshot, by name."""
    return {name: _digest(part) for name, part in snapshot.items()}


def _digest(numbers: NDArray[Any]) -> str:
    """Of `numbers` as float32, whichever type they have in this process."""
    return hashlib.blake2b(np.ascontiguousarray(numbers, dtype=np.float32).data, digest_size=8).hexdigest()


def _losses_apart(one: Floats, other: Floats) -> float:
    """How far two calls' losses are apart, over their mean; a small one's rounding is that of its logits."""
    if len(one) != len(other):
        return math.inf
    with np.errstate(invalid="ignore"):  # where it diverged
        return float(np.abs(one - other).max()) / max(float(np.abs(other).mean()), _LEAST_LOSS)


def _same(expected: NDArray[Any], found: NDArray[Any] | None) -> bool:
    return found is not None and np.array_equal(expected, found)


def _check(name: str, worst: _Worst, what: str, reason: str) -> Check:
    value = worst.ratio if math.isfinite(worst.ratio) else math.nan
    return Check.at_most(
        name, value, 1.0, detail=worst.place if not worst.ratio <= 1 else what, reason=reason, group="audit"
    )
