"""What a machine's parts do between two records, told by things that did not change: its limits.

A machine that is slower today is not slower in everything alike: beside a busy neighbour, small operations that live
in the caches lose more than large products, and a copy less. So no single rate divides the difference out. But both
records measured the same limits, which are the same code whatever program is under test: they are controls. Their mean
is the speed of the machine by which a case is divided, and how far they moved apart from it is how far a case may move
by itself. A difference counts only where it stands out from the controls.

A case is one more draw from what the K controls were drawn from, so its error is that of a further observation, their
standard deviation times sqrt(1 + 1 / K), with K - 1 degrees of freedom. It adds in squares to the error of the samples
(Welch and Satterthwaite's degrees of freedom for the sum). The idea of controls that can't have changed is that of
Lipsitch, Tchetgen and Cohen, "Negative controls" (2010), and of Schuemie et al., "Interpreting observational studies:
why empirical calibration is needed to correct p-values" (2014).
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
_ARM = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)  # of the samples' interval, in standard errors
Rates = Mapping[str, Sequence[float]]


def machine_speeds(rates: Rates) -> tuple[float, ...]:
    """The speed of the machine beside each sample: the geometric mean of all limits, a number for each."""
    return tuple(np.exp(_logarithms(rates).mean(axis=0)).tolist())


def spread_of_controls(base: Rates, new: Rates) -> float | None:
    """The standard deviation of what the limits' logarithms did from base to new, beyond what all of them did.

    Both hold the same limits, in the same order. None with fewer than FEWEST_CONTROLS.
    """
    assert list(base) == list(new), "the limits of both"
    if len(base) < FEWEST_CONTROLS:
        return None
    before, after = (_about_the_mean(_logarithms(side)) for side in (base, new))
    return float((after - before).std(ddof=1))


def against_controls(found: Comparison, spread: float, controls: int, *, threshold: float) -> Comparison:
    """`found`, with an interval, a p-value and a verdict that take as much for the machine's as the controls did."""
    if spread == 0.0:
        return found
    apart, arms = math.log(found.ratio), (math.log(found.ratio / found.low), math.log(found.high / found.ratio))
    own = spread * math.sqrt(1 + 1 / controls)
    errors = [_Error.added(own, controls - 1, arm / _ARM) for arm in arms]
    low, high = apart - errors[0].arm, apart + errors[1].arm
    p_value = max(found.p_value, errors[apart < 0].chance_of(apart))
    return replace(
        found,
        low=math.exp(low),
        high=math.exp(high),
        p_value=p_value,
        verdict=verdict_of(apart, low, high, p_value, threshold),
    )


@dataclass(frozen=True)
class _Error:
    """A standard error and its degrees of freedom."""

    size: float
    freedom: float

    @classmethod
    def added(cls, own: float, freedom: int, of_samples: float) -> _Error:
        """The machine's own error, known by few controls, and that of the samples."""
        size = math.hypot(own, of_samples)
        return cls(size, freedom * (size / own) ** 4)

    @property
    def arm(self) -> float:
        """From the estimate to the end of its interval."""
        from scipy.special import stdtrit  # here: a comparison without limits does without it

        return self.size * float(stdtrit(self.freedom, (1 + CONFIDENCE) / 2))

    def chance_of(self, apart: float) -> float:
        """The two-sided p-value of being so far from nothing."""
        from scipy.special import stdtr

        return 2 * float(stdtr(self.freedom, -abs(apart) / self.size))


def _logarithms(rates: Rates) -> Samples:
    """Of all limits (limits, samples)."""
    logs: Samples = np.array([np.log(as_samples(samples)) for samples in rates.values()])
    return logs


def _about_the_mean(logs: Samples) -> Samples:
    """The median of each limit over the samples, relative to the mean of all limits beside the same sample."""
    relative: Samples = np.median(logs - logs.mean(axis=0), axis=1)
    return relative
