"""Text that came from outside (a file's name, a record, a library), made fit for a terminal, Markdown, HTML and paper.

Control characters and escape sequences would steer the terminal, bidirectional marks turn a line around, lone
surrogates can't be encoded: each shows as a question mark. Source: Unicode Standard, general categories C and Z.
"""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import Any
from unicodedata import category

_MOST = 600  # characters of a sentence that repeats what somebody else wrote
_ROUNDING = 1e-6
_LARGEST = 1e100  # its square is still a float


def printable(text: str) -> str:
    """`text` in one line, with a question mark for each character that can't be printed."""
    if text.isprintable():
        return text
    spaced = text.replace("\r\n", " ").translate({ord(character): " " for character in "\n\r\t"})
    return "".join(one if one.isprintable() or category(one) == "Zs" else "?" for one in spaced)


def brief(text: str) -> str:
    """`printable`, without white space that says nothing, and without its middle if it is long."""
    line = " ".join(printable(text).split())
    return line if len(line) <= _MOST else f"{line[: _MOST // 2]} … {line[-_MOST // 2 :]}"


def checked_json(value: Any) -> Any:
    """Decoded JSON with all its texts `printable`; raises ValueError for a number that no figure can hold."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [checked_json(item) for item in value]
    if isinstance(value, dict):
        return {printable(str(key)): checked_json(item) for key, item in value.items()}
    if isinstance(value, int | float) and _LARGEST < abs(value) < math.inf:
        raise ValueError(f"a number is beyond {_LARGEST:g}")
    return value


def is_plain_name(name: str) -> bool:
    """Whether `name` is that of a file or a folder, and no path that leads elsewhere."""
    return PurePath(name).name == name and name not in ("", "..")


def require_of_record(holds: bool, fault: str) -> None:
    """Raise ValueError, which a record's reader reports as the record's `fault`, unless what it relies on `holds`."""
    if not holds:
        raise ValueError(fault)


def require_shares(*values: float | None) -> None:
    """Raise ValueError if a fraction that is known isn't one of 0 to 1."""
    for value in values:
        require_of_record(value is None or -_ROUNDING <= value <= 1 + _ROUNDING, f"{value} is no share from 0 to 1")
