"""One neuron's figures found once more, by NumPy alone: what it is on for, and what the network answers without it.

It is drawn by chance, since what is wrong with one neuron's figures is most likely wrong with all of them.
"""

from __future__ import annotations

from random import SystemRandom

import numpy as np

from accelmnist.analysis.neurons.record import NeuronsRecord
from accelmnist.core.config import CLASSES
from accelmnist.core.recount import require
from accelmnist.data.types import ImageSet
from accelmnist.engines.model import MLP
from accelmnist.training.reference import witness

_CLOSE = 1e-4  # over the largest: where rounding may decide


def recount_neuron(record: NeuronsRecord, model: MLP, test: ImageSet) -> None:
    """Raise RecordError if the shares or the ablation of a hidden neuron that is drawn don't follow from `model`.

    The ablation is left out where it took a part of the images alone.
    """
    if record.rows != "hidden":
        return
    neuron, weights = SystemRandom().choice(record.neurons), model.arrays()
    members = np.eye(CLASSES, dtype=bool)[test.labels]
    drive = test.images / np.float32(255) @ weights["layers.0.weight"][neuron.index]
    drive = drive + weights["layers.0.bias"][neuron.index]
    unsure = (np.abs(drive) <= _CLOSE * np.abs(drive).max()).sum()
    off = np.abs(np.array(neuron.activation.share_on) * members.sum(axis=0) - members[drive > 0].sum(axis=0)).max()
    require(off <= unsure + 0.5, f"neuron {neuron.index} is on for {off:.0f} images of a class more or less than said")
    if neuron.ablation is None or record.ablation_images != len(test):
        return
    muted = weights["layers.1.weight"].copy()
    muted[:, neuron.index] = 0.0
    whole, less = (
        witness.logits(model.config, each, test.images, kind=np.float32)
        for each in (weights, weights | {"layers.1.weight": muted})
    )
    before, after = (logits.argmax(axis=1) == test.labels for logits in (whole, less))
    ranked = np.sort(np.concatenate([whole, less]), axis=1)
    unsure = (ranked[:, -1] - ranked[:, -2] <= _CLOSE * np.abs(ranked).max()).sum()
    told = neuron.ablation
    for what, said, found in (
        ("lost", told.lost, before & ~after),
        ("gained", told.gained, ~before & after),
        ("recalled", np.array(told.recall) * members.sum(axis=0), after),
    ):
        off = np.abs(np.array(said) - members[found].sum(axis=0)).max()
        require(off <= unsure + 0.5, f"without neuron {neuron.index} {off:.0f} more or fewer are {what} than said")
