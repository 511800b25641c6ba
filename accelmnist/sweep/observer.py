"""Who is told what happens in a sweep."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from accelmnist.sweep.record import SweepRecord


class SweepObserver:
    """Is told what happens in a sweep, from the thread that runs it; this one says nothing of it.

    It is a context manager like those that show something.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""

    def planned(self, record: SweepRecord) -> None:
        """Every candidate is known; the first training is about to begin."""

    def stage(self, what: str) -> None:
        """The sweep goes on to `what`."""

    def epoch_done(self) -> None:
        """A training under way has one more epoch behind it."""

    def trial_done(self, record: SweepRecord) -> None:
        """A training is over, and saved."""
