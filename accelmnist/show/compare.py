"""Two records side by side: which they are, what else differs, case by case, and the answer.

The page for a console ends with the answer, where it stays on the screen; the note for a pull request begins with it.
"""

from __future__ import annotations

from accelmnist.measure.compare.case_comparison import CaseComparison, CaseOutcome
from accelmnist.measure.compare.comparison_report import ComparisonReport
from accelmnist.show.compare_text import (
    APART,
    difference_cells,
    explanations,
    figures,
    gate_lines,
    has_gate,
    label,
    plain_ratio,
    record_name,
    remarks,
    shared_label,
    summary_line,
    varying_axes,
)
from accelmnist.show.document import (
    Block,
    Cell,
    Column,
    Document,
    Facts,
    Headline,
    Points,
    Remark,
    Remarks,
    Section,
    Table,
    Text,
    Tone,
)

_TONES: dict[CaseOutcome, Tone] = {
    "slower": "bad",
    "faster": "good",
    "ambiguous": "unsure",
    "wrong in new": "bad",
    "wrong in both": "bad",
}


def comparison_page(report: ComparisonReport) -> Document:
    """The whole page; a part that there is nothing for is left out."""
    return _document(report, "Records", "What else differs", "Cases", "In one record alone", "Answer")


def comparison_note(report: ComparisonReport) -> Document:
    """The same for a pull request."""
    return _document(report, "Answer", "Records", "Cases", "In one record alone", "What else differs")


def _document(report: ComparisonReport, *order: str) -> Document:
    """The parts in this order; one that comes first needs no title if it is the answer."""
    parts = {
        "Records": _records(report),
        "What else differs": _differences(report),
        "Cases": _cases(report),
        "In one record alone": _one_sided(report),
        "Answer": _answer(report),
    }
    titles = {title: title for title in order} | ({"Answer": ""} if order[0] == "Answer" else {})
    return Document(tuple(Section(title=titles[title], blocks=parts[title]) for title in order if parts[title]))


def _records(report: ComparisonReport) -> tuple[Block, ...]:
    rows = (("base", record_name(report.base)), ("new", record_name(report.new)))
    warnings = (Text(text=f"warning: {warning}", tone="unsure") for warning in report.warnings)
    return (Facts(rows=rows), *warnings)


def _differences(report: ComparisonReport) -> tuple[Block, ...]:
    if not report.differences:
        return ()
    columns = (Column("fact", role="name"), Column("base"), Column("new"))
    rows = tuple(tuple(map(Cell, difference_cells(one))) for one in report.differences)
    return (Table(ident="differences", columns=columns, rows=rows),)


def _cases(report: ComparisonReport) -> tuple[Block, ...]:
    """A row for each case that both records have, and how to read the ratios."""
    axes, shared = varying_axes(report.rows), shared_label(report.rows)
    compared = [row for row in report.rows if row.outcome not in (*APART, "in neither")]
    plain = any(plain_ratio(row, report) for row in compared)
    columns = (
        Column("case"),
        Column("ratio", True),
        Column("95 % interval", True),
        *([Column("plain", True)] if plain else []),
        Column("verdict"),
        Column("p", True),
    )
    rows = tuple(_case(row, axes, report, plain=plain) for row in compared)
    return (
        Table(ident="cases", caption="Case by case.", columns=columns, rows=rows, shared=shared),
        Points(items=tuple(explanations(report)), tone="faint"),
    )


def _case(row: CaseComparison, axes: tuple[str, ...], report: ComparisonReport, *, plain: bool) -> tuple[Cell, ...]:
    ratio, interval, p_value = figures(row)
    return (
        Cell(label(row, axes), details=tuple(remarks(row, report))),
        Cell(ratio),
        Cell(interval),
        *([Cell(plain_ratio(row, report))] if plain else []),
        Cell(row.outcome, tone=_TONES.get(row.outcome, "")),
        Cell(p_value),
    )


def _one_sided(report: ComparisonReport) -> tuple[Block, ...]:
    axes = varying_axes(report.rows)
    items = tuple(
        Remark(name=label(row, axes), text=f"{row.outcome}: {row.reason or 'no case of the other'}")
        for row in report.rows
        if row.outcome in APART
    )
    return (Remarks(items=items),) if items else ()


def _answer(report: ComparisonReport) -> tuple[Block, ...]:
    summary = Text(text=summary_line(report), tone="strong")
    if not has_gate(report):
        return (summary,)
    first, *others = gate_lines(report)
    headline = Headline.of_check(passed=report.passed, text=first)
    return (summary, headline, *([Points(items=tuple(others))] if others else []))
