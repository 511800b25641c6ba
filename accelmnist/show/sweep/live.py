"""How a sweep stands, while it runs: the candidates by validation accuracy, and below them how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.text import Text

from accelmnist.show.document import Column, Tone
from accelmnist.show.live_page import LivePage, rows_in, time_bar
from accelmnist.show.render.console_table import ConsoleTable
from accelmnist.show.sweep.page import candidates_table, format_progress, how_far, name_of, shared_text
from accelmnist.show.theme import BAD, LABEL, section
from accelmnist.show.units import plural
from accelmnist.sweep.record import CandidateResult, SweepRecord
from accelmnist.sweep.schedule import SweepObserver, trainings_done, trainings_planned

_DRAW_EVERY_S = 0.5
_LINE_EVERY_S = 5.0


def format_live(record: SweepRecord, *, stage: str, spent_s: float, height: int) -> RenderableType:
    """The live page for a terminal of `height` lines; `spent_s` are the seconds that the trainings so far took."""
    shown, hidden = _rows(record, rows_in(height))
    parts: list[RenderableType] = []
    if shown:
        last = (Column("seeds", True, spare=1), lambda result: f"{len(result.compared)}/{record.config.seeds}")
        parts.append(ConsoleTable(candidates_table(record, shown, _tone, last=last)))
    if hidden:
        more = f"and {plural(hidden, 'more candidate')}" if shown else plural(hidden, "candidate")
        parts.append(Text(more, style=LABEL))
    if stage:
        parts.append(Text(f"… {stage}"))
    bar = time_bar(trainings_done(record), trainings_planned(record), how_far(record, spent_s))
    return section("Sweep", Group(*parts, bar))


def _rows(record: SweepRecord, most: int) -> tuple[list[CandidateResult], int]:
    """The most accurate candidates as far as there is room, and how many more there are; failed ones come last."""
    tuned = [result for result in record.candidates if not result.rank and result.trials and not result.error]
    failed = [result for result in record.candidates if result.error]
    started = [*record.ranked, *sorted(tuned, key=lambda result: -_best_tried(result)), *failed]
    return started[:most], len(record.candidates) - min(len(started), most)


def _best_tried(result: CandidateResult) -> float:
    return max((trial.accuracy or 0.0 for trial in result.trials), default=0.0)


def _tone(result: CandidateResult) -> Tone:
    if result.error:
        return "bad"
    return "strong" if result.rank == 1 else "" if result.rank else "faint"


class ConsoleSweepObserver(LivePage[SweepRecord], SweepObserver):
    """A context manager around the sweep; `clock` gives seconds."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, clock=clock, draw_every_s=_DRAW_EVERY_S)
        self._failed: set[int] = set()

    def planned(self, record: SweepRecord) -> None:
        """Say how much there is to do."""
        self._record, self._started = record, self._clock() - record.elapsed_s
        self._failed = {index for index, result in enumerate(record.candidates) if result.error}
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
        for index, result in enumerate(record.candidates):
            if result.error and index not in self._failed:
                self._failed.add(index)
                self._print(f"{name_of(result)}: {result.error}", BAD)
        is_last = trainings_done(record) == trainings_planned(record)
        if is_last or self._is_due(_LINE_EVERY_S):
            self._print(format_progress(record, spent_s=self._spent_s))
            self._shown_at = self._clock()

    def _page(self, record: SweepRecord, *, spent_s: float, height: int) -> RenderableType:
        return format_live(record, stage=self._stage, spent_s=spent_s, height=height)


def _plan(record: SweepRecord) -> str:
    data = record.data
    images = f", {data.training_images:,} images to train, {data.validation_images:,} to judge" if data else ""
    left = trainings_planned(record) - trainings_done(record)
    return (
        f"{plural(len(record.candidates), 'candidate')}, {plural(record.config.seeds, 'seed')}, "
        f"{plural(left, 'training')} to do ({shared_text(record)}){images}"
    )
