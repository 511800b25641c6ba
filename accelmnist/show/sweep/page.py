"""What came of a sweep, as one page: the winner, the ranks, what the differences are worth, what failed."""

from __future__ import annotations

from pathlib import Path

from accelmnist.show.document import Block, Document, Headline, Points, Section, Table, Text, Tone
from accelmnist.show.files import files_section
from accelmnist.show.sweep.candidates import FRONT, candidates_table, name_of
from accelmnist.show.sweep.line import extent, outcome_word, winner_text
from accelmnist.show.units import plural
from accelmnist.sweep.record import RECORD_NAME, CandidateResult, SweepRecord, label_of

_MOST_ROWS = 25


def sweep_page(record: SweepRecord, folder: Path | None = None) -> Document:
    """The whole page; a part that the record has nothing for is left out. `folder` is where the files lie."""
    failed = tuple(
        Text(text=f"{name_of(result)}: {result.error}", tone="bad") for result in record.candidates if result.error
    )
    titled: tuple[tuple[str, tuple[Block, ...]], ...] = (
        ("Result", (_headline(record),)),
        ("Validation accuracy", (_ranks(record),) if record.ranked else ()),
        ("What the differences are worth", (Points(items=record.findings),) if record.findings else ()),
        ("Not compared", failed),
    )
    sections = [Section(title=title, blocks=blocks) for title, blocks in titled if blocks]
    if folder is not None:
        winner = [f"{record.winner.folder}/ (the winner's run)"] if record.winner and record.winner.folder else []
        sections.append(files_section(folder, record.files or (RECORD_NAME,), *winner))
    return Document(tuple(sections))


def _headline(record: SweepRecord) -> Headline:
    word = outcome_word(record)
    tones: dict[str, Tone] = {"PASS": "good", "FAIL": "bad", "FAILED": "bad"}
    lines: list[tuple[str, Tone]] = []
    if record.message:
        lines.append((record.message, "bad" if record.status == "failed" else "unsure"))
    if record.winner is not None and record.ranked:
        lines.append((f"{label_of(record.ranked[0], record)}: {winner_text(record)}", "strong"))
    return Headline(word=word, tone=tones.get(word, "unsure"), text=extent(record), lines=tuple(lines))


def _ranks(record: SweepRecord) -> Table:
    """The most accurate candidates, and those on a front whatever their rank."""
    shown = [result for result in record.ranked if (result.rank or 0) <= _MOST_ROWS or result.on_front]
    left_out = len(record.ranked) - len(shown)
    note = f"{plural(left_out, 'more candidate')} in {RECORD_NAME}" if left_out else ""
    return candidates_table(record, shown, _tone, last=FRONT, legend=_legend(record), note=note)


def _tone(result: CandidateResult) -> Tone:
    if result.rank == 1:
        return "strong"
    return "faint" if result.standing is not None and result.standing.verdict == "worse" else ""


def _legend(record: SweepRecord) -> tuple[tuple[str, str], ...]:
    """How to read the figures, by the headings that they stand under."""
    noise = []
    if record.noise is not None:
        together = plural(record.noise.comparisons, "comparison")
        behind = "Behind: points behind the best one, with ≈ if that may be the luck of the seeds"
        noise = [
            ("accuracy", "±: half of the 95 % interval of the mean over the seeds."),
            ("behind", f"{behind} (at 5 % for all {together} together)."),
        ]
    front = "Front: no other candidate is both more accurate and smaller (size), or quicker to train (time)."
    return (*noise, ("time", "Time: of one training, the median."), ("front", front))
