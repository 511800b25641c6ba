"""Samples: the clock, and rounds in which every case and every limit has a sample, in slices that chance mixes.

A GPU runs behind the host: a call returns when its work is queued, not when it is done. So the device is synchronized
before the clock is read, at both ends: at the first, or work that was queued earlier is counted; at the second, or only
the queueing is. Inside of a region nothing is synchronized, which would drain the queue that hides launch costs. It is
the host's clock on every device: MPS's own events can't be trusted, and of regions of 100 ms the microseconds that a
synchronization takes are a hundred-thousandth.

The machine's speed moves while a benchmark runs. Cases measured one after the other would each see another machine;
here all see the same one, round by round, and what moves cancels in their ratios.

How finely they are mixed decides how well. A neighbour on a shared processor speeds and slows it over some tens of
milliseconds: on one such machine two regions of a tenth of a second, back to back, differed by
12 % in the standard deviation, and the same two by 4 to 6 % when their eighths took turns. So a region is cut into
slices, each synchronized at both ends, and the slices of all cases are shuffled turn by turn. A sample is the work of
all its slices over their time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import harmonic_mean
from typing import TypeVar

from accelmnist.core.errors import DeviceError
from accelmnist.device import Device, synchronize
from accelmnist.measure.limit_keys import LimitKey
from accelmnist.measure.plan import Case
from accelmnist.measure.statistics.summary import relative_half_width, summarize


def seconds_of(work: Callable[[], object], device: Device) -> float:
    """Seconds that `work` takes on `device`, all of it."""
    synchronize(device)
    started = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - started


SLICES = 8  # of a sample, at most
FEWEST_ROUNDS = 10  # before sampling may stop: an interval that is narrow by chance would end it too soon


@dataclass(frozen=True)
class Sampler:
    """`take` measures the rate of one slice; `slices` of equal work make a sample, 1 to SLICES."""

    take: Callable[[], float]
    slices: int = SLICES


Key = TypeVar("Key", bound=Hashable)
Sampled = Case | LimitKey


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


def is_settled(samples: Sequence[float], *, target: float) -> bool:
    """Whether the median's interval is within `target` of it, after enough rounds."""
    return len(samples) >= FEWEST_ROUNDS and relative_half_width(summarize(samples)) <= target
