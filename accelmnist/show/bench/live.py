"""How a benchmark stands, while it runs: a row a case, and below them how far it is and what keeps it.

The slowest-converging case is the one with the widest interval: sampling ends when it is narrow enough, or time is up.
With a target accuracy a round is a seed, and a row shows the median so far.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from rich.console import Console, Group, RenderableType
from rich.text import Text

from accelmnist.measure.plan import Case
from accelmnist.measure.record import BenchObserver, BenchRecord, CaseResult
from accelmnist.measure.statistics.summary import is_settled, relative_half_width
from accelmnist.show.bench.cases import reason_text, speed_text, target_text
from accelmnist.show.bench.view import BenchView
from accelmnist.show.live_page import Cell, LivePage, aligned, rows_in, time_bar
from accelmnist.show.theme import BAD, GOOD, LABEL, STRONG, section
from accelmnist.show.units import UNKNOWN, count, plural, seconds, spread

_DRAW_EVERY_S = 0.25
_LINE_EVERY_S = 5.0
_LINE_EVERY_ROUNDS = 10
_URGENCY = {"measuring": 0, "failed": 1, "wrong": 1, "settled": 2, "done": 2, "pending": 3, "skipped": 4, "cut": 4}
_STYLES = {"settled": GOOD, "done": GOOD, "failed": BAD, "wrong": BAD, "measuring": ""}


def format_live(record: BenchRecord, *, stage: str, spent_s: float, height: int) -> RenderableType:
    """The live page for a terminal of `height` lines, `spent_s` seconds after the command's start."""
    standing = "\n".join(filter(None, (f"… {stage}" if stage else "", _how_far(record))))
    left, end = time_text(record, spent_s), record.config.ends_after_s
    clock = Text(left) if end is None else time_bar(spent_s, end, left)
    return section("Benchmark", Group(_rows(record, rows_in(height)).append(standing), clock))


def format_progress(record: BenchRecord, *, spent_s: float) -> str:
    """How far it is, in one line: "round 12, 9 of 17 cases settled, widest cpu eager ±4.1 %, about 58.0 s left"."""
    return ", ".join(filter(None, (_how_far(record), time_text(record, spent_s))))


def _how_far(record: BenchRecord) -> str:
    """Which round it is, "round 12" or "seed 3 of 10", how many cases are settled, and which converges slowest."""
    parts = [f"round {len(record.rounds)}"] if record.rounds else []
    if record.config.target_accuracy is not None:
        seeds = max(map(_seeds, record.cases), default=0)
        parts = [f"seed {seeds} of {record.config.seeds}"] if seeds else []
    sampled = [result for result in record.cases if result.images_per_s is not None and result.skipped is None]
    if sampled:
        settled = sum(is_settled(result.images_per_s, target=record.config.precision_target) for result in sampled)
        parts.append(f"{settled} of {plural(len(sampled), 'case')} settled")
    if finite := [result for result in sampled if math.isfinite(_width(result))]:
        widest = max(finite, key=_width)
        parts.append(f"widest {BenchView(record).label(widest)} {spread(_width(widest))}")
    return ", ".join(parts)


def time_text(record: BenchRecord, spent_s: float) -> str:
    """The time left, or the time spent if there is no end."""
    end = record.config.ends_after_s
    return f"{seconds(spent_s)} so far" if end is None else f"about {seconds(max(end - spent_s, 0.0))} left"


def _rows(record: BenchRecord, most: int) -> Text:
    """The rows that fit, those that are measured first; what has no room is counted."""
    target, view = record.config.precision_target, BenchView(record)
    shown = _most_urgent(record.cases, target, most)
    timed = record.config.target_accuracy is not None
    heads = ("case", "time so far", "seeds", "") if timed else ("case", "images/s", "rounds", "")
    rows = [_cells(result, view, target, timed=timed) for result in shown]
    hidden = len(record.cases) - len(shown)
    below = f"and {plural(hidden, 'more case')}\n" if hidden else ""
    return aligned([tuple((head, STRONG) for head in heads), *rows]).append(below, style=LABEL)


def _state(result: CaseResult, target: float) -> str:
    """The status of a row; while it is measured, "settled" if its interval is within `target`."""
    if result.is_wrong:
        return "wrong"
    settled = result.status == "measuring" and is_settled(result.images_per_s, target=target)
    return "settled" if settled else result.status


def _most_urgent(results: Sequence[CaseResult], target: float, most: int) -> list[CaseResult]:
    """At most `most` cases in the order of the record: those left out are the ones that change least."""
    if len(results) <= most:
        return list(results)
    ordered = sorted(range(len(results)), key=lambda index: (_URGENCY[_state(results[index], target)], index))
    return [results[index] for index in sorted(ordered[: most - 1])]


def _cells(result: CaseResult, view: BenchView, target: float, *, timed: bool) -> tuple[Cell, ...]:
    state = _state(result, target)
    times = result.time_to_accuracy
    figure = (target_text(times.with_compile) if times else "") if timed else speed_text(result.images_per_s)
    rounds = _seeds(result) if timed else len(result.rounds)
    quiet = LABEL if state in ("pending", "skipped", "cut") else ""
    return (
        (view.label(result), quiet),
        (figure or UNKNOWN, STRONG if figure else LABEL),
        (count(rounds) if rounds else UNKNOWN, quiet),
        ("waiting" if state == "pending" else state, _STYLES.get(state, LABEL)),
    )


def _seeds(result: CaseResult) -> int:
    return len(result.time_to_accuracy.epochs) if result.time_to_accuracy else 0


def _width(result: CaseResult) -> float:
    return math.inf if result.images_per_s is None else relative_half_width(result.images_per_s)


class ConsoleBenchObserver(LivePage[BenchRecord], BenchObserver):
    """A context manager around the benchmark; `clock` gives seconds, `spent_s` are those before it was made."""

    def __init__(self, console: Console, *, spent_s: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, clock=clock, draw_every_s=_DRAW_EVERY_S, spent_s=spent_s)
        self._rounds = 0
        self._shown_rounds = 0

    def planned(self, record: BenchRecord) -> None:
        """Show every case."""
        self._record = record
        if self._live is None:
            rows = record.scaling.rows if record.scaling is not None else record.cases
            devices = ", ".join(dict.fromkeys(row.device for row in rows))
            self._print(f"{plural(len(rows), 'case')} on {devices}, {time_text(record, self._spent_s)}")
        self._open()

    def round_done(self, record: BenchRecord) -> None:
        """Show the figures so far, if it is time."""
        self._record = record
        self._rounds += 1
        if self._live is not None:
            self._draw_in_time()
        elif self._rounds - self._shown_rounds >= _LINE_EVERY_ROUNDS or self._is_due(_LINE_EVERY_S):
            self._print(format_progress(record, spent_s=self._spent_s))
            self._shown_at, self._shown_rounds = self._clock(), self._rounds

    def case_done(self, record: BenchRecord, case: Case) -> None:
        """Show what became of the case; through a pipe, only if that is bad."""
        self._record = record
        if self._live is not None:
            self._draw_in_time()
            return
        result = next(result for result in record.cases if result.case == case)
        if result.is_wrong or result.status == "failed":
            what = "the result is wrong" if result.is_wrong else reason_text(result)
            self._print(f"{BenchView(record).label(result)}: {what}", BAD)

    def _page(self, record: BenchRecord, *, spent_s: float, height: int) -> RenderableType:
        return format_live(record, stage=self._stage, spent_s=spent_s, height=height)
