"""Two records side by side as Markdown, for a pull request: the answer, the cases, what else differs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from accelmnist.measure.compare.case_comparison import CaseComparison
from accelmnist.measure.compare.comparison_report import ComparisonReport
from accelmnist.show.compare_text import (
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

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#])")


def format_markdown(found: ComparisonReport) -> str:
    """The whole comparison; blocks are a blank line apart."""
    return "\n\n".join(
        filter(None, (*_answer(found), _records(found), _cases(found), _notes(found), _differences(found)))
    )


def _answer(found: ComparisonReport) -> list[str]:
    lines = [f"**{summary_line(found)}**"]
    if has_gate(found):
        first, *others = map(_escaped, gate_lines(found))
        lines += [f"**{'PASS' if found.passed else 'FAIL'}** {first}", _items(others)]
    return lines


def _records(found: ComparisonReport) -> str:
    shared = shared_label(found.rows)
    sides = [f"{side}: {_escaped(record_name(one))}" for side, one in (("base", found.base), ("new", found.new))]
    warnings = [f"**warning**: {_escaped(warning)}" for warning in found.warnings]
    return _items([*sides, *([f"all cases: {_escaped(shared)}"] if shared else []), *warnings])


def _cases(found: ComparisonReport) -> str:
    axes = varying_axes(found.rows)
    rows = [_case(row, axes, found) for row in found.rows if row.outcome != "in neither"]
    heads = ("case", "ratio", "95 % interval", "plain", "verdict", "p", "note")
    return _table(heads, ("---", "---:", "---:", "---:", "---", "---:", "---"), rows)


def _case(row: CaseComparison, axes: Sequence[str], found: ComparisonReport) -> tuple[str, ...]:
    ratio, interval, p_value = figures(row)
    verdict = f"**{row.outcome}**" if row.fails else row.outcome
    cells = (label(row, axes), ratio, interval, plain_ratio(row, found))
    return (*map(_escaped, cells), verdict, _escaped(p_value), _escaped("; ".join(remarks(row, found))))


def _notes(found: ComparisonReport) -> str:
    return _items(list(map(_escaped, explanations(found))))


def _differences(found: ComparisonReport) -> str:
    rows = [tuple(map(_escaped, difference_cells(one))) for one in found.differences]
    return _table(("what else differs", "base", "new"), ("---", "---", "---"), rows) if rows else ""


def _table(heads: Sequence[str], rules: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rules, *rows))


def _items(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _escaped(text: str) -> str:
    """`text` with a backslash before what Markdown would read as a mark."""
    return _SPECIAL.sub(r"\\\1", text)
