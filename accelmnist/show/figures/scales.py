"""Axes for quantities over many orders of magnitude: where they begin and end, which ticks they have, what is written.

Numbers on an axis have an SI prefix: "250 k", "1.5 M", "170 G". Ticks on a logarithmic axis are chosen here
from the room that it has, and fixed: matplotlib would measure every label to choose, and again while drawing.

An axis for accuracies is logarithmic in what is wrong. From 90 to 95 % half of the mistakes go, and from 98 to 99 %
again: on this scale both are one step, while a linear axis presses all good networks together. What is drawn is the
error rate; what is written at the ticks is the accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator

from accelmnist.show.figures.sheet import text_width

Which = Literal["x", "y"]
Steps = tuple[tuple[float, ...], ...]  # the digits that ticks may have, the closest first

_LOG_FROM = 30.0  # largest over smallest: beyond, a linear axis presses the small ones together
_TICK_GAP = 18.0  # pixels between two names on a horizontal axis
_APART = {"x": 80.0, "y": 44.0}  # pixels from a tick to the next: the width of "500 k" with a gap, or of a line
_STEPS: Steps = ((1, 2, 5), (1, 3), (1,))
_LEAST_ERROR = 1e-4  # a perfect score has a place too
_ERROR_STEPS: Steps = (
    (1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2, 2.2, 2.4, 2.6, 2.8, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9),
    (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 4, 5, 6, 8),
    (1, 1.5, 2, 3, 4, 5, 7),
    (1, 2, 3, 5),
    *_STEPS,
)


def tick_name(value: float) -> str:
    """A round number, with its SI prefix from 1,000 on: "0.25", "250 k", "1.5 M"."""
    return EngFormatter(sep=" ")(value) if value >= 1000 else f"{value:.3g}"


def spans_decades(values: Sequence[float]) -> bool:
    """Whether positive `values` ask for a logarithmic axis: the largest is more than 30 times the smallest."""
    return max(values) > _LOG_FROM * min(values)


def scale_across(axes: Axes, values: Sequence[float], *, pixels: float, label: str, free: float = 0.0) -> None:
    """A horizontal axis for `values`: from zero, or logarithmic if they span decades, which the label says.

    It goes on for `free` pixels that have no ticks.
    """
    if spans_decades(values):
        scale_by_decades(axes, "x", values, pixels=pixels, free=free)
        axes.set_xlabel(f"{label}, logarithmic")
    else:
        end = 1.04 * max(values)
        ticks = MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]).tick_values(0.0, end)
        axes.set_xlim(0.0, end * pixels / (pixels - free))
        _set_ticks(axes, "x", [float(tick) for tick in ticks if 0 <= tick <= end])
        axes.set_xlabel(label)


def scale_by_decades(
    axes: Axes, which: Which, values: Sequence[float], *, pixels: float, least: float = 4.0, free: float = 0.0
) -> None:
    """A logarithmic axis from a little below to a little above all `values`, a factor of `least` or more.

    It goes on for `free` pixels that have no ticks.
    """
    low, high = math.log10(min(values)), math.log10(max(values))
    margin = max(0.05 * (high - low), (math.log10(least) - (high - low)) / 2, 0.04)
    low, high = low - margin, high + margin
    used = pixels - free
    _set_logarithmic(axes, which, (10**low, 10 ** (low + (high - low) * pixels / used)))
    _set_ticks(axes, which, log_ticks(10**low, 10**high, pixels=used, apart=_APART[which]))


def scale_at(axes: Axes, sizes: Sequence[int], *, pixels: float) -> None:
    """A logarithmic horizontal axis with a tick at each of `sizes`, and a label as far as there is room."""
    low, high = math.log10(min(sizes)), math.log10(max(sizes))
    margin = max(0.05 * (high - low), 0.1)
    _set_logarithmic(axes, "x", (10 ** (low - margin), 10 ** (high + margin)))
    names, end = [], -math.inf
    for size in sizes:
        name = f"{size:,}"
        middle, half = pixels * (math.log10(size) - low + margin) / (high - low + 2 * margin), text_width(name) / 2
        has_room = middle - half >= end
        names.append(name if has_room else "")
        end = middle + half + _TICK_GAP if has_room else end
    _set_ticks(axes, "x", sizes, names)


def error_of(accuracy: float) -> float:
    """The error rate that is drawn for an accuracy."""
    return max(1 - accuracy, _LEAST_ERROR)


def scale_accuracy(axes: Axes, which: Which, errors: Sequence[float], *, pixels: float, apart: float) -> None:
    """An axis that holds all `errors`, the least at the top or the right; its ticks are `apart` pixels or more."""
    low, high = math.log10(min(errors)), math.log10(max(errors))
    margin = max(0.06 * (high - low), 0.02)
    worst, best = 10 ** (high + margin), 10 ** (low - margin)
    _set_logarithmic(axes, which, (worst, best))
    ticks = log_ticks(best, min(worst, 0.999), _ERROR_STEPS, pixels=pixels, apart=apart)
    _set_ticks(axes, which, ticks, [f"{100 * (1 - tick):.4g} %" for tick in ticks])


def log_ticks(low: float, high: float, steps: Steps = _STEPS, *, pixels: float, apart: float) -> list[float]:
    """Round numbers from `low` to `high` with digits of the first of `steps` that keeps them `apart` pixels or more.

    (`LogLocator` counts ticks instead of pixels, and goes over to linear ticks within one decade.)
    """
    decade = pixels / math.log10(high / low)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for stride, digits in (*((1, digits) for digits in steps), (2, (1.0,)), (3, (1.0,)), (6, (1.0,))):
        numbers = [digit * 10.0**power for power in powers if power % stride == 0 for digit in digits]
        ticks = [number for number in numbers if low <= number <= high]
        if all(decade * math.log10(after / before) >= apart for before, after in pairwise(ticks)):
            break
    return ticks


def _set_logarithmic(axes: Axes, which: Which, limits: tuple[float, float]) -> None:
    axes.set(**{f"{which}scale": "log", f"{which}lim": limits})
    (axes.xaxis if which == "x" else axes.yaxis).set_ticks([], minor=True)


def _set_ticks(axes: Axes, which: Which, ticks: Sequence[float], names: Sequence[str] | None = None) -> None:
    """These ticks and no others, called by `names` or by their own."""
    labels = [tick_name(tick) for tick in ticks] if names is None else names
    (axes.xaxis if which == "x" else axes.yaxis).set_ticks(ticks, labels)
