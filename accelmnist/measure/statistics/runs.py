"""What changes from one process to the next, such as where memory lies and what the neighbours do, and no sample shows.

Samples of one process share it, so a test that takes them as independent finds differences between two runs of the
same program. The remedy is to count a process as one: if both records have several, their medians are compared by
Welch's test, and the wider of the two answers holds.

Sources: Kalibera and Jones, "Rigorous Benchmarking in Reasonable Time" (2013); Welch, "The generalization of Student's
problem when several different population variances are involved" (1947).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from accelmnist.measure.statistics.comparison import Comparison, verdict_of
from accelmnist.measure.statistics.summary import CONFIDENCE, Samples

FEWEST_PROCESSES = 2  # of each record


def medians_by_process(samples: Sequence[float] | Samples, processes: Sequence[int]) -> Samples:
    """The median of each process's samples, in the order of the processes; `processes` has that of every sample."""
    values, numbers = np.asarray(samples), np.asarray(processes)
    return np.array([np.median(values[numbers == number]) for number in np.unique(numbers)])


def widened(comparison: Comparison, base: Samples, new: Samples, *, threshold: float) -> Comparison:
    """`comparison`, with an interval, a p-value and a verdict that count a process as one.

    `base` and `new` are the medians of the processes' logarithms. Unchanged if either record has a single process.
    """
    if min(base.size, new.size) < FEWEST_PROCESSES:
        return comparison
    low, high, p_value = _welch(base, new)
    low, high, p_value = min(comparison.low, low), max(comparison.high, high), max(comparison.p_value, p_value)
    verdict = verdict_of(math.log(comparison.ratio), math.log(low), math.log(high), p_value, threshold)
    return replace(comparison, low=low, high=high, p_value=p_value, verdict=verdict)


def _welch(base: Samples, new: Samples) -> tuple[float, float, float]:
    """The interval of the ratio, and the p-value of "there is no difference"."""
    from scipy.special import stdtr, stdtrit  # here: records of one process each do without it

    parts = [float(side.var(ddof=1)) / len(side) for side in (base, new)]
    error, apart = math.sqrt(sum(parts)), float(new.mean() - base.mean())
    if error == 0.0:
        return math.exp(apart), math.exp(apart), float(apart == 0.0)
    freedom = error**4 / sum(part**2 / (len(side) - 1) for part, side in zip(parts, (base, new), strict=True))
    margin = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    return math.exp(apart - margin), math.exp(apart + margin), 2 * float(stdtr(freedom, -abs(apart) / error))
