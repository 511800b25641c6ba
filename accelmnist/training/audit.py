"""The audit of a training: single steps of it, drawn at random, replayed by the independent witness in float64.

A training amplifies every rounding, so two right ones part after some epochs and the end proves little. A single step
does not: from the run's own weights and optimizer state before it, what it must leave is known to some roundings. So
both are kept before and after steps that the engine can't know, and each is replayed (see `reference/witness`).

The promise. With the steps of a training cut into n equal parts and one drawn from each, a fault that touches a share p
of the steps, whichever they are, is found with a probability of at least 1 - (1 - p)^n. One that lasts for a share p
of them is missed with (2 - p n)^3 / 6 where p n is from 1 to 2, and never beyond: with 67, whatever lasts for 2 % of
the steps is found in 95 % of trainings. Added to them are the first 16 steps, an epoch's last step with its successor's
first, three times at most, and a step of every epoch that has none.

Between epochs, weights and state have to stay the same to the bit, in every epoch, and the first epoch has to begin
with the weights that the seed gives: so nothing happens beside the steps.

Copies are made with the clock stopped. They are replayed when the training is over, or when they take too much memory.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
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
from accelmnist.training.reference.witness import U32, Witness, first_weights

FIRST_STEPS = 16
_BORDERS = 3
_SURE = 0.95
_MOST_BYTES = 2**30  # of copies that wait for their replay, or an eighth of the free memory
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


@dataclass
class _Worst:
    """The largest distance of a kind over its limit, and where it was."""

    ratio: float = 0.0
    place: str = "all of them"

    def see(self, ratio: float, place: str) -> None:
        if not ratio <= self.ratio:
            self.ratio, self.place = ratio, place


@dataclass
class _Findings:
    loss: _Worst = field(default_factory=_Worst)
    weights: _Worst = field(default_factory=_Worst)
    state: _Worst = field(default_factory=_Worst)
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
        rng = np.random.default_rng()
        self.steps = draw_steps(self.witness.steps, config.training.epochs, windows, rng, first=first)
        self.replayed, self.replay_s = 0, 0.0
        self.breaks: list[str] = []
        self._found = _Findings()
        self._waiting: list[Window] = []
        self._last: Snapshot | None = None  # what the epoch before ended with
        self._average: Snapshot | None = None  # what the network held between two epochs, if weights are averaged

    # --- while it trains

    def watch(self, epoch: int, look: Callable[[], Snapshot], run: Callable[[slice], Floats]) -> Floats:
        """Let `run` train the parts of `epoch`, and return the losses of all; `look` copies weights and state."""
        begin, count = epoch * self.witness.steps, self.witness.steps
        audited = {int(step) - begin for step in self.steps if begin <= step < begin + count}
        first = look()
        self._hold_start(epoch, first)
        now: Snapshot | None = first
        losses = []
        for start, end in pairwise(sorted({0, count} | audited | {step + 1 for step in audited})):
            before = (now or look()) if start in audited else None
            losses.append(run(slice(start, end)))
            now = None
            if len(losses[-1]) != end - start:
                self.breaks.append(f"epoch {epoch + 1}: {len(losses[-1])} losses of {end - start} steps")
            elif before is not None:
                now = look()
                self._keep(Window(begin + start, before, now, float(losses[-1][0])))
        self._last = now or look()
        return np.concatenate(losses)

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
        for name in first_weights(self.config) if last is not None and (self._average or epoch == 0) else ():
            assert last is not None
            new = last[name].astype(np.float64)
            old = self._average[name].astype(np.float64) if self._average else np.zeros_like(new)
            limit = 8 * U32 * (np.abs(old) + np.abs(new)) + 2.0**-124
            ratio = float((np.abs(now[name] - (old + share * (new - old))) / limit).max())
            self._found.average.see(ratio, f"epoch {epoch + 1}, {name}")
        self._average = now

    def _keep(self, window: Window) -> None:
        self._waiting.append(window)
        taken = len(self._waiting) * sum(part.nbytes for part in window.after.values()) * 2
        if taken > min(_MOST_BYTES, (free_memory_bytes(None) or _MOST_BYTES) // 8):
            self.replay()

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
        epoch, step = divmod(window.step, self.witness.steps)
        for name, ratio in distances.items():
            kind = self._found.loss if name == "loss" else self._found.state if "/" in name else self._found.weights
            kind.see(ratio, f"{name} of step {step + 1} of epoch {epoch + 1}")

    def holds_end(self, weights: Snapshot) -> str | None:
        """Why `weights` are not those that the training ended with, to the bit; None if they are."""
        end = self._average or self._last
        unlike = [name for name in weights if end is not None and not _same(weights[name], end.get(name))]
        return f"{unlike[0]} is not what the training ended with" if unlike else None

    def checks(self, weights: Snapshot) -> tuple[Check, ...]:
        """What the audit found, with the network's `weights` as they are now."""
        self.replay()
        end = self.holds_end(weights)
        breaks = [*self.breaks, *([end] if end else [])]
        found, many = self._found, f"{self.replayed} steps replayed"
        kinds = [("losses", found.loss), ("weights", found.weights), ("optimizer state", found.state)]
        checks = [_check(f"audited {name}", worst, f"the furthest of {many}") for name, worst in kinds if self.replayed]
        if self.config.training.averaging:
            checks.append(_check("weight average", found.average, "the furthest after an epoch"))
        unbroken = Check.at_most(
            "unbroken training",
            len(breaks),
            0.0,
            detail=breaks[0] if breaks else "changes between epochs",
            reason="the seed's weights at the start, and between epochs the same weights and state, to the bit",
            group="audit",
        )
        return (*checks, unbroken)

    @property
    def summary(self) -> AuditSummary:
        """What the record says of it."""
        total = self.witness.steps * self.config.training.epochs
        return AuditSummary(
            steps=self.replayed,
            of_steps=total,
            lasting_share=lasting_share(self.windows, total),
            replay_s=self.replay_s,
        )


def _same(expected: NDArray[Any], found: NDArray[Any] | None) -> bool:
    return found is not None and np.array_equal(expected, found)


def _check(name: str, worst: _Worst, what: str) -> Check:
    reason = "over what rounding may make of it, from the run's own weights before the step, in float64"
    detail = what if worst.ratio <= 1 else worst.place
    return Check.at_most(
        name, worst.ratio if math.isfinite(worst.ratio) else math.nan, 1.0, detail=detail, reason=reason, group="audit"
    )
