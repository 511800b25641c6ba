"""What a case is called: by its device and engine, and by whatever else differs among the cases it stands beside.

What all of them share is said once, for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from accelmnist.measure.compare.compared_record import printable
from accelmnist.measure.plan import Mode
from accelmnist.measure.record import BenchRecord, CaseResult
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


class RecordNames:
    """Names for all cases of a record; where it has both modes, the mode comes first."""

    def __init__(self, record: BenchRecord) -> None:
        self._by_key = {result.case.key: result for result in record.cases}
        modes: dict[Mode, list[CaseResult]] = {}
        for result in record.cases:
            modes.setdefault(result.mode, []).append(result)
        self._by_mode = {mode: Naming(results) for mode, results in modes.items()}

    def label(self, result: CaseResult) -> str:
        """The case among all of the record: "training cpu compiled batch 64"."""
        return f"{result.mode} {self.brief(result)}" if len(self._by_mode) > 1 else self.brief(result)

    def brief(self, result: CaseResult) -> str:
        """The case among those of its mode."""
        return self._by_mode[result.mode].label(result)

    def of_key(self, key: str) -> str:
        """The case with this key, or the key where the record has no such case."""
        return self.label(self._by_key[key]) if key in self._by_key else key
