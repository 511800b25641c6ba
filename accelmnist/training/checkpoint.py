"""Weights and training state on the disk, in safetensors: tensors and a text header, nothing that runs when read.

Two kinds of file:
    model.safetensors        the weights, with the network's configuration: what `predict` takes
    checkpoint.safetensors   weights, optimizer's state and losses after a whole number of epochs: what `--resume` takes
A checkpoint is replaced in one step at the end of an epoch, and everything random depends on seed and epoch alone, so
a run that was killed at any moment continues to the same weights, to the bit (on the CPU, by the same number of
threads).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from accelmnist.core.config import CLASSES, ModelConfig, RunConfig
from accelmnist.core.errors import CheckpointError, ConfigError
from accelmnist.core.files import is_whole, write_atomically
from accelmnist.core.records import RECORD_NAME, EpochFigures, RunRecord, load_record
from accelmnist.core.text import checked_json
from accelmnist.data.likeness import SAMPLE_PIXELS, Likeness
from accelmnist.engines.contract import State
from accelmnist.engines.model import MLP

MODEL_NAME = "model.safetensors"
CHECKPOINT_NAME = "checkpoint.safetensors"
_SAMPLES = "likeness/samples"
_MODEL_FORMAT = "accelmnist model 1"
_ANEW = "Give another one, or remove it and start anew"
_CHECKPOINT_FORMAT = "accelmnist checkpoint 2"  # another number where the same seed gives another order


@dataclass(frozen=True)
class Checkpoint:
    """A run after `len(epochs)` epochs: all that the next one depends on.

    `digests` are those of the weights and the state that the training ended with, by name, as its audit saw them.
    """

    config: RunConfig
    weights: State
    state: State
    losses: Tensor
    epochs: tuple[EpochFigures, ...]
    digests: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SavedModel:
    """A network that can answer: its weights, the names of its classes, and the data set it learned.

    `light` says that this was dark on light; how the images looked is None in a file of an older version.
    """

    model: MLP
    class_names: tuple[str, ...]
    dataset: str
    light: bool = False
    likeness: Likeness | None = None


def save_model(
    model: MLP,
    path: Path,
    *,
    class_names: tuple[str, ...],
    dataset: str,
    light: bool = False,
    likeness: Likeness | None = None,
) -> None:
    """Write the weights and what is needed to use them; raises OutputError."""
    header: dict[str, Any] = {"network": model.config, "class_names": class_names, "dataset": dataset, "light": light}
    tensors = weights_of(model)
    if likeness is not None:
        header["likeness_limit"] = likeness.limit
        tensors[_SAMPLES] = torch.from_numpy(likeness.samples)
    _write(path, _MODEL_FORMAT, header, tensors)


def load_model(path: Path) -> SavedModel:
    """The network in a `model.safetensors`, or in a run's folder; raises CheckpointError."""
    file = path / MODEL_NAME if path.is_dir() else path
    with _opened(file, _MODEL_FORMAT) as (header, opened):
        config = _part(header, "network", ModelConfig, file)
        class_names = _part(header, "class_names", tuple[str, ...], file)
        dataset = _part(header, "dataset", str, file)
        if len(class_names) != CLASSES:
            raise CheckpointError(f"{file} names {len(class_names)} classes, not {CLASSES}", remedy="Give another file")
        light = _part(header, "light", bool, file) if "light" in header else False
        weights, samples = _weight_shapes(config), _shapes(opened).get(_SAMPLES)
        own = {} if samples is None else {_SAMPLES: (max(samples[0] if samples else 0, 1), SAMPLE_PIXELS)}
        _require_tensors(opened, weights | own, file, of=str(config))
        model = MLP(config, parameters=[opened.get_tensor(name).numpy().copy() for name in weights])
        likeness = None
        if own:
            pixels = opened.get_tensor(_SAMPLES).numpy().copy()
            likeness = Likeness(pixels, _part(header, "likeness_limit", float, file))
    return SavedModel(model, class_names, dataset, light, likeness)


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Replace the checkpoint at `path` in one step; raises OutputError and leaves the old one."""
    header = {"config": checkpoint.config, "epochs": checkpoint.epochs, "digests": checkpoint.digests}
    tensors = {f"weights/{name}": tensor for name, tensor in checkpoint.weights.items()}
    tensors |= {f"state/{name}": tensor for name, tensor in checkpoint.state.items()}
    _write(path, _CHECKPOINT_FORMAT, header, tensors | {"losses": checkpoint.losses})


def load_checkpoint(file: Path) -> Checkpoint:
    """Read and validate a checkpoint; raises CheckpointError."""
    with _opened(file, _CHECKPOINT_FORMAT) as (header, opened):
        config = _part(header, "config", RunConfig, file)
        epochs = _part(header, "epochs", tuple[EpochFigures, ...], file)
        digests = _part(header, "digests", dict[str, str], file) if "digests" in header else {}
        weights, found = _weight_shapes(config.model), _shapes(opened)
        steps = found.get("losses", ())
        whole = len(steps) == 1 and steps[0] >= len(epochs) and steps[0] % max(len(epochs), 1) == 0
        numbered = [figures.epoch for figures in epochs] == list(range(1, len(epochs) + 1))
        if not whole or not numbered or len(epochs) > config.training.epochs:
            raise CheckpointError(f"{file}: its epochs or losses are not those of its run", remedy=_ANEW)
        wanted = {f"weights/{name}": shape for name, shape in weights.items()} | {"losses": steps}
        # A tensor of the optimizer's is like its parameter, and all others are scalars.
        wanted |= {name: weights.get(name.split("/", 2)[-1], ()) for name in found if name.startswith("state/")}
        _require_tensors(opened, wanted, file, of=str(config.model))
        tensors = {name: opened.get_tensor(name) for name in wanted}
    parts = _under(tensors, "weights/"), _under(tensors, "state/")
    return Checkpoint(config, *parts, tensors["losses"], epochs, digests)


def weights_of(model: MLP) -> State:
    """Copies of the weights on the host, by name."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.named_parameters()}


@torch.no_grad()
def load_weights(model: MLP, weights: State, *, source: str) -> None:
    """Copy `weights` into `model` in place; raises CheckpointError where names or shapes are another network's."""
    wanted = dict(model.named_parameters())
    if wanted.keys() != weights.keys() or any(weights[name].shape != wanted[name].shape for name in wanted):
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in sorted(weights.items())[:4])
        raise CheckpointError(
            f"{source} holds another network than {model.config}: {shapes}", remedy="Give the file of that network"
        )
    for name, parameter in wanted.items():
        parameter.copy_(weights[name])


def _under(tensors: State, prefix: str) -> State:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _write(path: Path, kind: str, header: dict[str, Any], tensors: State) -> None:
    # One key: safetensors writes several in no fixed order, and equal runs should leave equal files.
    metadata = {"accelmnist": msgspec.json.encode({"format": kind, **header}).decode()}
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_atomically(path, safetensors.torch.save(contiguous, metadata))


def _weight_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights and biases of a network by their names, in the order in which it takes them."""
    pairs = zip(config.sizes, config.sizes[1:], strict=False)
    shapes: dict[str, tuple[int, ...]] = {}
    for index, (inputs, units) in enumerate(pairs):
        shapes |= {f"layers.{index}.weight": (units, inputs), f"layers.{index}.bias": (units,)}
    return shapes


def _shapes(opened: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of all tensors of a file, by its header."""
    return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118 - it is no dict


def _require_tensors(opened: Any, wanted: dict[str, tuple[int, ...]], file: Path, *, of: str) -> None:
    """Raise CheckpointError if a file holds other tensors than those, by its header: nothing is read or made before."""
    shapes = _shapes(opened)
    if shapes != wanted:
        some = ", ".join(f"{name} {shape}" for name, shape in shapes.items() if wanted.get(name) != shape)
        raise CheckpointError(
            f"{file} holds another network than {of}: {some or 'a part is missing'}",
            remedy="Give the file of that network",
        )
    for name in shapes:
        kind, own = opened.get_slice(name).get_dtype(), "U8" if name == _SAMPLES else "F32"
        if kind != own:
            raise CheckpointError(f"{file}: {name} is of type {kind}, not {own}", remedy=_ANEW)


@contextmanager
def _opened(file: Path, kind: str) -> Iterator[tuple[dict[str, msgspec.Raw], Any]]:
    """Within: the header of a file of ours, and its tensors by safetensors, none of them read yet."""
    try:
        if file.exists() and not (file.is_file() or file.is_dir()):  # to read a pipe would wait for its writer
            raise CheckpointError(f"{file} is not a regular file", remedy="Give a file or folder that a run saved")
        with safetensors.safe_open(file, framework="pt") as opened:
            header = _header(opened.metadata() or {})
            found = _part(header, "format", str, file) if "format" in header else "unknown"
            if found != kind:
                raise CheckpointError(
                    f"{file} is not an {kind.rpartition(' ')[0]} but of format {found!r}",
                    remedy="Give a file that a run saved",
                )
            yield header, opened
    except OSError as error:
        # safetensors raises this one with a text that holds the path, and without strerror
        cause = "no such file" if isinstance(error, FileNotFoundError) else (error.strerror or str(error)).lower()
        raise CheckpointError(
            f"cannot read {file}: {cause}", remedy="Give a file or folder that a run saved"
        ) from error
    except SafetensorError as error:
        raise CheckpointError(f"{file} is damaged or no safetensors file: {error}", remedy=_ANEW) from error


def _header(metadata: dict[str, str]) -> dict[str, msgspec.Raw]:
    """What our own files say of themselves; empty for a foreign file."""
    try:
        return msgspec.json.decode(metadata.get("accelmnist", "{}"), type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return {}


def _part(header: dict[str, msgspec.Raw], name: str, kind: Any, file: Path) -> Any:
    try:
        return msgspec.convert(checked_json(msgspec.json.decode(header[name])), kind)
    except (KeyError, msgspec.DecodeError, ValueError, RecursionError, ConfigError) as error:
        raise CheckpointError(
            f"{file}: its header's {name} is unusable: {error}", remedy="Give another file"
        ) from error


def find_unfinished_run(folder: Path) -> RunRecord | None:
    """The record of a run in `folder` that is proven, but not finished: some of its files are missing; else None."""
    record = load_record(folder)
    is_finished = is_whole(folder, record.status, record.files) and not (folder / CHECKPOINT_NAME).exists()
    return None if record.verdict is None or is_finished or not (folder / MODEL_NAME).exists() else record


def find_stopped_run(folder: Path) -> tuple[RunConfig, Checkpoint | None]:
    """The stopped run in `folder`, with no checkpoint if it was stopped before the first one.

    Raises RecordError, CheckpointError, or ConfigError for a run that is finished.
    """
    record = load_record(folder)
    if record.status == "done":
        raise ConfigError(f"--resume {folder}: that run is finished", remedy="Start a new one, or give a stopped run")
    if record.trials is not None:
        raise ConfigError(
            f"--resume {folder}: that run is of {record.trials.planned} seeds together, which have no checkpoint",
            remedy="Start it again; the seeds that are over stay in its record",
        )
    file = folder / CHECKPOINT_NAME
    if not file.exists():
        return record.config, None
    checkpoint = load_checkpoint(file)
    if _shared(checkpoint.config) != _shared(record.config):
        raise CheckpointError(
            f"{file} is of another configuration than {folder / RECORD_NAME}",
            remedy="Remove the checkpoint to start that run anew",
        )
    return checkpoint.config, checkpoint


def _shared(config: RunConfig) -> RunConfig:
    """What stays the same where a run goes on by another number of ranks."""
    return replace(config, execution=replace(config.execution, ranks=1, threads=None))
