"""Whether a weight image shows strokes or grey noise: Moran's I, over the pixels where there is ink.

Moran's I is the correlation of each pixel's weight with those of its neighbours above, below, left and right: 0 (to be
exact -1 / (n - 1)) for independent noise, towards 1 for smooth strokes, below 0 for a chequerboard. Source: Moran,
"Notes on continuous stochastic phenomena", Biometrika 37, 1950.

Pixels at the border are inked in no training image. Their inputs are always 0, so no gradient reaches their weights:
they still show their first values, shrunk by weight decay. They stay out of the clarity, and pictures leave them blank.
Pixels with ink in a few images only are drawn, but stay out of the clarity as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelmnist.analysis.neurons.thresholds import INK
from accelmnist.core.config import IMAGE_SIDE

Mask = NDArray[np.bool_]


def inked_share(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Share of `images`, uint8 (n, 784), in which each pixel holds any ink: (28, 28)."""
    counts = np.zeros(images.shape[1], dtype=np.int64)
    for part in np.array_split(images, max(1, len(images) // 8192)):  # small parts: no copy as large as the set
        counts += np.count_nonzero(part, axis=0)
    return counts.reshape(IMAGE_SIDE, IMAGE_SIDE) / max(len(images), 1)


def ink_area(share: NDArray[np.float64]) -> Mask:
    """The pixels that clarity looks at, (28, 28), from `inked_share`."""
    return share >= INK.value


def morans_i(weights: NDArray[np.floating[Any]], area: Mask) -> NDArray[np.float64]:
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
