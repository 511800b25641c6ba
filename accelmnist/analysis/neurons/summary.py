"""What the neurons are like as a whole: a few sentences, each computed from the record."""

from __future__ import annotations

from collections import Counter

import numpy as np

from accelmnist.analysis.neurons.record import Neuron, NeuronsRecord
from accelmnist.analysis.neurons.thresholds import GREY
from accelmnist.analysis.neurons.words import ClassWords, listed


def summary_of(record: NeuronsRecord) -> tuple[str, ...]:
    """The sentences, the most telling first."""
    live = [neuron for neuron in record.neurons if neuron.status == "live"]
    sentences = (_counts(record), _preferences(record, live), _classes(record, live), _need(live), _grey(record))
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
    return ". ".join(filter(None, (_most(counts, ClassWords(record.class_names)), none)))


def _most(counts: Counter[int], words: ClassWords) -> str:
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


def _grey(record: NeuronsRecord) -> str:
    known = [neuron.clarity for neuron in record.neurons if neuron.clarity is not None]
    grey = sum(value < GREY.value for value in known)
    return f"{grey} of {len(known)} weight images are grey noise (Moran's I below {GREY.value})" if grey else ""
