"""Two ways of doing the same work, measured as pairs: what a claim "A is faster than B" rests on.

A shared machine drifts by more than the difference that is looked for. So each round runs both ways back to back and
keeps their ratio, in which the drift cancels; the order alternates from round to round, so that neither always finds
the caches and the clock frequency that the other left behind. The claim is the median ratio; its spread, the quartiles.

Units: seconds, images per second; a ratio above 1 means that ours is the faster one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from accelmnist.device import Device, synchronize

PAIR_PROPERTY = "pair"

T = TypeVar("T")


def synchronized(work: Callable[[], T], device: Device) -> Callable[[], T]:
    """`work` with `device` synchronized at both ends: what a timer may be wrapped around."""

    def region() -> T:
        synchronize(device)
        result = work()
        synchronize(device)
        return result

    return region


@dataclass
class Contender:
    """One way of training: `train` runs `images` images and returns the loss of every step (steps,)."""

    name: str
    train: Callable[[], Tensor]
    images: int
    losses: list[Tensor] = field(default_factory=list)  # of every call
    images_per_s: list[float] = field(default_factory=list)

    def sample(self) -> None:
        """One timed call."""
        started = time.perf_counter()
        losses = self.train()
        self.images_per_s.append(self.images / (time.perf_counter() - started))
        self.losses.append(losses.cpu())

    @property
    def has_learned(self) -> bool:
        """Whether every loss is finite, and the last call's mean is below the very first loss."""
        first, last = self.losses[0][0], self.losses[-1].mean()
        return all(bool(losses.isfinite().all()) for losses in self.losses) and bool(last < first)


class Pair:
    """`ours` against `theirs`; call it once a round."""

    def __init__(self, ours: Contender, theirs: Contender) -> None:
        self.ours, self.theirs = ours, theirs
        self.rounds = 0

    def __call__(self) -> None:
        """One round: both, in the order that is not the last round's."""
        order = (self.ours, self.theirs) if self.rounds % 2 else (self.theirs, self.ours)
        for contender in order:
            contender.sample()
        self.rounds += 1

    def summary(self, rounds: int) -> dict[str, Any]:
        """The figures of the last `rounds` rounds, the warm-up before them left out."""
        ours = np.array(self.ours.images_per_s[-rounds:])
        theirs = np.array(self.theirs.images_per_s[-rounds:])
        return {
            "ratio": _spread(ours / theirs),
            self.ours.name: {"images_per_s": _spread(ours)},
            self.theirs.name: {"images_per_s": _spread(theirs)},
        }

    def describe(self, rounds: int) -> str:
        """The last `rounds` rounds in one line."""
        ratio = self.summary(rounds)["ratio"]
        return (
            f"{self.ours.name} / {self.theirs.name}: {ratio['median']:.2f}"
            f" (quartiles {ratio['first_quartile']:.2f} to {ratio['third_quartile']:.2f}, {rounds} rounds)"
        )


def _spread(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, Any]:
    first, median, third = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return {"median": median, "first_quartile": first, "third_quartile": third, "samples": values.tolist()}
