"""The saved network's answers to all test images, computed again: the record keeps counts, a report shows the images.

The network answers on the CPU in float32, whatever it was trained by. If its record has another confusion matrix,
because the device rounds otherwise or the data is not the same, `moved` counts the images that are in another cell: a
report says so. What is missing is no error but a `MissingEvidence`, which a report shows in place of the images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from accelmnist.analysis.neurons.record import NeuronsRecord
from accelmnist.core.errors import AccelmnistError, ConfigError, DataError
from accelmnist.core.records import RunRecord

if TYPE_CHECKING:
    from accelmnist.analysis.neurons.source import Source
    from accelmnist.engines.model import MLP

_ANOTHER_SET = 0.02  # share of the test images in another cell: no rounding moves as many


@dataclass(frozen=True)
class MissingEvidence:
    """Why something can't be shown."""

    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class RecomputedAnswers:
    """Test images uint8 (n, 784), their labels and the network's predictions int64 (n,), its scores float32 (n, 10).

    `weights`, float32 (neurons, 784), are the first layer's, which `neurons` describes; those of pixels that are inked
    in no training image were never trained, and are 0 here.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    scores: NDArray[np.float32]
    weights: NDArray[np.floating[Any]]
    moved: int
    neurons: NeuronsRecord | None = None


def find_evidence(
    record: RunRecord, folder: Path, *, data: Path | None = None, neurons: NeuronsRecord | None = None
) -> RecomputedAnswers | MissingEvidence:
    """The answers of the network in `folder` on the test images of its data set, which may lie in the folder `data`.

    `neurons` is the record of its first layer; without it, or if it is of another run, the neurons are described here.
    Raises DataError or ConfigError if `data` is given and is not the run's; anything else that is missing is a
    MissingEvidence.
    """
    from accelmnist.analysis.neurons.source import describe_run, find_source

    try:
        source = find_source(folder, data_folder=data, dataset=None)
        answers = _recompute(record, source)
        if isinstance(answers, MissingEvidence):
            return answers
        known = neurons if neurons is not None and _is_of(neurons, record) else describe_run(source)
        return replace(answers, neurons=known)
    except AccelmnistError as error:
        if data is not None and isinstance(error, DataError | ConfigError):
            raise
        return MissingEvidence(error.message)


def _recompute(record: RunRecord, source: Source) -> RecomputedAnswers | MissingEvidence:
    model, test = source.saved.model, source.data.test
    if model.config != record.config.model:
        return MissingEvidence(f"the saved weights are of {model.config}, not of {record.config.model}")
    scores = _scores(model, test.images)
    if not np.isfinite(scores).all():
        return MissingEvidence("the network's answers are not finite: its training diverged")
    predictions = scores.argmax(axis=1)
    moved = _moved(record, predictions, test.labels)
    if moved > _ANOTHER_SET * len(test):
        raise DataError(
            f"on these test images {moved:,} answers differ from the record: the data is not the run's",
            remedy="Give the folder of the run's own data with --data",
        )
    return RecomputedAnswers(
        images=test.images,
        labels=test.labels,
        predictions=predictions,
        scores=scores,
        weights=np.where(source.data.train.images.any(axis=0), model.first_layer_weights(), 0.0),
        moved=moved,
    )


def _is_of(neurons: NeuronsRecord, record: RunRecord) -> bool:
    return neurons.network == record.config.model and neurons.run in (None, record.created)


def _scores(model: MLP, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    import torch

    from accelmnist.device import resolve
    from accelmnist.engines.model import apply_output, logits_of

    with torch.no_grad():
        logits = logits_of(model, torch.from_numpy(images), device=resolve("cpu"), precision="fp32")
        return np.asarray(apply_output(logits, model.config.output), dtype=np.float32)


def _moved(record: RunRecord, predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> int:
    """The least number of images that are in another cell of the confusion matrix than in the record."""
    if record.metrics is None:
        return 0
    recorded = np.array(record.metrics.confusion_matrix, dtype=np.int64)
    recomputed = np.zeros_like(recorded)
    np.add.at(recomputed, (predictions, labels), 1)
    return int(np.abs(recomputed - recorded).sum() + 1) // 2
