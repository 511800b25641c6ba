"""The extension's functions. Arrays are anything with a contiguous buffer: NumPy's arrays, for one.

They release the interpreter's lock while they run. They raise TypeError for elements of another type, and ValueError
for an array that is not contiguous or can't be written, and for shapes, indexes, labels or numbers that don't fit.
"""

from typing import NewType

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float32]

INTERFACE: int

# A set of images as `train` reads it, some 320 bytes each: a capsule that nothing else can open. It never changes and
# keeps nothing of the images that it was made from.
Pixels = NewType("Pixels", object)

# A copy of a network's weights and the memory of the calls under way: a capsule that nothing else can open.
Classifier = NewType("Classifier", object)

def list_pixels(images: NDArray[np.uint8], *, threads: int, level: str) -> Pixels:
    """List the pixels of `images` (n, 784) that are not black. All levels make the same set."""

def train(
    parameters: tuple[_Floats, ...],
    slots: tuple[tuple[_Floats, ...], ...],
    pixels: Pixels | NDArray[np.uint8],
    labels: NDArray[np.int64],
    order: NDArray[np.int64],
    rates: _Floats,
    seeds: NDArray[np.int64],
    losses: _Floats,
    *,
    activation: str,
    output: str,
    rule: str,
    nesterov: bool,
    momentum: float,
    weight_decay: float,
    label_smoothing: float,
    dropout: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    count: float,
    first: int,
    threads: int,
    precision: str,
    level: str,
) -> None:
    """Run the steps of an epoch: `parameters` (weight (units, inputs), bias (units) of every layer in turn) and `slots`
    (as many arrays for each state of the rule) change in place, `losses` (steps,) are written.

    `pixels` of n images, or the images (n, 784) themselves, of which all pixels are multiplied, as in bf16; `labels`
    (n,), `order` (steps, batch), `rates` and `seeds` (steps,); `count` updates came before. Dropout counts a batch's
    images from `first` on.
    """

def make_classifier(
    parameters: tuple[_Floats, ...], *, activation: str, threads: int, precision: str, level: str
) -> Classifier:
    """Copy a network's weights for `classify`, which uses at most `threads` threads; `parameters` as in `train`."""

def classify(classifier: Classifier, images: NDArray[np.uint8], logits: _Floats, /) -> None:
    """Write `logits` (n, 10) of `images` (n, 784); several threads may share one classifier at once.

    An image's logits are the same to the bit for any number of threads and with any other images.
    """

def levels() -> dict[str, str | None]:
    """Why each instruction level can't run here, by name, the widest last; None for one that can."""
