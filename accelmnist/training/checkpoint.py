"""Weights and training state on the disk, in safetensors: tensors and a text header, nothing that runs when read.

Two kinds of file:
    model.safetensors        the weights, with the network's configuration: what `predict` takes
    checkpoint.safetensors   weights, optimizer's state and losses after a whole number of epochs: what `--resume` takes
A checkpoint is replaced in one step at the end of an epoch, and everything random depends on seed and epoch alone, so
a run that was killed at any moment continues to the same weights, to the bit (on the CPU, by the same number of
threads).
"""

from __future__ import annotations

from dataclasses import dataclass
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
from accelmnist.data.likeness import SAMPLE_PIXELS, Likeness
from accelmnist.engines.contract import State
from accelmnist.engines.model import MLP

MODEL_NAME = "model.safetensors"
CHECKPOINT_NAME = "checkpoint.safetensors"
_SAMPLES = "likeness/samples"
_MODEL_FORMAT = "accelmnist model 1"
_CHECKPOINT_FORMAT = "accelmnist checkpoint 2"  # another number where the same seed gives another order


@dataclass(frozen=True)
class Checkpoint:
    """A run after `len(epochs)` epochs: all that the next one depends on."""

    config: RunConfig
    weights: State
    state: State
    losses: Tensor
    epochs: tuple[EpochFigures, ...]


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
    header, tensors = _read(file, _MODEL_FORMAT)
    config = _part(header, "network", ModelConfig, file)
    model = MLP(config, seed=0)
    samples = tensors.pop(_SAMPLES, None)
    load_weights(model, tensors, source=str(file))
    class_names = _part(header, "class_names", tuple[str, ...], file)
    if len(class_names) != CLASSES:
        raise CheckpointError(f"{file} names {len(class_names)} classes, not {CLASSES}", remedy="Give another file")
    light = _part(header, "light", bool, file) if "light" in header else False
    likeness = None
    if samples is not None:
        if samples.dtype != torch.uint8 or samples.dim() != 2 or samples.shape[1] != SAMPLE_PIXELS or not len(samples):
            raise CheckpointError(f"{file}: its {_SAMPLES} are no images", remedy="Give another file")
        likeness = Likeness(samples.numpy(), _part(header, "likeness_limit", float, file))
    return SavedModel(model, class_names, _part(header, "dataset", str, file), light, likeness)


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Replace the checkpoint at `path` in one step; raises OutputError and leaves the old one."""
    header = {"config": checkpoint.config, "epochs": checkpoint.epochs}
    tensors = {f"weights/{name}": tensor for name, tensor in checkpoint.weights.items()}
    tensors |= {f"state/{name}": tensor for name, tensor in checkpoint.state.items()}
    _write(path, _CHECKPOINT_FORMAT, header, tensors | {"losses": checkpoint.losses})


def load_checkpoint(file: Path) -> Checkpoint:
    """Read and validate a checkpoint; raises CheckpointError."""
    header, tensors = _read(file, _CHECKPOINT_FORMAT)
    return Checkpoint(
        config=_part(header, "config", RunConfig, file),
        weights=_under(tensors, "weights/"),
        state=_under(tensors, "state/"),
        losses=tensors.get("losses", torch.empty(0)),
        epochs=_part(header, "epochs", tuple[EpochFigures, ...], file),
    )


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


def _read(file: Path, kind: str) -> tuple[dict[str, msgspec.Raw], State]:
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no dict
    except OSError as error:
        # safetensors raises this one with a text that holds the path, and without strerror
        cause = "no such file" if isinstance(error, FileNotFoundError) else (error.strerror or str(error)).lower()
        raise CheckpointError(
            f"cannot read {file}: {cause}", remedy="Give a file or folder that a run saved"
        ) from error
    except SafetensorError as error:
        raise CheckpointError(
            f"{file} is damaged or no safetensors file: {error}", remedy="Give another one, or remove it and start anew"
        ) from error
    header = _header(metadata)
    found = _part(header, "format", str, file) if "format" in header else "unknown"
    if found != kind:
        raise CheckpointError(
            f"{file} is not an {kind.rpartition(' ')[0]} but of format {found!r}", remedy="Give a file that a run saved"
        )
    return header, tensors


def _header(metadata: dict[str, str]) -> dict[str, msgspec.Raw]:
    """What our own files say of themselves; empty for a foreign file."""
    try:
        return msgspec.json.decode(metadata.get("accelmnist", "{}"), type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return {}


def _part(header: dict[str, msgspec.Raw], name: str, kind: Any, file: Path) -> Any:
    try:
        return msgspec.json.decode(header[name], type=kind)
    except (KeyError, msgspec.DecodeError, ConfigError) as error:
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
    if checkpoint.config != record.config:
        raise CheckpointError(
            f"{file} is of another configuration than {folder / RECORD_NAME}",
            remedy="Remove the checkpoint to start that run anew",
        )
    return checkpoint.config, checkpoint
