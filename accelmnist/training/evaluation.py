"""What the network says of every image of a set, computed on the device in the run's own precision.

All images count, the ragged last chunk included. The confusion matrix has a row for each predicted and a column for
each actual class. Results come to the host once, at the end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from accelmnist.core.config import CLASSES, Output, Precision
from accelmnist.core.metrics import Metrics, compute_metrics
from accelmnist.core.records import Mistake
from accelmnist.data.types import DeviceSet
from accelmnist.device import Device
from accelmnist.engines.model import MLP, apply_output, image_losses, logits_of, target_table


@dataclass(frozen=True)
class Evaluation:
    """Logits (n, 10) float32, predictions and labels (n,) on the host, and the scores that follow."""

    logits: NDArray[np.float32]
    predictions: NDArray[np.int64]
    labels: NDArray[np.int64]
    metrics: Metrics


@torch.no_grad()
def evaluate(model: MLP, data: DeviceSet, *, device: Device, precision: Precision) -> Evaluation:
    """Evaluate `model` on all of `data`."""
    return evaluation_of(logits_of(model, data.images, device=device, precision=precision), data, model.config.output)


@torch.no_grad()
def evaluation_of(logits: torch.Tensor, data: DeviceSet, output: Output) -> Evaluation:
    """What follows from the logits (n, 10) float32 of all of `data`, which lie on its device."""
    predictions = logits.argmax(dim=1)
    targets = target_table(0.0, logits.device).index_select(0, data.labels)
    loss = image_losses(logits, targets, output).mean()
    cells = torch.bincount(predictions * CLASSES + data.labels, minlength=CLASSES * CLASSES)
    confusion = cells.view(CLASSES, CLASSES).cpu().numpy()
    return Evaluation(
        logits=logits.cpu().numpy(),
        predictions=predictions.cpu().numpy(),
        labels=data.labels.cpu().numpy(),
        metrics=compute_metrics(confusion, loss=loss.item()),
    )


@torch.no_grad()
def accuracy_of(model: MLP, data: DeviceSet, *, device: Device, precision: Precision) -> float:
    """Share of `data` that `model` classifies rightly: one number to the host."""
    hits = logits_of(model, data.images, device=device, precision=precision).argmax(dim=1) == data.labels
    return hits.sum().item() / len(data)


def confident_mistakes(evaluation: Evaluation, model: MLP, *, limit: int = 25) -> tuple[Mistake, ...]:
    """The wrong answers with the highest score, the most confident first; ties in the order of the set."""
    said = apply_output(torch.from_numpy(evaluation.logits), model.config.output).numpy()
    wrong = np.flatnonzero(evaluation.predictions != evaluation.labels)
    confidence = said[wrong, evaluation.predictions[wrong]]
    chosen = wrong[np.argsort(-confidence, kind="stable")[:limit]]
    return tuple(
        Mistake(
            index=int(index),
            actual=int(evaluation.labels[index]),
            predicted=int(evaluation.predictions[index]),
            score=float(said[index, evaluation.predictions[index]]),
            actual_score=float(said[index, evaluation.labels[index]]),
        )
        for index in chosen
    )
