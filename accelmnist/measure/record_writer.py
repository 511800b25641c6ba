"""The record as it grows: results by case, rounds, and the file that always holds the last complete state of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelmnist.core.records import Status
from accelmnist.measure.limit_keys import LimitKey
from accelmnist.measure.machine import RoundLoad
from accelmnist.measure.plan import Case
from accelmnist.measure.record import BenchRecord, Round, new_limit, save_bench
from accelmnist.measure.statistics.summary import summarize


class RecordWriter:
    """Holds the record; `folder` is where it is saved, or None."""

    def __init__(self, record: BenchRecord, folder: Path | None) -> None:
        self._folder = folder
        self.take(record)

    @property
    def record(self) -> BenchRecord:
        """The record as it is now."""
        return replace(self._record, cases=tuple(self.results.values()))

    def take(self, record: BenchRecord) -> None:
        """Go on with this record."""
        self._record = record
        self.results = {result.case: result for result in record.cases}
        self._limits = {limit.what: limit.key for limit in record.limits}  # what the rounds of this record call them

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

    def failed(self, key: Case | LimitKey, reason: str) -> None:
        """Write down why a case or a limit could not be measured."""
        if isinstance(key, Case):
            self.update(key, status="failed", skipped=reason)
        else:
            self.note(f"The limit {key.name} was not measured: {reason}")

    def add_limit(self, what: LimitKey) -> None:
        """Add a limit, unless the record holds it already."""
        if what not in self._limits:
            limit = new_limit(what)
            self._limits[what] = limit.key
            self.set(limits=(*self._record.limits, limit))

    def add_round(self, rates: Mapping[Case | LimitKey, float], load: RoundLoad, *, process: int = 0) -> None:
        """Add a round: the speeds of the cases and the rates of the limits that took part, and what else went on."""
        number = len(self._record.rounds) + 1
        limits = {self._limits[key]: rate for key, rate in rates.items() if isinstance(key, LimitKey)}
        round_ = Round(
            number=number, process=process, limits=limits, other_cpu=load.other_cpu, throttled=load.throttled
        )
        self.set(rounds=(*self._record.rounds, round_))
        for key, rate in rates.items():
            if isinstance(key, Case):
                self._add_sample(key, rate, number)

    def _add_sample(self, case: Case, speed: float, number: int) -> None:
        result = self.results[case]
        before = result.images_per_s.samples if result.images_per_s else ()
        self.update(case, images_per_s=summarize((*before, speed)), rounds=(*result.rounds, number))

    def end(self, status: Status, message: str | None) -> None:
        """Say how it ended, and save."""
        self.set(status=status, message=message)
        self.save()

    def save(self) -> None:
        """Replace the file; raises OutputError."""
        if self._folder is not None:
            save_bench(self.record, self._folder)
