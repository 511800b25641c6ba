"""The sides of a benchmark: who is faster, and by how much; what differs between them; what measuring them costs."""

from __future__ import annotations

from collections.abc import Iterator

from accelmnist.core.text import brief
from accelmnist.measure.beside.verdict import pairs_of, regressions
from accelmnist.measure.record import BenchRecord, CaseResult, Presence, SideFacts
from accelmnist.measure.statistics.comparison import Comparison
from accelmnist.show.bench.cases import arm_of
from accelmnist.show.bench.view import BenchView
from accelmnist.show.document import Cell, Column, Points, Section, Table, Text, Tone, sections_of
from accelmnist.show.units import percent, significant, spread

_TONES: dict[str, Tone] = {"faster": "good", "slower": "bad", "same": "", "ambiguous": "unsure"}
_LEAST = 0.0005  # what a share of one digit behind the point can say


def beside_sections(view: BenchView) -> list[Section]:
    """Everything that only a benchmark with sides has, for a place below its cases."""
    record = view.record
    if not record.config.beside:
        return []
    return sections_of(("Beside", (*_pairs_table(view),)), ("Sides", _sides(record)))


def beside_lines(view: BenchView) -> list[tuple[str, Tone]]:
    """What decides about the benchmark, a line each: every side that failed, and whatever this program lost."""
    lines = [f"not measured: {one.name}: {brief(one.failure)}" for one in view.record.sides if one.failure]
    lines += [
        f"{view.brief(ours)} is {_slower(over)} slower than {theirs.side}"
        for ours, theirs, over in regressions(view.record)
    ]
    return [(line, "bad") for line in lines]


def _slower(over: Comparison) -> str:
    return (
        f"{percent(1 - over.ratio, digits=1)} ({percent(1 - over.high, digits=1)} to {percent(1 - over.low, digits=1)})"
    )


def _pairs_table(view: BenchView) -> Iterator[Table]:
    rows = [_row(view, *pair) for pair in pairs_of(view.record)]
    if rows:
        edge = percent(view.record.config.beside_threshold)
        yield Table(
            ident="beside",
            caption="This program over the others, in the same rounds.",
            columns=(
                Column("case", role="name"),
                Column("over", role="name"),
                Column("ratio", True),
                Column("95 % interval", True),
                Column("p", True),
                Column("so it is"),
            ),
            rows=tuple(rows),
            has_names=False,
            note=f"Above 1 this program is the faster. Faster or slower is by {edge} or more, and significant.",
            fit="continue",
        )


def _row(view: BenchView, ours: CaseResult, theirs: CaseResult, over: Comparison) -> tuple[Cell, ...]:
    return (
        Cell(view.brief(ours)),
        Cell(theirs.side or ""),
        Cell(f"{over.ratio:.3f}" if 0.1 < over.ratio < 10 else significant(over.ratio), tone="strong"),
        Cell(f"{over.low:.3f} to {over.high:.3f}"),
        Cell(f"{over.p_value:.2g}"),
        Cell(over.verdict, tone=_TONES[over.verdict]),
    )


def _sides(record: BenchRecord) -> tuple[Table | Points | Text, ...]:
    if not record.sides:
        return ()
    ours = next((one for one in record.sides if not one.command), None)
    rows = tuple((Cell(one.name), Cell(brief(one.command)), Cell(_facts(one, ours))) for one in record.sides)
    columns = (Column("side", role="name"), Column("command"), Column("what differs"))
    table = Table(ident="sides", caption="The sides.", columns=columns, rows=rows, has_names=False, fit="continue")
    return (table, Points(items=tuple(_costs(record)), tone="faint"))


def _facts(side: SideFacts, ours: SideFacts | None) -> str:
    """Versions and settings by which a side differs from this program's own process; of that one, its versions."""
    if side.failure:
        return "not measured"
    if ours is None or side is ours:
        return ", ".join(f"{name} {version}" for name, version in side.versions.items())
    parts = [f"{name} {version}" for name, version in side.versions.items() if ours.versions.get(name) != version]
    parts += [f"{name}={value}" for name, value in side.settings.items()]
    if side.threads is not None and side.threads != ours.threads:
        parts.append(f"threads {side.threads}")
    return brief(", ".join(parts)) or "nothing"


def _costs(record: BenchRecord) -> Iterator[str]:
    """What passing requests costs, and what the others' presence does."""
    shares = [one.protocol_share for one in record.sides if one.protocol_share is not None]
    if shares:
        most = "less than 0.1 %" if max(shares) < _LEAST else percent(max(shares), digits=1)
        yield f"What passes between the processes takes {most} of a region's time, and is in no figure."
    for one in record.presence:
        yield _presence_text(one)


def _presence_text(one: Presence) -> str:
    over = one.comparison
    ratio = f"{over.ratio:.3f} {spread(arm_of(over))}"
    meaning = {
        "same": "their presence costs nothing",
        "ambiguous": "whether their presence costs anything can't be told",
        "slower": "their presence costs something, and both sides pay it",
        "faster": "the machine was slower before",
    }[over.verdict]
    return f"{one.case}: {ratio} times as fast beside the others' processes as alone, so {meaning}."
