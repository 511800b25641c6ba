"""Which classes a neuron answers for: the upper group of its ten shares of images that turn it on.

The ten shares are sorted and cut where the two sides differ most (the largest variance between them, the natural break
of Fisher and Jenks for two groups). The upper side is what the neuron is on for; if that is more than five classes, the
lower side is what it is off for. Then the shares decide, by the rules in `methods.py`, whether it answers for
its group, leans to it, or has no clear task. Source of the cut: Fisher, "On grouping for maximum homogeneity", 1958.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from accelmnist.analysis.neurons.methods import (
    CLEAR_MEAN_REST,
    CLEAR_OTHER,
    CLEAR_SHARE,
    LARGEST_GROUP,
    LEANING_RATIO,
    LEANING_SHARE,
)
from accelmnist.analysis.neurons.record import Certainty, ClassPreference, Neuron
from accelmnist.analysis.neurons.response import Response

Shares = NDArray[np.float64]

_STATUS = {"live": 0, "duplicate": 1, "dead": 2}  # the order in the atlas
_CERTAINTY = {"clear": 0, "leaning": 1, "none": 2}


def class_preference_of(response: Response, neuron: int) -> ClassPreference:
    """The preference of one neuron, from the share of each class's images that turn it on."""
    shares = response.share_on[neuron].numpy()
    upper = natural_break(shares)
    sense: Literal["on", "off"] = "on" if len(upper) <= LARGEST_GROUP.value else "off"
    classes = upper if sense == "on" else tuple(label for label in range(len(shares)) if label not in upper)
    rest = [label for label in range(len(shares)) if label not in classes]
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
    between = [size * (len(shares) - size) * _gap(ordered, size) ** 2 for size in range(1, len(shares))]
    return tuple(sorted(int(label) for label in order[: 1 + int(np.argmax(between))]))


def _gap(ordered: Shares, size: int) -> float:
    return float(ordered[:size].mean() - ordered[size:].mean())


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
    return abs(task.share_on - task.share_on_rest) * (1 + _agreement(neuron)) / 2


def _agreement(neuron: Neuron) -> float:
    """The part of the most exciting images that its preference would lead one to expect."""
    task = neuron.task
    expected = [(label in task.classes) == (task.sense == "on") for label in neuron.exciting_labels]
    return sum(expected) / max(len(expected), 1)
