"""What came of a benchmark: the page for a console, and the note for a README or an issue.

Both have the same blocks. The page says how to read the figures below the first table and ends with what a person at
the console asks next; the note begins with what was measured on what, and ends with the command that made it.
"""

from __future__ import annotations

from pathlib import Path

from accelmnist.core.records import Environment, ProfileSummary
from accelmnist.measure.record import RECORD_NAME, BenchRecord, CaseResult
from accelmnist.show.bench.cases import cases_table, limits_table
from accelmnist.show.bench.headline import headline, nothing_text
from accelmnist.show.bench.remarks import bounds, doubts, legend_of
from accelmnist.show.bench.view import BenchView, Naming
from accelmnist.show.document import Block, Document, Points, Section, Text
from accelmnist.show.files import files_section
from accelmnist.show.profile import profile_section


def bench_page(record: BenchRecord, folder: Path | None = None) -> Document:
    """The whole page; a part that the record has nothing for is left out. `folder` is where the files lie."""
    view = BenchView(record)
    sections = [Section(title="Result", blocks=(headline(view),))]
    for number, part in enumerate(view.parts):
        table = cases_table(part, view, note=legend_of(view) if number == 0 else "")
        sections.append(Section(title=part.title, blocks=(table,)))
    sections += _remarks(view)
    for result, profile in _profiled(record):
        name = Text(text=view.label(result), tone="strong")
        sections += [_untitled(name), profile_section(profile, saved=folder is not None)]
    if record.limits:
        sections.append(Section(title="Limits", blocks=(limits_table(record.limits),)))
    if folder is not None:
        sections.append(files_section(folder, record.files or (RECORD_NAME,)))
    if why := nothing_text(view):  # last: its rows may be many
        sections.append(Section(title="", blocks=(Text(text=why, tone="unsure"),)))
    return Document(tuple(sections))


def bench_note(record: BenchRecord, *, brief: bool = False) -> Document:
    """What a README shows; `brief` leaves out the sentences below the tables, and the limits."""
    view = BenchView(record)
    why = nothing_text(view)
    sections = [
        _untitled(Text(text=f"{_setting(record)}:"), headline(view), *([Text(text=why)] if why else [])),
        *(Section(title=part.title, blocks=(cases_table(part, view),)) for part in view.parts),
        _untitled(Text(text=legend_of(view))),
    ]
    if not brief:
        sections += _remarks(view)
        if notes := [f"{view.label(result)}: {' '.join(profile.notes)}" for result, profile in _profiled(record)]:
            sections.append(Section(title="Profiles", blocks=(Points(items=tuple(notes)),)))
        if record.limits:
            sections.append(Section(title="Limits", blocks=(limits_table(record.limits),)))
    return Document((*sections, *_origin(record)))


def _untitled(*blocks: Block) -> Section:
    return Section(title="", blocks=blocks)


def _remarks(view: BenchView) -> list[Section]:
    crossovers = tuple(crossover.sentence for crossover in view.record.crossovers)
    titled: tuple[tuple[str, tuple[Block, ...]], ...] = (
        ("What holds it back", bounds(view)),
        ("Crossovers", (Points(items=crossovers),) if crossovers else ()),
        ("Doubts", doubts(view)),
    )
    return [Section(title=title, blocks=blocks) for title, blocks in titled if blocks]


def _profiled(record: BenchRecord) -> list[tuple[CaseResult, ProfileSummary]]:
    return [(result, result.profile) for result in record.cases if result.profile is not None]


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


def _origin(record: BenchRecord) -> list[Section]:
    environment = record.environment
    if environment is None:
        return []
    commit = f", commit {environment.commit}" if environment.commit else ""
    made_by = f"Made by {{}}, accelmnist {environment.accelmnist}{commit}."
    return [_untitled(Text(text=made_by, code=environment.command))]
