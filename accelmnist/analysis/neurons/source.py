"""The network and the images that neurons are described with: a finished run's weights, and the data set it learned.

A run's own record says what its network scored. If the images give another accuracy, they are not the ones that it was
tested on, whatever their folder is called, and what would be said of the neurons would be wrong.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from accelmnist.analysis.neurons.analysis import describe_neurons
from accelmnist.analysis.neurons.record import NeuronsRecord
from accelmnist.core.errors import CheckpointError, DataError, RecordError
from accelmnist.core.files import record_file
from accelmnist.core.records import RECORD_NAME, RunRecord, load_record
from accelmnist.data.mnist import load_dataset
from accelmnist.data.types import Dataset
from accelmnist.device import resolve
from accelmnist.device.environment import describe_environment
from accelmnist.training.checkpoint import MODEL_NAME, SavedModel, load_model

_SAME = 0.005  # of accuracy: more than any precision moves it, far less than another data set does


@dataclass(frozen=True)
class Source:
    """A finished run with its network and its images."""

    run: RunRecord
    saved: SavedModel
    data: Dataset


def find_source(path: Path, *, data_folder: Path | None, dataset: str | None) -> Source:
    """The source in the run's folder `path`; `data_folder` holds the images if they lie elsewhere than the run says.

    `dataset`, if given, has to be the one that the network learned. Raises RecordError for what is no run,
    CheckpointError for weights that are missing, damaged or not finite, and DataError for missing or other data.
    """
    run = _run_record(path)
    folder = path if path.is_dir() else path.parent
    saved = _weights(folder, run)
    if dataset is not None and dataset != saved.dataset:
        raise DataError(
            f"the network in {folder} learned {saved.dataset}, not {dataset}", remedy=f"Give --dataset {saved.dataset}"
        )
    known = data_folder or (Path(run.config.data.folder) if run.config.data.folder is not None else None)
    data = load_dataset(saved.dataset, folder=known, seed=run.config.training.seed)
    if not len(data.test.labels):
        raise DataError(f"{data.source}: there is no test image", remedy="Give another folder with --data")
    return Source(run, saved, data)


def describe_run(source: Source) -> NeuronsRecord:
    """The record of the neurons of `source`, with its origin; raises DataError if its accuracy isn't the run's."""
    record = describe_neurons(source.saved.model, source.data)
    _check_scores(source.run, record)
    return replace(
        record,
        created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        environment=describe_environment(resolve("cpu")),
        run=source.run.created,
    )


def _run_record(path: Path) -> RunRecord:
    if not path.exists():
        raise RecordError(f"{path}: no such file or folder", remedy="Give the folder of a run")
    if not record_file(path, "run").exists():
        raise RecordError(f"{path} holds no {RECORD_NAME}", remedy="Give the folder of `accelmnist run`")
    return load_record(path)


def _weights(folder: Path, run: RunRecord) -> SavedModel:
    if not (folder / MODEL_NAME).exists():
        remedy = f"Go on with: accelmnist run --resume {folder}" if run.status == "interrupted" else "Train again"
        raise CheckpointError(f"{folder} holds no {MODEL_NAME}: its run is {run.status}", remedy=remedy)
    saved = load_model(folder)
    if not all(bool(torch.isfinite(parameter).all()) for parameter in saved.model.parameters()):
        raise CheckpointError(
            f"{folder / MODEL_NAME} holds weights that are not finite", remedy="Its training diverged: train again"
        )
    return saved


def _check_scores(run: RunRecord, record: NeuronsRecord) -> None:
    if run.metrics is not None and abs(run.metrics.accuracy - record.accuracy) > _SAME:
        raise DataError(
            f"these are not the images that the network was tested on: {100 * record.accuracy:.1f} % of "
            f"{record.source} are right, in its run {100 * run.metrics.accuracy:.1f} %",
            remedy=f"Give the folder of {record.dataset} with --data",
        )
