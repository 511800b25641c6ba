"""A run's profile: what a step starts and waits for, and where its time goes; on the page and as profile.txt."""

from __future__ import annotations

import re
from dataclasses import replace

from accelmnist.core.records import OperationFigures, ProfileSummary
from accelmnist.show.document import Block, Cell, Column, Document, Section, Table, Text
from accelmnist.show.units import percent, plural, seconds

_TOP_ROWS = 10
_NAME_WIDTH, _WIDE_NAME_WIDTH = 28, 66  # what 80 columns leave, and 120
_ARGUMENTS = re.compile(r"<.*|\(.*")  # of a kernel's name in C++: they fill lines and tell little
_AUTOGRAD = "autograd::engine::evaluate_function: "


def profile_section(profile: ProfileSummary, *, saved: bool = True) -> Section:
    """Notes, counts and the rows with the largest shares; `saved` says whether the files lie in the run's folder."""
    blocks = [*_notes(profile), _table(profile, profile.rows[:_TOP_ROWS], _NAME_WIDTH)]
    if not saved:
        blocks.append(Text(text="The trace and the whole table are not saved: they take a folder", tone="faint"))
    return Section(title=f"Profile of {plural(profile.steps, 'step')}", blocks=tuple(blocks))


def whole_profile(profile: ProfileSummary) -> Document:
    """Notes and all rows, for a file of its own with 120 columns."""
    return Document((Section(title="", blocks=(*_notes(profile), _table(profile, profile.rows, _WIDE_NAME_WIDTH))),))


def _notes(profile: ProfileSummary) -> list[Block]:
    """The first says what was found, the others what to make of it."""
    return [Text(text=note, tone="" if number else "strong") for number, note in enumerate(profile.notes)]


def _table(profile: ProfileSummary, shown: tuple[OperationFigures, ...], name_width: int) -> Table:
    has_device = any(row.device_s is not None for row in profile.rows)
    device = [Column("on the device", True)] if has_device else []
    rest = profile.rows[len(shown) :]
    rows = (*shown, _sum(rest, f"{len(rest)} more")) if rest else shown
    total = _cells(_sum(profile.rows, "all"), name_width, has_device=has_device)
    return Table(
        ident="profile",
        caption="Where the time of a step goes.",
        columns=(
            Column("where"),
            Column("calls a step", True),
            Column("on the host", True),
            *device,
            Column("share", True),
        ),
        rows=tuple(_cells(row, name_width, has_device=has_device) for row in rows),
        totals=(tuple(replace(cell, tone="strong") for cell in total),),
        note="times of a step, without those of the calls made in turn",
    )


def _cells(row: OperationFigures, name_width: int, *, has_device: bool) -> tuple[Cell, ...]:
    device = [Cell(seconds(row.device_s), row.device_s)] if has_device else []
    return (
        Cell(_short(row.name, name_width)),
        Cell(f"{row.calls:.3g}", row.calls),
        Cell(seconds(row.host_s), row.host_s),
        *device,
        Cell(percent(row.share, digits=1), row.share),
    )


def _sum(rows: tuple[OperationFigures, ...], name: str) -> OperationFigures:
    device = [row.device_s for row in rows if row.device_s is not None]
    return OperationFigures(
        name=name,
        calls=sum(row.calls for row in rows),
        host_s=sum(row.host_s for row in rows),
        device_s=sum(device) if device else None,
        share=sum(row.share for row in rows),
    )


def _short(name: str, width: int) -> str:
    """A name that fits: what autograd runs without its long prefix, a kernel without its arguments; cut if need be."""
    name = name.replace(_AUTOGRAD, "autograd: ")
    plain = _ARGUMENTS.sub("", name).removeprefix("void ").strip() or name
    return plain if len(plain) <= width else f"{plain[: width - 1]}…"
