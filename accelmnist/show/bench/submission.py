"""Whether a record may stand among the verified ones: each check, and the file to hand in."""

from __future__ import annotations

from pathlib import Path

from accelmnist.core.records import Check, Verdict
from accelmnist.show.document import Cell, Column, Document, Headline, Section, Table


def submission_page(verdict: Verdict, file: Path | None) -> Document:
    """The answer, and every check with what it found; `file` is what was written."""
    number = len(verdict.failures)
    failed = f"{number} check{'' if number == 1 else 's'} failed, and nothing was written"
    text = f"ready to be handed in: {file}" if file is not None else failed
    columns = (Column("verdict", role="mark"), Column("check", role="name"), Column("what was found"))
    table = Table(columns=columns, rows=tuple(map(_row, verdict.checks)), has_head=False)
    return Document((Section(title="Submission", blocks=(Headline.of_check(passed=verdict.passed, text=text), table)),))


def _row(check: Check) -> tuple[Cell, ...]:
    mark = Cell("PASS", tone="good") if check.passed else Cell("FAIL", tone="bad")
    return mark, Cell(check.name, tone="strong"), Cell(check.detail)
