"""Checks in float64 on the host, from the host's own copy of the data.

They share as little as they can with what they check: the images and labels never were on the device, the arithmetic is
float64, autograd runs through the plain module, and the update is torch's simple (not fused) optimizer.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from accelmnist.core.config import CLASSES
from accelmnist.core.records import Check
from accelmnist.data.types import ImageSet
from accelmnist.engines.model import MLP, PIXEL_SCALE
from accelmnist.training.evaluation import Evaluation
from accelmnist.training.reference.tolerances import Tolerances

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
