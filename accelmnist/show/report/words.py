"""What classes and shares are called in sentences: "nines" for digits, "images of Shirt" for everything else."""

from __future__ import annotations

from accelmnist.analysis.neurons.words import ClassWords as NeuronWords
from accelmnist.core.metrics import wilson_interval
from accelmnist.show.names import class_kind


class ClassWords:
    """How the classes of one data set are spoken of."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.kind = class_kind(names)
        self.are_digits = self.kind == "digit"

    def many(self, label: int) -> str:
        """Several images of a class: "nines"."""
        return NeuronWords(self.names).images((label,)).removeprefix("the ")

    def counted(self, number: int, label: int) -> str:
        """So many images of a class: "no nines", "a 9", "2 nines"."""
        if number == 1:
            return self.one(label)
        return f"{number:,} {self.many(label)}" if number else f"no {self.many(label)}"

    def one(self, label: int) -> str:
        """One image of a class: "a 9"."""
        name = self.names[label]
        return f"{'an' if name == '8' or name[:1] in 'AEIOUaeiou' else 'a'} {name}"


def interval_text(hits: int, total: int, *, digits: int = 1) -> str:
    """The 95 % interval of a share, in percent: "98.2 to 98.7 %"."""
    low, high = wilson_interval(hits, total)
    return f"{100 * low:.{digits}f} to {100 * high:.{digits}f} %"


def sentence(text: str) -> str:
    """A finding of a record as a sentence: with a capital letter and a full stop."""
    return begun(text) if text.endswith((".", "!", "?")) else f"{begun(text)}."


def begun(text: str) -> str:
    """The text with a capital letter."""
    return text[:1].upper() + text[1:]
