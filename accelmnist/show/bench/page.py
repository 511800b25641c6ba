"""What came of a benchmark: the page for a console, and the note for a README or an issue.

Both have the same blocks. The page says how to read the figures below the first table and ends with what a person at
the console asks next; the note begins with what was measured on what, and ends with the command that made it.

A symptom's hint is what was seen and, after a colon, what to do about it. Cases with the same symptom share the advice,
and what was seen in each stands below it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean

from accelmnist.core.records import Environment, ProfileSummary
from accelmnist.core.text import brief
from accelmnist.measure.record import RECORD_NAME, BenchRecord, CaseResult
from accelmnist.measure.statistics.comparison import THRESHOLD
from accelmnist.show.bench.beside import beside_sections
from accelmnist.show.bench.cases import cases_table, limits_table
from accelmnist.show.bench.headline import headline, nothing_text
from accelmnist.show.bench.scaling import scaling_headline, scaling_sections
from accelmnist.show.bench.view import BenchView, Naming
from accelmnist.show.document import Block, Document, Points, Remark, Remarks, Section, Text, files_section, sections_of
from accelmnist.show.profile import profile_section
from accelmnist.show.units import percent, seconds, significant

_HARNESS_LIMIT = 0.01  # of a region
_LEAST_SHARE = 0.0001  # what two digits can say
_AMBIGUOUS = "more rounds, longer regions or a quieter machine would tell whether there is a difference"


def bench_page(record: BenchRecord, folder: Path | None = None) -> Document:
    """The whole page; a part that the record has nothing for is left out. `folder` is where the files lie."""
    if record.scaling is not None:
        files = [] if folder is None else [files_section(folder, record.files or (RECORD_NAME,))]
        first = Section(title="Result", blocks=(scaling_headline(record),))
        return Document((first, *scaling_sections(record), *files))
    view = BenchView(record)
    where = [Text(text=f"{one.device}: {one.sentence}.") for one in record.standing]
    sections = [Section(title="Result", blocks=(headline(view), *where))]
    for number, part in enumerate(view.parts):
        table = cases_table(part, view, note=legend_of(view) if number == 0 else "")
        sections.append(Section(title=part.title, blocks=(table,)))
    sections += beside_sections(view)
    sections += _remarks(view)
    for result, profile in _profiled(record):
        name = Text(text=view.label(result), tone="strong")
        sections += [_untitled(name), profile_section(profile, saved=folder is not None)]
    sections += _limits(record)
    if folder is not None:
        sections.append(files_section(folder, record.files or (RECORD_NAME,)))
    if why := nothing_text(view):  # last: its rows may be many
        sections.append(_untitled(Text(text=why, tone="unsure")))
    return Document(tuple(sections))


def bench_note(record: BenchRecord, *, brief: bool = False) -> Document:
    """What a README shows; `brief` leaves out the sentences below the tables, and the limits."""
    sections = _note_of_ranks(record) if record.scaling is not None else _note_of_cases(record, brief=brief)
    if (environment := record.environment) is not None:
        commit = f", commit {environment.commit}" if environment.commit else ""
        made_by = f"Made by {{}}, accelmnist {environment.accelmnist}{commit}."
        sections.append(_untitled(Text(text=made_by, code=environment.command)))
    return Document(tuple(sections))


def _note_of_ranks(record: BenchRecord) -> list[Section]:
    return [_untitled(Text(text=f"{_setting(record)}:"), scaling_headline(record)), *scaling_sections(record)]


def _note_of_cases(record: BenchRecord, *, brief: bool) -> list[Section]:
    view = BenchView(record)
    why = nothing_text(view)
    sections = [
        _untitled(Text(text=f"{_setting(record)}:"), headline(view), *([Text(text=why)] if why else [])),
        *(Section(title=part.title, blocks=(cases_table(part, view),)) for part in view.parts),
        _untitled(Text(text=legend_of(view))),
    ]
    sections += beside_sections(view)
    if not brief:
        sections += _remarks(view)
        if notes := [f"{view.label(result)}: {' '.join(profile.notes)}" for result, profile in _profiled(record)]:
            sections.append(Section(title="Profiles", blocks=(Points(items=tuple(notes)),)))
        sections += _limits(record)
    return sections


def _untitled(*blocks: Block) -> Section:
    return Section(title="", blocks=blocks)


def _limits(record: BenchRecord) -> list[Section]:
    return [Section(title="Limits", blocks=(limits_table(record.limits),))] if record.limits else []


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


# --- beside the tables


def _remarks(view: BenchView) -> list[Section]:
    crossovers = tuple(crossover.sentence for crossover in view.record.crossovers)
    return sections_of(
        ("What holds it back", bounds(view)),
        ("Crossovers", (Points(items=crossovers),) if crossovers else ()),
        ("Doubts", doubts(view)),
    )


def bounds(view: BenchView) -> tuple[Remarks, ...]:
    """By table, every case that was explained, with the sentence that does."""
    explained = []
    for part in view.parts:
        items = tuple(
            Remark(name=part.naming.label(row), text=row.bound.sentence) for row in part.rows if row.bound is not None
        )
        if items and part.kind != "target":
            explained.append(Remarks(title=part.title, items=items))
    return tuple(explained) if len(explained) > 1 else tuple(replace(remarks, title="") for remarks in explained)


def doubts(view: BenchView) -> tuple[Block, ...]:
    """Every symptom by its name and advice, what came to nothing, and what the measurement itself took."""
    record, symptoms = view.record, _symptoms(view)
    blocks: list[Block] = [Remarks(items=symptoms, tone="unsure")] if symptoms else []
    if not symptoms and any(result.images_per_s for result in record.cases):
        blocks.append(Text(text="No figure has a symptom."))
    if (harness := record.harness) is not None:
        cost = max(harness.share or 0.0, _LEAST_SHARE)
        share = "" if harness.share is None else f", at most {percent(cost)} of one"
        text = f"Measuring costs {seconds(harness.empty_region_s)} a region{share}."
        blocks.append(Text(text=text, tone="unsure" if cost > _HARNESS_LIMIT else "faint"))
    if loads := [round_.other_cpu for round_ in record.rounds if round_.other_cpu is not None]:
        used = percent(mean(loads), digits=1)
        blocks.append(Text(text=f"Other processes used {used} of the processors meanwhile.", tone="faint"))
    return (*blocks, *(Text(text=f"Note: {brief(note)}", tone="unsure") for note in record.notes))


def _symptoms(view: BenchView) -> tuple[Remark, ...]:
    """Each with its advice once, and what was seen in which cases."""
    seen: dict[tuple[str, str], dict[str, list[str]]] = {}
    for result in view.record.cases:
        for code, sight, advice in _doubts(result):
            seen.setdefault((code, advice), {}).setdefault(sight, []).append(view.label(result))
    return tuple(
        Remark(
            name=code,
            text=advice,
            details=tuple(f"{_listed(labels, view)}: {sight}" for sight, labels in sights.items()),
        )
        for (code, advice), sights in seen.items()
    )


def _listed(labels: list[str], view: BenchView) -> str:
    return "all cases" if len(labels) == len(view.measured) > 1 else ", ".join(labels)


def _doubts(result: CaseResult) -> Iterator[tuple[str, str, str]]:
    """Name, what was seen, what to do."""
    for symptom in result.symptoms:
        sight, _, advice = symptom.hint.partition(": ")
        yield symptom.code, sight, advice
    for check in () if result.verdict is None else result.verdict.doubts:
        yield check.name, check.detail, check.reason
    over = result.speedup
    if over is not None and over.verdict == "ambiguous":
        interval = f"between {significant(over.low)} and {significant(over.high)} times its baseline"
        yield "ambiguous", interval, _AMBIGUOUS


def legend_of(view: BenchView) -> str:
    """How to read the figures of a record."""
    cases, shares = view.record.cases, [result.share_of_limit for result in view.record.cases]
    bases = [view.baseline(result) for result in cases if result.speedup is not None]
    named = (f"{base.engine} {base.precision} on {base.device}" for base in bases if base is not None)
    over = " or ".join(dict.fromkeys(named))
    sentences = (
        (any(result.images_per_s for result in cases), "± is the 95 % interval of the median."),
        (over, f"Speed-up is over {over} doing the same work; 'same' is within {percent(THRESHOLD, digits=0)}."),
        (
            any(share is not None for share in shares),
            "'Of limit' is the share of the speed that the measured limits of the hardware allow.",
        ),
        (
            any((share or 0.0) > 1 for share in shares),
            "It can exceed 100 %: the limit counts every product, and fused skips pixels that are zero.",
        ),
        (
            any(result.break_even_epochs is not None for result in cases),
            "After the 'epochs to pay', compiling has paid for itself.",
        ),
        (
            any(result.time_to_accuracy is not None for result in cases),
            "Time to accuracy: from untouched files on, evaluation included; median over the seeds, its 95 % interval, "
            "and ∞ where a seed never got there.",
        ),
    )
    return " ".join(sentence for applies, sentence in sentences if applies)
