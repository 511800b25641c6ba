"""What the saved network says of every test image, once more: the record keeps counts, a report shows the images.

The network answers on the CPU in float32, whatever it was trained by. Where its record has another confusion matrix,
because the device rounds otherwise or the data is not the same, `moved` counts the images that are in another cell: a
report says so. What is missing is no error but a `Gap`, which a report shows in place of the images.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from accelmnist.data.types import Dataset
from accelmnist.errors import AccelmnistError
from accelmnist.neurons.record import NeuronsRecord
from accelmnist.results import RunRecord

if TYPE_CHECKING:
    from accelmnist.model import MLP

_ANOTHER_SET = 0.02  # share of the test images in another cell: no rounding moves as many


@dataclass(frozen=True)
class Gap:
    """Why something can't be shown."""

    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """Test images uint8 (n, 784), their labels and the network's predictions int64 (n,), its scores float32 (n, 10).

    `weights`, float32 (neurons, 784), are the first layer's, which `neurons` describes.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    scores: NDArray[np.float32]
    weights: NDArray[np.floating[Any]]
    moved: int
    neurons: NeuronsRecord


def find_evidence(
    record: RunRecord, folder: Path, *, data: Path | None = None, neurons: NeuronsRecord | None = None
) -> Evidence | Gap:
    """The answers of the network in `folder` on the test images of its data set, which may lie in the folder `data`.

    `neurons` is what was said of its first layer before; without it, or where it is of another run, that is done here.
    """
    from accelmnist.checkpoint import load_model

    try:
        saved = load_model(folder)
        if saved.model.config != record.config.model:
            return Gap(f"the saved weights are of {saved.model.config}, not of {record.config.model}")
        dataset = _dataset_of(record, data)
    except AccelmnistError as error:
        return Gap(error.message)
    return _evidence(record, saved.model, dataset, neurons)


def _dataset_of(record: RunRecord, data: Path | None) -> Dataset:
    from accelmnist.data.mnist import load_dataset

    config = record.config
    own = None if config.data.folder is None else Path(config.data.folder)
    return load_dataset(config.data.dataset, folder=data or own, seed=config.training.seed)


def _evidence(record: RunRecord, model: MLP, dataset: Dataset, neurons: NeuronsRecord | None) -> Evidence | Gap:
    test, weights = dataset.test, model.first_layer_weights()
    said = _scores(model, test.images)
    if not (np.isfinite(said).all() and np.isfinite(weights).all()):
        return Gap("the network's answers are not finite: its training diverged")
    predictions = said.argmax(axis=1)
    moved = _moved(record, predictions, test.labels)
    if moved > _ANOTHER_SET * len(test):
        return Gap(f"on these test images {moved:,} answers differ from the record: the data is not the run's")
    return Evidence(
        images=test.images,
        labels=test.labels,
        predictions=predictions,
        scores=said,
        weights=weights,
        moved=moved,
        neurons=neurons if neurons is not None and _is_of(neurons, record) else _described(model, dataset),
    )


def _is_of(neurons: NeuronsRecord, record: RunRecord) -> bool:
    return neurons.network == record.config.model and neurons.run in (None, record.created)


def _described(model: MLP, dataset: Dataset) -> NeuronsRecord:
    from accelmnist.neurons.analysis import describe_neurons

    return describe_neurons(model, dataset)


def _scores(model: MLP, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    import torch

    from accelmnist.device import resolve
    from accelmnist.evaluation import logits_of
    from accelmnist.model import scores

    with torch.no_grad():
        logits = logits_of(model, torch.from_numpy(images), device=resolve("cpu"), precision="fp32")
        found: NDArray[np.float32] = scores(logits, model.config.output).numpy()
    return found


def _moved(record: RunRecord, predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> int:
    """How many images are in another cell of the confusion matrix than the record has them, at least."""
    if record.metrics is None:
        return 0
    recorded = np.array(record.metrics.confusion_matrix, dtype=np.int64)
    found = np.zeros_like(recorded)
    np.add.at(found, (predictions, labels), 1)
    return int(np.abs(found - recorded).sum() + 1) // 2
