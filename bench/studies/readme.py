"""The parts of README.md that programs write, between two marks, so that no figure there is typed by hand."""

from __future__ import annotations

from pathlib import Path

from accelmnist.core.files import write_atomically

ROOT = Path(__file__).parents[2]
_END = "<!-- end -->"


def write_part(command: str, text: str) -> None:
    """Put `text` between the mark that names `command` and the end mark that follows it."""
    begin = f"<!-- written by `{command}` -->"
    readme = ROOT / "README.md"
    before, found, rest = readme.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(_END)
    assert found, f"README.md lacks {begin}"
    assert closed, f"README.md lacks {_END} after {begin}"
    write_atomically(readme, f"{before}{begin}\n{text}\n{_END}{after}".encode())
