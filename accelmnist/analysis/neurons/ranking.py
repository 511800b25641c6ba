"""The order in which neurons are shown: the clearest first, then those that do something else, then the grey ones.

Clear before leaning before none. Within each, first those that are missed when they are taken away, then by how well a
neuron separates its own classes: the difference of its two shares. Half of that counts by the part of its most exciting
images that are of its own classes: a neuron can be on for every 1 and yet far more so for a few odd 3s. A neuron that
is hardly heard comes after those that are, however clear: it answers, and nothing follows.
"""

from __future__ import annotations

from collections.abc import Sequence

from accelmnist.analysis.neurons.record import Neuron

_STATUS = {"live": 0, "duplicate": 1, "dead": 2}
_CERTAINTY = {"clear": 0, "leaning": 1, "none": 2}


def atlas_order(neurons: Sequence[Neuron]) -> tuple[int, ...]:
    """The indices of `neurons` in the order of the atlas."""
    return tuple(neuron.index for neuron in sorted(neurons, key=_key))


def _key(neuron: Neuron) -> tuple[float, ...]:
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
