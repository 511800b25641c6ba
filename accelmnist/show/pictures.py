"""The pictures of a run as files: four figures, and every first-layer neuron as its own 28 × 28 image.

    weights.png  confusion.png  curves.png  mistakes.png      as show.figures draws them
    weights/neuron-000.png ...                                8-bit greyscale, one pixel for each weight

The figures replace their predecessors in one step each. The neurons' images are plain writes: to flush each of 256
files to the disk takes seconds on a slow one, and all of them follow from the saved weights. What an earlier run into
the same folder left behind and this one does not have is removed, so that the folder shows one run.

For 256 neurons all of it takes about 1.2 s of one Zen 4 core, of which 0.5 s is the import of matplotlib.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from accelmnist.analysis.neurons.images import Images, Weights, weight_images
from accelmnist.core.errors import OutputError
from accelmnist.core.files import make_folder, remove_file, write_atomically
from accelmnist.core.records import RunRecord
from accelmnist.show.figures.images import mistakes_figure, weights_figure
from accelmnist.show.figures.run import confusion_figure, curves_figure
from accelmnist.show.figures.sheet import png_bytes

NEURON_FOLDER = "weights"
FIGURE_NAMES = ("weights.png", "confusion.png", "curves.png", "mistakes.png")


def write_pictures(
    record: RunRecord,
    folder: Path,
    *,
    weights: Weights,
    mistake_images: NDArray[np.uint8],
    shared_scale: bool = False,
) -> tuple[str, ...]:
    """Write every picture that `record` has figures for into `folder`; returns their paths relative to it.

    `weights`, float (n, 784), are the first layer's; `mistake_images`, uint8 (k, 784), the pixels of `record.mistakes`.
    A run without metrics has no confusion matrix and no mistakes. Raises OutputError if a file cannot be written,
    and ValueError for weights that are not finite or arrays of a wrong shape.
    """
    make_folder(folder)
    figures = _figures(record, weights, mistake_images, shared_scale=shared_scale)
    for name in FIGURE_NAMES:
        if name in figures:
            write_atomically(folder / name, png_bytes(figures[name]()))
        else:
            remove_file(folder / name)
    neurons = write_neurons(weight_images(weights, shared_scale=shared_scale), folder / NEURON_FOLDER)
    return (*figures, *(f"{NEURON_FOLDER}/{name}" for name in neurons))


def write_neurons(images: Images, folder: Path) -> tuple[str, ...]:
    """Write `images`, uint8 (n, 28, 28), as `neuron-000.png` and so on, and remove other neurons; returns the names."""
    make_folder(folder)
    digits = max(3, len(str(len(images) - 1)))
    names = tuple(f"neuron-{neuron:0{digits}d}.png" for neuron in range(len(images)))
    for stale in {path.name for path in folder.glob("neuron-*.png")}.difference(names):
        remove_file(folder / stale)
    for name, image in zip(names, images, strict=True):
        write_image(folder / name, image)
    return names


def _figures(
    record: RunRecord, weights: Weights, mistake_images: NDArray[np.uint8], *, shared_scale: bool
) -> dict[str, Callable[[], Figure]]:
    """What is to be drawn, by file name; one figure at a time is held in memory."""
    names = record.data.class_names if record.data is not None else tuple(map(str, range(10)))
    rows_are_classes = not record.config.model.hidden
    figures: dict[str, Callable[[], Figure]] = {
        "weights.png": lambda: weights_figure(
            weights, class_names=names if rows_are_classes else None, shared_scale=shared_scale
        ),
    }
    metrics = record.metrics
    if metrics is not None:
        figures["confusion.png"] = lambda: confusion_figure(metrics, names)
    figures["curves.png"] = lambda: curves_figure(record)
    if metrics is not None:
        figures["mistakes.png"] = lambda: mistakes_figure(record, mistake_images)
    return figures


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a small image, grey (h, w) or RGB (h, w, 3), as a PNG at once; raises OutputError."""
    try:
        Image.fromarray(image).save(path, "PNG")
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> OutputError:
    cause = (error.strerror or str(error)).lower()
    return OutputError(f"cannot write {path}: {cause}", remedy="Choose another folder with --out, or make room there")
