"""The sides of a benchmark: who is faster, and by how much; what differs between them; what measuring them costs."""

from __future__ import annotations

from collections.abc import Iterator

from accelmnist.core.text import brief
from accelmnist.measure.beside.verdict import pairs_of, regressions
from accelmnist.measure.record import CaseResult, SideFacts
from accelmnist.measure.statistics.comparison import Comparison
from accelmnist.show.bench.cases import arm_of
from accelmnist.show.bench.view import BenchView
from accelmnist.show.document import (
    Block,
    Cell,
    Column,
    Points,
    Remark,
    Remarks,
    Section,
    Table,
    Tone,
    sections_of,
)
from accelmnist.show.units import p_text, percent, plural, significant, spread

_TONES: dict[str, Tone] = {"faster": "good", "slower": "bad", "same": "", "ambiguous": "unsure"}
_MEANINGS = {
    "same": "So their presence costs nothing.",
    "ambiguous": "Whether their presence costs anything can't be told.",
    "slower": "So their presence costs something, and all sides pay it.",
    "faster": "So the machine was slower before they were there.",
}
_LEAST = 0.0005  # what a share of one digit behind the point can say


def beside_sections(view: BenchView) -> list[Section]:
    """Everything that only a benchmark with sides has, for a place below its cases."""
    record = view.record
    if not record.config.beside:
        return []
    return sections_of(("Beside", (*_pairs_table(view),)), ("Sides", _sides(view)))


def beside_lines(view: BenchView) -> list[tuple[str, Tone]]:
    """What decides about the benchmark, a line each: each side that failed or broke off, what this program lost."""
    lines = [f"not measured: {one.name}: {brief(one.failure)}" for one in view.record.sides if one.failure]
    told = {one.name for one in view.record.sides if one.failure}
    lines += [
        f"{'broke off' if result.images_per_s else 'not measured'}: {view.label(result)}: {brief(result.skipped or '')}"
        for result in view.record.cases
        if result.side is not None and result.side not in told and result.status == "failed"
    ]
    lines += [
        f"{view.label(ours)} is {_slower(over)} slower than {theirs.side}"
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
        edge = f"{100 * view.record.config.beside_threshold:g} %"
        yield Table(
            ident="beside",
            caption="This program over the others, in the same rounds.",
            columns=(
                Column("case", role="name"),
                Column("over", role="name"),
                Column("ratio", True),
                Column("95 % interval", True),
                Column("p", True),
                Column("verdict"),
            ),
            rows=tuple(rows),
            has_names=False,
            note="Ratio: the speed of this program over the other's. "
            f"Faster or slower is significant, and by {edge} or more.",
            fit="continue",
        )


def _row(view: BenchView, ours: CaseResult, theirs: CaseResult, over: Comparison) -> tuple[Cell, ...]:
    return (
        Cell(view.label(ours)),
        Cell(theirs.side or ""),
        Cell(_ratio(over.ratio), tone="strong"),
        Cell(f"{_ratio(over.low)} to {_ratio(over.high)}"),
        Cell(p_text(over.p_value)),
        Cell(over.verdict, tone=_TONES[over.verdict]),
    )


def _ratio(value: float) -> str:
    return f"{value:.3f}" if 0.1 < value < 10 else significant(value)


def _sides(view: BenchView) -> tuple[Block, ...]:
    record = view.record
    if not record.sides:
        return ()
    ours = next((one for one in record.sides if not one.command), None)
    items = tuple(
        Remark(name=one.name, text=_facts(one, ours), details=tuple(filter(None, [brief(one.command)])))
        for one in record.sides
    )
    costs = tuple(_costs(view))
    return (Remarks(items=items), *([Points(items=costs, tone="faint")] if costs else []))


def _facts(side: SideFacts, ours: SideFacts | None) -> str:
    """What a side says of itself; of another accelmnist, what differs from this program's own process."""
    if side.failure:
        return f"not measured: {brief(side.failure)}"
    is_other = ours is not None and side is not ours and "accelmnist" in side.versions
    known = ours.versions if ours is not None and is_other else {}
    parts = [f"{name} {version}" for name, version in side.versions.items() if known.get(name) != version]
    if side.threads is not None and not (is_other and ours is not None and side.threads == ours.threads):
        parts.append(plural(side.threads, "thread"))
    return brief(", ".join(parts)) or ("the same versions" if is_other else "it says nothing of itself")


def _costs(view: BenchView) -> Iterator[str]:
    """What passing requests costs, and what the others' presence does."""
    shares = [one.protocol_share for one in view.record.sides if one.protocol_share is not None]
    if shares:
        most = "less than 0.1 %" if max(shares) < _LEAST else percent(max(shares), digits=1)
        yield f"Requests between the processes take {most} of a region's time, and are in no figure."
    names = {result.label: view.label(result) for result in view.record.cases}
    for verdict, meaning in _MEANINGS.items():
        told = [one for one in view.record.presence if one.comparison.verdict == verdict]
        speeds = [f"{one.comparison.ratio:.3f} {spread(arm_of(one.comparison))}" for one in told]
        if told:
            each = ", ".join(
                f"{names.get(one.case, one.case)} {speed}" for one, speed in zip(told, speeds, strict=True)
            )
            yield f"Speed beside the others' processes over that alone: {each}. {meaning}"
