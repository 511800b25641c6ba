"""Looking inside the first layer: the weights of every neuron as a greyscale image.

A neuron of the first layer holds one weight for each of the 784 pixels, so its weights are a picture of what it looks
for: a digit with ink where the image is bright moves it up, ink where the image is dark moves it down. The picture is
8-bit, 0 to 255. On its own scale a neuron's smallest weight is 0 and its largest is 255, which shows the shape of every
neuron but says nothing about their sizes; on the shared scale the smallest and the largest weight of all neurons are,
which shows at once which neurons learned much and which little.

NumPy alone: a saved run can be looked at without torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelmnist.config import IMAGE_SIDE, INPUTS

MID_GREY = 128  # what a constant neuron shows: it has no scale of its own

Weights = NDArray[np.floating[Any]]
Images = NDArray[np.uint8]


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


def _checked(weights: Weights) -> NDArray[np.float64]:
    """The weights in double precision, where no difference of two float32 overflows; larger ones are scaled down."""
    if weights.ndim != 2 or weights.shape[1] != INPUTS:
        raise ValueError(f"weights have shape {weights.shape}, not (neurons, {INPUTS})")
    if not np.isfinite(weights).all():
        raise ValueError("weights hold a NaN or an infinity: there is no image of them")
    wide = weights.astype(np.float64)
    largest = np.abs(wide).max(initial=1.0)
    return wide / largest if largest > 1e300 else wide
