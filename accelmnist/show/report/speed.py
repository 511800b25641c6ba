"""The chapter on a benchmark: what is fastest, by how much and how sure, why, and what to doubt."""

from __future__ import annotations

import re
from collections.abc import Callable

from matplotlib.figure import Figure as Drawing

from accelmnist.measure.record import BenchRecord, CaseResult
from accelmnist.show.bench.columns import Column as BenchColumn
from accelmnist.show.bench.columns import sheet_of
from accelmnist.show.bench.headline import extent, failures_text, leaders, message_of, outcome_of, wrong_of
from accelmnist.show.bench.limits import HEADINGS, limit_rows
from accelmnist.show.bench.pages import reason_text
from accelmnist.show.bench.parts import Part
from accelmnist.show.bench.remarks import Doubt, doubts_of, harness_text, legend_of, load_text
from accelmnist.show.bench.view import BenchView
from accelmnist.show.figures import roofline_figure, scaling_figure, target_figure, throughput_figure
from accelmnist.show.report.document import Block, Cell, Chapter, Column, Figure, Points, Table, Text, Tone
from accelmnist.show.report.pictures import panel_of

_Draw = Callable[[BenchRecord], Drawing | None]

_FIGURES: tuple[tuple[str, _Draw, str], ...] = (
    ("throughput", throughput_figure, "Images a second of every case, with its 95 % interval and all samples."),
    ("scaling", scaling_figure, "Images a second by size, with the limit drawn in."),
    ("roofline", roofline_figure, "What every case reaches of what this machine can do."),
    ("time-to-accuracy", target_figure, "Seconds to the target accuracy, over the seeds."),
)
_MOST_SEEN = 4
_NUMBER = re.compile(r"^-?[\d,]*\.?\d+")


def speed_chapter(record: BenchRecord) -> Chapter:
    """How fast, how sure, how far from the limit."""
    view = BenchView(record)
    blocks: list[Block] = [Text(text=answer(view), lead=True)]
    if wrong := _wrong(view):
        blocks.append(Points(title="Wrong", items=wrong))
    blocks += [block for part in view.parts for block in _part(part, view)]
    blocks += [Text(text=legend)] if (legend := legend_of(view)) else []
    blocks += _figures(view)
    blocks += _remarks(view)
    if record.limits:
        blocks.append(_limits(record))
    return Chapter(ident="speed", title="The speed", blocks=tuple(blocks))


def answer(view: BenchView) -> str:
    """The outcome, how much was measured, and what is fastest."""
    record = view.record
    said = (f"{outcome_of(record).word}: {extent(record)}", message_of(record), *leaders(view))
    return ". ".join(filter(None, said)) + "."


def _wrong(view: BenchView) -> tuple[str, ...]:
    return tuple(f"{view.label(result)}: {failures_text(result)}" for result in wrong_of(view.record))


def _part(part: Part, view: BenchView) -> list[Block]:
    """A table of cases, and those that have no figures."""
    shared = f" ({part.naming.shared})" if part.naming.shared else ""
    blocks: list[Block] = []
    if part.rows:
        sheet = sheet_of(part, view)
        columns = (*sheet.identity, *sheet.figures, *sheet.costs, sheet.verdict)
        blocks.append(
            Table(
                ident=f"cases-{_slug(part.title)}",
                caption=f"{part.title}{shared}.",
                columns=tuple(Column(_heading(column), column.is_number) for column in columns),
                rows=tuple(tuple(_cell(column, result) for column in columns) for result in part.rows),
                has_names=False,
            )
        )
    reasons = tuple(f"{part.naming.label(result)}: {reason_text(result)}" for result in part.unmeasured)
    return [*blocks, Points(title=f"{part.title}: not measured", items=reasons)] if reasons else blocks


def _heading(column: BenchColumn) -> str:
    return " ".join(column.heading.split()) or "verdict"


def _cell(column: BenchColumn, result: CaseResult) -> Cell:
    text = " ".join(column.cell(result).split())
    found = _NUMBER.match(text) if column.is_number else None
    value = float(found.group().replace(",", "")) if found else None
    return Cell(text, value, _tone(text, result))


def _tone(text: str, result: CaseResult) -> Tone:
    if result.is_wrong:
        return "bad"
    return "good" if text == "PASS" else ""


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _figures(view: BenchView) -> list[Block]:
    found: list[Block] = []
    for name, draw, caption in _FIGURES:
        drawing = draw(view.record)
        if drawing is not None:
            panels = (panel_of(drawing, name),)
            found.append(Figure(ident=name, caption=caption, alt=f"{caption} {' '.join(leaders(view))}", panels=panels))
    return found


def _remarks(view: BenchView) -> list[Block]:
    """Why each case is as fast as it is, from which size on what pays, and what makes figures doubtful."""
    record = view.record
    doubts = list(map(_doubt, doubts_of(view)))
    titled = (
        ("Crossovers", [crossover.sentence for crossover in record.crossovers]),
        ("Doubts", [*doubts, *filter(None, (harness_text(record), load_text(record))), *record.notes]),
    )
    return [*_bounds(view), *(Points(title=title, items=tuple(items)) for title, items in titled if items)]


def _bounds(view: BenchView) -> list[Block]:
    """A row for every case that was explained."""
    rows = tuple(
        (Cell(part.title), Cell(label), Cell(sentence)) for part, said in view.bounds for label, sentence in said
    )
    if not rows:
        return []
    columns = (Column("work"), Column("case"), Column("why it is not faster"))
    caption = "What holds every case back, by the work that was counted and the limits that were measured."
    return [Table(ident="bounds", caption=caption, columns=columns, rows=rows, has_names=False)]


def _doubt(doubt: Doubt) -> str:
    """A reason not to trust some figures, and in which cases; the first ones where they are many."""
    seen, more = doubt.seen[:_MOST_SEEN], len(doubt.seen) - _MOST_SEEN
    return f"{doubt.code}: {doubt.advice}. Seen in {'; '.join(seen)}{f'; and {more} more' if more > 0 else ''}."


def _limits(record: BenchRecord) -> Table:
    return Table(
        ident="limits",
        caption="What the hardware can do, measured in the same rounds.",
        columns=tuple(Column(heading, is_number) for heading, is_number in HEADINGS),
        rows=tuple(tuple(map(Cell, row)) for row in limit_rows(record)),
        has_names=False,
    )
