"""How a sweep stands, while it runs: the candidates by validation accuracy, and below them how far it is."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from accelmnist.show.document import Tone
from accelmnist.show.render.console_table import ConsoleTable
from accelmnist.show.sweep.candidates import (
    CandidateColumn,
    candidates_table,
    figure_columns,
    rank_column,
    varying_columns,
)
from accelmnist.show.sweep.progress import count_text, time_text
from accelmnist.show.theme import LABEL, section
from accelmnist.show.units import plural
from accelmnist.sweep.record import CandidateResult, SweepRecord
from accelmnist.sweep.schedule import trainings_done, trainings_planned

_AROUND_ROWS = 8  # lines of the title, the table's head, the footer, and one to spare
_FEWEST_ROWS = 3
_BAR_WIDTH = 28
_BAR = "cyan"


def format_live(record: SweepRecord, *, stage: str, spent_s: float, height: int) -> RenderableType:
    """The live page for a terminal of `height` lines; `spent_s` are the seconds that the trainings so far took."""
    shown, hidden = _rows(record, max(height - _AROUND_ROWS, _FEWEST_ROWS))
    parts: list[RenderableType] = [_table(record, shown)] if shown else []
    if hidden:
        parts.append(
            Text(f"and {plural(hidden, 'more candidate')}" if shown else plural(hidden, "candidate"), style=LABEL)
        )
    if stage:
        parts.append(Text(f"… {stage}"))
    return section("Sweep", Group(*parts, _bar(record, spent_s)))


def _rows(record: SweepRecord, most: int) -> tuple[list[CandidateResult], int]:
    """The most accurate candidates as far as there is room, and how many more there are; failed ones come last."""
    tuned = [result for result in record.candidates if not result.rank and result.trials and not result.error]
    failed = [result for result in record.candidates if result.error]
    started = [*record.ranked, *sorted(tuned, key=lambda result: -_best_tried(result)), *failed]
    return started[:most], len(record.candidates) - min(len(started), most)


def _best_tried(result: CandidateResult) -> float:
    return max((trial.accuracy or 0.0 for trial in result.trials), default=0.0)


def _table(record: SweepRecord, shown: list[CandidateResult]) -> ConsoleTable:
    seeds = CandidateColumn("seeds", True, lambda result: f"{len(result.compared)}/{record.config.seeds}", spare=1)
    columns = (rank_column(), *varying_columns(record), *figure_columns(record), seeds)
    return ConsoleTable(candidates_table(columns, shown, _tone))


def _tone(result: CandidateResult) -> Tone:
    if result.error:
        return "bad"
    return "strong" if result.rank == 1 else "" if result.rank else "faint"


def _bar(record: SweepRecord, spent_s: float) -> RenderableType:
    done, planned = trainings_done(record), trainings_planned(record)
    said = ", ".join(filter(None, (count_text(record), time_text(record, spent_s))))
    grid = Table.grid(padding=(0, 2))
    grid.add_row(ProgressBar(total=planned, completed=done, width=_BAR_WIDTH, complete_style=_BAR), Text(said))
    return grid
