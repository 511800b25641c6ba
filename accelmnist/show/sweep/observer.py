"""Tells a person how a sweep stands, on a live page or in lines.

It draws from the thread that collects the trainings, while the cores go on with the next ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console, RenderableType

from accelmnist.show.live_page import LivePage
from accelmnist.show.sweep.candidates import name_of, shared_text
from accelmnist.show.sweep.live import format_live
from accelmnist.show.sweep.progress import format_progress
from accelmnist.show.theme import BAD
from accelmnist.show.units import plural
from accelmnist.sweep.observer import SweepObserver
from accelmnist.sweep.record import SweepRecord
from accelmnist.sweep.schedule import trainings_done, trainings_planned

_DRAW_EVERY_S = 0.5
_LINE_EVERY_S = 5.0


class ConsoleSweepObserver(LivePage, SweepObserver):
    """A context manager around the sweep; `clock` gives seconds."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, clock=clock, draw_every_s=_DRAW_EVERY_S)
        self._started = clock()
        self._spent_before_s = 0.0
        self._record: SweepRecord | None = None
        self._failed: set[int] = set()

    def planned(self, record: SweepRecord) -> None:
        """Say how much there is to do."""
        self._record, self._started, self._spent_before_s = record, self._clock(), record.elapsed_s
        self._failed = {place for place, result in enumerate(record.candidates) if result.error}
        self._print(_plan(record))
        self._open()

    def epoch_done(self) -> None:
        """Let the time left go on."""
        if self._live is not None:
            self._draw_in_time()

    def trial_done(self, record: SweepRecord) -> None:
        """Show the ranks as they are now; through a pipe, how far it is, and what came to no end."""
        self._record = record
        if self._live is not None:
            self.epoch_done()
            return
        for place, result in enumerate(record.candidates):
            if result.error and place not in self._failed:
                self._failed.add(place)
                self._print(f"{name_of(result)}: {result.error}", BAD)
        is_last = trainings_done(record) == trainings_planned(record)
        if is_last or self._is_due(_LINE_EVERY_S):
            self._print(format_progress(record, spent_s=self._spent_s))
            self._shown_at = self._clock()

    @property
    def _spent_s(self) -> float:
        return self._spent_before_s + self._clock() - self._started

    def _page(self, now: float) -> RenderableType | None:
        if self._record is None:
            return None
        height = self._console.size.height
        spent_s = self._spent_before_s + now - self._started
        return format_live(self._record, stage=self._stage, spent_s=spent_s, height=height)


def _plan(record: SweepRecord) -> str:
    data = record.data
    images = f", {data.training_images:,} images to train, {data.validation_images:,} to judge" if data else ""
    left = trainings_planned(record) - trainings_done(record)
    return (
        f"{plural(len(record.candidates), 'candidate')}, {plural(record.config.seeds, 'seed')}, "
        f"{plural(left, 'training')} to do ({shared_text(record)}){images}"
    )
