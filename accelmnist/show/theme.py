"""One look for everything on the console: the styles by their meaning, and the rule above a part.

Colours only ever repeat what the text says: PASS is also the word, a failed check also has its name. So the output
reads the same through a pipe, where rich leaves all colours out, and with NO_COLOR. Styles are the terminal's own
sixteen colours where a meaning is enough, because they follow the user's light or dark theme.
"""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.rule import Rule
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
