"""Figures of a benchmark as text: each with its interval, and none that claims more than was measured.

A "±" is the longer arm of the 95 % interval as a share of the figure.
"""

from __future__ import annotations

import math

from accelmnist.measure.record import CaseResult, Target
from accelmnist.measure.statistics.comparison import Comparison
from accelmnist.measure.statistics.summary import Summary, relative_half_width
from accelmnist.show.units import significant, spread

INFINITE = "∞"


def width_text(summary: Summary) -> str:
    """The interval's longer arm: "±0.8 %"; too few samples have none."""
    width = relative_half_width(summary)
    return spread(width) if math.isfinite(width) else "too few"


def speed_text(speed: Summary | None) -> str:
    """Images a second with their interval: "141,640 ±0.8 %", the second as wide in every row."""
    if speed is None:
        return ""
    return f"{speed.median:,.0f} {width_text(speed):>6}"


def ratio_text(over: Comparison) -> str:
    """A ratio with its interval: "1.75 ±0.5 %"."""
    return f"{significant(over.ratio)} {spread(arm_of(over)):>6}"


def arm_of(over: Comparison) -> float:
    """The longer arm of a ratio's interval, as a share of it."""
    return max(over.high / over.ratio - 1, 1 - over.low / over.ratio)


def share_text(share: float | None) -> str:
    """A share to two significant digits: "83 %", "0.63 %"."""
    return "" if share is None else f"{significant(100 * share, 2)} %"


def target_text(target: Target) -> str:
    """The median and its interval in seconds: "3.96 s (3.77 to 4.35)", and "∞ (2.35 to ∞)" if most seeds missed."""
    if target.median_s is None:
        low, high = (INFINITE if end is None else significant(end) for end in (target.low_s, target.high_s))
        return f"{INFINITE} ({low} to {high})"
    middle = significant(target.median_s)
    decimals = len(middle.partition(".")[2])
    low, high = (INFINITE if end is None else f"{end:,.{decimals}f}" for end in (target.low_s, target.high_s))
    return f"{middle} s ({low} to {high})"


def reached_text(result: CaseResult) -> str:
    """How many seeds reached the target: "9 of 10"."""
    times = result.time_to_accuracy
    return "" if times is None else f"{times.reached} of {len(times.epochs)}"


def has_median(result: CaseResult) -> bool:
    """Whether at least half of the seeds reached the target."""
    return result.time_to_accuracy is not None and result.time_to_accuracy.with_compile.median_s is not None
