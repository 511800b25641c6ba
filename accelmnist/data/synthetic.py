"""A seeded, learnable stand-in for MNIST, for tests and for machines that have no data.

Each of the ten classes is a prototype of two smooth strokes (quadratic Bezier curves with a Gaussian pen). An image is
its class's prototype, shifted by up to two pixels either way, drawn at its own brightness, with noise along the stroke
and a few speckles beside it; more than four pixels of five stay zero, as in MNIST. In each split a fixed share of the
labels is replaced by a wrong class, so the best accuracy to hope for is 1 - LABEL_NOISE: a result of 100 % on this data
proves a leak and not a good network.

One seed fixes everything. Prototypes, training and test split draw from generators of their own (`SeedSequence.spawn`),
so the size of one split does not change the other.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from accelmnist.core.config import CLASSES, IMAGE_SIDE, INPUTS
from accelmnist.core.errors import ConfigError
from accelmnist.data.types import DIGIT_NAMES, Dataset, ImageSet

LABEL_NOISE = 0.03

_SHIFT = 2  # pixels, in each of the four directions
_STROKES = 2
_PEN = 1.1  # standard deviation of the pen, pixels
_FAINTEST = 0.1  # a pixel below this share of the stroke's centre counts as background
_SPECKLES = 0.01  # share of the pixels

_Floats = npt.NDArray[np.float32]


def make_synthetic(*, seed: int, train: int = 4096, test: int = 1024) -> Dataset:
    """A data set of `train` and `test` images in ten classes; the same arguments give the same bytes.

    Raises ConfigError for a negative seed or an empty split.
    """
    if seed < 0 or train < 1 or test < 1:
        raise ConfigError(
            f"no synthetic data with seed {seed}, {train} training and {test} test images",
            remedy="Choose a seed of 0 or more and at least one image in each split",
        )
    for_bank, for_train, for_test = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3))
    bank = _shifted(_draw_prototypes(for_bank))
    return Dataset(
        name="synthetic",
        source=f"synthetic, seed {seed}",
        train=_draw_split(bank, train, for_train),
        test=_draw_split(bank, test, for_test),
        class_names=DIGIT_NAMES,
    )


def _draw_prototypes(rng: np.random.Generator) -> _Floats:
    """Ten images (10, 28 + 2 shifts, 28 + 2 shifts), 0 to 1; the extra border is what a shift moves in."""
    side = IMAGE_SIDE + 2 * _SHIFT
    # Control points keep off the border by the shift and some pen widths, as MNIST's digits sit in its middle.
    controls = rng.uniform(7, side - 7, size=(CLASSES, _STROKES, 3, 2))
    t = np.linspace(0, 1, 32)
    bernstein = np.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2])  # (3, points on a curve)
    curves = np.einsum("csbx,bp->cspx", controls, bernstein).reshape(CLASSES, -1, 2)
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), axis=-1).reshape(-1, 1, 2)
    squared = np.stack([((grid - curve) ** 2).sum(axis=-1).min(axis=-1) for curve in curves])
    ink = np.exp(-squared / (2 * _PEN**2)).reshape(CLASSES, side, side)
    return np.where(ink < _FAINTEST, 0, ink).astype(np.float32)


def _shifted(prototypes: _Floats) -> _Floats:
    """Every prototype at every shift, (10, shifts down, shifts right, 784): to draw an image is a look-up."""
    windows = np.lib.stride_tricks.sliding_window_view(prototypes, (IMAGE_SIDE, IMAGE_SIDE), axis=(1, 2))
    return windows.reshape(*windows.shape[:3], INPUTS)


def _draw_split(bank: _Floats, count: int, rng: np.random.Generator) -> ImageSet:
    drawn = rng.integers(CLASSES, size=count)
    down, right = rng.integers(2 * _SHIFT + 1, size=(2, count))
    brightness = rng.uniform(0.6, 1.0, size=(count, 1)).astype(np.float32)
    grain = 0.7 + 0.6 * rng.random((count, INPUTS), dtype=np.float32)
    ink = bank[drawn, down, right] * brightness * grain
    _add_speckles(ink, rng)
    images = (np.minimum(ink, 1) * 255).astype(np.uint8)
    return ImageSet(images=images, labels=_with_label_noise(drawn, rng))


def _add_speckles(ink: _Floats, rng: np.random.Generator) -> None:
    count = round(ink.size * _SPECKLES)
    ink.reshape(-1)[rng.integers(ink.size, size=count)] = rng.uniform(0.2, 1.0, size=count)


def _with_label_noise(labels: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    # An exact share and rounded up: even a tiny split has one label that nobody can predict.
    wrong = rng.choice(len(labels), size=math.ceil(len(labels) * LABEL_NOISE), replace=False)
    noisy = labels.copy()
    noisy[wrong] = (labels[wrong] + rng.integers(1, CLASSES, size=len(wrong))) % CLASSES
    return noisy
