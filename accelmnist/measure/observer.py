"""Who is told what happens in a benchmark: the contract between what measures and what shows.

Every call comes from the measuring thread, between two regions and never inside one, and the measurement waits until it
returns: what an observer does costs time, but falsifies nothing.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from accelmnist.measure.plan import Case
from accelmnist.measure.record import BenchRecord


class BenchObserver(Protocol):
    """Told of the record as it grows."""

    def planned(self, record: BenchRecord) -> None:
        """Every case is known; nothing is measured yet."""

    def stage(self, what: str) -> None:
        """The benchmark goes on to `what`, such as "compiling training cpu compiled ..."."""

    def round_done(self, record: BenchRecord) -> None:
        """A round is over: every case has one more sample, or one more seed."""

    def case_done(self, record: BenchRecord, case: Case) -> None:
        """A stage of this case is over; its row says what came of it."""


class SilentBenchObserver:
    """Says nothing; a context manager like those that show something."""

    def __enter__(self) -> SilentBenchObserver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""

    def planned(self, record: BenchRecord) -> None:
        """Say nothing."""

    def stage(self, what: str) -> None:
        """Say nothing."""

    def round_done(self, record: BenchRecord) -> None:
        """Say nothing."""

    def case_done(self, record: BenchRecord, case: Case) -> None:
        """Say nothing."""
