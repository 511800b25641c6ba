"""An axis for accuracies between "half are wrong" and "one in a hundred is": logarithmic in what is wrong.

From 90 to 95 % half of the mistakes go, and from 98 to 99 % again: on this scale both are one step, while a linear axis
presses all good networks together. What is drawn is the error rate; what is written at the ticks is the accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from accelmnist.show.figures.scales import Which

_LEAST_ERROR = 1e-4  # a perfect score has a place too
_STEPS: tuple[tuple[float, ...], ...] = (
    (1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2, 2.2, 2.4, 2.6, 2.8, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9),
    (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 4, 5, 6, 8),
    (1, 1.5, 2, 3, 4, 5, 7),
    (1, 2, 3, 5),
    (1, 2, 5),
    (1, 3),
    (1,),
)


def error_of(accuracy: float) -> float:
    """What is drawn of an accuracy."""
    return max(1 - accuracy, _LEAST_ERROR)


def scale_accuracy(axes: Axes, which: Which, accuracies: Sequence[float], *, pixels: float, apart: float) -> None:
    """An axis that holds all `accuracies`, the best at the top or the right; ticks `apart` pixels or more."""
    errors = [error_of(accuracy) for accuracy in accuracies]
    low, high = math.log10(min(errors)), math.log10(max(errors))
    margin = max(0.06 * (high - low), 0.02)
    limits = (10 ** (high + margin), 10 ** (low - margin))
    ticks = _ticks(limits, pixels, apart)
    if which == "x":
        axes.set_xscale("log")
        axes.set_xlim(limits)
    else:
        axes.set_yscale("log")
        axes.set_ylim(limits)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_minor_locator(NullLocator())
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter([f"{100 * (1 - tick):.4g} %" for tick in ticks]))


def _ticks(limits: tuple[float, float], pixels: float, apart: float) -> list[float]:
    """Round error rates within `limits`, as many as have room."""
    high, low = limits
    span = math.log10(high / low)
    ticks: list[float] = []
    for steps in _STEPS:
        ticks = [step * 10.0**power for power in range(-5, 1) for step in steps if low <= step * 10.0**power <= high]
        ticks = [tick for tick in ticks if tick < 1]
        if all(pixels * math.log10(after / before) / span >= apart for before, after in pairwise(ticks)):
            break
    return ticks
