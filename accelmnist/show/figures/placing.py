"""Labels that keep clear of each other: along a side of a chart, and around the points within it.

Both are exact about the one thing that counts, that no two labels touch, and simple about the rest. Along a side the
places are those closest to the wanted ones by least squares, found by pooling neighbours that come too close (isotonic
regression; Barlow, Bartholomew, Bremner and Brunk, "Statistical Inference under Order Restrictions", 1972). Around the
points each label takes the first free place of rings that grow outwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_ANGLES = 16
_RINGS = (1.0, 1.7, 2.6, 3.6, 4.8, 6.2, 8.0, 10.0, 13.0)


def spread(wanted: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Places from `low` to `high`, `gap` or more apart, in the order of `wanted` and as close to it as can be.

    Where they don't fit between the ends, they go on beyond `high`.
    """
    order = np.argsort(wanted, kind="stable")
    offsets = gap * np.arange(len(wanted))
    shifted = _rising([wanted[place] for place in order] - offsets)
    placed = np.clip(shifted, low, max(low, high - gap * (len(wanted) - 1))) + offsets
    result = np.empty(len(wanted))
    result[order] = placed
    return [float(place) for place in result]


def _rising(values: np.typing.NDArray[np.float64]) -> np.typing.NDArray[np.float64]:
    """The numbers closest to `values` that never fall."""
    pools: list[tuple[float, int]] = []
    for value in values:
        pools.append((float(value), 1))
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            (mean, count), (other, more) = pools[-2:]
            pools[-2:] = [((mean * count + other * more) / (count + more), count + more)]
    return np.array([mean for mean, count in pools for _ in range(count)])


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, from the top left."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def around(cls, across: float, down: float, width: float, height: float) -> Box:
        """The one of this size with its middle at (across, down)."""
        return cls(across - width / 2, down - height / 2, across + width / 2, down + height / 2)

    @property
    def middle(self) -> tuple[float, float]:
        """Across and down."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def meets(self, other: Box) -> bool:
        """Whether they overlap."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def holds(self, other: Box) -> bool:
        """Whether `other` lies within."""
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )


def place_around(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    *,
    within: Box,
    clear: float,
    obstacles: Sequence[Box] = (),
) -> list[Box]:
    """A box of each of `sizes` near its point, none over another, over one of `obstacles` or `clear` of a point."""
    taken = [*obstacles, *(Box.around(*point, 2 * clear, 2 * clear) for point in points)]
    placed = []
    for point, size in zip(points, sizes, strict=True):
        candidates = [box for box in _around(point, size, clear) if within.holds(box)]
        free = (box for box in candidates if not any(box.meets(other) for other in taken))
        box = next(free, None) or Box.around(*point, *size)
        placed.append(box)
        taken.append(box)
    return placed


def _around(point: tuple[float, float], size: tuple[float, float], clear: float) -> list[Box]:
    """Boxes around `point` from the nearest ring outwards, the first of each at the upper right."""
    width, height = size
    boxes = []
    for ring in _RINGS:
        for step in range(_ANGLES):
            angle = math.pi / 4 + (step // 2 + 1) * (-1) ** step * 2 * math.pi / _ANGLES if step else math.pi / 4
            across = point[0] + ring * (clear + width / 2) * math.cos(angle)
            down = point[1] - ring * (clear + height / 2) * math.sin(angle)
            boxes.append(Box.around(across, down, width, height))
    return boxes
