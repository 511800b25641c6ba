"""Rounds: every case and every limit once, in an order that chance makes anew each time.

The machine's speed moves while a benchmark runs. Cases measured one after the other would each see another machine;
here all see the same one, round by round, and what moves cancels in their ratios. The order is shuffled so that no case
always finds the caches and the clock as the same neighbour left them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from accelmnist.errors import DeviceError
from accelmnist.measure.statistics.summary import relative_half_width, summarize

FEWEST_ROUNDS = 10  # before sampling may stop: an interval that is narrow by chance would end it too soon

Sampler = Callable[[], float]
Outcomes = dict[str, float | DeviceError]


def sample_round(samplers: Mapping[str, Sampler], chance: Random) -> Outcomes:
    """One sample of each, by key, in random order; a DeviceError in place of one that failed."""
    order = list(samplers)
    chance.shuffle(order)
    return {key: _sample(samplers[key]) for key in order}


def _sample(sampler: Sampler) -> float | DeviceError:
    try:
        return sampler()
    except DeviceError as error:
        return error


def is_settled(samples: Sequence[float], *, target: float) -> bool:
    """Whether the median's interval is within `target` of it, after enough rounds."""
    return len(samples) >= FEWEST_ROUNDS and relative_half_width(summarize(samples)) <= target
