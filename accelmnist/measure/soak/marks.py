"""What a replay is held to: marks on its way, each the losses of a segment's steps and a digest of every weight tensor.

A digest is the sum of a tensor's bits taken as whole numbers, modulo 2^64: one flipped bit always changes it, in
whatever order it is added up, and it takes 25 microseconds for 200,000 weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from accelmnist.engines.contract import Job, Snapshot
from accelmnist.engines.plan import Floats
from accelmnist.training.loop import Steps

Place = tuple[int, int]  # an epoch, counted from 0, and how many of its steps are over


@dataclass(frozen=True)
class Mark:
    """What a replay is held to at a place: the losses of the segment's steps, and a digest of each weight tensor."""

    losses: Floats
    digests: tuple[int, ...]

    def is_like(self, other: Mark) -> bool:
        """Whether all bits are the same."""
        return self.digests == other.digests and self.losses.tobytes() == other.losses.tobytes()


class Unlike(Exception):  # noqa: N818 - no error, but the way out of a training
    """A replay parted from the first one in the segment that ends at `place`."""

    def __init__(self, place: Place, first: int, mark: Mark, weights: Snapshot) -> None:
        super().__init__()
        self.place, self.first, self.mark, self.weights = place, first, mark, weights


class Reached(Exception):  # noqa: N818
    """A replay came to the place up to which it was to run."""

    def __init__(self, mark: Mark, weights: Snapshot) -> None:
        super().__init__()
        self.mark, self.weights = mark, weights


class Watch:
    """Cuts a training into segments of `every` steps; each has a mark at its end, held to a `known` one if there is."""

    def __init__(self, job: Job, every: int, known: dict[Place, Mark] | None, until: Place | None = None) -> None:
        self.job, self.every, self.known, self.until = job, every, known, until
        self.marks: dict[Place, Mark] = {}

    def watch(self, epoch: int, steps: Steps) -> Floats:
        """Let the steps run; raises Unlike and Reached."""
        losses = []
        for segment in segments_of(len(steps), self.every):
            place, first = (epoch, segment.stop), segment.start
            losses.append(steps.run(segment))
            mark = self.marks[place] = Mark(losses[-1].copy(), digests_of(self.job))
            if place == self.until:
                raise Reached(mark, self.job.model.arrays())
            if self.known is not None and not mark.is_like(self.known[place]):
                raise Unlike(place, first, mark, self.job.model.arrays())
        return np.concatenate(losses)

    def take_average(self, epoch: int, now: Snapshot) -> None:
        """An average follows from the weights, and is in no segment."""


def segments_of(steps: int, every: int) -> Iterator[slice]:
    """The parts of an epoch, `every` steps each."""
    return (slice(first, min(first + every, steps)) for first in range(0, steps, every))


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


def bits_of(numbers: NDArray[Any]) -> NDArray[np.uint32]:
    """The bits of float32 numbers, as whole ones."""
    return np.ascontiguousarray(numbers, dtype=np.float32).view(np.uint32)


def distances(expected: Floats, found: Floats) -> NDArray[np.float64]:
    """By how much each element is another one, as if flat; one that is no number is further than any."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(expected.astype(np.float64) - found.astype(np.float64)).reshape(-1)
    return np.where(bits_of(expected).reshape(-1) == bits_of(found).reshape(-1), -1.0, np.nan_to_num(apart, nan=np.inf))


def alike(known: Floats, found: Floats) -> int:
    """How many losses are the same, from the first one on."""
    pairs = zip(bits_of(known), bits_of(found), strict=True)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
