"""What came of a sweep as one page of text: the winner, the ranks, what the differences are worth, what failed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from accelmnist.show.sweep.columns import (
    candidate_table,
    figure_columns,
    front_column,
    rank_column,
    shared_text,
    varying_columns,
)
from accelmnist.show.sweep.line import extent, outcome_word, winner_text
from accelmnist.show.sweep.observer import name_of
from accelmnist.show.theme import BAD, GOOD, LABEL, STRONG, UNSURE, section
from accelmnist.show.units import plural
from accelmnist.sweep.naming import label, labels_of
from accelmnist.sweep.record import RECORD_NAME, CandidateResult, SweepRecord

_MOST_ROWS = 25


def format_sweep(record: SweepRecord, folder: Path | None = None, *, width: int) -> RenderableType:
    """The whole page; a part that the record has nothing for is left out. `folder` is where the files lie."""
    parts: list[RenderableType] = [section("Result", _headline(record))]
    if record.ranked:
        parts.append(section("Validation accuracy", _ranks(record, width)))
    if record.findings:
        parts.append(section("What the differences are worth", _findings(record)))
    if failed := [result for result in record.candidates if result.error]:
        parts.append(section("Not compared", _failed(failed)))
    if folder is not None:
        parts.append(section("Files", _files(record, folder)))
    return Group(*parts)


def print_sweep(record: SweepRecord, console: Console, folder: Path | None = None) -> None:
    """Print `format_sweep`."""
    console.print(format_sweep(record, folder, width=console.width))


def _headline(record: SweepRecord) -> Text:
    word = outcome_word(record)
    text = Text.assemble((word, {"PASS": GOOD, "FAIL": BAD, "FAILED": BAD}.get(word, UNSURE)), f"  {extent(record)}")
    if record.message:
        text.append(f"\n{record.message}", style=BAD if record.status == "failed" else UNSURE)
    if record.winner is not None and record.ranked:
        text.append(f"\n{label(record.ranked[0], labels_of(record))}: {winner_text(record)}", style=STRONG)
    return text


def _ranks(record: SweepRecord, width: int) -> RenderableType:
    """The most accurate candidates, and those on a front wherever they stand."""
    shown = [result for result in record.ranked if (result.rank or 0) <= _MOST_ROWS or result.on_front]
    columns = (rank_column(), *varying_columns(record), *figure_columns(record), front_column())
    made = candidate_table(columns, shown, _style, width=width)
    left_out = len(record.ranked) - len(shown)
    said = [shared_text(record), _legend(record, [str(column.header) for column in made.columns])]
    said += [f"{plural(left_out, 'more candidate')} in {RECORD_NAME}"] if left_out else []
    return Group(made, Text("\n".join(filter(None, said)), style=LABEL))


def _style(result: CandidateResult) -> str:
    if result.rank == 1:
        return STRONG
    return LABEL if result.standing is not None and result.standing.verdict == "worse" else ""


def _legend(record: SweepRecord, headings: Sequence[str]) -> str:
    """How to read the figures that are there."""
    said = []
    if record.noise is not None:
        together = plural(record.noise.comparisons, "comparison")
        said.append("±: half of the 95 % interval of the mean over the seeds.")
        said.append("Behind: points behind the best one, with ≈ where that may be the luck of the seeds")
        said[-1] += f" (at 5 % for all {together} together)."
    if "time" in headings:
        said.append("Time: of one training, the median.")
    if "front" in headings:
        said.append("Front: no other candidate is both more accurate and smaller (size), or quicker to train (time).")
    return " ".join(said)


def _findings(record: SweepRecord) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style=LABEL, no_wrap=True)
    grid.add_column(overflow="fold")
    for sentence in record.findings:
        grid.add_row("•", Text(sentence))
    return grid


def _failed(failed: Sequence[CandidateResult]) -> Text:
    return Text("\n".join(f"{name_of(result)}: {result.error}" for result in failed), style=BAD)


def _files(record: SweepRecord, folder: Path) -> Group:
    names = [*(record.files or (RECORD_NAME,))]
    names += [f"{record.winner.folder}/ (the winner's run)"] if record.winner and record.winner.folder else []
    return Group(Text(str(folder), style=STRONG, overflow="fold"), Text(", ".join(names), style=LABEL))
