"""Looking inside the first layer: the weights of every neuron as a greyscale image.

A neuron of the first layer holds one weight for each of the 784 pixels, so its weights are a picture of what it looks
for: ink where the image is bright moves it up, ink where the image is dark moves it down. On its own scale a neuron's
smallest weight is 0 and its largest is 255, which shows the shape of every neuron but nothing of their sizes; on the
shared scale the smallest and the largest weight of all neurons are, which shows which learned much and which little.

A grey does not say which weights are above 0 and which below. The signed picture does: zero is white, positive weights
go over orange to brown, negative ones over light to dark blue, hues that stay apart for every common form of colour
blindness, and the same distance from zero is about as dark on either side.

Whether a weight image shows strokes or grey noise is its clarity, Moran's I over the pixels where there is ink: the
correlation of each pixel's weight with those of its neighbours above, below, left and right: 0 (to be exact
-1 / (n - 1)) for independent noise, towards 1 for smooth strokes, below 0 for a chequerboard. Source: Moran, "Notes on
continuous stochastic phenomena", Biometrika 37, 1950. Pixels at the border are inked in no training image. Their inputs
are always 0, so no gradient reaches their weights: they still show their first values, shrunk by weight decay. They
stay out of the clarity, and pictures leave them blank. Pixels with ink in a few images only are drawn, but stay out of
the clarity as well. NumPy alone: a saved run can be looked at without torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelmnist.analysis.neurons.methods import INK
from accelmnist.core.config import IMAGE_SIDE, INPUTS

MID_GREY = 128  # what a constant neuron shows: it has no scale of its own

_FULL = 0.99  # quantile of the weights' sizes from which on the signed picture has its full colour
_STOPS = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
_COLOURS = np.array([(8, 48, 107), (90, 158, 212), (255, 255, 255), (240, 150, 60), (110, 48, 6)], dtype=np.float64)

Weights = NDArray[np.floating[Any]]
Images = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def weight_images(weights: Weights, *, shared_scale: bool = False) -> Images:
    """The images, uint8 (n, 28, 28), of `weights`, float (n, 784), rounded to the nearest of 256 greys.

    A neuron whose weights are all alike is mid-grey, 128. Raises ValueError for another shape, a NaN or an infinity.
    """
    scaled = _checked(weights)
    axis = None if shared_scale else 1
    low = scaled.min(axis=axis, keepdims=True, initial=np.inf)
    extent = scaled.max(axis=axis, keepdims=True, initial=-np.inf) - low
    flat = extent <= 0
    share = (scaled - low) / np.where(flat, 1.0, extent)
    greys = np.where(flat, MID_GREY, np.rint(255.0 * share))
    return greys.astype(np.uint8).reshape(-1, IMAGE_SIDE, IMAGE_SIDE)


def signed_images(weights: Weights) -> Images:
    """The images in two hues, uint8 RGB (n, 28, 28, 3), of `weights`, float (n, 784), zero being white.

    Each is on its own scale: the full colour begins where the largest hundredth of its weights by size does, since
    a few pixels that are hardly ever inked would leave the rest pale. Raises ValueError as `weight_images` does.
    """
    scaled = _checked(weights)
    sizes = np.abs(scaled)
    full = np.quantile(sizes, _FULL, axis=1, keepdims=True) if len(scaled) else sizes[:, :1]
    full = np.where(full > 0, full, sizes.max(axis=1, keepdims=True, initial=0.0))
    return signed_colours(scaled / np.where(full > 0, full, 1.0)).reshape(-1, IMAGE_SIDE, IMAGE_SIDE, 3)


def signed_colours(values: NDArray[np.float64]) -> Images:
    """The colours, uint8 (..., 3), of `values` (...): -1 is the darkest blue, 0 white, 1 the darkest brown."""
    channels = [np.interp(values, _STOPS, _COLOURS[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def _checked(weights: Weights) -> NDArray[np.float64]:
    """The weights in double precision, where no difference of two float32 overflows; larger ones are scaled down."""
    if weights.ndim != 2 or weights.shape[1] != INPUTS:
        raise ValueError(f"weights have shape {weights.shape}, not (neurons, {INPUTS})")
    if not np.isfinite(weights).all():
        raise ValueError("weights hold a NaN or an infinity: there is no image of them")
    wide = weights.astype(np.float64)
    largest = np.abs(wide).max(initial=1.0)
    return wide / largest if largest > 1e300 else wide


# --- clarity


def inked_share(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Share of `images`, uint8 (n, 784), in which each pixel holds any ink: (28, 28)."""
    counts = np.zeros(images.shape[1], dtype=np.int64)
    for part in np.array_split(images, max(1, len(images) // 8192)):  # small parts: no copy as large as the set
        counts += np.count_nonzero(part, axis=0)
    return counts.reshape(IMAGE_SIDE, IMAGE_SIDE) / max(len(images), 1)


def ink_area(share: NDArray[np.float64]) -> Mask:
    """The pixels that clarity looks at, (28, 28), from `inked_share`."""
    return share >= INK.value


def morans_i(weights: Weights, area: Mask) -> NDArray[np.float64]:
    """Moran's I of each row of `weights` (n, 784) within `area` (28, 28); NaN for a row that is constant there."""
    pictures = weights.astype(np.float64).reshape(-1, IMAGE_SIDE, IMAGE_SIDE)
    inside = pictures[:, area]
    apart = np.where(area, pictures - inside.mean(axis=1)[:, None, None], 0.0)
    variance = np.square(apart).sum(axis=(1, 2)) / area.sum()
    down, across = area[1:] & area[:-1], area[:, 1:] & area[:, :-1]
    products = (apart[:, 1:] * apart[:, :-1] * down).sum(axis=(1, 2))
    products += (apart[:, :, 1:] * apart[:, :, :-1] * across).sum(axis=(1, 2))
    tiny = np.square(inside).max(axis=1, initial=0.0) * 1e-12
    pairs = down.sum() + across.sum()
    return np.where(variance > tiny, products / pairs / np.where(variance > tiny, variance, 1.0), np.nan)
