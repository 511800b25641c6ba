"""An image of the data set in the terminal.

A character cell is about twice as high as wide, so one cell shows two pixels, one above the other: the half block `▀`
in the upper pixel's grey on the lower one's. Without colours the mean of the two picks one of five blocks of rising
density, and one of ten ASCII characters if the output's encoding has no blocks. 28 × 28 pixels take 28 columns and
14 lines.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style

from accelmnist.core.config import IMAGE_SIDE

_BLOCKS = " ░▒▓█"
_ASCII = " .:-=+*#%@"


class Digit:
    """A renderable of one greyscale image, uint8 with 784 pixels, bright on black as in the data."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self._pixels = image.reshape(IMAGE_SIDE, IMAGE_SIDE)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        plain = console.no_color or console.color_system is None
        for upper, lower in zip(self._pixels[::2], self._pixels[1::2], strict=True):
            if plain:
                yield from _shades(upper, lower, _ASCII if options.ascii_only else _BLOCKS)
            else:
                yield from _half_blocks(upper, lower)
            yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Called by rich: the width never changes."""
        return Measurement(IMAGE_SIDE, IMAGE_SIDE)


def _half_blocks(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> list[Segment]:
    return [
        Segment("▀", Style(color=_grey(int(above)), bgcolor=_grey(int(below))))
        for above, below in zip(upper, lower, strict=True)
    ]


def _grey(level: int) -> Color:
    return Color.from_rgb(level, level, level)


def _shades(upper: NDArray[np.uint8], lower: NDArray[np.uint8], ramp: str) -> list[Segment]:
    means = (upper.astype(int) + lower) / 510
    return [Segment("".join(ramp[round(mean * (len(ramp) - 1))] for mean in means))]
