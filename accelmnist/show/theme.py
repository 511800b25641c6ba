"""One look for everything on the console: the styles by their meaning, and the tables that carry them.

Colours only ever repeat what the text says: PASS is also the word, a failed check also has its name. So the output
reads the same through a pipe, where rich leaves all colours out, and with NO_COLOR. Styles are the terminal's own
sixteen colours where a meaning is enough, because they follow the user's light or dark theme.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from accelmnist.show.document import Tone

GOOD = "bold green"
BAD = "bold red"
UNSURE = "bold yellow"
HEADING = "bold cyan"
LABEL = "dim"
STRONG = "bold"
STYLES: dict[Tone, str] = {"": "", "good": GOOD, "bad": BAD, "unsure": UNSURE, "faint": LABEL, "strong": STRONG}

GAP = 2  # characters between two columns


def section(title: str, body: RenderableType) -> Group:
    """A part of the output: its title in a rule, and a blank line after its body."""
    rule = Rule(Text(title, style=HEADING), align="left", style=LABEL)
    return Group(rule, body, Text())


def table(*, show_header: bool = True) -> Table:
    """A table with a light rule under its head, its columns two characters apart."""
    padding = (0, GAP - 1, 0, 0)  # the box adds one
    return Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=padding,
        header_style=STRONG,
        show_header=show_header,
    )


def pairs(rows: Sequence[tuple[str, str]]) -> Table:
    """Names and their values in two columns; a long value folds within its own column."""
    grid = Table.grid(padding=(0, GAP))
    grid.add_column(style=LABEL, no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, Text(value))
    return grid
