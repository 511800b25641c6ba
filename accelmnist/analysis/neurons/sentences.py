"""One plain sentence about a neuron, and a few about all, computed from their figures and no surer than they are.

A neuron's sentence has up to four parts: what it answers for, what it argues for and against, what is lost without it,
and what shape goes with it. "Answers for", "leans to" and "no clear task" follow the rules in `methods.py`. A drop
of recall that a single test would call real, but that may well be chance among so many classes and neurons, is stated
with that doubt. No drop is no proof that a neuron does nothing: others may do the same. No torch here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelmnist.analysis.neurons.methods import GREY, recall_drops, recall_gains
from accelmnist.analysis.neurons.record import Ablation, Baseline, ClassPreference, Feature, Neuron, NeuronsRecord
from accelmnist.analysis.neurons.shape import NAMES, OPPOSITES, common_shape

_PLURALS = ("zeros", "ones", "twos", "threes", "fours", "fives", "sixes", "sevens", "eights", "nines")


@dataclass(frozen=True)
class ClassWords:
    """Names of the classes: digits by their number and "the zeros", others by name and "the images of Shirt"."""

    names: tuple[str, ...]

    @property
    def are_digits(self) -> bool:
        """Whether the names are the digits themselves."""
        return self.names == tuple(map(str, range(10)))

    def classes(self, labels: Sequence[int]) -> str:
        """ "5 and 9"."""
        return listed([self.names[label] for label in labels])

    def images(self, labels: Sequence[int]) -> str:
        """ "the fives and nines", or "the images of Shirt and Coat"."""
        if self.are_digits:
            return f"the {listed([_PLURALS[label] for label in labels])}"
        return f"the images of {self.classes(labels)}"


def listed(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def share(value: float) -> str:
    """A share without decimals, but "under 1 %" and "over 99 %" rather than a round figure that is not true."""
    if 0 < value < 0.005:
        return "under 1 %"
    if 0.995 <= value < 1:
        return "over 99 %"
    return f"{100 * value:.0f} %"


def fall(before: float, after: float) -> str:
    """ "99.1 to 96.4 %"."""
    return f"{100 * before:.1f} to {100 * after:.1f} %"


# --- one neuron


@dataclass(frozen=True)
class Speaker:
    """What all sentences need beside the neuron's own figures."""

    words: ClassWords
    baseline: Baseline
    outputs: bool
    shape_means: NDArray[np.float64] | None  # the mean shape of each class (classes, 4), if they can be compared

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
        means = self.shape_means if task.sense == "on" else None
        common = common_shape(means, task.classes) if means is not None else ""
        shares = f"{share(task.share_on)} of {images} and {share(task.share_on_rest)} of the rest"
        names += f", {common}" if common else ""
        return f"{verb} {names}: {'largest' if self.outputs else 'on'} for {shares}"

    def _range(self, neuron: Neuron) -> str:
        """The classes that turn it on most and least."""
        shares, there = np.array(neuron.activation.share_on), np.array(self.baseline.images) > 0
        most, least = int(np.where(there, shares, -1).argmax()), int(np.where(there, shares, 2).argmin())
        if shares[most] - shares[least] < 0.02:
            return f"on for {share(float(shares[there].mean()))} of all images, whatever they show"
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


# --- the neurons as a whole


def summary_of(record: NeuronsRecord) -> tuple[str, ...]:
    """What the neurons are like as a whole, the most telling sentence first."""
    live = [neuron for neuron in record.neurons if neuron.status == "live"]
    sentences = (_counts(record), _preferences(record, live), _classes(record, live), _need(live), _grey_images(record))
    return tuple(filter(None, sentences))


def _counts(record: NeuronsRecord) -> str:
    kind = "outputs" if record.rows == "output" else "neurons"
    rest = [f"{record.dead} dead"] * (record.dead > 0)
    rest += [f"{record.duplicate} doing the same as another one"] * (record.duplicate > 0)
    more = f", {listed(rest)}" if rest else ""
    return f"{record.live:,} of {len(record.neurons):,} {kind} are live{more}"


def _preferences(record: NeuronsRecord, live: list[Neuron]) -> str:
    if not live:
        return ""
    if record.rows == "output":
        own = sum(neuron.task.classes == (neuron.index,) and neuron.task.certainty == "clear" for neuron in live)
        return f"{own} answer clearly for their own class"
    counts = Counter(neuron.task.certainty for neuron in live)
    single = sum(neuron.task.certainty == "clear" and len(neuron.task.classes) == 1 for neuron in live)
    return (
        f"{counts['clear']} answer for classes of their own ({single} of them for a single one), "
        f"{counts['leaning']} lean to some, {counts['none']} have no clear task"
    )


def _classes(record: NeuronsRecord, live: list[Neuron]) -> str:
    """Which class has most neurons of its own, if one has, and which have none; empty for outputs."""
    clear = [neuron for neuron in live if neuron.task.certainty == "clear" and neuron.task.sense == "on"]
    counts = Counter(label for neuron in clear for label in neuron.task.classes)
    if not counts or record.rows == "output":
        return ""
    missing = [name for label, name in enumerate(record.class_names) if label not in counts]
    none = f"None answers clearly for {' or '.join(missing)}" if missing else ""
    return ". ".join(filter(None, (_commonest(counts, ClassWords(record.class_names)), none)))


def _commonest(counts: Counter[int], words: ClassWords) -> str:
    (most, number), *others = counts.most_common(2)
    if others and others[0][1] == number:
        return ""
    kind = "digit" if words.are_digits else "class"
    return f"More of them answer for {words.classes((most,))} than for any other {kind}, {number}"


def _need(live: list[Neuron]) -> str:
    """How much hangs on a single neuron."""
    drops = [(neuron.ablation.macro_recall_change, neuron.index) for neuron in live if neuron.ablation is not None]
    if not drops:
        return ""
    worst, index = min(drops)
    if worst >= 0:
        return "No neuron is missed: whichever one is taken away, the mean recall does not fall"
    half = float(np.median([abs(change) for change, _ in drops]))
    return (
        f"Without neuron {index} alone the mean recall falls by {-100 * worst:.2f} points, the most; "
        f"for half of the neurons it moves by at most {100 * half:.2f}"
    )


def _grey_images(record: NeuronsRecord) -> str:
    known = [neuron.clarity for neuron in record.neurons if neuron.clarity is not None]
    grey = sum(value < GREY.value for value in known)
    return f"{grey} of {len(known)} weight images are grey noise (Moran's I below {GREY.value})" if grey else ""
