"""What came of a benchmark as one page of text: the answer, the tables, what holds the cases back, and the doubts."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from accelmnist.measure.record import RECORD_NAME, BenchRecord
from accelmnist.show.bench.columns import sheet_of
from accelmnist.show.bench.headline import (
    extent,
    failures_text,
    leaders,
    message_of,
    nothing_text,
    outcome_of,
    wrong_of,
)
from accelmnist.show.bench.limits import HEADINGS, limit_rows
from accelmnist.show.bench.naming import one_line
from accelmnist.show.bench.pages import PartTable
from accelmnist.show.bench.parts import Part
from accelmnist.show.bench.remarks import (
    Doubt,
    doubts_of,
    harness_is_heavy,
    harness_text,
    legend_of,
    load_text,
)
from accelmnist.show.bench.view import BenchView
from accelmnist.show.profile import format_profile
from accelmnist.show.theme import BAD, GOOD, LABEL, STRONG, UNSURE, section, table


def format_bench(record: BenchRecord, folder: Path | None = None) -> RenderableType:
    """The whole page; a part that the record has nothing for is left out. `folder` is where the files lie."""
    view = BenchView(record)
    parts = [section("Result", _headline(view)), *_tables(view)]
    if view.bounds:
        parts.append(section("What holds it back", _bounds(view)))
    if record.crossovers:
        parts.append(section("Crossovers", _lines([crossover.sentence for crossover in record.crossovers])))
    if doubts := _doubts(view):
        parts.append(section("Doubts", Group(*doubts)))
    parts += _profiles(view, saved=folder is not None)
    if record.limits:
        parts.append(section("Limits", _limits(record)))
    if folder is not None:
        parts.append(section("Files", _files(record, folder)))
    if why := nothing_text(record):  # last: its rows may be many
        parts.append(Text(why, style=UNSURE))
    return Group(*parts)


def print_bench(record: BenchRecord, console: Console, folder: Path | None = None) -> None:
    """Print `format_bench`."""
    console.print(format_bench(record, folder))


def _headline(view: BenchView) -> Text:
    """The outcome and how much was measured in a line, what is fastest, and every wrong row with what failed."""
    record = view.record
    outcome = outcome_of(record)
    style = UNSURE if outcome.passed is None else GOOD if outcome.passed else BAD
    text = Text.assemble((outcome.word, style), f"  {extent(record)}")
    for sentence in leaders(view):
        text.append(f"\n{sentence}", style=STRONG)
    if message := message_of(record):
        text.append(f"\n{message}", style=UNSURE if record.status == "interrupted" else BAD)
    for result in wrong_of(record):
        text.append(f"\nwrong: {view.label(result)}: {failures_text(result)}", style=BAD)
    return text


def _tables(view: BenchView) -> list[RenderableType]:
    """The tables; how to read them is said below the first."""
    made: list[RenderableType] = []
    for number, part in enumerate(view.parts):
        caption = [part.naming.shared, legend_of(view) if number == 0 else ""]
        below = Text("\n".join(filter(None, caption)), style=LABEL)
        made.append(section(part.title, Group(PartTable(part, sheet_of(part, view)), below)))
    return made


def _bounds(view: BenchView) -> Group:
    """A line for each case; those of a table stand together."""
    width = max(len(label) for _, said in view.bounds for label, _ in said)
    blocks: list[RenderableType] = []
    for part, said in view.bounds:
        blocks += _titled(part, said, width, several=len(view.bounds) > 1)
    return Group(*blocks)


def _titled(part: Part, said: list[tuple[str, str]], width: int, *, several: bool) -> list[RenderableType]:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, min_width=width)
    grid.add_column(overflow="fold")
    for label, sentence in said:
        grid.add_row(Text(label), Text(sentence))
    return [Text(part.title, style=LABEL), grid] if several else [grid]


def _doubts(view: BenchView) -> list[RenderableType]:
    record, found = view.record, doubts_of(view)
    parts: list[RenderableType] = [_symptoms(found)] if found else []
    if not found and any(result.images_per_s for result in record.cases):
        parts.append(Text("No figure has a symptom."))
    if harness_text(record):
        parts.append(Text(harness_text(record), style=UNSURE if harness_is_heavy(record) else LABEL))
    if load_text(record):
        parts.append(Text(load_text(record), style=LABEL))
    parts += [Text(f"Note: {one_line(note)}", style=UNSURE) for note in record.notes]
    return parts


def _symptoms(found: list[Doubt]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=UNSURE, no_wrap=True)
    grid.add_column(overflow="fold")
    for doubt in found:
        lines = Text(doubt.advice)
        for sight in doubt.seen:
            lines.append(f"\n{sight}", style=LABEL)
        grid.add_row(doubt.code, lines)
    return grid


def _profiles(view: BenchView, *, saved: bool) -> list[RenderableType]:
    """Where the time of each profiled case goes, below the case's name."""
    return [
        Group(Text(view.label(result), style=STRONG), format_profile(result.profile, saved=saved))
        for result in view.record.cases
        if result.profile is not None
    ]


def _limits(record: BenchRecord) -> Table:
    made = table(*((heading, "right" if is_number else "left") for heading, is_number in HEADINGS))
    made.padding = (0, 1, 0, 0)
    for row in limit_rows(record):
        made.add_row(*map(Text, row))
    return made


def _lines(sentences: list[str]) -> Text:
    return Text("\n".join(sentences))


def _files(record: BenchRecord, folder: Path) -> Group:
    names = ", ".join(record.files or (RECORD_NAME,))
    return Group(Text(str(folder), style=STRONG, overflow="fold"), Text(names, style=LABEL))
