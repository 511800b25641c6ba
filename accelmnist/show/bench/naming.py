"""What a case is called: by its device and engine, and by whatever else differs among the cases it stands beside.

What all of them share is said once, for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from accelmnist.measure.compare.compared_record import printable
from accelmnist.measure.record import CaseResult
from accelmnist.show.units import count, plural


@dataclass(frozen=True)
class Trait:
    """One part of a case's name: its `value` in a column under `heading`, and as it is `said` in a sentence.

    Both are empty where the case has none, such as an optimizer in inference.
    """

    heading: str
    value: Callable[[CaseResult], str]
    said: Callable[[CaseResult], str]
    is_number: bool = False


def _threads(result: CaseResult) -> str:
    return "" if result.threads is None else plural(result.threads, "thread")


def _same(heading: str, value: Callable[[CaseResult], str]) -> Trait:
    return Trait(heading, value, value)


DEVICE = _same("device", lambda result: result.device)
ENGINE = _same("engine", lambda result: result.engine)
NETWORK = _same("network", lambda result: result.case.network)
TRAITS = (
    DEVICE,
    ENGINE,
    _same("precision", lambda result: result.precision),
    NETWORK,
    _same("optimizer", lambda result: result.optimizer or ""),
    Trait("threads", lambda result: "" if result.threads is None else count(result.threads), _threads, True),
    Trait("batch", lambda result: count(result.batch_size), lambda result: f"batch {count(result.batch_size)}", True),
)


def one_line(text: str) -> str:
    """Text that others wrote, such as a compiler, in one line and without what a terminal would take as a command."""
    return printable(" ".join(text.split()))


class Naming:
    """Names for cases that are told apart from each other and from no others."""

    def __init__(self, results: Iterable[CaseResult]) -> None:
        known = tuple(results)
        values = {trait: {trait.value(result) for result in known} for trait in TRAITS}
        self.varying = tuple(trait for trait in TRAITS if trait in (DEVICE, ENGINE) or len(values[trait]) > 1)
        common = [trait for trait in (NETWORK, *TRAITS) if trait not in self.varying]
        said = [trait.said(result) for result in known[:1] for trait in common]
        self.shared = ", ".join(filter(None, dict.fromkeys(said)))

    def label(self, result: CaseResult) -> str:
        """The case in a few words: "cpu compiled batch 64"."""
        return " ".join(filter(None, (trait.said(result) for trait in self.varying)))
