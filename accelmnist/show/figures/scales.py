"""Axes for quantities over many orders of magnitude: where they begin and end, which ticks they have, what is written.

Numbers on an axis have an SI prefix: "250 k", "1.5 M", "170 G". All ticks are chosen here,
none by a locator that would have to draw its labels first to see whether they fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from accelmnist.show.figures.layout import text_width

Which = Literal["x", "y"]

_PREFIXES = ("", "k", "M", "G", "T", "P", "E")
_LOG_FROM = 30.0  # largest over smallest: beyond, a linear axis presses the small ones together
_TICK_GAP = 18.0  # pixels between two names on a horizontal axis
_LINE_GAP = 44.0  # pixels from a name to the next on a vertical one


def tick_name(value: float) -> str:
    """A round number with its SI prefix: "250 k", "1.5 M", "0.25"."""
    power = math.floor(math.log10(value) / 3 + 1e-9) if value else 0
    power = min(max(power, 0), len(_PREFIXES) - 1)
    return f"{value / 1000**power:.3g} {_PREFIXES[power]}".rstrip()


def spans_decades(values: Sequence[float]) -> bool:
    """Whether positive `values` ask for a logarithmic axis: the largest is more than 30 times the smallest."""
    return max(values) > _LOG_FROM * min(values)


def scale_from_zero(axes: Axes, which: Which, highest: float, *, pixels: float, free: float = 0.0) -> None:
    """A linear axis from zero to a little above `highest`, and on for `free` pixels that have no ticks."""
    end = 1.04 * highest
    ticks = [tick for tick in MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]).tick_values(0.0, end) if 0 <= tick <= end]
    _set(axes, which, (0.0, end * pixels / (pixels - free)), ticks, pixels=pixels)


def scale_by_decades(
    axes: Axes,
    which: Which,
    lowest: float,
    highest: float,
    *,
    pixels: float,
    least: float = 4.0,
    free: float = 0.0,
) -> None:
    """A logarithmic axis from a little below `lowest` to a little above `highest`, a factor of `least` or more.

    It goes on for `free` pixels that have no ticks.
    """
    low, high = math.log10(lowest), math.log10(highest)
    margin = max(0.05 * (high - low), (math.log10(least) - (high - low)) / 2, 0.04)
    low, high = low - margin, high + margin
    room = pixels - free
    ticks = log_ticks((10**low, 10**high), pixels=room, apart=None if which == "x" else _LINE_GAP)
    _set_log(axes, which)
    _set(axes, which, (10**low, 10 ** (low + (high - low) * pixels / room)), ticks, pixels=pixels)


def scale_at(axes: Axes, sizes: Sequence[int], *, pixels: float) -> None:
    """A logarithmic horizontal axis with a tick at each of `sizes`, as far as their labels have room."""
    low, high = math.log10(min(sizes)), math.log10(max(sizes))
    margin = max(0.05 * (high - low), 0.1)
    _set_log(axes, "x")
    names = [f"{size:,}" for size in sizes]
    _set(axes, "x", (10 ** (low - margin), 10 ** (high + margin)), sizes, pixels=pixels, names=names)


def log_ticks(limits: tuple[float, float], *, pixels: float, apart: float | None = None) -> list[float]:
    """Round numbers within `limits`: 1, 2 and 5 times powers of ten, or fewer where those would come too close.

    Too close is less than `apart` pixels of all `pixels`, or, where that is None, so that their names would touch.
    """
    low, high = (math.log10(limit) for limit in limits)
    powers = range(math.floor(low), math.ceil(high) + 1)
    ticks: list[float] = []
    for digits, stride in (((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 3), ((1,), 6)):
        numbers = [digit * 10.0**power for power in powers if power % stride == 0 for digit in digits]
        ticks = [number for number in numbers if limits[0] <= number <= limits[1]]
        places = [pixels * (math.log10(tick) - low) / (high - low) for tick in ticks]
        if _have_room(places, [tick_name(tick) for tick in ticks], apart):
            break
    return ticks


def _have_room(places: Sequence[float], names: Sequence[str], apart: float | None) -> bool:
    widths = [text_width(name) if apart is None else 0.0 for name in names]
    least = _TICK_GAP if apart is None else apart
    neighbours = zip(pairwise(places), pairwise(widths), strict=True)
    return all(after - before >= (width + other) / 2 + least for (before, after), (width, other) in neighbours)


def _set_log(axes: Axes, which: Which) -> None:
    """Logarithmic, with no ticks of its own."""
    if which == "x":
        axes.set_xscale("log")
    else:
        axes.set_yscale("log")
    _axis(axes, which).set_minor_locator(NullLocator())


def _set(
    axes: Axes,
    which: Which,
    limits: tuple[float, float],
    ticks: Sequence[float],
    *,
    pixels: float,
    names: Sequence[str] | None = None,
) -> None:
    axis = _axis(axes, which)
    names = [tick_name(tick) for tick in ticks] if names is None else names
    if which == "x":
        axes.set_xlim(limits)
        names = _thinned(axes, limits, ticks, names, pixels)
    else:
        axes.set_ylim(limits)
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_major_formatter(FixedFormatter(list(names)))


def _axis(axes: Axes, which: Which) -> Axis:
    return axes.xaxis if which == "x" else axes.yaxis


def _thinned(
    axes: Axes, limits: tuple[float, float], ticks: Sequence[float], names: Sequence[str], pixels: float
) -> list[str]:
    """The names, those left out that would touch the one before."""
    is_log = axes.get_xscale() == "log"
    low, high, *places = [math.log10(value) if is_log else value for value in (*limits, *ticks)]
    kept, end = [], -math.inf
    for place, name in zip(places, names, strict=True):
        middle, half = pixels * (place - low) / (high - low), text_width(name) / 2
        fits = middle - half >= end
        kept.append(name if fits else "")
        end = middle + half + _TICK_GAP if fits else end
    return kept
