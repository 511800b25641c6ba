"""What two records differ in by themselves, though the program is the same: the machine, and the processes.

Controls are things that did not change: the limits. A machine that is slower today is not slower in everything alike:
beside a busy neighbour, small operations that live in the caches lose more than large products, and a copy less. So no
single rate divides the difference out. But both records measured the same limits, which are the same code whatever
program is under test. Their median is the speed of the machine by which a case is divided (a mean would follow the
stall of any of them), and how far they moved apart from it is how far a case may move by itself. A difference counts
only if it stands out.

A case is one more draw from what the K controls were drawn from, so its error is that of a further observation, their
standard deviation times sqrt(1 + pi / 2K), the second part for their median, by Student's t with K - 1 degrees of
freedom. The arms of the interval that this gives and of the samples' own add in squares. The idea of controls that
can't have changed is that of Lipsitch, Tchetgen and Cohen, "Negative controls" (2010), and of Schuemie et al.,
"Interpreting observational studies: why empirical calibration is needed to correct p-values" (2014).

Processes differ in where memory lies and in what the neighbours do, which no sample shows. Samples of one process share
it, so a test that takes them as independent finds differences between two runs of the same program. The remedy is to
count a process as one: if both records have several, their medians are compared by Welch's test, and the wider of the
two answers holds (Kalibera and Jones, "Rigorous Benchmarking in Reasonable Time", 2013; Welch, "The generalization of
Student's problem when several different population variances are involved", 1947).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from accelmnist.measure.statistics.comparison import Comparison, verdict_of
from accelmnist.measure.statistics.summary import CONFIDENCE, Samples, as_samples

FEWEST_CONTROLS = 3
_LEAST_LOG_P, _HALVINGS = -600.0, 60
_ARM = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)  # of the samples' interval, in standard errors
Rates = Mapping[str, Sequence[float]]


def machine_speeds(base: Rates, new: Rates) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The speed of the machine beside each sample of base and of new: the median of the limits, over their usual rates.

    Both hold the same limits, in the same order. 1 is the middle of the two records.
    """
    sides = [np.exp(np.median(logs, axis=0)) for logs in _over_usual(base, new)]
    return tuple(sides[0].tolist()), tuple(sides[1].tolist())


def spread_of_controls(base: Rates, new: Rates) -> float | None:
    """The standard deviation of what the limits' logarithms did from base to new, beyond what the machine did.

    Both hold the same limits, in the same order. None with fewer than FEWEST_CONTROLS.
    """
    if len(base) < FEWEST_CONTROLS:
        return None
    before, after = (np.median(logs - np.median(logs, axis=0), axis=1) for logs in _over_usual(base, new))
    return float((after - before).std(ddof=1))


def against_controls(comparison: Comparison, spread: float, controls: int, *, threshold: float) -> Comparison:
    """`comparison`, with an interval, a p-value and a verdict that allow the machine as much as the controls moved."""
    if spread == 0.0:
        return comparison
    apart, own = math.log(comparison.ratio), spread * math.sqrt(1 + math.pi / 2 / controls)
    lower, upper = (
        _Error(own, controls - 1, math.log(one / other) / _ARM)
        for one, other in ((comparison.ratio, comparison.low), (comparison.high, comparison.ratio))
    )
    low, high = apart - lower.arm(1 - CONFIDENCE), apart + upper.arm(1 - CONFIDENCE)
    p_value = max(comparison.p_value, (lower if apart > 0 else upper).p_value_of(abs(apart)))
    verdict = verdict_of(apart, low, high, p_value, threshold)
    return replace(comparison, low=math.exp(low), high=math.exp(high), p_value=p_value, verdict=verdict)


@dataclass(frozen=True)
class _Error:
    """The machine's own standard error, by its degrees of freedom, and that of the samples."""

    own: float
    freedom: int
    of_samples: float

    def arm(self, missed: float) -> float:
        """From the estimate to the end of the interval that misses the truth with the probability `missed`."""
        from scipy.special import ndtri, stdtrit  # here: a comparison without limits does without it

        tail = missed / 2
        return math.hypot(self.own * float(stdtrit(self.freedom, tail)), self.of_samples * float(ndtri(tail)))

    def p_value_of(self, apart: float) -> float:
        """What the interval that just reaches `apart` misses, by bisection of its logarithm."""
        low, high = _LEAST_LOG_P, 0.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.arm(math.exp(middle)) > apart else (low, middle)
        return math.exp(high)


def _over_usual(base: Rates, new: Rates) -> tuple[Samples, Samples]:
    """Logarithms (limits, samples) of both sides, over the middle of each limit's two medians: rates have all units."""
    assert list(base) == list(new), "the limits of both"
    before, after = (np.array([np.log(as_samples(taken)) for taken in side.values()]) for side in (base, new))
    usual = (np.median(before, axis=1, keepdims=True) + np.median(after, axis=1, keepdims=True)) / 2
    return before - usual, after - usual


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
