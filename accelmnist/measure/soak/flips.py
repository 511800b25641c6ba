"""Was it a single flipped bit? It is planted anew, and the replay has to end with the wrong one's bits: then it was.

A segment of many steps hides where a fault began: what one bit does spreads to all weights within some ten steps. But a
replay is deterministic. So a suspected bit is flipped after a suspected step, the rest of the segment is run, and
losses and weights are held to the wrong replay's. If all are the same to the bit, that flip explains everything.

Suspects are the weights that differ most in the end, as numbers and by their bits, each with the bits that make about
that difference; steps are tried from the first one whose loss differs backwards. That finds the bits that matter. Of
the lowest ones the effect drowns in that of roundings before a long segment ends, and they stay unexplained. Flips of
other steps that end alike make the step a range: so does a weight that is fed by a pixel that is always 0.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch

from accelmnist.engines.contract import Job, Snapshot
from accelmnist.engines.plan import Floats
from accelmnist.measure.soak.marks import Mark, Reached, Unlike, alike, bits_of, digests_of, distances, segments_of
from accelmnist.training.loop import Steps

_SUSPECTS = 12  # by either measure
_FACTOR = math.log(2)  # by which later steps may change the difference
_CANDIDATES = 4
_ALL = 0xFFFFFFFF

Element = tuple[str, int]  # a tensor, and a place in it as if it were flat


@dataclass(frozen=True)
class Flip:
    """A bit of an element that was flipped `after` so many steps of the segment, `since` these at the earliest."""

    since: int
    after: int
    element: Element
    expected: int
    found: int


class Searched(Exception):  # noqa: N818 - no error, but the way out of a training
    """The search is over."""


class FlipSearch:
    """A training's watcher that tries flips in the segment where a replay parted from the right one, for `within_s`."""

    def __init__(self, job: Job, every: int, unlike: Unlike, right: Reached, *, within_s: float) -> None:
        self.job, self.every, self.unlike, self.right, self.within_s = job, every, unlike, right, within_s
        self.found: Flip | None = None
        self._parted = alike(right.mark.losses, unlike.mark.losses)  # steps of the segment

    def watch(self, epoch: int, steps: Steps) -> Floats:
        """Let the steps before the segment run; raises Searched."""
        losses = []
        for segment in segments_of(len(steps), self.every):
            if (epoch, segment.stop) == self.unlike.place:
                self.found = self._search(steps, segment)
                raise Searched
            losses.append(steps.run(segment))
        return np.concatenate(losses)

    def take_average(self, epoch: int, now: Snapshot) -> None:
        """An average follows from the weights, and is in no segment."""

    def _search(self, steps: Steps, segment: slice) -> Flip | None:
        start, ends_at = steps.look(), time.monotonic() + self.within_s
        for after, element in self._hypotheses():
            flip, _ = self._tried(steps, start, segment, after, element)
            if flip is not None:
                for earlier in reversed(range(after)):
                    other, is_too_early = self._tried(steps, start, segment, earlier, element)
                    if time.monotonic() > ends_at:
                        return replace(flip, since=0)
                    if is_too_early:
                        break
                    flip = flip if other is None else replace(flip, since=earlier)
                return flip
            if time.monotonic() > ends_at:
                break
        return None

    def _hypotheses(self) -> Iterator[tuple[int, Element]]:
        """After how many steps, and where: the likely ones first."""
        suspects = list(dict.fromkeys(chain.from_iterable(zip(*self._suspects(), strict=True))))
        pairs = [(lag + rank, lag, rank) for lag in range(self._parted + 1) for rank in range(len(suspects))]
        return ((self._parted - lag, suspects[rank]) for _, lag, rank in sorted(pairs))

    def _suspects(self) -> list[list[Element]]:
        """The elements that differ most, by their difference, and by that of their bits."""
        elements, apart, bits_apart = list[Element](), [], []
        for name, right in self.right.weights.items():
            wrong = self.unlike.weights[name]
            bits = bits_of(right).astype(np.int64) - bits_of(wrong)
            places = bits.reshape(-1).nonzero()[0]
            elements += [(name, int(place)) for place in places]
            bits_apart.append(np.abs(bits.reshape(-1)[places]))
            apart.append(distances(right, wrong)[places])
        orders = [np.argsort(-np.concatenate(each), kind="stable")[:_SUSPECTS] for each in (apart, bits_apart)]
        return [[elements[place] for place in order] for order in orders]

    def _tried(
        self, steps: Steps, start: Snapshot, segment: slice, after: int, element: Element
    ) -> tuple[Flip | None, bool]:
        """The flip, if with it the segment ends as the wrong replay's did; and whether all parted too early."""
        middle, parted = segment.start + after, []
        steps.put_back(start)
        head = [steps.run(slice(segment.start, middle))] if after else []
        between = steps.look()
        bits = self.job.model.get_parameter(element[0]).detach().view(torch.int32).view(-1)
        own = int(bits[element[1]]) & _ALL
        for found in self._candidates(own, element):
            steps.put_back(between)
            bits[element[1]] = found - (found >> 31 << 32)
            tail = [steps.run(slice(middle, segment.stop))] if middle < segment.stop else []
            mark = Mark(np.concatenate([*head, *tail]), digests_of(self.job))
            if mark.is_like(self.unlike.mark):
                return Flip(after, after, element, own, found), False
            parted.append(alike(self.right.mark.losses, mark.losses))
        return None, bool(parted) and max(parted) < self._parted

    def _candidates(self, own: int, element: Element) -> list[int]:
        """What the bits of an element may have become: one is flipped, which makes about the difference in the end."""
        right, wrong = (float(each.weights[element[0]].flat[element[1]]) for each in (self.right, self.unlike))
        flipped = np.uint32(own) ^ np.left_shift(np.uint32(1), np.arange(32, dtype=np.uint32))
        values, value = flipped.view(np.float32).astype(np.float64), float(np.uint32(own).view(np.float32))
        with np.errstate(all="ignore"):
            off, far = (
                np.nan_to_num(np.abs(np.log(ratio)), nan=np.inf)
                for ratio in ((values - value) / (wrong - right), values / wrong)
            )
        likely = [bit for bit in np.argsort(far, kind="stable") if off[bit] < _FACTOR][:_CANDIDATES]
        return [int(flipped[bit]) for bit in likely]
