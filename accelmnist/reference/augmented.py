"""Augmented images once more, in plain NumPy from the host's own images: what the check of the first steps trains on.

It shares the maps with what it checks, as both share the order of the images; the pixels are mixed anew.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelmnist.config import IMAGE_SIDE, INPUTS, TrainingConfig
from accelmnist.data.augment import BLOCK, PARTS, epoch_maps

_MARGIN = 2  # black pixels around an image


def images_seen(
    images: NDArray[np.uint8], index: NDArray[np.int64], training: TrainingConfig, *, epoch: int
) -> NDArray[np.uint8]:
    """What `epoch` shows of the images at `index` (n,): (n, 784) from the whole set `images` (count, 784)."""
    if training.augment == "none":
        return images[index]
    maps = epoch_maps(training.augment, len(images), seed=training.seed, epoch=epoch)
    return _mapped(images[index].reshape(-1, IMAGE_SIDE, IMAGE_SIDE), maps[index // BLOCK])


def _mapped(images: NDArray[np.uint8], maps: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Each image (n, 28, 28) by the map of its own (n, 2, 3), bilinear in eighths of a pixel, halves rounded up."""
    centre = (IMAGE_SIDE - 1) / 2
    grid = np.stack(np.meshgrid(np.arange(IMAGE_SIDE), np.arange(IMAGE_SIDE), indexing="ij")) - centre
    places = np.einsum("nij,jrc->nirc", maps[:, :, :2], grid) + maps[:, :, 2, None, None] + centre
    places = np.rint(PARTS * places) / PARTS
    corner = np.floor(places)
    share = places - corner
    padded = np.pad(images, ((0, 0), (_MARGIN, _MARGIN), (_MARGIN, _MARGIN))).astype(np.float64)
    row, column = np.clip(corner, -_MARGIN, IMAGE_SIDE).astype(np.int64).swapaxes(0, 1) + _MARGIN
    number = np.arange(len(images))[:, None, None]
    mixed = np.zeros(images.shape)
    for down in (0, 1):
        for right in (0, 1):
            weight = np.abs(1 - down - share[:, 0]) * np.abs(1 - right - share[:, 1])
            mixed += weight * padded[number, row + down, column + right]
    return np.floor(mixed + 0.5).astype(np.uint8).reshape(-1, INPUTS)
