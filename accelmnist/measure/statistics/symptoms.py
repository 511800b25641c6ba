"""What makes a figure doubtful: each symptom is a code and a hint that says what was seen and what to do.

A symptom has to be both rare on a quiet machine (measured on clean jitter of 1 and 3 %: at most 2 % false alarms each)
and large enough to move a comparison (2 %): a drift of a thousandth can be significant and harms nobody.

    too few         fewer samples than a 95 % interval of the median takes (Thompson 1936)
    unstable        the interquartile range is above 10 % of the median (the limit of torch.utils.benchmark)
    slow first      the first sample alone lies below the far fence of the others, their first quartile minus three
                    interquartile ranges (Tukey, "Exploratory Data Analysis", 1977)
    drifting        a trend over the rounds by Mann and Kendall's test (Mann, "Nonparametric tests against trend",
                    1945), and Sen's slope (1968) over all rounds is 2 % of the median or more
    bimodal         two groups, each of a fifth of the samples or more, that lie apart by Ashman's D (Ashman, Bird and
                    Zepf, "Detecting bimodality in astronomical datasets", 1994). Stalls are rarer than a fifth. The
                    limit is that of uniform noise, which of all noise with a single mode looks most like two
    machine busy    other processes used more than 5 % of the processors' time, on average over the rounds: what they
                    take is missing here, and 5 % is the difference that a comparison must be able to find
    GPU throttled   the driver reported throttling in any round: it is no estimate, so there is no tolerance

Samples are speeds (higher is better) in the order of the rounds. False alarms and hits are in `results/statistics.md`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from accelmnist.measure.statistics.summary import Samples, as_samples, minimum_samples, thinned

Code = Literal["too few", "unstable", "slow first", "drifting", "bimodal", "machine busy", "GPU throttled"]

_NOTABLE = 0.02  # the relative difference below which nothing is worth a warning
_UNSTABLE_SPREAD = 0.10
_TREND_SIGNIFICANCE = 0.01
_FAR_FENCE = 3.0
_SMALLEST_GROUP = 0.2
_FEWEST_FOR_GROUPS = 10
_BUSY_SHARE = 0.05
_ROUNDING = 1e-9  # the relative spread of a group that has none


@dataclass(frozen=True)
class Symptom:
    """A reason to doubt a figure: `code` names it, `hint` says what was seen and what to do about it."""

    code: Code
    hint: str


@dataclass(frozen=True)
class RoundLoad:
    """What else went on in a round; None if it can't be known.

    `other_cpu` is the share of all processors' time that others used, `throttled` whether the driver said that it held
    the clock of any GPU in use down for heat or power. `steal` is the part of `other_cpu` that a hypervisor gave to
    others; by device, `clocks` are shares of the maximum, and `held` names what held a clock or threads back.
    """

    other_cpu: float | None
    throttled: bool | None
    steal: float | None = None
    clocks: dict[str, float] = field(default_factory=dict)
    held: dict[str, tuple[str, ...]] = field(default_factory=dict)


def find_symptoms(samples: Sequence[float], *, load: Sequence[RoundLoad] = ()) -> tuple[Symptom, ...]:
    """Every symptom of speeds in the order they were taken, and of the machine's `load` meanwhile, round by round."""
    speeds = thinned(as_samples(samples))
    symptoms = [_too_few(speeds)] if speeds.size < minimum_samples() else [rule(speeds) for rule in _RULES]
    return tuple(filter(None, [*symptoms, _machine_busy(load), _gpu_throttled(load)]))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _too_few(speeds: Samples) -> Symptom | None:
    need = minimum_samples()
    return Symptom("too few", f"{speeds.size} of the {need} samples that an interval takes: allow it more time")


def _unstable(speeds: Samples) -> Symptom | None:
    q1, median, q3 = np.quantile(speeds, [0.25, 0.5, 0.75]).tolist()
    spread = (q3 - q1) / median
    if spread <= _UNSTABLE_SPREAD:
        return None
    return Symptom(
        "unstable", f"half of the samples lie {_percent(spread)} apart: close other programs, take longer regions"
    )


def _slow_first(speeds: Samples) -> Symptom | None:
    first, rest = speeds[0], speeds[1:]
    q1, median, q3 = np.quantile(rest, [0.25, 0.5, 0.75]).tolist()
    fence = min(q1 - _FAR_FENCE * (q3 - q1), median * (1 - _NOTABLE))
    # Where others are as slow, it is the machine that stalls, and the first was unlucky.
    if first >= fence or rest.min() < fence:
        return None
    return Symptom(
        "slow first", f"the first sample is {_percent(1 - first / median)} slower than the rest: warm up longer"
    )


def _drifting(speeds: Samples) -> Symptom | None:
    total = _sen_slope(speeds) * (speeds.size - 1) / float(np.median(speeds))
    if abs(total) < _NOTABLE or trend_p_value(speeds) >= _TREND_SIGNIFICANCE:
        return None
    course = "faster" if total > 0 else "slower"
    remedy = "compare within the rounds, where it cancels, and let the machine reach its temperature first"
    return Symptom("drifting", f"it got {_percent(abs(total))} {course} from the first round to the last: {remedy}")


def _bimodal(speeds: Samples) -> Symptom | None:
    if speeds.size < _FEWEST_FOR_GROUPS:
        return None
    separation, distance, share = _best_split(np.sort(speeds))
    if separation <= _separation_limit(speeds.size) or distance < _NOTABLE:
        return None
    seen = f"{_percent(share)} of the samples are a group {_percent(distance)} slower than the others"
    return Symptom("bimodal", f"{seen}: fix the clock frequency, pin the threads, or run with --processes")


def _machine_busy(load: Sequence[RoundLoad]) -> Symptom | None:
    shares = [round_.other_cpu for round_ in load if round_.other_cpu is not None]
    share = float(np.mean(shares)) if shares else 0.0
    if share <= _BUSY_SHARE:
        return None
    seen = f"other processes used {_percent(share)} of the processors"
    return Symptom("machine busy", f"{seen}: stop them and measure again")


def _gpu_throttled(load: Sequence[RoundLoad]) -> Symptom | None:
    rounds = sum(round_.throttled is True for round_ in load)
    if not rounds:
        return None
    seen = f"the GPU's clock was held down in {rounds} of {len(load)} rounds"
    return Symptom("GPU throttled", f"{seen}: look after its cooling or its power limit")


_RULES = (_unstable, _slow_first, _drifting, _bimodal)


def trend_p_value(samples: Samples) -> float:
    """Two-sided p-value of Mann and Kendall's test: does the order of the samples say anything about their size?

    Normal approximation with the continuity correction; ties make it cautious.
    """
    later, earlier = np.tril_indices(samples.size, -1)
    score = float(np.sign(samples[later] - samples[earlier]).sum())
    variance = samples.size * (samples.size - 1) * (2 * samples.size + 5) / 18
    return math.erfc(max(abs(score) - 1, 0) / math.sqrt(2 * variance))


def _sen_slope(samples: Samples) -> float:
    """The median of the slopes between all pairs of samples, a round."""
    later, earlier = np.tril_indices(samples.size, -1)
    return float(np.median((samples[later] - samples[earlier]) / (later - earlier)))


def _best_split(ordered: Samples) -> tuple[float, float, float]:
    """The largest Ashman's D over all ways to cut the sorted samples in two groups of a fifth or more.

    With it come the distance of the groups' means as a share of the median, and the lower group's share.
    """
    smallest = math.ceil(_SMALLEST_GROUP * ordered.size)
    cuts = np.arange(smallest, ordered.size - smallest + 1)
    lower_mean, lower_variance = _moments(ordered)
    upper_mean, upper_variance = (moment[::-1] for moment in _moments(ordered[::-1]))
    distances = upper_mean[cuts] - lower_mean[cuts - 1]
    spreads = np.sqrt((lower_variance[cuts - 1] + upper_variance[cuts]) / 2)
    median = float(np.median(ordered))
    separations = distances / np.maximum(spreads, _ROUNDING * median)
    best = int(separations.argmax())
    return float(separations[best]), float(distances[best] / median), float(cuts[best] / ordered.size)


def _moments(samples: Samples) -> tuple[Samples, Samples]:
    """Mean and unbiased variance of the first one, two, three ... samples; taken about their middle, for precision."""
    middle = np.median(samples)
    count = np.arange(1, samples.size + 1)
    mean = np.cumsum(samples - middle) / count
    squares = np.cumsum((samples - middle) ** 2)
    variance: Samples = np.maximum(squares - count * mean**2, 0) / np.maximum(count - 1, 1)
    return middle + mean, variance


def _separation_limit(count: int) -> float:
    """What 99 % of uniform samples stay below: 2 sqrt(3) for a uniform density, more for few samples.

    The second term was fitted to simulations with 10 to 60 samples; two separate normal densities count from D = 2.
    """
    return 2 * math.sqrt(3) + 23.5 / math.pow(count, 0.75)
