"""What stands along the axes of a chart and beside its points: ticks, their numbers, and labels that keep clear.

Axes are for quantities over many orders of magnitude. Their numbers have an SI prefix: "250 k", "1.5 M", "170 G". Ticks
on a logarithmic axis are chosen here from the room that it has, and fixed: matplotlib would measure every label to
choose, and again while drawing. An axis for accuracies is logarithmic in what is wrong. From 90 to 95 % half of the
mistakes go, and from 98 to 99 % again: on this scale both are one step, while a linear axis presses all good networks
together. What is drawn is the error rate; what is written at the ticks is the accuracy.

Labels are exact about the one thing that counts, that no two touch, and simple about the rest. Along a side the
positions are those closest to the wanted ones by least squares, found by isotonic regression (Barlow, Bartholomew,
Bremner and Brunk, "Statistical Inference under Order Restrictions", 1972; SciPy's takes a second to import). Around
the points each label takes the first free position of rings that grow outwards; matplotlib's `annotate` draws it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from accelmnist.show.figures.sheet import DPI, INK, SOFT_INK, TEXT_SIZE, Points, text_width

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

CLEAR = 9.0  # pixels around a point that stay free of labels
_ANGLES = 16
_RINGS = (1.0, 1.7, 2.6, 3.6, 4.8, 6.2, 8.0, 10.0, 13.0)

Floats = NDArray[np.float64]


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
        shown = [float(tick) for tick in ticks if 0 <= tick <= end]
        axes.set_xticks(shown, [*map(tick_name, shown)])
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
    ticks = log_ticks(10**low, 10**high, pixels=used, apart=_APART[which])
    end = low + (high - low) * pixels / used
    _set_logarithmic(axes, which, (10**low, 10**end), ticks, [*map(tick_name, ticks)])


def scale_at(axes: Axes, sizes: Sequence[int], *, pixels: float) -> None:
    """A logarithmic horizontal axis with a tick at each of `sizes`, and a label as far as there is room."""
    low, high = math.log10(min(sizes)), math.log10(max(sizes))
    margin = max(0.05 * (high - low), 0.1)
    names, end = [], -math.inf
    for size in sizes:
        name = f"{size:,}"
        middle, half = pixels * (math.log10(size) - low + margin) / (high - low + 2 * margin), text_width(name) / 2
        has_room = middle - half >= end
        names.append(name if has_room else "")
        end = middle + half + _TICK_GAP if has_room else end
    _set_logarithmic(axes, "x", (10 ** (low - margin), 10 ** (high + margin)), sizes, names)


def error_of(accuracy: float) -> float:
    """The error rate that is drawn for an accuracy."""
    return max(1 - accuracy, _LEAST_ERROR)


def scale_accuracy(axes: Axes, which: Which, errors: Sequence[float], *, pixels: float, apart: float) -> None:
    """An axis that holds all `errors`, the least at the top or the right; its ticks are `apart` pixels or more."""
    low, high = math.log10(min(errors)), math.log10(max(errors))
    margin = max(0.06 * (high - low), 0.02)
    worst, best = 10 ** (high + margin), 10 ** (low - margin)
    ticks = log_ticks(best, min(worst, 0.999), _ERROR_STEPS, pixels=pixels, apart=apart)
    _set_logarithmic(axes, which, (worst, best), ticks, [f"{100 * (1 - tick):.4g} %" for tick in ticks])


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


def _set_logarithmic(
    axes: Axes, which: Which, limits: tuple[float, float], ticks: Sequence[float], names: Sequence[str]
) -> None:
    """These ticks, called by `names`, and no others."""
    axes.set(**{f"{which}scale": "log", f"{which}lim": limits})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks([], minor=True)
    axis.set_ticks(ticks, names)


# --- labels


def spread(wanted: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Positions from `low` to `high`, `gap` or more apart, in the order of `wanted` and as close to it as can be.

    If they don't fit between the ends, they go on beyond `high`.
    """
    order = np.argsort(wanted, kind="stable")
    offsets = gap * np.arange(len(wanted))
    rising = _isotonic(np.asarray(wanted)[order] - offsets)
    positions = np.empty(len(wanted))
    positions[order] = np.clip(rising, low, max(low, high - gap * (len(wanted) - 1))) + offsets
    return [float(position) for position in positions]


def _isotonic(values: Floats) -> list[float]:
    """The numbers closest to `values` that never fall, by the formula of the largest of the smallest means."""
    count, sums = len(values), np.concatenate(((0.0,), np.cumsum(values)))
    means = {(i, j): (sums[j] - sums[i]) / (j - i) for i in range(count) for j in range(i + 1, count + 1)}
    return [
        max(min(means[first, last] for last in range(index + 1, count + 1)) for first in range(index + 1))
        for index in range(count)
    ]


def box_around(point: Iterable[float], width: float, height: float) -> Bbox:
    """The box of this size with its middle at `point`, (across, up)."""
    across, up = point
    return Bbox.from_bounds(across - width / 2, up - height / 2, width, height)


def place_around(points: Points, sizes: Points, *, within: Bbox, obstacles: Sequence[Bbox] = ()) -> list[Bbox | None]:
    """A box of each of `sizes` near its point, over no other box, obstacle or point; None if there is no room."""
    clear = [box_around(point, 2 * CLEAR, 2 * CLEAR) for point in points]
    taken = np.array([box.get_points() for box in (*obstacles, *clear)])
    placed: list[Bbox | None] = []
    for point, size in zip(points, sizes, strict=True):
        boxes = _boxes_around(np.array(point), np.array(size))
        is_inside = ((within.min <= boxes[:, 0]) & (boxes[:, 1] <= within.max)).all(axis=1)
        meets = (boxes[:, None, 0] < taken[:, 1]) & (taken[:, 0] < boxes[:, None, 1])
        free = boxes[is_inside & ~np.any(np.all(meets, axis=2), axis=1)]
        placed.append(Bbox(free[0]) if len(free) else None)
        taken = np.concatenate((taken, free[:1]))
    return placed


def _boxes_around(point: Floats, size: Floats) -> Floats:
    """Lower left and upper right corners, (n, 2, 2), of boxes around `point`, the nearest ring first."""
    steps = np.arange(_ANGLES)
    angles = math.pi / 2 + (steps + 1) // 2 * (-1.0) ** steps * 2 * math.pi / _ANGLES  # straight up first
    directions = np.stack((np.cos(angles), np.sin(angles)), axis=1) * (CLEAR + size / 2)
    middles = point + (np.array(_RINGS)[:, None, None] * directions).reshape(-1, 2)
    return np.stack((middles - size / 2, middles + size / 2), axis=1)


def label_points(
    axes: Axes, points: Points, names: Sequence[str], *, size: float = TEXT_SIZE, obstacles: Sequence[Bbox] = ()
) -> None:
    """Write each name at the nearest free position to its point, with a thin line if that isn't beside it.

    `points` are in the axes' coordinates, `obstacles` in pixels of the figure. A name without room is left out.
    """
    pixels = [(float(across), float(up)) for across, up in axes.transData.transform(points)]
    sizes = [(text_width(name, size=size) + 5, 2.4 * size) for name in names]
    boxes = place_around(pixels, sizes, within=axes.bbox, obstacles=obstacles)
    halo = [effects.withStroke(linewidth=2.5, foreground="white")]
    for name, point, (across, up), box in zip(names, points, pixels, boxes, strict=True):
        if box is not None:
            offset = np.mean(box.get_points(), axis=0) - (across, up)
            is_far = (np.abs(offset) > CLEAR + 1 + np.array(box.size) / 2).any()
            axes.annotate(
                name,
                point,
                tuple(offset * 72 / DPI),
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": SOFT_INK, "linewidth": 0.6} if is_far else None,
                ha="center",
                va="center_baseline",
                size=size,
                color=INK,
                path_effects=halo,
            )
