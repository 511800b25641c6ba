"""The files of a result, as the last section of its page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from accelmnist.show.document import Section, Text
from accelmnist.show.units import plural


def files_section(folder: Path, names: Sequence[str], *others: str) -> Section:
    """The folder, and the files at its top by name; those in folders below by their number; `others` as they are."""
    top = [name for name in names if "/" not in name]
    below = Counter(name.partition("/")[0] for name in names if "/" in name)
    listed = [*top, *(f"{name}/ ({plural(number, 'file')})" for name, number in below.items()), *others]
    return Section(
        title="Files", blocks=(Text(text=str(folder), tone="strong"), Text(text=", ".join(listed), tone="faint"))
    )
