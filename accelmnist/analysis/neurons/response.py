"""What the first layer's neurons respond to: their activations on the test images, and the classes they answer for.

A neuron is on for an image if its input is positive: its activation then lies above the one that it has at rest, which
is 0 for every activation function but the sigmoid (0.5). An output has no activation function and competes with nine
others, so it is on if it is the largest of the ten.

    selectivity   (m - r) / (m + r), m the mean activation on the class with the highest, r the mean over the other
                  classes; activations count from rest on, those below as 0. Source: Morcos, Barrett, Rabinowitz and
                  Botvinick, "On the importance of single directions for generalization", ICLR 2018.
    separation    the probability that an image of the class excites the neuron more than one of another class, ties
                  as half: the area under the ROC curve, from the sum of ranks. Source: Mann and Whitney, 1947;
                  Hanley and McNeil, "The meaning and use of the area under a ROC curve", 1982.

Which classes a neuron answers for follows from its ten shares of images that turn it on. They are sorted and cut where
the two sides differ most (the largest variance between them, the natural break of Fisher and Jenks for two groups). The
upper side is what the neuron is on for; if that is more than five classes, the lower side is what it is off for. Then
the shares decide, by the rules in `methods.py`, whether it answers for its group, leans to it, or has no clear task.
Source of the cut: Fisher, "On grouping for maximum homogeneity", 1958.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from accelmnist.analysis.neurons.methods import (
    CLEAR_MEAN_REST,
    CLEAR_OTHER,
    CLEAR_SHARE,
    DUPLICATE,
    LARGEST_GROUP,
    LEANING_RATIO,
    LEANING_SHARE,
)
from accelmnist.analysis.neurons.record import Certainty, ClassPreference, Neuron
from accelmnist.core.config import CLASSES
from accelmnist.engines.model import ACTIVATION_FUNCTIONS, MLP

_BLOCK = 64  # neurons that are sorted together: 5 MB of activations each time
_CORRELATED = 1024  # rows of the correlations at a time: 4 MB for each thousand neurons
_STATUS = {"live": 0, "duplicate": 1, "dead": 2}  # the order in the atlas
_CERTAINTY = {"clear": 0, "leaning": 1, "none": 2}

Shares = NDArray[np.float64]


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
    weight, bias = model.get_parameter("layers.0.weight"), model.get_parameter("layers.0.bias")
    drive = torch.addmm(bias[:, None], weight, inputs.T)  # (neurons, images), before the activation function
    if not model.config.hidden:
        on = drive == drive.max(dim=0, keepdim=True).values
        return Response(drive, on, labels, rest=0.0, outputs=True)
    function = ACTIVATION_FUNCTIONS[model.config.activation]
    rest = function(torch.zeros(1)).item()
    return Response(function(drive), drive > 0, labels, rest=rest, outputs=False)


def selectivity_of(excitation: Tensor) -> tuple[float | None, int | None]:
    """The class selectivity index of a neuron, from its excitation by class (classes,), and the class of the highest.

    Both are None for a neuron that is never above rest.
    """
    highest, prefers = float(excitation.max()), int(excitation.argmax())
    if highest <= 0:
        return None, None
    others = (float(excitation.sum()) - highest) / (len(excitation) - 1)
    return (highest - others) / (highest + others), prefers


def feature_correlations(response: Response, shapes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Pearson's correlation within the classes of every neuron with each property: (neurons, 4); 0 for a constant.

    `shapes` (n, 4) are those of the images of `response`. A correlation over all images would only repeat which classes
    excite the neuron, so each class is compared within itself: from both figures the mean of their class is taken off
    first. What is left is thin evidence of its own, since a shape that is slanted differs in many ways: the words say
    "goes with", and nothing of causes.
    """
    properties = torch.from_numpy(shapes).T
    apart = properties - response.by_class(properties).float()[:, response.labels]
    activations = response.activations - response.mean.float()[:, response.labels]
    products = (activations @ apart.T).double()
    scale = activations.double().norm(dim=1)[:, None] * apart.double().norm(dim=1)
    return np.asarray(torch.where(scale > 1e-6, products / scale.clamp(min=1e-6), 0.0))


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


# --- which classes a neuron answers for


def class_preference_of(response: Response, neuron: int) -> ClassPreference:
    """The preference of one neuron, from the share of each class's images that turn it on; a class has some."""
    shares = response.share_on[neuron].numpy()
    present = response.images.nonzero().flatten().tolist()
    upper = tuple(present[index] for index in natural_break(shares[present])) if len(present) > 1 else ()
    sense: Literal["on", "off"] = "on" if len(upper) <= LARGEST_GROUP.value else "off"
    classes = upper if sense == "on" else tuple(label for label in present if label not in upper)
    rest = [label for label in present if label not in classes]
    if not classes or not rest:
        return ClassPreference(certainty="none")
    certainty = _certainty(shares[list(classes)], shares[rest], sense)
    if certainty == "none":
        return ClassPreference(certainty="none")
    separation = response.separation(neuron, classes)
    return ClassPreference(
        certainty=certainty,
        sense=sense,
        classes=classes,
        share_on=float(shares[list(classes)].mean()),
        share_on_rest=float(shares[rest].mean()),
        separation=separation if sense == "on" else 1 - separation,
    )


def natural_break(shares: Shares) -> tuple[int, ...]:
    """The classes of the upper side of the best cut, in their order; none if all shares are equal."""
    order = np.argsort(-shares, kind="stable")
    ordered = shares[order]
    if ordered[0] == ordered[-1]:
        return ()
    sizes = range(1, len(shares))
    gaps = [ordered[:size].mean() - ordered[size:].mean() for size in sizes]
    between = [size * (len(shares) - size) * gap**2 for size, gap in zip(sizes, gaps, strict=True)]
    return tuple(sorted(int(label) for label in order[: 1 + int(np.argmax(between))]))


def _certainty(own: Shares, rest: Shares, sense: Literal["on", "off"]) -> Certainty:
    """From the shares that speak for the group and against it: those on, or for "off" those that are not on."""
    if sense == "off":
        own, rest = 1 - own, 1 - rest
    is_clear = own.min() >= CLEAR_SHARE.value and rest.max() <= CLEAR_OTHER.value * own.min()
    if is_clear and rest.mean() <= CLEAR_MEAN_REST.value:
        return "clear"
    leans = own.mean() >= LEANING_SHARE.value and own.mean() >= LEANING_RATIO.value * rest.mean()
    return "leaning" if leans else "none"


def atlas_order(neurons: Sequence[Neuron]) -> tuple[int, ...]:
    """The indices of `neurons` in the order of the atlas.

    The clearest first, then those that do something else, then the grey ones: clear before leaning before none. Within
    each, first those that are missed when they are taken away, then by how well a neuron separates its own classes: the
    difference of its two shares. Half of that counts by the part of its most exciting images that are of its own
    classes: a neuron can be on for every 1 and yet far more so for a few odd 3s. A neuron that is hardly heard comes
    after those that are, however clear: it answers, and nothing follows.
    """
    return tuple(neuron.index for neuron in sorted(neurons, key=_atlas_key))


def _atlas_key(neuron: Neuron) -> tuple[float, ...]:
    return (
        _STATUS[neuron.status],
        neuron.is_faint,
        _CERTAINTY[neuron.task.certainty],
        not neuron.missed_by,
        -_contrast(neuron),
        -neuron.strength,
        neuron.index,
    )


def _contrast(neuron: Neuron) -> float:
    """The difference of the two shares; without a preference the separation of the class that it separates best."""
    task = neuron.task
    if task.share_on is None or task.share_on_rest is None:
        return max(abs(value - 0.5) for value in neuron.separation)
    # The part of the most exciting images that its preference would lead one to expect.
    expected = [(label in task.classes) == (task.sense == "on") for label in neuron.exciting_labels]
    agreement = sum(expected) / max(len(expected), 1)
    return abs(task.share_on - task.share_on_rest) * (1 + agreement) / 2
