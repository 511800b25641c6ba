"""The activations of the first layer's neurons on the test images, and how well they separate the classes.

A neuron is on for an image if its input is positive: its activation then lies above the one that it has at rest, which
is 0 for every activation function but the sigmoid (0.5). An output has no activation function and competes with nine
others, so it is on if it is the largest of the ten.

    selectivity   (m - r) / (m + r), m the mean activation on the class with the highest, r the mean over the other
                  classes; activations count from rest on, those below as 0. Source: Morcos, Barrett, Rabinowitz and
                  Botvinick, "On the importance of single directions for generalization", ICLR 2018.
    separation    the probability that an image of the class excites the neuron more than one of another class, ties
                  as half: the area under the ROC curve, from the sum of ranks. Source: Mann and Whitney, 1947;
                  Hanley and McNeil, "The meaning and use of the area under a ROC curve", 1982.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from accelmnist.analysis.neurons.methods import DUPLICATE
from accelmnist.core.config import CLASSES
from accelmnist.engines.model import ACTIVATION_FUNCTIONS, MLP

_BLOCK = 64  # neurons that are sorted together: 5 MB of activations each time
_CORRELATED = 1024  # rows of the correlations at a time: 4 MB for each thousand neurons


@dataclass(frozen=True)
class Response:
    """Activations and on, both (neurons, images), of one layer; `labels` (images,) are the true classes.

    `rest` is the activation of an input of 0; `outputs` means that the neurons are the network's outputs.
    """

    activations: Tensor
    on: Tensor
    labels: Tensor
    rest: float
    outputs: bool

    @cached_property
    def members(self) -> Tensor:
        """(images, classes) float32: 1 if the image is of the class."""
        return torch.eye(CLASSES)[self.labels]

    @cached_property
    def images(self) -> Tensor:
        """Images of each class, (classes,) float32."""
        return self.members.sum(dim=0)

    def by_class(self, values: Tensor) -> Tensor:
        """The mean of `values` (neurons, images) over the images of every class: (neurons, classes) float64."""
        return (values.float() @ self.members).double() / self.images.clamp(min=1).double()

    @cached_property
    def mean(self) -> Tensor:
        """Mean activation by class, (neurons, classes)."""
        return self.by_class(self.activations)

    @cached_property
    def deviation(self) -> Tensor:
        """Standard deviation of the activation by class, (neurons, classes)."""
        middle = self.activations.mean(dim=1, keepdim=True)  # from the middle, which loses no digits to a large mean
        shifted = self.activations - middle
        variance = self.by_class(shifted.square()) - (self.mean - middle.double()).square()
        return variance.clamp(min=0).sqrt()

    @cached_property
    def share_on(self) -> Tensor:
        """Share of the images of every class that turn the neuron on, (neurons, classes)."""
        return self.by_class(self.on)

    @cached_property
    def excitation(self) -> Tensor:
        """Mean activation by class counted from rest on, what is below it as 0: (neurons, classes)."""
        return self.by_class((self.activations - self.rest).clamp(min=0))

    @cached_property
    def rank_sums(self) -> Tensor:
        """Sum of the ranks, from 1, of the images of every class among all: (neurons, classes) float64."""
        parts = [_ranks(part) @ self.members.double() for part in torch.split(self.activations, _BLOCK)]
        return torch.cat(parts)

    @cached_property
    def separations(self) -> Tensor:
        """The separation of every class by itself, (neurons, classes); 0.5 for a class without images."""
        inside = self.images.double()
        pairs = inside * (inside.sum() - inside)
        wins = self.rank_sums - inside * (inside + 1) / 2
        return torch.where(pairs > 0, wins / pairs.clamp(min=1), 0.5)

    def separation(self, neuron: int, classes: tuple[int, ...]) -> float:
        """The separation of `classes` together from the others; 0.5 if there are no images of either."""
        members = list(classes)
        inside = float(self.images[members].sum())
        outside = float(self.images.sum()) - inside
        if inside == 0 or outside == 0:
            return 0.5
        wins = float(self.rank_sums[neuron, members].sum()) - inside * (inside + 1) / 2
        return wins / (inside * outside)


def respond(model: MLP, inputs: Tensor, labels: Tensor) -> Response:
    """The response of the first layer of `model` to scaled inputs (images, 784) on the CPU."""
    drive = first_layer(model, inputs)
    if not model.config.hidden:
        on = drive == drive.max(dim=0, keepdim=True).values
        return Response(drive, on, labels, rest=0.0, outputs=True)
    function = ACTIVATION_FUNCTIONS[model.config.activation]
    rest = function(torch.zeros(1)).item()
    return Response(function(drive), drive > 0, labels, rest=rest, outputs=False)


def first_layer(model: MLP, inputs: Tensor) -> Tensor:
    """The inputs of the first layer's activation function, (neurons, images)."""
    weight, bias = model.get_parameter("layers.0.weight"), model.get_parameter("layers.0.bias")
    return torch.addmm(bias[:, None], weight, inputs.T)


def selectivity_of(excitation: Tensor) -> tuple[float | None, int | None]:
    """The class selectivity index of a neuron, from its excitation by class (classes,), and the class of the highest.

    Both are None for a neuron that is never above rest.
    """
    highest, prefers = float(excitation.max()), int(excitation.argmax())
    if highest <= 0:
        return None, None
    others = (float(excitation.sum()) - highest) / (len(excitation) - 1)
    return (highest - others) / (highest + others), prefers


def duplicates_of(activations: Tensor, live: Tensor) -> list[int | None]:
    """For every neuron the earlier one whose activations rise and fall with its own, or None.

    `activations` are (neurons, images); `live` (neurons,) marks those that take part. By activations and not by
    weights: two neurons whose weights differ only where there is never ink are the same neuron. By Pearson's
    correlation, so that a copy with a larger scale counts. A duplicate of a duplicate is one of the first of them.
    """
    centred = activations - activations.mean(dim=1, keepdim=True)
    length = centred.norm(dim=1, keepdim=True)
    unit = torch.where(live[:, None] & (length > 0), centred / length.clamp(min=1e-30), 0.0)
    originals: list[int | None] = [None] * len(activations)
    for start in range(0, len(activations), _CORRELATED):
        correlations = unit[start : start + _CORRELATED] @ unit.T
        for row, other in (correlations >= DUPLICATE.value).nonzero().tolist():
            neuron = start + row
            if other < neuron and originals[neuron] is None and originals[other] is None:
                originals[neuron] = other
    return originals


def _ranks(values: Tensor) -> Tensor:
    """Ranks from 1 along each row, equal values sharing the mean of theirs: (rows, images) float64.

    scipy.stats.rankdata gives the same, but takes two seconds to load; this takes half of one for 256 neurons.
    """
    ordered = values.sort(dim=1).values
    below = torch.searchsorted(ordered, values)
    up_to = torch.searchsorted(ordered, values, right=True)
    return (below + up_to + 1).double() / 2
