"""What the saved network says of every test image, once more: the record keeps counts, a report shows the images.

The network answers on the CPU in float32, whatever it was trained by. Where its record has another confusion matrix,
because the device rounds otherwise or the data is not the same, `moved` counts the images that are in another cell: a
report says so. What is missing is no error but a `Gap`, which a report shows in place of the images.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelmnist.errors import AccelmnistError
from accelmnist.results import RunRecord

_ANOTHER_SET = 0.02  # share of the test images in another cell: no rounding moves as many


@dataclass(frozen=True)
class Gap:
    """Why something can't be shown."""

    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """Test images uint8 (n, 784), their labels and the network's predictions int64 (n,), its scores float32 (n, 10).

    `weights`, float32 (neurons, 784), are the first layer's.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    scores: NDArray[np.float32]
    weights: NDArray[np.floating[Any]]
    moved: int


def find_evidence(record: RunRecord, folder: Path, *, data: Path | None = None) -> Evidence | Gap:
    """The answers of the network in `folder` on the test images of its data set, which may lie in the folder `data`."""
    from accelmnist.checkpoint import load_model

    try:
        saved = load_model(folder)
        if saved.model.config != record.config.model:
            return Gap(f"the saved weights are of {saved.model.config}, not of {record.config.model}")
        return _answers(record, saved.model, data)
    except AccelmnistError as error:
        return Gap(error.message)


def _answers(record: RunRecord, model: Any, data: Path | None) -> Evidence | Gap:
    import torch

    from accelmnist.data.mnist import load_dataset
    from accelmnist.device import resolve
    from accelmnist.evaluation import logits_of
    from accelmnist.model import scores

    config = record.config
    folder = data if data is not None else None if config.data.folder is None else Path(config.data.folder)
    test = load_dataset(config.data.dataset, folder=folder, seed=config.training.seed).test
    with torch.no_grad():
        logits = logits_of(model, torch.from_numpy(test.images), device=resolve("cpu"), precision="fp32")
        said = scores(logits, config.model.output).numpy()
    if not np.isfinite(said).all():
        return Gap("the network's answers are not finite: its training diverged")
    evidence = Evidence(
        images=test.images,
        labels=test.labels,
        predictions=said.argmax(axis=1),
        scores=said,
        weights=model.first_layer_weights(),
        moved=_moved(record, said.argmax(axis=1), test.labels),
    )
    if evidence.moved > _ANOTHER_SET * len(test):
        return Gap(f"on these test images {evidence.moved:,} answers differ from the record: the data is not the run's")
    return evidence


def _moved(record: RunRecord, predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> int:
    """How many images are in another cell of the confusion matrix than the record has them, at least."""
    if record.metrics is None:
        return 0
    recorded = np.array(record.metrics.confusion_matrix, dtype=np.int64)
    found = np.zeros_like(recorded)
    np.add.at(found, (predictions, labels), 1)
    return int(np.abs(found - recorded).sum() + 1) // 2
