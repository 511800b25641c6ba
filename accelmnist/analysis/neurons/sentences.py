"""One plain sentence about a neuron, computed from its figures, and no surer than they are.

It has up to four parts: what the neuron answers for, what it argues for and against, what is lost without it, and what
shape goes with it. "Answers for", "leans to" and "no clear task" follow the rules in `thresholds.py`. A drop of recall
that a single test would call real, but that may well be chance among so many classes and neurons, is stated with that
doubt. No drop is no proof that a neuron does nothing: others may do the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from accelmnist.analysis.neurons.claims import recall_drops, recall_gains
from accelmnist.analysis.neurons.record import Ablation, Baseline, ClassPreference, Feature, Neuron
from accelmnist.analysis.neurons.shape import NAMES, OPPOSITES
from accelmnist.analysis.neurons.thresholds import GREY
from accelmnist.analysis.neurons.words import ClassWords, fall, share


@dataclass(frozen=True)
class Speaker:
    """What all sentences need beside the neuron's own figures."""

    words: ClassWords
    baseline: Baseline
    outputs: bool
    common_shape: Callable[[tuple[int, ...]], str]  # what the shapes of a group of classes have in common, if anything

    def sentence(self, neuron: Neuron) -> str:
        """The sentence of one neuron."""
        if neuron.status == "dead":
            return f"{self._name(neuron)} {_dead(neuron, self.baseline)}"
        parts = [self._task(neuron), self._argument(neuron), self._loss(neuron), _shape(neuron.features)]
        return "; ".join(filter(None, parts))

    def _name(self, neuron: Neuron) -> str:
        return f"{'output' if self.outputs else 'neuron'} {neuron.index}"

    def _task(self, neuron: Neuron) -> str:
        copies = f" does the same as neuron {neuron.duplicate_of}, and" if neuron.duplicate_of is not None else ""
        return f"{self._name(neuron)}{copies} {self._claim(neuron.task, neuron)}"

    def _claim(self, task: ClassPreference, neuron: Neuron) -> str:
        if task.certainty == "none" or task.share_on is None or task.share_on_rest is None:
            return f"has no clear task{_grey(neuron)}: {self._range(neuron)}"
        names, images = self.words.classes(task.classes), self.words.images(task.classes)
        verb = "answers for" if task.certainty == "clear" else "leans to"
        if task.sense == "off":
            verb = "answers for all but" if task.certainty == "clear" else "leans away from"
        common = self.common_shape(task.classes) if task.sense == "on" else ""
        shares = f"{share(task.share_on)} of {images} and {share(task.share_on_rest)} of the rest"
        names += f", {common}" if common else ""
        return f"{verb} {names}: {'largest' if self.outputs else 'on'} for {shares}"

    def _range(self, neuron: Neuron) -> str:
        """The classes that turn it on most and least."""
        shares = np.array(neuron.activation.share_on)
        most, least = int(shares.argmax()), int(shares.argmin())
        if shares[most] - shares[least] < 0.02:
            return f"on for {share(float(shares.mean()))} of all images, whatever they show"
        return (
            f"on for {share(float(shares[most]))} of {self.words.images((most,))} "
            f"down to {share(float(shares[least]))} of {self.words.images((least,))}"
        )

    def _argument(self, neuron: Neuron) -> str:
        if self.outputs:
            return ""
        if neuron.is_faint:
            return "it is hardly heard"
        sides = (("for", neuron.argues_for), ("against", neuron.argues_against))
        named = [f"{side} {self.words.classes(classes)}" for side, classes in sides if classes]
        return f"{'but ' if _is_contrary(neuron) else ''}it argues {' and '.join(named)}"

    def _loss(self, neuron: Neuron) -> str:
        if neuron.ablation is None:
            return ""
        if neuron.missed_by:
            return self._falls(neuron.ablation, neuron.missed_by[:3])
        if dropped := recall_drops(neuron.ablation, self.baseline):
            return f"{self._falls(neuron.ablation, dropped[:1])}, perhaps by chance"
        if gained := recall_gains(neuron.ablation, self.baseline):
            return self._rise(neuron.ablation, gained[0])
        return self._no_loss(neuron.ablation)

    def _falls(self, ablation: Ablation, labels: Sequence[int]) -> str:
        before, after = self.baseline.recall, ablation.recall
        names = [self.words.names[label] for label in labels]
        falls = [f"from {fall(before[label], after[label])}" for label in labels]
        more = "".join(f", of {name} {text}" for name, text in zip(names[1:], falls[1:], strict=True))
        return f"without it recall of {names[0]} falls {falls[0]}{more}"

    def _rise(self, ablation: Ablation, label: int) -> str:
        change = fall(self.baseline.recall[label], ablation.recall[label])
        return f"without it recall of {self.words.names[label]} even rises from {change}, perhaps by chance"

    def _no_loss(self, ablation: Ablation) -> str:
        changes = [after - before for before, after in zip(self.baseline.recall, ablation.recall, strict=True)]
        largest = max(map(abs, changes))
        if largest == 0:
            return "without it no recall changes"
        return f"without it no recall changes by more than {math.ceil(1000 * largest - 1e-9) / 10:.1f} points"


def _is_contrary(neuron: Neuron) -> bool:
    """Whether a neuron argues, all in all, against the classes that it is on for."""
    task = neuron.task
    return task.sense == "on" and bool(task.classes) and sum(neuron.support[label] for label in task.classes) < 0


def _dead(neuron: Neuron, baseline: Baseline) -> str:
    shares, images = np.array(neuron.activation.share_on), np.array(baseline.images)
    on = round(float(shares @ images))
    total = int(images.sum())
    if neuron.activation.lowest == neuron.activation.highest:
        return f"is dead: its output is {neuron.activation.highest:.3g} for every test image"
    if on == 0:
        return "is dead: no test image turns it on"
    return f"is dead: on for {on:,} of {total:,} test images, it moves no answer"


def _grey(neuron: Neuron) -> str:
    return " and shows grey noise" if neuron.clarity is not None and neuron.clarity < GREY.value else ""


def _shape(features: tuple[Feature, ...]) -> str:
    """The property that goes most with it inside the classes; one is enough for a sentence."""
    if not features:
        return ""
    name, correlation = features[0].name, features[0].correlation
    return f"inside a class it goes with {name if correlation > 0 else OPPOSITES[NAMES.index(name)]}"
