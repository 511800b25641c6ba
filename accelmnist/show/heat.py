"""The colours of a confusion matrix, shared by the figure and the console.

On a good network the diagonal holds a hundred times more than any other cell, so one colour scale for both shows a
diagonal and nothing else. Here the diagonal has one quiet colour of its own, and the errors are coloured by their share
of the actual class's images on a logarithmic scale, 0.1 % to 10 %: a class with few images is judged as strictly as one
with many.

The ramp is one hue of steadily falling lightness, after C. Brewer's sequential schemes (colorbrewer2.org): the order
of two cells survives a greyscale print and every common form of colour blindness. Ink on a colour is whichever of dark
and light has the higher contrast, by the relative luminance of WCAG 2.1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RGB = tuple[int, int, int]

LOW_SHARE, HIGH_SHARE = 0.001, 0.1

DIAGONAL: RGB = (214, 226, 240)
EMPTY: RGB = (255, 255, 255)
DARK_INK: RGB = (24, 28, 36)
LIGHT_INK: RGB = (255, 255, 255)
FAINT_INK: RGB = (150, 150, 150)  # on white, for what is nothing

_RAMP = np.array([(255, 241, 224), (253, 208, 162), (253, 141, 60), (217, 72, 1), (127, 39, 4)], dtype=np.float64)


def error_shares(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each cell as a share of its column, that is of the actual class; 0 on the diagonal and in an empty column."""
    shares: NDArray[np.float64] = confusion / np.maximum(confusion.sum(axis=0, keepdims=True), 1)
    np.fill_diagonal(shares, 0.0)
    return shares


def heat(share: float) -> float:
    """The position of a share on the logarithmic scale: 0 at 0.1 % or less, 1 at 10 % or more."""
    position = np.log(max(share, LOW_SHARE) / LOW_SHARE) / np.log(HIGH_SHARE / LOW_SHARE)
    return float(min(position, 1.0))


def ramp_colour(position: float) -> RGB:
    """The colour at `position`, 0 to 1, between the stops of the ramp."""
    stops = np.linspace(0.0, 1.0, len(_RAMP))
    red, green, blue = (round(float(np.interp(position, stops, channel))) for channel in _RAMP.T)
    return red, green, blue


def cell_colours(confusion: NDArray[np.int64]) -> list[list[RGB]]:
    """The background of every cell of the matrix (rows predicted, columns actual)."""
    shares = error_shares(confusion)
    colours = [[ramp_colour(heat(share)) if share > 0 else EMPTY for share in row] for row in shares]
    for label in range(len(colours)):
        colours[label][label] = DIAGONAL
    return colours


def ink_on(background: RGB) -> RGB:
    """Dark or light ink, whichever is the more readable on `background`."""
    ground, light, dark = (_luminance(colour) + 0.05 for colour in (background, LIGHT_INK, DARK_INK))
    return LIGHT_INK if light / ground > ground / dark else DARK_INK


def hex_colour(colour: RGB) -> str:
    """`#rrggbb`, which both matplotlib and rich read."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _luminance(colour: RGB) -> float:
    share = np.array(colour) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))
