"""The pictures of a neurons' record as files.

    atlas.png                       the clearest neurons and some of the others on a page
    neurons/grey-000.png ...        weights in 0 to 255, one pixel for each, smallest 0 and largest 255
    neurons/signed-000.png ...      the same in two hues, zero in the middle
    neurons/exciting.png            the test images that excite them most: a row of eight for each neuron

Weights of pixels that no training image inks are drawn as 0, for their inputs are always 0.
The atlas is written in one step; the small images are plain writes, for all of them follow from the weights.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelmnist.analysis.neurons.images import Weights, signed_images, weight_images
from accelmnist.analysis.neurons.record import RECORD_NAME, Neuron, NeuronsRecord
from accelmnist.core.config import IMAGE_SIDE
from accelmnist.core.files import make_folder, remove_file, write_atomically
from accelmnist.show.figures.atlas import atlas_figure
from accelmnist.show.figures.sheet import png_bytes
from accelmnist.show.pictures import write_image

FOLDER = "neurons"
ATLAS_NAME = "atlas.png"
ATLAS_DPI = 300

Grey = NDArray[np.uint8]


def write_neuron_pictures(
    record: NeuronsRecord, folder: Path, *, weights: Weights, images: Grey, inked: NDArray[np.bool_]
) -> NeuronsRecord:
    """Write every picture into `folder`; returns `record` with the names of its files.

    `weights`, float (n, 784), are the first layer's, `images`, uint8 (k, 784), the test images, and `inked` (784,) says
    which pixels hold ink in any training image. Raises OutputError if a file can't be written.
    """
    seen = np.where(inked, weights, 0.0)
    figure = atlas_figure(record, weights=seen, images=images)
    write_atomically(make_folder(folder) / ATLAS_NAME, png_bytes(figure, dpi=ATLAS_DPI))
    make_folder(folder / FOLDER)
    pictures = zip(record.neurons, weight_images(seen), signed_images(seen), strict=True)
    digits = max(3, len(str(len(record.neurons) - 1)))
    neurons = tuple(_write_one(neuron, folder, *both, digits=digits) for neuron, *both in pictures)
    write_image(folder / FOLDER / "exciting.png", _exciting_rows(record, images))
    names = [f"{FOLDER}/exciting.png", *(name for neuron in neurons for name in _files_of(neuron))]
    _remove_others(folder, names)
    return replace(record, neurons=neurons, files=(RECORD_NAME, ATLAS_NAME, *names))


def _write_one(neuron: Neuron, folder: Path, grey: Grey, signed: Grey, *, digits: int) -> Neuron:
    """The two files of one neuron."""
    number = f"{neuron.index:0{digits}d}"
    named = replace(
        neuron,
        grey_file=f"{FOLDER}/grey-{number}.png",
        signed_file=f"{FOLDER}/signed-{number}.png",
    )
    write_image(folder / str(named.grey_file), grey)
    write_image(folder / str(named.signed_file), signed)
    return named


def _exciting_rows(record: NeuronsRecord, images: Grey) -> Grey:
    """The exciting images, uint8 (28 n, 28 k), of the n neurons in their order; black if there is none."""
    longest = max((len(neuron.exciting) for neuron in record.neurons), default=0) or 1
    rows = np.zeros((len(record.neurons), IMAGE_SIDE, longest, IMAGE_SIDE), dtype=np.uint8)
    for neuron in record.neurons:
        for column, index in enumerate(neuron.exciting):
            rows[neuron.index, :, column] = images[index].reshape(IMAGE_SIDE, IMAGE_SIDE)
    return rows.reshape(-1, longest * IMAGE_SIDE)


def _files_of(neuron: Neuron) -> list[str]:
    return [name for name in (neuron.grey_file, neuron.signed_file) if name is not None]


def _remove_others(folder: Path, names: list[str]) -> None:
    """What an earlier record into the same folder left behind and this one does not have."""
    for kind in ("grey", "signed"):
        for path in (folder / FOLDER).glob(f"{kind}-*.png"):
            if f"{FOLDER}/{path.name}" not in set(names):
                remove_file(path)
