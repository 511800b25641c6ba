"""Neurons that do the same: pairs whose activations rise and fall together on the test images.

By activations and not by weights: two neurons whose weights differ only where there is never ink are the same neuron.
The measure is Pearson's correlation, so that a copy with a larger scale counts as one. A duplicate of a duplicate is
one of the first of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from accelmnist.analysis.neurons.thresholds import DUPLICATE

_BLOCK = 1024  # rows of the correlations at a time: 4 MB for each thousand neurons


def duplicates_of(activations: Tensor, live: Tensor) -> list[int | None]:
    """For every neuron the earlier one that it copies, or None.

    `activations` are (neurons, images); `live` (neurons,) marks those that take part.
    """
    centred = activations - activations.mean(dim=1, keepdim=True)
    length = centred.norm(dim=1, keepdim=True)
    unit = torch.where(live[:, None] & (length > 0), centred / length.clamp(min=1e-30), 0.0)
    originals: list[int | None] = [None] * len(activations)
    for start in range(0, len(activations), _BLOCK):
        correlations = unit[start : start + _BLOCK] @ unit.T
        for row, other in (correlations >= DUPLICATE.value).nonzero().tolist():
            neuron = start + row
            if other < neuron and originals[neuron] is None and originals[other] is None:
                originals[neuron] = other
    return originals
