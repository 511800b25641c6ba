"""The parts of a sentence: names of classes, lists, shares and recalls as people say them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
