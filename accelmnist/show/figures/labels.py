"""Labels that keep clear of each other: along a side of a chart, and around the points within it.

Both are exact about the one thing that counts, that no two labels touch, and simple about the rest. Along a side the
positions are those closest to the wanted ones by least squares, found by isotonic regression (Barlow, Bartholomew,
Bremner and Brunk, "Statistical Inference under Order Restrictions", 1972; SciPy's takes a second to import). Around
the points each label takes the first free position of rings that grow outwards; matplotlib's `annotate` draws it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from accelmnist.show.figures.sheet import DPI, INK, SOFT_INK, TEXT_SIZE, Points, text_width

CLEAR = 9.0  # pixels around a point that stay free of labels
_ANGLES = 16
_RINGS = (1.0, 1.7, 2.6, 3.6, 4.8, 6.2, 8.0, 10.0, 13.0)

Floats = NDArray[np.float64]


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
