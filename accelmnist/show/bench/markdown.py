"""A benchmark as GitHub Markdown, for a README or an issue: the same tables and sentences as on the console.

The first line says what was measured on what; nothing is a heading, so that it fits below any. Text from the record is
escaped: a reason may contain a pipe, an engine's name has an underscore. Source: "GitHub Flavored Markdown Spec", 4.10.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from accelmnist.core.records import Environment
from accelmnist.measure.record import BenchRecord
from accelmnist.show.bench.columns import Column, sheet_of
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
from accelmnist.show.bench.naming import Naming
from accelmnist.show.bench.pages import reason_text
from accelmnist.show.bench.parts import Part
from accelmnist.show.bench.remarks import doubts_of, harness_text, legend_of, load_text
from accelmnist.show.bench.view import BenchView

_SPECIAL = re.compile(r"([\\|`*_~<\[\]])")
_TICKS = re.compile(r"`+")


def format_markdown(record: BenchRecord, *, brief: bool = False) -> str:
    """The whole text, ending in a line feed; `brief` leaves out the sentences below the tables, and the limits."""
    view = BenchView(record)
    blocks = [
        f"{escape(_setting(record))}:",
        _answer(view),
        *(block for part in view.parts for block in _part(part, view)),
        escape(legend_of(view)),
        *([] if brief else [*_remarks(view), *_limits(record)]),
        _origin(record),
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _setting(record: BenchRecord) -> str:
    """What was measured, on what, with what, when."""
    shared, environment = Naming(record.cases).shared, record.environment
    parts = [shared] if shared else []
    if environment is not None:
        parts += [_machine(environment, record), f"torch {environment.torch}", f"Python {environment.python}"]
    return ", ".join([*parts, record.created[:10]])


def _machine(environment: Environment, record: BenchRecord) -> str:
    """The processor, and the hardware of every other device."""
    cores = "" if environment.cores is None else f"{environment.cores} cores"
    details = ", ".join(filter(None, (cores, environment.cpu_capability)))
    others = dict.fromkeys(device.hardware for device in record.devices if device.name != "cpu")
    processor = f"{environment.processor} ({details})" if details else environment.processor
    return f"on {' and '.join([processor, *others])}"


def _answer(view: BenchView) -> str:
    record = view.record
    wrong = [f"Wrong: {view.label(result)}: {failures_text(result)}" for result in wrong_of(record)]
    said = (extent(record), message_of(record), *leaders(view), *wrong, nothing_text(record))
    return f"**{outcome_of(record).word}**: " + ". ".join(map(escape, filter(None, said))) + "."


def _part(part: Part, view: BenchView) -> list[str]:
    """The title with what all rows share, the table, and the cases that were not measured."""
    shared = f" ({escape(part.naming.shared)})" if part.naming.shared else ""
    blocks = [f"**{escape(part.title)}**{shared}"]
    if part.rows:
        sheet = sheet_of(part, view)
        columns = (*sheet.identity, *sheet.figures, *sheet.costs, sheet.verdict)
        rows = [[_bold_failure(column.cell(result)) for column in columns] for result in part.rows]
        blocks.append(_table([(_heading(column), column.is_number) for column in columns], rows))
    reasons = [f"{part.naming.label(result)}: {reason_text(result)}" for result in part.unmeasured]
    return [*blocks, _bullets(reasons)]


def _heading(column: Column) -> str:
    return " ".join(column.heading.split()) or "verdict"


def _bold_failure(text: str) -> str:
    return "**FAIL**" if text == "FAIL" else escape(text)


def _remarks(view: BenchView) -> list[str]:
    record = view.record
    bounds = [
        f"{part.title}: {label}: {sentence}" if len(view.bounds) > 1 else f"{label}: {sentence}"
        for part, said in view.bounds
        for label, sentence in said
    ]
    crossovers = [crossover.sentence for crossover in record.crossovers]
    doubts = [f"{doubt.code}: {', '.join(doubt.seen)}; {doubt.advice}" for doubt in doubts_of(view)]
    notes = [*doubts, *filter(None, (harness_text(record), load_text(record))), *record.notes]
    return [
        *_titled("What holds it back", bounds),
        *_titled("Crossovers", crossovers),
        *_titled("Doubts", notes),
        *_titled("Profiles", _profiles(view)),
    ]


def _profiles(view: BenchView) -> list[str]:
    """What the profiler found in each case, in a sentence or a few."""
    profiled = [result for result in view.record.cases if result.profile is not None]
    return [f"{view.label(result)}: {' '.join(result.profile.notes)}" for result in profiled if result.profile]


def _titled(title: str, sentences: Sequence[str]) -> list[str]:
    return [f"**{title}**", _bullets(sentences)] if sentences else []


def _limits(record: BenchRecord) -> list[str]:
    if not record.limits:
        return []
    return ["**Limits**", _table(HEADINGS, [list(map(escape, row)) for row in limit_rows(record)])]


def _origin(record: BenchRecord) -> str:
    environment = record.environment
    if environment is None:
        return ""
    commit = f", commit {environment.commit}" if environment.commit else ""
    return f"Made by {_code(environment.command)}, accelmnist {escape(environment.accelmnist + commit)}."


def _code(text: str) -> str:
    """A code span; its fence is longer than any row of backticks within."""
    line = " ".join(text.split())
    fence = "`" * (max(map(len, _TICKS.findall(line)), default=0) + 1)
    return f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}"


def _bullets(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {escape(sentence)}" for sentence in sentences)


def _table(columns: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]]) -> str:
    """Cells that are escaped already, below headings that are not."""
    lines = [[escape(heading) for heading, _ in columns], ["---:" if is_number else "---" for _, is_number in columns]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (*lines, *rows))
