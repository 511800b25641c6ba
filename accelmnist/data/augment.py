"""Training images moved at random, anew in every epoch: on the device, from bytes to bytes, the same on every device.

    shift    by a whole pixel or none, up or down and left or right
    affine   turned, stretched, slanted and moved, by parts of a pixel (bilinear)

A map gives for every pixel of the new image its position in the old one; what lies outside is black. The maps of an
epoch are drawn on the host from seed and epoch alone, one for every `BLOCK` neighbouring images: the sets are in no
order, so neighbours have nothing in common, and the order of the epoch scatters them over the batches. A shared map
costs a few calls a block on the device; the images lie transposed there, so that a pixel of all images is one row.

Positions are rounded to an eighth of a pixel, and the arithmetic is of integers. So all devices and engines see the
same bytes, and the reference can train on the very same images. Source of the idea: Simard, Steinkraus and Platt, "Best
Practices for Convolutional Neural Networks Applied to Visual Document Analysis" (2003).
"""

from __future__ import annotations

import math
import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from accelmnist.core.config import IMAGE_SIDE, INPUTS, Augment
from accelmnist.core.seeds import Stream, generator
from accelmnist.data.types import DeviceSet

BLOCK = 250  # images that share a map: 240 maps an epoch of MNIST
PARTS = 8  # of a pixel: the unit of positions

_SHIFT = 1  # pixels
# How far an affine map goes at most.
_TURN = math.radians(12)
_STRETCH = 0.12
_SLANT = 0.2
_MOVE = 1.5  # pixels

_BLACK = INPUTS  # the row behind the last pixel
_CENTRE = (IMAGE_SIDE - 1) / 2

Maps = NDArray[np.float64]


def epoch_maps(kind: Augment, images: int, *, seed: int, epoch: int) -> Maps:
    """The maps of `epoch`, one a block of `images`: (blocks, 2, 3), from (row, column, 1) to (row, column).

    Both are counted from the centre of the image.
    """
    rng = generator(seed, Stream.AUGMENT, epoch)
    blocks = math.ceil(images / BLOCK)
    return _shifts(rng, blocks) if kind == "shift" else _affine_maps(rng, blocks)


def _shifts(rng: np.random.Generator, blocks: int) -> Maps:
    maps = np.zeros((blocks, 2, 3))
    maps[:, :, :2] = np.eye(2)
    maps[:, :, 2] = rng.integers(-_SHIFT, _SHIFT, size=(blocks, 2), endpoint=True)
    return maps


def _affine_maps(rng: np.random.Generator, blocks: int) -> Maps:
    angle = rng.uniform(-_TURN, _TURN, blocks)
    slant = np.tile(np.eye(2), (blocks, 1, 1))
    slant[:, 0, 1] = rng.uniform(-_SLANT, _SLANT, blocks)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(blocks, 2, 2)
    stretch = 1 + rng.uniform(-_STRETCH, _STRETCH, (blocks, 1, 2))
    move = rng.uniform(-_MOVE, _MOVE, (blocks, 2, 1))
    return np.concatenate([turn @ slant * stretch, move], axis=2)


def sources(maps: Maps) -> NDArray[np.int64]:
    """Positions in the old image: (blocks, 2, 784) row and column from the top left corner, in eighths of a pixel."""
    rows, columns = np.divmod(np.arange(INPUTS), IMAGE_SIDE)
    pixels = np.stack([rows - _CENTRE, columns - _CENTRE, np.ones(INPUTS)])
    return np.rint(PARTS * (maps @ pixels + _CENTRE)).astype(np.int64)


class Augmentation:
    """Writes the images of an epoch into `data`, a set of its own; the set that it was made from stays as it is."""

    def __init__(self, kind: Augment, originals: DeviceSet, *, seed: int) -> None:
        self.kind, self.seed = kind, seed
        self.written = 0  # times that the images were changed
        self.written_at = math.nan  # when they last were, by `time.perf_counter`
        self.data = DeviceSet(originals.images.clone(), originals.labels)
        black = torch.zeros_like(originals.images[:, :1])
        self._pixels = torch.cat([originals.images, black], dim=1).T.contiguous()

    def write(self, epoch: int) -> None:
        """Make the images of `epoch`, counted from 0; without a host sync."""
        self.written_at = time.perf_counter()
        positions = sources(epoch_maps(self.kind, len(self.data), seed=self.seed, epoch=epoch))
        numbers, weights = (torch.from_numpy(part).to(self._pixels.device) for part in _taps(positions))
        for block, (taps, shares) in enumerate(zip(numbers, weights, strict=True)):
            rows = slice(block * BLOCK, (block + 1) * BLOCK)
            self.data.images[rows] = _moved(self._pixels[:, rows], taps, shares).T
        self.written += 1


def _taps(positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """The pixels that each new one is mixed from and their weights, (blocks, taps, 784) each.

    Four weights add up to 64; if all positions are whole pixels, there is one tap.
    """
    corner, part = np.divmod(positions, PARTS)
    steps = [(down, right) for down in (0, 1) for right in (0, 1)] if part.any() else [(0, 0)]
    numbers = [_numbers(corner[:, 0] + down, corner[:, 1] + right) for down, right in steps]
    weights = [_weights(part[:, 0], down) * _weights(part[:, 1], right) for down, right in steps]
    return np.stack(numbers, axis=1), np.stack(weights, axis=1).astype(np.int16)


def _numbers(row: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.int64]:
    inside = (row >= 0) & (row < IMAGE_SIDE) & (column >= 0) & (column < IMAGE_SIDE)
    return np.where(inside, row * IMAGE_SIDE + column, _BLACK)


def _weights(part: NDArray[np.int64], step: int) -> NDArray[np.int64]:
    return part if step else PARTS - part


def _moved(pixels: Tensor, taps: Tensor, weights: Tensor) -> Tensor:
    """The new pixels (784, images) uint8 of `pixels` (785, images) by `taps` and `weights` (taps, 784)."""
    if len(taps) == 1:
        return pixels.index_select(0, taps[0])
    wide = pixels.to(torch.int16)  # 64 times 255 is below 2^15
    mixed = torch.full_like(wide[:INPUTS], PARTS * PARTS // 2)  # so that the division rounds
    for tap, weight in zip(taps, weights, strict=True):
        mixed += wide.index_select(0, tap) * weight[:, None]
    return (mixed >> 6).to(torch.uint8)
