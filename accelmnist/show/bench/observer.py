"""Tells a person what a benchmark is doing, as it does it, on a live page or in lines; between two regions only."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console, RenderableType

from accelmnist.measure.plan import Case
from accelmnist.measure.record import BenchRecord
from accelmnist.show.bench.cases import reason_text
from accelmnist.show.bench.live import format_live, format_progress, time_text
from accelmnist.show.bench.view import BenchView
from accelmnist.show.live_page import LivePage
from accelmnist.show.theme import BAD
from accelmnist.show.units import plural

_DRAW_EVERY_S = 0.25
_LINE_EVERY_S = 5.0
_LINE_EVERY_ROUNDS = 10


class ConsoleBenchObserver(LivePage):
    """A context manager around the benchmark; `clock` gives seconds, `spent_s` are those before it was made."""

    def __init__(self, console: Console, *, spent_s: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, clock=clock, draw_every_s=_DRAW_EVERY_S)
        self._started = self._shown_at = self._shown_at - spent_s
        self._record: BenchRecord | None = None
        self._rounds = 0
        self._shown_rounds = 0

    def planned(self, record: BenchRecord) -> None:
        """Show every case."""
        self._record = record
        if self._live is None:
            devices = ", ".join(dict.fromkeys(result.device for result in record.cases))
            self._print(f"{plural(len(record.cases), 'case')} on {devices}, {time_text(record, self._spent_s)}")
        self._open()

    def round_done(self, record: BenchRecord) -> None:
        """Show the figures so far, where it is time."""
        self._record = record
        self._rounds += 1
        if self._live is not None:
            self._draw_in_time()
        elif self._rounds - self._shown_rounds >= _LINE_EVERY_ROUNDS or self._is_due(_LINE_EVERY_S):
            self._print(format_progress(record, spent_s=self._spent_s))
            self._shown_at, self._shown_rounds = self._clock(), self._rounds

    def case_done(self, record: BenchRecord, case: Case) -> None:
        """Show what became of the case; through a pipe, only where that is bad."""
        self._record = record
        if self._live is not None:
            self._draw_in_time()
            return
        result = next(result for result in record.cases if result.case == case)
        if result.is_wrong or result.status == "failed":
            what = "the result is wrong" if result.is_wrong else reason_text(result)
            self._print(f"{BenchView(record).label(result)}: {what}", BAD)

    @property
    def _spent_s(self) -> float:
        return self._clock() - self._started

    def _page(self, now: float) -> RenderableType | None:
        if self._record is None:
            return None
        height = self._console.size.height
        return format_live(self._record, stage=self._stage, spent_s=now - self._started, height=height)
