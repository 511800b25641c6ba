"""The record as it grows: results by case, rounds, and the file that always holds the last complete state of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelmnist.core.records import Status
from accelmnist.measure.plan import Case
from accelmnist.measure.record import BenchRecord, Limit, Round, save_bench
from accelmnist.measure.statistics.summary import summarize


class RecordWriter:
    """Holds the record; `folder` is where it is saved, or None."""

    def __init__(self, record: BenchRecord, folder: Path | None) -> None:
        self._record = record
        self._folder = folder
        self.results = {result.case: result for result in record.cases}

    @property
    def record(self) -> BenchRecord:
        """The record as it is now."""
        return replace(self._record, cases=tuple(self.results.values()))

    def set(self, **fields: Any) -> None:
        """Change fields of the record."""
        self._record = replace(self._record, **fields)

    def update(self, case: Case, **fields: Any) -> None:
        """Change fields of one case's result."""
        self.results[case] = replace(self.results[case], **fields)

    def note(self, text: str) -> None:
        """Add a note that a reader must know, once."""
        if text not in self._record.notes:
            self.set(notes=(*self._record.notes, text))

    def limit_failed(self, key: str, reason: str) -> None:
        """Note that the limit with this key was not measured, and why."""
        self.note(f"The limit {key} was not measured: {reason}")

    def add_limits(self, limits: tuple[Limit, ...]) -> None:
        """Add the limits that the record doesn't hold yet."""
        known = {limit.key for limit in self._record.limits}
        self.set(limits=(*self._record.limits, *(limit for limit in limits if limit.key not in known)))

    def add_round(self, round_: Round, samples: Mapping[Case, float]) -> None:
        """Add a round with the speeds of the cases that took part."""
        self.set(rounds=(*self._record.rounds, round_))
        for case, sample in samples.items():
            result = self.results[case]
            before = result.images_per_s.samples if result.images_per_s else ()
            self.update(case, images_per_s=summarize((*before, sample)), rounds=(*result.rounds, round_.number))

    def take(self, record: BenchRecord) -> None:
        """Go on with this record instead."""
        self._record = record
        self.results = {result.case: result for result in record.cases}

    def end(self, status: Status, message: str | None) -> None:
        """Say how it ended, and save."""
        self.set(status=status, message=message)
        self.save()

    def save(self) -> None:
        """Replace the file; raises OutputError."""
        if self._folder is not None:
            save_bench(self.record, self._folder)
