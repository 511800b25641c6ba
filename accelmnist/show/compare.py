"""Two records side by side on the console: which they are, what else differs, case by case, and the answer."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from accelmnist.measure.compare.case_comparison import CaseComparison
from accelmnist.measure.compare.comparison_report import ComparisonReport, Difference
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
from accelmnist.show.theme import BAD, GOOD, LABEL, STRONG, UNSURE, mark, pairs, section, table

_STYLES = {"slower": BAD, "faster": GOOD, "ambiguous": UNSURE, "wrong in new": BAD, "wrong in both": BAD}


def format_comparison(found: ComparisonReport) -> RenderableType:
    """The whole page."""
    parts: list[RenderableType] = [section("Records", _records(found))]
    if found.differences:
        parts.append(section("What else differs", _differences(found.differences)))
    parts.append(section("Cases", _cases(found)))
    apart = [row for row in found.rows if row.outcome in APART]
    if apart:
        parts.append(section("In one record alone", _one_sided(apart, varying_axes(found.rows))))
    parts.append(section("Answer", _answer(found)))
    return Group(*parts)


def print_comparison(found: ComparisonReport, console: Console) -> None:
    """Print `format_comparison`."""
    console.print(format_comparison(found))


def _records(found: ComparisonReport) -> RenderableType:
    rows = [("base", found.base), ("new", found.new)]
    grid = pairs([(side, record_name(one)) for side, one in rows])
    return Group(grid, *(Text(f"warning: {warning}", style=UNSURE) for warning in found.warnings))


def _differences(differences: Sequence[Difference]) -> Table:
    made = table(("", "left"), ("base", "left"), ("new", "left"))
    for column in made.columns:
        column.overflow = "fold"
    for one in differences:
        made.add_row(*map(Text, difference_cells(one)))
    return made


def _cases(found: ComparisonReport) -> RenderableType:
    axes, shared = varying_axes(found.rows), shared_label(found.rows)
    rows = [row for row in found.rows if row.outcome not in (*APART, "in neither")]
    plain = any(plain_ratio(row, found) for row in rows)
    made = table(
        ("case", "left"),
        ("ratio", "right"),
        ("95 % interval", "right"),
        *([("plain", "right")] if plain else []),
        ("verdict", "left"),
        ("p", "right"),
    )
    made.columns[0].overflow = "fold"
    made.columns[-2].no_wrap = True
    for row in rows:
        ratio, interval, p_value = figures(row)
        own = [plain_ratio(row, found)] if plain else []
        verdict = Text(row.outcome, style=_STYLES.get(row.outcome, ""))
        made.add_row(_named(row, axes, found), ratio, interval, *own, verdict, p_value)
    lines = [Text(line, style=LABEL) for line in explanations(found)]
    return Group(*([Text(f"All are {shared}", style=STRONG)] if shared else []), made, Text(), *lines)


def _named(row: CaseComparison, axes: Sequence[str], found: ComparisonReport) -> Text:
    text = Text(label(row, axes))
    for remark in remarks(row, found):
        text.append(f"\n{remark}", style=LABEL)
    return text


def _one_sided(rows: Sequence[CaseComparison], axes: Sequence[str]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(overflow="fold")
    grid.add_column(style=UNSURE, no_wrap=True)
    grid.add_column(overflow="fold")
    for row in rows:
        grid.add_row(Text(label(row, axes)), row.outcome, Text(row.reason or "no case of the other"))
    return grid


def _answer(found: ComparisonReport) -> Text:
    text = Text(summary_line(found), style=STRONG)
    if has_gate(found):
        first, *others = gate_lines(found)
        text.append("\n").append_text(mark(found.passed)).append(f"  {first}", style="not bold")
        for line in others:
            text.append(f"\n{line}", style="not bold")
    return text
