"""What the network says of every image of a set, computed on the device in the run's own precision.

All images count, the ragged last chunk included. The confusion matrix has a row for each predicted and a column for
each actual class. Results come to the host once, at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from accelmnist.core.config import CLASSES, Output, Precision
from accelmnist.core.metrics import Metrics, compute_metrics
from accelmnist.core.records import Mistake
from accelmnist.data.types import DeviceSet, ImageSet, upload
from accelmnist.device import Device, resolve
from accelmnist.device.ranks import Ranks
from accelmnist.engines.contract import Job
from accelmnist.engines.model import MLP, apply_output, image_losses, logits_of, target_table


@dataclass(frozen=True)
class Evaluation:
    """Logits (n, 10) float32, predictions and labels (n,) on the host, and the scores that follow.

    `faults` are what was wrong with the parts of several ranks.
    """

    logits: NDArray[np.float32]
    predictions: NDArray[np.int64]
    labels: NDArray[np.int64]
    metrics: Metrics
    faults: tuple[str, ...] = ()


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
    confusion = _confusion(predictions, data.labels).cpu().numpy()
    return Evaluation(
        logits=logits.cpu().numpy(),
        predictions=predictions.cpu().numpy(),
        labels=data.labels.cpu().numpy(),
        metrics=compute_metrics(confusion, loss=loss.item()),
    )


@torch.no_grad()
def evaluate_shared(job: Job, images: ImageSet, ranks: Ranks) -> Evaluation:
    """Evaluate the network of `job`, each of `ranks` on its part of `images`; all get the whole of it.

    The confusion matrix is the sum of the parts', counted where they were classified.
    """
    own = part_of(len(images), ranks.rank, ranks.size)
    data = upload(images.part(np.arange(own.start, own.stop)), job.device)
    precision, output = job.config.execution.precision, job.config.model.output
    logits = logits_of(job.model, data.images, device=job.device, precision=precision)
    cells = _confusion(logits.argmax(dim=1), data.labels).cpu().numpy()
    told = ranks.tell((own, logits.cpu().numpy(), cells))
    every, faults = np.zeros((len(images), CLASSES), np.float32), []
    for rank, (rows, part, counted) in enumerate(told):
        due = part_of(len(images), rank, ranks.size)
        if rows != due or len(part) != len(due) or counted.sum() != len(due):
            faults.append(f"rank {rank} counted {counted.sum()} images for the {len(due)} from {due.start} on")
        every[due.start : due.stop][: len(part)] = part[: len(due)]
    whole = evaluation_of(torch.from_numpy(every), upload(images, resolve("cpu")), output)
    metrics = compute_metrics(np.add.reduce([counted for *_, counted in told]), loss=whole.metrics.loss)
    return replace(whole, metrics=metrics, faults=tuple(faults))


def part_of(count: int, rank: int, size: int) -> range:
    """The part of `count` images that is the rank's: all parts together are the whole, none twice."""
    return range(count * rank // size, count * (rank + 1) // size)


@torch.no_grad()
def shared_accuracy_of(job: Job, images: ImageSet | DeviceSet) -> float:
    """Share of `images` that the network of `job` classifies rightly: each rank counts those of its part."""
    assert job.ranks is not None
    own = part_of(len(images), job.ranks.rank, job.ranks.size)
    data = images if isinstance(images, DeviceSet) else upload(images, job.device)
    precision = job.config.execution.precision
    logits = logits_of(job.model, data.images[own.start : own.stop], device=job.device, precision=precision)
    hits = int((logits.argmax(dim=1) == data.labels[own.start : own.stop]).sum())
    return sum(job.ranks.tell(hits)) / len(images)


@torch.no_grad()
def accuracy_of(model: MLP, data: DeviceSet, *, device: Device, precision: Precision) -> float:
    """Share of `data` that `model` classifies rightly: one number to the host."""
    hits = logits_of(model, data.images, device=device, precision=precision).argmax(dim=1) == data.labels
    return hits.sum().item() / len(data)


def _confusion(predictions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """How often each class was predicted, a row each, for each actual one, a column each."""
    return torch.bincount(predictions * CLASSES + labels, minlength=CLASSES * CLASSES).view(CLASSES, CLASSES)


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
