"""One look for everything on the console: the styles by their meaning, and the tables that carry them.

Colours only ever repeat what the text says: PASS is also the word, a failed check also has its name. So the output
reads the same through a pipe, where rich leaves all colours out, and with NO_COLOR. Styles are the terminal's own
sixteen colours where a meaning is enough, because they follow the user's light or dark theme.
"""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

GOOD = "bold green"
BAD = "bold red"
UNSURE = "bold yellow"
HEADING = "bold cyan"
LABEL = "dim"
STRONG = "bold"


def section(title: str, body: RenderableType) -> Group:
    """A part of the output: its title in a rule, and a blank line after its body."""
    rule = Rule(Text(title, style=HEADING), align="left", style=LABEL)
    return Group(rule, body, Text())


def table(*columns: tuple[str, str]) -> Table:
    """A table with a light rule under its head; a column is its heading and `left` or `right`."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style=STRONG)
    for heading, justify in columns:
        made.add_column(heading, justify="right" if justify == "right" else "left", no_wrap=justify == "right")
    return made


def pairs(rows: list[tuple[str, str]]) -> Table:
    """Names and their values in two columns; a long value folds within its own column."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=LABEL, no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, Text(value))
    return grid


def mark(passed: bool) -> Text:
    """PASS or FAIL."""
    return Text("PASS", style=GOOD) if passed else Text("FAIL", style=BAD)
