"""Properties of a written shape that a neuron may go with: closed loops, upright strokes, slant, much ink.

Each is one number an image, from its pixels alone; no torch here:

    loops      1 if a stroke closes a loop, else 0
    upright    the share of the squared grey gradient that runs across: 1 for upright strokes, 0 for level ones
    slant      how far the shape leans to the right, from its second moments. Source: Hu, 1962.
    ink        the mean grey

A loop is paper inside the strokes that can't be reached from the edge of the image. Ink is what is darker than a third
of full: thinner lines would leave gaps that the eye closes. Paper joins by edges, so that a diagonal line of ink holds.
A hole of one or two pixels is a flaw of the scan and no loop. On MNIST's test images 85.4 % of the digits that have a
loop (0, 6, 8, 9) show one, and 1.1 % of those that have none (1, 3, 5, 7). The Euler number of 2 x 2 patterns (Gray,
1971), which knows no size of a hole and counts a second piece of ink against one, finds 86.8 and 3.1 %.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelmnist.analysis.neurons.methods import FEATURE
from accelmnist.analysis.neurons.record import Feature
from accelmnist.core.config import IMAGE_SIDE

NAMES = ("closed loops", "upright strokes", "slant to the right", "much ink")
OPPOSITES = ("no closed loops", "level strokes", "slant to the left", "little ink")

_INK = 85  # of 255
_LEAST_HOLE = 3  # pixels

Grey = NDArray[np.uint8]


def has_loop(images: Grey) -> NDArray[np.bool_]:
    """For each of `images`, uint8 (n, 784), whether a loop is closed; bool (n,)."""
    from scipy import ndimage  # here: it takes a third of a second, which other commands do without

    frame = ((0, 0), (1, 1), (1, 1))  # of paper, so that all that is outside is one region
    paper = np.pad(images.reshape(-1, IMAGE_SIDE, IMAGE_SIDE) < _INK, frame, constant_values=True)
    within_an_image = np.zeros((3, 3, 3), dtype=bool)
    within_an_image[1] = ndimage.generate_binary_structure(2, 1)
    regions, _ = ndimage.label(paper, structure=within_an_image)
    holes = paper & (regions != regions[:, :1, :1])
    return np.asarray(holes.sum(axis=(1, 2)) >= _LEAST_HOLE)


def shapes_of(images: Grey) -> NDArray[np.float32]:
    """The properties of `images`, uint8 (n, 784): (n, 4) in the order of `NAMES`."""
    pictures = images.reshape(-1, IMAGE_SIDE, IMAGE_SIDE)
    columns = (has_loop(images), _upright(pictures), _slant(pictures), pictures.mean(axis=(1, 2)) / 255)
    return np.stack(columns, axis=1).astype(np.float32)


def features_of(correlations: NDArray[np.float64]) -> tuple[Feature, ...]:
    """The properties that go with a neuron, the strongest first, from its correlations (4,)."""
    features = [Feature(name=name, correlation=float(r)) for name, r in zip(NAMES, correlations, strict=True)]
    telling = [feature for feature in features if abs(feature.correlation) >= FEATURE.value]
    return tuple(sorted(telling, key=lambda feature: -abs(feature.correlation)))


def common_shape(means: NDArray[np.float64], classes: tuple[int, ...]) -> str:
    """What two or more digits have in common and most others don't; "" if nothing shows.

    `means` (classes, 4) are those of the properties over the images of each class.
    """
    if len(classes) < 2:
        return ""
    named = list(classes)
    others = [label for label in range(len(means)) if label not in classes]
    if means[named, 0].min() >= 0.5:
        return "all with a closed loop"
    if len(classes) > 2 and others and means[named, 1].min() > means[others, 1].max():
        return "those with the most upright strokes"
    return ""


def _upright(pictures: Grey) -> NDArray[np.float32]:
    grey = pictures.astype(np.float32)
    across, down = np.square(np.diff(grey, axis=2)).sum((1, 2)), np.square(np.diff(grey, axis=1)).sum((1, 2))
    return np.asarray(across / np.maximum(across + down, 1))


def _slant(pictures: Grey) -> NDArray[np.float64]:
    """The horizontal shift of a row upwards, in rows, that its ink shows: 0 upright, positive leaning to the right."""
    grey = pictures.reshape(len(pictures), -1).astype(np.float64)
    offsets = np.arange(IMAGE_SIDE) - (IMAGE_SIDE - 1) / 2
    up, across = -np.repeat(offsets, IMAGE_SIDE), np.tile(offsets, IMAGE_SIDE)
    mass = np.maximum(grey.sum(axis=1), 1)
    mean_up, mean_across = grey @ up / mass, grey @ across / mass
    both, vertical = grey @ (up * across) / mass - mean_up * mean_across, grey @ (up * up) / mass - mean_up**2
    return np.where(vertical > 1e-6, both / np.maximum(vertical, 1e-6), 0.0)
