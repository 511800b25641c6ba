"""What a run says and saves besides its training, followed once more from the images' files to the last figure.

Nothing is shared with what is checked but the configuration and the record: files are read, counted and divided here
by NumPy and the standard library alone. Each check counts claims that don't hold and names the first of them.
"""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import ModelConfig, RunConfig
from accelmnist.core.errors import RecordError
from accelmnist.core.records import Check, DataSummary, RunRecord, recount_run
from accelmnist.training.reference.answers import answer_faults
from accelmnist.training.reference.tolerances import tolerances
from accelmnist.training.reference.witness import first_weights, learning_rate

if TYPE_CHECKING:
    from accelmnist.data.types import ImageSet
    from accelmnist.engines.model import MLP
    from accelmnist.training.checkpoint import SavedModel
    from accelmnist.training.evaluation import Evaluation
    from accelmnist.training.reference.verdict import ReferenceTraining

Arrays = Mapping[str, NDArray[Any]]

_LAST_DIGITS = 1e-9  # two ways of adding and dividing the same numbers in float64
_RATE_ROUNDING = 2.0**-22  # float32's, of both
_CLOCKS_APART = 1e-4  # two clocks of a machine that follow different crystals
_BY_FAR = 0.75  # of the pixels at the edge
_DISTANCES_APART = 1e-4  # by roundings of float32's sums
_FIGURES = ("config", "parameters", "epochs", "timing", "metrics", "mistakes", "peak_memory_bytes")  # of a record
_NUMPY_TYPES = {"F32": "<f4", "U8": "|u1"}  # safetensors' names of what a model's file may hold


def _close(found: float | None, expected: float, *, within: float = _LAST_DIGITS) -> bool:
    return found is not None and abs(found - expected) <= within * max(abs(expected), abs(found))


# --- the saved model


def check_saved_model(
    file: Path, weights: Arrays, model: ModelConfig, data: DataSummary, images: NDArray[np.uint8], *, loaded: SavedModel
) -> Check:
    """Hold the model's file, read from the disk, against the network's `weights` as they lie on its device.

    The file also says how the training `images` looked. `loaded` is what the program's own loader makes of it.
    """
    faults = [*_file_faults(file, weights, model, data)]
    faults += ["it doesn't say how its images looked"] if loaded.likeness is None else []
    if loaded.likeness is not None:
        faults += _likeness_faults(loaded.likeness.samples, loaded.likeness.limit, images, light=data.light)
    faults += [f"loaded, {fault}" for fault in _unlike(loaded.model.arrays(), weights)]
    faults += ["loaded, it is another network"] if loaded.model.config != model else []
    said = (loaded.class_names, loaded.dataset, loaded.light)
    faults += ["loaded, its names are others"] if said != (data.class_names, data.dataset, data.light) else []
    return Check.without(
        "saved model",
        faults,
        group="files",
        finds="weights or names unlike the run's",
        reason="the file is read back; every weight is the network's to the bit, in the file and as it is loaded",
    )


def check_saved_record(file: Path, record: RunRecord) -> Check:
    """Hold the figures in a record's file, read from the disk, against the record that it was written from."""
    saved, wanted = json.loads(file.read_bytes()), json.loads(json.dumps(msgspec.to_builtins(record)))
    for each in (saved, wanted):
        each["config"]["data"] = None  # a folder's name may hold what no JSON can
    return Check.without(
        "saved record",
        [f"its {name} is another" for name in _FIGURES if saved.get(name) != wanted[name]],
        group="files",
        finds="figures unlike the run's",
        reason="the file is read back, and every figure in it is the run's",
    )


def _file_faults(file: Path, weights: Arrays, model: ModelConfig, data: DataSummary) -> Iterator[str]:
    try:
        header, arrays = read_tensors(file)
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"it can't be read back: {error}"
        return
    yield from _unlike({name: array for name, array in arrays.items() if name.startswith("layers.")}, weights)
    said = {name: header.get(name) for name in ("network", "class_names", "dataset", "light")}
    known = {"network": model, "class_names": data.class_names, "dataset": data.dataset, "light": data.light}
    wanted = json.loads(msgspec.json.encode(known))
    yield from (f"its {name.replace('_', ' ')} is another" for name in wanted if said[name] != wanted[name])


def _likeness_faults(
    samples: NDArray[np.uint8], limit: float, images: NDArray[np.uint8], *, light: bool
) -> Iterator[str]:
    """What of a likeness is not that of the training `images`: see `data.likeness`, of which nothing is used here.

    6,000 of them are taken evenly, in means of 2 x 2 pixels with the ink on 0: every third is a sample, and of the
    others' distances from the nearest sample 99.3 % are within the limit.
    """
    squares = images.reshape(-1, 28, 28)
    edge = squares[:1000, [0, -1]].ravel()
    if abs(float((edge > 127).mean()) - light) > _BY_FAR:
        yield "its images are dark on light, or not, unlike what it says"
    taken = squares[np.unique(np.linspace(0, len(squares) - 1, 6000).astype(int))].astype(np.uint16)
    ink = 255 - taken if light else taken
    small = (ink[:, ::2, ::2] + ink[:, ::2, 1::2] + ink[:, 1::2, ::2] + ink[:, 1::2, 1::2]) // 4
    small = small.reshape(len(small), -1)
    if not np.array_equal(samples, small[::3]):
        yield "its samples are not of its images"
        return
    lengths = np.maximum(np.sqrt(np.square(small, dtype=np.float32).sum(axis=1, keepdims=True)), 1)
    units = small / lengths.astype(np.float32)
    others = np.delete(units, np.s_[::3], axis=0)
    nearest = 1 - (others @ units[::3].T).max(axis=1) if len(others) else np.ones(1)
    if abs(float(np.quantile(nearest, 0.993)) - limit) > _DISTANCES_APART:
        yield "its limit of likeness is not that of its images"


def read_tensors(file: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What our header says, and the tensors of a safetensors file by name.

    The format is 8 bytes, little-endian, with the size of the JSON that follows; that gives type, shape and place of
    every tensor in the rest (https://github.com/huggingface/safetensors). Raises ValueError, KeyError and TypeError.
    """
    content = file.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    table = json.loads(content[8:start])
    header = json.loads(table.pop("__metadata__")["accelmnist"])
    arrays = {}
    for name, place in table.items():
        begin, end = place["data_offsets"]
        kind = _NUMPY_TYPES.get(place["dtype"])
        if kind is None:
            raise ValueError(f"{name} is of type {place['dtype']}")
        arrays[name] = np.frombuffer(content[start + begin : start + end], dtype=kind).reshape(place["shape"])
    return header, arrays


def _unlike(found: Arrays, expected: Arrays) -> Iterator[str]:
    """What differs between two networks' weights, bit by bit."""
    if found.keys() != expected.keys():
        yield f"the layers are {', '.join(sorted(found)) or 'missing'}"
        return
    for name, wanted in expected.items():
        got = found[name]
        if (got.shape, got.dtype) != (wanted.shape, wanted.dtype):
            yield f"{name} is {got.dtype} {got.shape}"
        elif count := int((got.view(np.uint32) != np.ascontiguousarray(wanted).view(np.uint32)).sum()):
            yield f"{count} numbers of {name} are others"


# --- the figures


def check_record(
    record: RunRecord, seen_s: Mapping[str, tuple[float, float]], seen_peak_bytes: tuple[int, int] | None
) -> Check:
    """Recount a whole `record`, as it will be when it is loaded.

    Its timing and its peak of memory are held to what another clock and another reading saw: the least and the most.
    """
    timing = {name: getattr(record.timing, name) for name in seen_s}
    faults = [fault for name, told in timing.items() for fault in clock_faults(name, told or 0.0, seen_s[name])]
    if seen_peak_bytes is not None:
        faults += peak_faults(record.peak_memory_bytes, seen_peak_bytes)
    try:
        recount_run(record)
    except RecordError as error:
        faults.append(error.message)
    return Check.without(
        "figures recounted",
        faults,
        group="figures",
        finds="figures that don't follow from others",
        reason="scores are those of the matrix, speeds images over seconds, means and intervals those of the seeds",
    )


def check_epochs(
    record: RunRecord,
    losses: NDArray[np.float32],
    seen_s: Sequence[tuple[float, float]],
    faults: Sequence[str] = (),
) -> Check:
    """Hold the figures by epoch, and their sums, against the losses of all steps (steps,).

    `seen_s` are the least and the most that each epoch took by another clock, where one saw it; `faults` is what was
    seen of their time besides.
    """
    return Check.without(
        "figures by epoch",
        [
            *_epoch_faults(record, losses),
            *_epoch_clock_faults(record, seen_s),
            *faults,
        ],
        group="figures",
        finds="losses, rates or speeds unlike the steps'",
        reason="a loss is the mean of its epoch's steps, a speed images over seconds; a second clock saw as much",
    )


def _epoch_faults(record: RunRecord, losses: NDArray[np.float32]) -> Iterator[str]:
    training, epochs = record.config.training, record.epochs
    images = record.data.training_images if record.data is not None else 0
    steps = images // training.batch_size  # a ragged last batch is left out
    if [figures.epoch for figures in epochs] != list(range(1, training.epochs + 1)):
        yield f"there are {len(epochs)} epochs of {training.epochs}"
        return
    if len(losses) != steps * training.epochs:
        yield f"there are {len(losses)} losses for {steps * training.epochs} steps"
        return
    for figures, part in zip(epochs, losses.reshape(training.epochs, steps).astype(np.float64), strict=True):
        name, mean = f"epoch {figures.epoch}", math.fsum(part) / steps
        if not _close(figures.train_loss, mean):
            yield f"{name}: its loss is {figures.train_loss}, and its steps' mean {mean:.6g}"
        if not _close(figures.images_per_s * figures.train_s, steps * training.batch_size):
            seen = figures.images_per_s * figures.train_s
            yield f"{name}: its speed and time are of {seen:,.0f} images, and not of {steps * training.batch_size:,}"
        end = figures.epoch * steps - 1
        rate = learning_rate(training, end, steps * training.epochs)
        if abs(figures.learning_rate - rate) > _RATE_ROUNDING * rate + _LAST_DIGITS * training.peak_rate:
            yield f"{name}: its last learning rate is {rate:.6g}, and not {figures.learning_rate:.6g}"
    total_s, timing = math.fsum(figures.train_s for figures in epochs), record.timing
    if not _close(timing.train_s, total_s):
        yield f"all epochs took {total_s:.6g} s, and not {timing.train_s:.6g}"
    if not _close(timing.images_per_s, training.epochs * steps * training.batch_size / total_s):
        yield f"the speed of all epochs is not {timing.images_per_s} images/s"


def _epoch_clock_faults(record: RunRecord, seen_s: Sequence[tuple[float, float]]) -> Iterator[str]:
    for figures, seen in zip(record.epochs, seen_s, strict=False):
        yield from clock_faults(f"epoch {figures.epoch}", figures.train_s, seen)


def clock_faults(name: str, seconds: float, seen_s: tuple[float, float]) -> Iterator[str]:
    """That what took `seconds` did not take from the least to the most that another clock saw."""
    (least, most), slack = seen_s, _CLOCKS_APART * seconds
    if not least - slack <= seconds <= most + slack:
        yield f"{name}: it took {seconds:.4g} s, by another clock {least:.4g} to {most:.4g}"


def peak_faults(told: int | None, seen_bytes: tuple[int, int]) -> Iterator[str]:
    """That a peak of memory is not from the least to the most of what was read around it."""
    least, most = seen_bytes
    if told is None or not least - _uncounted_bytes() <= told <= most + _uncounted_bytes():
        yield f"the peak of memory is {told} bytes, and by another reading {least} to {most}"


def _uncounted_bytes() -> int:
    """How far two of Linux' readings of a process's memory may be apart that are of one moment.

    Each processor adds to the sum only when it has counted as many pages as it may keep to itself, max(32, 2 n) with n
    processors, or in older kernels each thread 64 (lib/percpu_counter.c; mm/memory.c).
    """
    processors = os.cpu_count() or 1
    return 2 * processors * max(64, 2 * processors) * mmap.PAGESIZE


# --- the reference


def check_reference(
    reference: ReferenceTraining, config: RunConfig, model: MLP, evaluation: Evaluation, test: ImageSet
) -> Check:
    """The reference is a training of its own: its weights have moved, and what it says follows from them."""
    return Check.without(
        "reference itself",
        [*_reference_faults(reference, config, model, evaluation, test)],
        group="reference",
        finds="the run in the reference's place",
        reason="nothing is shared with the run, weights have moved, and every tenth answer is computed anew",
    )


def _reference_faults(
    reference: ReferenceTraining, config: RunConfig, model: MLP, evaluation: Evaluation, test: ImageSet
) -> Iterator[str]:
    theirs, said = reference.model.arrays(), reference.evaluation
    ours, others = ({weight.data_ptr() for weight in each.parameters()} for each in (model, reference.model))
    if ours & others or said.metrics is evaluation.metrics or np.shares_memory(said.logits, evaluation.logits):
        yield "its weights or scores are the run's own"
    if all(np.array_equal(theirs[name], first) for name, first in first_weights(config).items()):
        yield "its weights have not moved"
    yield from answer_faults(reference.model, said, test, tolerances("fp32"))
    if reference.run.metrics != said.metrics:
        yield "the record's scores are not its own"
