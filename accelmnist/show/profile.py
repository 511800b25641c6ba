"""A run's profile: what a step starts and waits for, and where its time goes; on the console and as profile.txt."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from accelmnist.core.files import write_atomically
from accelmnist.core.records import OperationFigures, ProfileSummary
from accelmnist.show.theme import LABEL, STRONG, section, table
from accelmnist.show.units import percent, plural, seconds

TABLE_NAME = "profile.txt"

_TOP_ROWS = 10
_NAME_WIDTH = 28  # what 80 columns leave
_FILE_WIDTH, _FILE_NAME_WIDTH = 120, 66
_ARGUMENTS = re.compile(r"<.*|\(.*")  # of a kernel's name in C++: they fill lines and tell little
_AUTOGRAD = "autograd::engine::evaluate_function: "


def format_profile(profile: ProfileSummary, *, saved: bool = True) -> RenderableType:
    """Notes, counts and the rows with the largest shares; `saved` says whether the files lie in the run's folder."""
    parts = [*_notes(profile), Text(), _table(profile, profile.rows[:_TOP_ROWS], _NAME_WIDTH)]
    if not saved:
        parts.append(Text("The trace and the whole table are not saved: they take a folder", style=LABEL))
    return section(f"Profile of {plural(profile.steps, 'step')}", Group(*parts))


def print_profile(profile: ProfileSummary, console: Console, *, saved: bool) -> None:
    """Print `format_profile`."""
    console.print(format_profile(profile, saved=saved))


def write_profile(profile: ProfileSummary, folder: Path) -> str:
    """Write notes and all rows into `folder`; returns the file's name, raises OutputError."""
    text = io.StringIO()
    console = Console(file=text, width=_FILE_WIDTH, color_system=None, highlight=False)
    console.print(Group(*_notes(profile), Text(), _table(profile, profile.rows, _FILE_NAME_WIDTH)))
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    write_atomically(folder / TABLE_NAME, "\n".join([*lines, ""]).encode())
    return TABLE_NAME


def _notes(profile: ProfileSummary) -> list[RenderableType]:
    """The first says what was found, the others what to make of it."""
    return [Text(note, style="" if number else STRONG) for number, note in enumerate(profile.notes)]


def _table(profile: ProfileSummary, shown: tuple[OperationFigures, ...], name_width: int) -> Table:
    has_device = any(row.device_s is not None for row in profile.rows)
    device = [("on the device", "right")] if has_device else []
    made = table(("where", "left"), ("calls a step", "right"), ("on the host", "right"), *device, ("share", "right"))
    made.caption = Text("times of a step, without those of the calls made in turn", style=LABEL)
    made.caption_justify = "left"
    rest = profile.rows[len(shown) :]
    for row in (*shown, _sum(rest, f"{len(rest)} more")) if rest else shown:
        made.add_row(*_cells(row, name_width, has_device=has_device))
    made.add_section()
    made.add_row(*_cells(_sum(profile.rows, "all"), name_width, has_device=has_device), style=STRONG)
    return made


def _cells(row: OperationFigures, name_width: int, *, has_device: bool) -> tuple[str, ...]:
    device = [seconds(row.device_s)] if has_device else []
    return (
        _short(row.name, name_width),
        f"{row.calls:.3g}",
        seconds(row.host_s),
        *device,
        percent(row.share, digits=1),
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
