"""Figures of a record as files: those that it has data for are written, the others' files removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from matplotlib.figure import Figure

from accelmnist.core.files import make_folder, remove_file, write_atomically
from accelmnist.show.figures import png_bytes

Record = TypeVar("Record")


def write_figures(figures: Mapping[str, Callable[[Record], Figure | None]], record: Record, folder: Path) -> list[str]:
    """Draw every figure by its file name into `folder`, each in one step; returns the names of those that were.

    What an earlier record left there, and this one has no figures for, goes: the folder shows one record. Raises
    OutputError where a file cannot be written or removed.
    """
    make_folder(folder)
    written = []
    for name, draw in figures.items():
        figure = draw(record)
        if figure is None:
            remove_file(folder / name)
        else:
            write_atomically(folder / name, png_bytes(figure))
            written.append(name)
    return written
