"""The pictures of a record as files: what show.figures draws, and small images of single neurons.

Of a run:
    weights.png  confusion.png  curves.png  mistakes.png
    weights/neuron-000.png ...      8-bit greyscale, one pixel for each weight
Of a benchmark:
    throughput.png                  every measured case with its interval and its samples
    scaling.png                     images/s by batch size, by width and by threads, if two sizes or more were measured
    roofline.png                    the arithmetic done beneath what the hardware allows, if the limits were measured
    time-to-accuracy.png            seconds to the target over seeds, if a target was asked for
Of a sweep:
    accuracy-by-size.png            a panel for each output and depth, a line for each activation
    accuracy-by-group.png           a row for each activation and output, every network a dot
    pareto.png                      accuracy against parameters and against time, with the fronts
Of the neurons:
    atlas.png                       the clearest neurons and some of the others on a page
    neurons/grey-000.png ...        weights in 0 to 255, one pixel for each, smallest 0 and largest 255
    neurons/signed-000.png ...      the same in two hues, zero in the middle
    neurons/exciting.png            the test images that excite them most: a row of eight for each neuron

All replace their predecessors in one step each. The neurons' images are not flushed to the disk: for each of 256
files that takes seconds on a slow one, and all of them follow from the saved weights. What an earlier record
left in the folder and this one does not have is removed, so that the folder shows one record. For a run with 256
neurons all of it takes about 1.2 s of one Zen 4 core, of which 0.5 s is the import of matplotlib.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from accelmnist.analysis.neurons.images import Images, Weights, signed_images, weight_images
from accelmnist.analysis.neurons.record import RECORD_NAME, NeuronsRecord
from accelmnist.core.config import IMAGE_SIDE
from accelmnist.core.files import make_folder, remove_file, write_atomically
from accelmnist.core.records import RunRecord
from accelmnist.measure.record import BenchRecord
from accelmnist.show.figures.atlas import atlas_figure
from accelmnist.show.figures.case_rows import target_figure, throughput_figure
from accelmnist.show.figures.images import mistakes_figure, weights_figure
from accelmnist.show.figures.roofline import roofline_figure
from accelmnist.show.figures.run import confusion_figure, curves_figure
from accelmnist.show.figures.scaling import scaling_figure
from accelmnist.show.figures.sheet import png_bytes
from accelmnist.show.figures.sweep import fronts_figure, groups_figure, sizes_figure
from accelmnist.show.render.pictures import png_of
from accelmnist.show.run_tables import class_names_of
from accelmnist.sweep.record import SweepRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BENCH_FIGURES: dict[str, Callable[[BenchRecord], Figure | None]] = {
    "throughput.png": throughput_figure,
    "scaling.png": scaling_figure,
    "roofline.png": roofline_figure,
    "time-to-accuracy.png": target_figure,
}
SWEEP_FIGURES: dict[str, Callable[[SweepRecord], Figure | None]] = {
    "accuracy-by-size.png": sizes_figure,
    "accuracy-by-group.png": groups_figure,
    "pareto.png": fronts_figure,
}
NEURON_FOLDER = "weights"
FIGURE_NAMES = ("weights.png", "confusion.png", "curves.png", "mistakes.png")
ATLAS_NAME = "atlas.png"
ATLAS_DPI = 300
_ATLAS_FOLDER = "neurons"

Grey = NDArray[np.uint8]


def write_bench_pictures(record: BenchRecord, folder: Path) -> tuple[str, ...]:
    """Write every picture that `record` has figures for into `folder`; returns their names.

    Raises OutputError if a file can't be written or removed.
    """
    return _write_figures({name: partial(draw, record) for name, draw in BENCH_FIGURES.items()}, folder)


def write_sweep_pictures(record: SweepRecord, folder: Path) -> tuple[str, ...]:
    """The same for a sweep."""
    return _write_figures({name: partial(draw, record) for name, draw in SWEEP_FIGURES.items()}, folder)


def _write_figures(figures: Mapping[str, Callable[[], Figure | None]], folder: Path) -> tuple[str, ...]:
    """Each in one step; one figure at a time is held in memory."""
    make_folder(folder)
    written = []
    for name, draw in figures.items():
        figure = draw()
        if figure is None:
            remove_file(folder / name)
        else:
            write_atomically(folder / name, png_bytes(figure))
            written.append(name)
    return tuple(written)


# --- a run


def write_pictures(
    record: RunRecord,
    folder: Path,
    *,
    weights: Weights,
    mistake_images: Grey,
    shared_scale: bool = False,
) -> tuple[str, ...]:
    """Write every picture that `record` has figures for into `folder`; returns their paths relative to it.

    `weights`, float (n, 784), are the first layer's; `mistake_images`, uint8 (k, 784), the pixels of `record.mistakes`.
    A run without metrics has no confusion matrix and no mistakes. Raises OutputError if a file cannot be written,
    and ValueError for weights that are not finite or arrays of a wrong shape.
    """
    names, metrics = class_names_of(record), record.metrics
    rows = None if record.config.model.hidden else names
    figures = (
        lambda: weights_figure(weights, class_names=rows, shared_scale=shared_scale),
        lambda: None if metrics is None else confusion_figure(metrics, names),
        lambda: curves_figure(record),
        lambda: None if metrics is None else mistakes_figure(record, mistake_images),
    )
    written = _write_figures(dict(zip(FIGURE_NAMES, figures, strict=True)), folder)
    images = weight_images(weights, shared_scale=shared_scale)
    neurons = write_numbered("neuron", images, make_folder(folder / NEURON_FOLDER, within=folder))
    return (*written, *(f"{NEURON_FOLDER}/{name}" for name in neurons))


def write_numbered(kind: str, images: Images, folder: Path) -> tuple[str, ...]:
    """Write `images`, uint8 (n, 28, 28) or RGB, as `kind-000.png` and so on; returns the names.

    Others of that kind, of an earlier record, are removed.
    """
    digits = max(3, len(str(len(images) - 1)))
    names = tuple(f"{kind}-{number:0{digits}d}.png" for number in range(len(images)))
    for stale in {path.name for path in folder.glob(f"{kind}-*.png")}.difference(names):
        remove_file(folder / stale)
    for name, image in zip(names, images, strict=True):
        write_atomically(folder / name, png_of(image), flush=False)
    return names


# --- the neurons


def write_neuron_pictures(
    record: NeuronsRecord, folder: Path, *, weights: Weights, images: Grey, inked: NDArray[np.bool_]
) -> NeuronsRecord:
    """Write every picture into `folder`; returns `record` with the names of its files.

    `weights`, float (n, 784), are the first layer's, `images`, uint8 (k, 784), the test images, and `inked` (784,) says
    which pixels hold ink in any training image: weights of the others are drawn as 0, for their inputs are always 0.
    Raises OutputError if a file can't be written.
    """
    seen = np.where(inked, weights, 0.0)
    figure = atlas_figure(record, weights=seen, images=images)
    write_atomically(make_folder(folder) / ATLAS_NAME, png_bytes(figure, dpi=ATLAS_DPI))
    own = make_folder(folder / _ATLAS_FOLDER, within=folder)
    kinds = {"grey": weight_images(seen), "signed": signed_images(seen)}
    grey, signed = (_inside(write_numbered(kind, drawn, own)) for kind, drawn in kinds.items())
    write_atomically(own / "exciting.png", png_of(_exciting_rows(record, images)), flush=False)
    neurons = tuple(
        replace(neuron, grey_file=grey[neuron.index], signed_file=signed[neuron.index]) for neuron in record.neurons
    )
    pairs = (name for neuron in record.neurons for name in (grey[neuron.index], signed[neuron.index]))
    return replace(record, neurons=neurons, files=(RECORD_NAME, ATLAS_NAME, *_inside(["exciting.png"]), *pairs))


def _inside(names: Iterable[str]) -> list[str]:
    return [f"{_ATLAS_FOLDER}/{name}" for name in names]


def _exciting_rows(record: NeuronsRecord, images: Grey) -> Grey:
    """The exciting images, uint8 (28 n, 28 k), of the n neurons in their order; black if there is none."""
    longest = max((len(neuron.exciting) for neuron in record.neurons), default=0) or 1
    rows = np.zeros((len(record.neurons), IMAGE_SIDE, longest, IMAGE_SIDE), dtype=np.uint8)
    for neuron in record.neurons:
        for column, index in enumerate(neuron.exciting):
            rows[neuron.index, :, column] = images[index].reshape(IMAGE_SIDE, IMAGE_SIDE)
    return rows.reshape(-1, longest * IMAGE_SIDE)
