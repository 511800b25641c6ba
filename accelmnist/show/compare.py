"""Two records side by side: which they are, what else differs, case by case, and the answer.

The page for a console ends with the answer, where it stays on the screen; the note for a pull request begins with it.
"""

from __future__ import annotations

from accelmnist.measure.compare.case_comparison import CaseComparison, CaseOutcome
from accelmnist.measure.compare.comparison_report import ComparisonReport
from accelmnist.show import compare_text as words
from accelmnist.show import document as doc

_TONES: dict[CaseOutcome, doc.Tone] = {
    "slower": "bad",
    "faster": "good",
    "ambiguous": "unsure",
    "wrong in new": "bad",
    "wrong in both": "bad",
}


def comparison_page(report: ComparisonReport) -> doc.Document:
    """The whole page; a part that there is nothing for is left out."""
    return _document(report, "Records", "What else differs", "Cases", "In one record alone", "Answer")


def comparison_note(report: ComparisonReport) -> doc.Document:
    """The same for a pull request."""
    return _document(report, "Answer", "Records", "Cases", "In one record alone", "What else differs")


def _document(report: ComparisonReport, *order: str) -> doc.Document:
    """The parts in this order; one that comes first needs no title if it is the answer."""
    parts = {
        "Records": _records(report),
        "What else differs": _differences(report),
        "Cases": _cases(report),
        "In one record alone": _one_sided(report),
        "Answer": _answer(report),
    }
    titles = {title: title for title in order} | ({"Answer": ""} if order[0] == "Answer" else {})
    return doc.Document(tuple(doc.Section(title=titles[title], blocks=parts[title]) for title in order if parts[title]))


def _records(report: ComparisonReport) -> tuple[doc.Block, ...]:
    rows = (("base", words.record_name(report.base)), ("new", words.record_name(report.new)))
    warnings = (doc.Text(text=f"warning: {warning}", tone="unsure") for warning in report.warnings)
    return (doc.Facts(rows=rows), *warnings)


def _differences(report: ComparisonReport) -> tuple[doc.Block, ...]:
    if not report.differences:
        return ()
    columns = (doc.Column("fact", role="name"), doc.Column("base"), doc.Column("new"))
    rows = tuple(tuple(map(doc.Cell, words.difference_cells(one))) for one in report.differences)
    return (doc.Table(ident="differences", columns=columns, rows=rows),)


def _cases(report: ComparisonReport) -> tuple[doc.Block, ...]:
    """A row for each case that both records have, and how to read the ratios."""
    axes, common = words.varying_axes(report.rows), words.shared_label(report.rows)
    shared = f"All are {common}" if common else ""
    compared = [row for row in report.rows if row.outcome not in (*words.APART, "in neither")]
    plain = any(words.plain_ratio(row, report) for row in compared)
    columns = (
        doc.Column("case"),
        doc.Column("ratio", True),
        doc.Column("95 % interval", True),
        *([doc.Column("plain", True)] if plain else []),
        doc.Column("verdict"),
        doc.Column("p", True),
    )
    rows = tuple(_case(row, axes, report, plain=plain) for row in compared)
    return (
        doc.Table(ident="cases", caption="Case by case.", columns=columns, rows=rows, shared=shared),
        doc.Points(items=tuple(words.explanations(report)), tone="faint"),
    )


def _case(row: CaseComparison, axes: tuple[str, ...], report: ComparisonReport, *, plain: bool) -> tuple[doc.Cell, ...]:
    ratio, interval, p_value = words.figures(row)
    return (
        doc.Cell(words.label(row, axes), details=tuple(words.remarks(row, report))),
        doc.Cell(ratio),
        doc.Cell(interval),
        *([doc.Cell(words.plain_ratio(row, report))] if plain else []),
        doc.Cell(row.outcome, tone=_TONES.get(row.outcome, "")),
        doc.Cell(p_value),
    )


def _one_sided(report: ComparisonReport) -> tuple[doc.Block, ...]:
    axes = words.varying_axes(report.rows)
    items = tuple(
        doc.Remark(name=words.label(row, axes), text=f"{row.outcome}: {row.reason or 'no case of the other'}")
        for row in report.rows
        if row.outcome in words.APART
    )
    return (doc.Remarks(items=items),) if items else ()


def _answer(report: ComparisonReport) -> tuple[doc.Block, ...]:
    summary = doc.Text(text=words.summary_line(report), tone="strong")
    if not words.has_gate(report):
        return (summary,)
    first, *others = words.gate_lines(report)
    headline = doc.Headline.of_check(passed=report.passed, text=first)
    return (summary, headline, *([doc.Points(items=tuple(others))] if others else []))
