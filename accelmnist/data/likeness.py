"""Whether an image looks like those that a network was trained on: its distance from the nearest of some of them.

The distance is 1 minus the cosine of two images of 14 x 14 means, ink on 0, so that neither the pen's strength nor a
pixel's shift counts much. Of MNIST, 2,000 images are kept with the network (392 kB); the limit is what 0.7 % of other
training images exceed. Measured with these: 0.5 % of the test images are beyond it, all of noise, of inverted images
and of words, 96 % of two digits side by side, 66 % of digits turned by 90 degrees, but 21 % of single letters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import IMAGE_SIDE

SAMPLE_PIXELS = (IMAGE_SIDE // 2) ** 2
_KEPT, _HELD_OUT = 2000, 4000
_BEYOND = 0.007  # of training images
_BORDER = np.pad(np.zeros((IMAGE_SIDE - 2,) * 2, dtype=bool), 1, constant_values=True).reshape(-1)


@dataclass(frozen=True, eq=False)
class Likeness:
    """What training images look like: `samples` uint8 (n, 196), ink on 0; the largest distance of nearly all others."""

    samples: NDArray[np.uint8]
    limit: float

    def is_strange(self, images: NDArray[np.uint8], *, light: bool) -> NDArray[np.bool_]:
        """Whether each of `images` (n, 784) lies beyond the limit; `light` says that they are dark on light."""
        return np.asarray(_distances(_shrunk(images, light=light), self.samples) > self.limit)


def measure_likeness(images: NDArray[np.uint8], *, light: bool) -> Likeness:
    """The likeness of training `images` (n, 784), evenly taken from all of them."""
    chosen = np.unique(np.linspace(0, len(images) - 1, _KEPT + _HELD_OUT).astype(np.int64))
    small = _shrunk(images[chosen], light=light)
    is_kept = np.arange(len(small)) % 3 == 0
    kept, others = small[is_kept], small[~is_kept]
    limit = float(np.quantile(_distances(others, kept), 1 - _BEYOND)) if len(others) else 1.0
    return Likeness(kept, limit)


def is_light(images: NDArray[np.uint8]) -> bool:
    """Whether the digits in `images` (n, 784) are dark on light, by the border of most."""
    return float(np.median(images[:1000, _BORDER])) > 127


def _shrunk(images: NDArray[np.uint8], *, light: bool) -> NDArray[np.uint8]:
    half = IMAGE_SIDE // 2
    sums = images.reshape(-1, half, 2, half, 2).sum(axis=(2, 4), dtype=np.uint16).reshape(len(images), -1)
    return np.asarray((255 * 4 - sums if light else sums) // 4, dtype=np.uint8)


def _distances(images: NDArray[np.uint8], samples: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The distance of each image from its nearest sample."""
    return np.asarray(1 - (_unit(images) @ _unit(samples).T).max(axis=1))


def _unit(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    floats = images.astype(np.float32)
    return np.asarray(floats / np.maximum(np.linalg.norm(floats, axis=1, keepdims=True), 1))
