"""Tells a person what a benchmark is doing, as it does it: a table that is drawn anew, or plain lines through a pipe.

rich would draw from a thread of its own, in the middle of whatever is measured. Here nothing is drawn but inside a call
of the measurement, which waits for it between two regions: not more than four times a second, and so seldom that it
takes a fiftieth of the time at most. Only a stage always shows, because it may be one that takes long. The table goes
when the benchmark ends: its place is the summary's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.live import Live

from accelmnist.measure.record import BenchRecord
from accelmnist.show.bench.live import format_live, format_progress, time_text
from accelmnist.show.bench.naming import RecordNames
from accelmnist.show.bench.pages import reason_text
from accelmnist.show.theme import BAD, LABEL
from accelmnist.show.units import plural

_DRAW_EVERY_S = 0.25
_DRAWING_SHARE = 0.02
_LINE_EVERY_S = 5.0
_LINE_EVERY_ROUNDS = 10


class ConsoleBenchObserver:
    """A context manager around the benchmark; `clock` gives seconds, `spent_s` are those before it was made."""

    def __init__(self, console: Console, *, spent_s: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._started = clock() - spent_s
        self._record: BenchRecord | None = None
        self._stage = ""
        self._rounds = 0
        self._shown_rounds = 0
        self._shown_at = self._started
        self._draw_every_s = _DRAW_EVERY_S
        # A dumb terminal can't move its cursor: it gets the lines of a pipe.
        is_live = console.is_terminal and not console.is_dumb_terminal
        self._live = Live(console=console, auto_refresh=False, transient=True) if is_live else None

    def __enter__(self) -> ConsoleBenchObserver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def planned(self, record: BenchRecord) -> None:
        """Show every case."""
        self._record = record
        if self._live is None:
            devices = ", ".join(dict.fromkeys(result.device for result in record.cases))
            self._print(f"{plural(len(record.cases), 'case')} on {devices}, {time_text(record, self._spent_s)}")
        else:
            self._live.start()
            self._draw()

    def stage(self, what: str) -> None:
        """Show what comes now."""
        self._stage = what
        if self._live is None:
            self._print(f"… {what}", LABEL)
        else:
            self._draw()

    def round_done(self, record: BenchRecord) -> None:
        """Show the figures so far, where it is time."""
        self._record = record
        self._rounds += 1
        if self._live is not None:
            self._draw_in_time()
        elif self._rounds - self._shown_rounds >= _LINE_EVERY_ROUNDS or self._is_due(_LINE_EVERY_S):
            self._print(format_progress(record, spent_s=self._spent_s))
            self._shown_at, self._shown_rounds = self._clock(), self._rounds

    def case_done(self, record: BenchRecord, key: str) -> None:
        """Show what became of the case; through a pipe, only where that is bad."""
        self._record = record
        if self._live is not None:
            self._draw_in_time()
            return
        result = next(result for result in record.cases if result.case.key == key)
        if result.is_wrong or result.status == "failed":
            what = "the result is wrong" if result.is_wrong else reason_text(result)
            self._print(f"{RecordNames(record).label(result)}: {what}", BAD)

    @property
    def _spent_s(self) -> float:
        return self._clock() - self._started

    def _is_due(self, every_s: float) -> bool:
        return self._clock() - self._shown_at >= every_s

    def _draw_in_time(self) -> None:
        if self._is_due(self._draw_every_s):
            self._draw()

    def _draw(self) -> None:
        if self._live is None or self._record is None:
            return
        begun, height = self._clock(), self._console.size.height
        page = format_live(self._record, stage=self._stage, spent_s=begun - self._started, height=height)
        self._live.update(page, refresh=True)
        self._shown_at = self._clock()
        self._draw_every_s = max(_DRAW_EVERY_S, (self._shown_at - begun) / _DRAWING_SHARE)

    def _print(self, line: str, style: str = "") -> None:
        self._console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)
