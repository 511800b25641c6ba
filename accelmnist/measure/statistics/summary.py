"""What a case's samples say: the median, its 95 % confidence interval, the quartiles.

The median, because the noise of a machine is lopsided: a neighbour makes a sample much slower, nothing makes one much
faster, and the mean would follow every stall. The raw samples stay in the summary.

The interval is the percentile interval of the smoothed bootstrap (Efron, "Bootstrap methods: another look at the
jackknife", Annals of Statistics 7, 1979): resamples come from the straight-line interpolation of the sorted samples at
the heights i / (n + 1), not from the samples themselves. Unsmoothed, a median can only land on a few samples, and
what is called 95 % covers 88 % at n = 7 and 15; smoothed, it covers 94 to 97 % from n = 6 on, whatever the shape of the
noise (`results/statistics.md`). The seed is fixed: the same samples give the same interval.

Units are the samples' own; all of it scales with them and ignores their order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.errors import RecordError
from accelmnist.core.text import require_of_record

Samples = NDArray[np.float64]

CONFIDENCE = 0.95
_RESAMPLES = 2000
_SEED = 0
_MOST_SAMPLES = 1000
FEWEST_ROUNDS = 10  # before sampling may stop: an interval that is narrow by chance would end it too soon


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The middle of the samples, the confidence interval of their median (`low` to `high`), and the samples as taken.

    With fewer than `minimum_samples()` the interval is all that was seen, and covers the median less often than said.
    """

    median: float
    low: float
    high: float
    q1: float
    q3: float
    samples: tuple[float, ...]

    def __post_init__(self) -> None:
        require_of_record(min(self.median, self.low, self.high, self.q1, self.q3) > 0, "a speed is not above 0")


def summarize(samples: Sequence[float], *, confidence: float = CONFIDENCE) -> Summary:
    """The summary of speeds or times; RecordError if one isn't a finite number above 0, or there is none."""
    ordered = np.sort(as_samples(samples))
    q1, median, q3 = np.quantile(ordered, [0.25, 0.5, 0.75]).tolist()
    low, high = _median_interval(ordered, confidence)
    return Summary(median=median, low=low, high=high, q1=q1, q3=q3, samples=tuple(map(float, samples)))


def as_samples(values: Sequence[float]) -> Samples:
    """`values` as an array; RecordError if one isn't a finite number above 0, or there is none."""
    samples = np.asarray(values, dtype=np.float64)
    if samples.ndim != 1 or samples.size == 0:
        raise RecordError("there are no samples", remedy="Measure the case again")
    unfit = samples[~(np.isfinite(samples) & (samples > 0))]
    if unfit.size:
        raise RecordError(f"a sample is {unfit[0]}, not a finite number above 0", remedy="Measure the case again")
    return samples


def thinned(samples: Samples) -> Samples:
    """Every k-th sample if there are over a thousand: a cautious answer at once, where work grows with the square."""
    return samples[:: math.ceil(samples.size / _MOST_SAMPLES)]


def minimum_samples(confidence: float = CONFIDENCE) -> int:
    """The fewest samples that allow an interval at `confidence`: 6 at 95 %.

    All n lie on one side of the median with probability 2 / 2^n; then even smallest to largest misses it (Thompson,
    "On confidence ranges for the median", Annals of Mathematical Statistics 7, 1936).
    """
    return math.ceil(1 - math.log2(1 - confidence))


def relative_half_width(summary: Summary) -> float:
    """The longer arm of the interval as a share of the median: sampling may stop at 0.01.

    Infinite with too few samples for an interval: two samples that happen to agree are no reason to stop.
    """
    if len(summary.samples) < minimum_samples():
        return math.inf
    return max(summary.high - summary.median, summary.median - summary.low) / summary.median


def is_settled(summary: Summary | None, *, target: float) -> bool:
    """Whether the median's interval is within `target` of it, after enough rounds."""
    return summary is not None and len(summary.samples) >= FEWEST_ROUNDS and relative_half_width(summary) <= target


def _median_interval(ordered: Samples, confidence: float) -> tuple[float, float]:
    if ordered.size < minimum_samples(confidence):
        return float(ordered[0]), float(ordered[-1])
    ranks = np.arange(ordered.size)
    medians = np.interp(_middle_ranks(ordered.size), ranks, ordered).mean(axis=0)
    tail = (1 - confidence) / 2
    low, high = np.quantile(medians, [tail, 1 - tail]).tolist()
    return low, high


@lru_cache(maxsize=256)
def _middle_ranks(count: int) -> Samples:
    """The two middle values of each resample, as fractional ranks of the sorted samples (2, resamples).

    The k-th of n uniform numbers follows the law Beta(k, n + 1 - k), and the next one is the least of the n - k that
    are left above it: two draws instead of n, and none of it depends on the samples. Each resample comes with its
    mirror image, so that the interval of negated samples is the negated interval, to the digit.
    """
    random = np.random.default_rng(_SEED)
    middle = (count + 1) // 2
    lower = random.beta(middle, count + 1 - middle, _RESAMPLES // 2)
    upper = lower if count % 2 else 1 - (1 - lower) * random.random(lower.size) ** (1 / (count - middle))
    both = np.array([np.concatenate([lower, 1 - upper]), np.concatenate([upper, 1 - lower])])
    ranks: Samples = both * (count + 1) - 1
    ranks.flags.writeable = False
    return ranks
