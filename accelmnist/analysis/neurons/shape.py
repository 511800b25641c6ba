"""Properties of a written shape that a neuron may go with: closed loops, upright strokes, slant, much ink.

Each is one number an image, from its pixels alone:

    loops      1 if a stroke closes a loop, else 0
    upright    the share of the squared grey gradient that runs across: 1 for upright strokes, 0 for level ones
    slant      how far the shape leans to the right, from its second moments. Source: Hu, 1962.
    ink        the mean grey

A correlation over all images would only repeat which classes excite the neuron. So each class is compared within
itself: from both figures the mean of their class is taken off first. What is left is thin evidence of its own, since
a shape that is slanted differs in many ways: the words say "goes with", and nothing of causes.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from accelmnist.analysis.loops import has_loop
from accelmnist.analysis.neurons.methods import FEATURE
from accelmnist.analysis.neurons.record import Feature
from accelmnist.analysis.neurons.response import Response
from accelmnist.core.config import IMAGE_SIDE

NAMES = ("closed loops", "upright strokes", "slant to the right", "much ink")
OPPOSITES = ("no closed loops", "level strokes", "slant to the left", "little ink")

Grey = NDArray[np.uint8]


def shapes_of(images: Grey) -> NDArray[np.float32]:
    """The properties of `images`, uint8 (n, 784): (n, 4) in the order of `NAMES`."""
    pictures = images.reshape(-1, IMAGE_SIDE, IMAGE_SIDE)
    columns = (has_loop(images), _upright(pictures), _slant(pictures), pictures.mean(axis=(1, 2)) / 255)
    return np.stack(columns, axis=1).astype(np.float32)


def feature_correlations(response: Response, shapes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Pearson's correlation within the classes of every neuron with each property: (neurons, 4); 0 for a constant.

    `shapes` (n, 4) are those of the images of `response`.
    """
    properties = torch.from_numpy(shapes).T
    apart = properties - response.by_class(properties).float()[:, response.labels]
    activations = response.activations - response.mean.float()[:, response.labels]
    products = (activations @ apart.T).double()
    scale = activations.double().norm(dim=1)[:, None] * apart.double().norm(dim=1)
    return np.asarray(torch.where(scale > 1e-6, products / scale.clamp(min=1e-6), 0.0))


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
