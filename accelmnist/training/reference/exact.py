"""Checks in float64 on the host, from the host's own copy of the data.

They share as little as they can with what they check: the images and labels never were on the device, the arithmetic is
float64, autograd runs through the plain module, and the update is torch's simple (not fused) optimizer.
"""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray

from accelmnist.core.config import CLASSES, IMAGE_SIDE, INPUTS, ExecutionConfig, RunConfig, TrainingConfig
from accelmnist.core.records import Check
from accelmnist.data.augment import BLOCK, PARTS, epoch_maps
from accelmnist.data.types import ImageSet
from accelmnist.device import resolve
from accelmnist.engines.model import MLP, PIXEL_SCALE
from accelmnist.engines.plan import TrainingPlan
from accelmnist.engines.step.device_runner import upload_epoch
from accelmnist.engines.step.loss import training_loss
from accelmnist.engines.step.torch_update import TorchUpdate
from accelmnist.training.evaluation import Evaluation
from accelmnist.training.reference.tolerances import FIRST_STEPS, Tolerances

_MARGIN = 2  # black pixels around an image


def check_evaluation(model: MLP, test: ImageSet, evaluation: Evaluation, limits: Tolerances) -> list[Check]:
    """Hold the device's evaluation against the same weights evaluated in float64 on the host's images."""
    exact = _exact_logits(model, test)
    error = np.abs(evaluation.logits - exact).max() / np.abs(exact).max()
    reason = f"against float64 on the CPU: {limits.logits.reason}"
    return [
        Check.at_most("logits", error, limits.logits.limit, detail="over the largest logit", reason=reason),
        _check_predictions(exact, evaluation, limits.logits.limit),
        _check_confusion(test, evaluation),
    ]


@torch.no_grad()
def _exact_logits(model: MLP, test: ImageSet) -> NDArray[np.float64]:
    wide = copy.deepcopy(model).cpu().double()  # in two steps: MPS has no float64
    chunks = torch.split(torch.from_numpy(test.images), 2000)  # float64 inputs are 6 kB an image
    logits: NDArray[np.float64] = torch.cat([wide(chunk.double() * PIXEL_SCALE) for chunk in chunks]).numpy()
    return logits


def _check_predictions(exact: NDArray[np.float64], evaluation: Evaluation, logit_limit: float) -> Check:
    """A prediction may differ only where the two best logits are closer than twice the error a logit may have."""
    ranked = np.sort(exact, axis=1)
    margins = ranked[:, -1] - ranked[:, -2]
    differ = exact.argmax(axis=1) != evaluation.predictions
    widest = float(margins[differ].max()) if differ.any() else 0.0
    limit = 2 * logit_limit * float(np.abs(exact).max())
    detail = f"margin of {int(differ.sum())} that differ"
    reason = "a prediction may differ from float64's only where the margin is under twice a logit's largest error"
    return Check.at_most("predictions", widest, limit, detail=detail, reason=reason)


def _check_confusion(test: ImageSet, evaluation: Evaluation) -> Check:
    """The confusion matrix, counted again on the host: rows predicted, columns actual, no cell may differ."""
    counted = np.zeros((CLASSES, CLASSES), dtype=np.int64)
    np.add.at(counted, (evaluation.predictions, test.labels), 1)
    wrong = int(np.abs(counted - np.array(evaluation.metrics.confusion_matrix)).sum())
    reason = "counted again on the host from the predictions: rows predicted, columns actual"
    return Check.at_most("confusion matrix", wrong, 0.0, detail="counts unlike the host's", reason=reason)


def check_first_steps(config: RunConfig, training: ImageSet, losses: torch.Tensor, limits: Tolerances) -> Check:
    """Hold the losses of the run's first steps against the same steps in float64; `losses` are the run's, (steps,)."""
    expected = replay_first_steps(config, training, steps=min(FIRST_STEPS, len(losses)))
    found = losses[: len(expected)].double()
    error = ((found - expected).abs() / expected.abs()).max().item() if len(expected) else 0.0
    detail = f"largest error of {len(expected)}"
    reason = f"relative, against the same steps in float64: {limits.first_steps.reason}"
    return Check.at_most("first steps", error, limits.first_steps.limit, detail=detail, reason=reason)


def replay_first_steps(config: RunConfig, training: ImageSet, *, steps: int) -> torch.Tensor:
    """Losses (steps,) float64 of the first `steps` of the run, recomputed on the host."""
    exact = dataclasses.replace(config, execution=ExecutionConfig(device="cpu", precision="fp32"))
    device = resolve("cpu")
    loss_of = training_loss(exact, device)
    parameters = list(MLP(config.model, seed=config.training.seed).double().parameters())
    update = TorchUpdate(parameters, config.training, fused=False)
    plan = upload_epoch(TrainingPlan(config, len(training.labels)).epoch(0), device)
    losses = []
    for step in range(min(steps, len(plan))):
        index = plan.order[step].numpy()
        seen = images_seen(training.images, index, config.training, epoch=0)
        inputs = torch.from_numpy(seen).double() * PIXEL_SCALE
        labels = torch.from_numpy(training.labels[index])
        loss = loss_of(parameters, inputs, labels, plan.dropout_seeds[step])
        update(torch.autograd.grad(loss, parameters), plan.learning_rates[step].double())
        losses.append(loss.detach())
    return torch.stack(losses)


def images_seen(
    images: NDArray[np.uint8], index: NDArray[np.int64], training: TrainingConfig, *, epoch: int
) -> NDArray[np.uint8]:
    """What `epoch` shows of the images at `index` (n,): (n, 784) from the whole set `images` (count, 784).

    Augmented images are made once more, in plain NumPy from the host's own images: the maps are shared with what is
    checked, as the order of the images is; the pixels are mixed anew.
    """
    if training.augment == "none":
        return images[index]
    maps = epoch_maps(training.augment, len(images), seed=training.seed, epoch=epoch)
    return _mapped(images[index].reshape(-1, IMAGE_SIDE, IMAGE_SIDE), maps[index // BLOCK])


def _mapped(images: NDArray[np.uint8], maps: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Each image (n, 28, 28) by the map of its own (n, 2, 3), bilinear in eighths of a pixel, halves rounded up."""
    centre = (IMAGE_SIDE - 1) / 2
    grid = np.stack(np.meshgrid(np.arange(IMAGE_SIDE), np.arange(IMAGE_SIDE), indexing="ij")) - centre
    places = np.einsum("nij,jrc->nirc", maps[:, :, :2], grid) + maps[:, :, 2, None, None] + centre
    places = np.rint(PARTS * places) / PARTS
    corner = np.floor(places)
    share = places - corner
    padded = np.pad(images, ((0, 0), (_MARGIN, _MARGIN), (_MARGIN, _MARGIN))).astype(np.float64)
    row, column = np.clip(corner, -_MARGIN, IMAGE_SIDE).astype(np.int64).swapaxes(0, 1) + _MARGIN
    number = np.arange(len(images))[:, None, None]
    mixed = np.zeros(images.shape)
    for down in (0, 1):
        for right in (0, 1):
            weight = np.abs(1 - down - share[:, 0]) * np.abs(1 - right - share[:, 1])
            mixed += weight * padded[number, row + down, column + right]
    return np.floor(mixed + 0.5).astype(np.uint8).reshape(-1, INPUTS)
