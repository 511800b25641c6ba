"""The pictures of a sweep as files, drawn from its record alone.

    accuracy-by-size.png    a panel for each output and depth, a line for each activation
    accuracy-by-group.png   a row for each activation and output, every network a dot
    pareto.png              accuracy against parameters and against time, with the fronts

Each replaces its predecessor in one step. One that an earlier sweep left in the folder, and that this one has no
figures for, is removed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from accelmnist.show.figures import fronts_figure, groups_figure, png_bytes, sizes_figure
from accelmnist.storage import make_folder, remove_file, write_atomically
from accelmnist.sweep.record import SweepRecord

SWEEP_FIGURES: dict[str, Callable[[SweepRecord], Figure | None]] = {
    "accuracy-by-size.png": sizes_figure,
    "accuracy-by-group.png": groups_figure,
    "pareto.png": fronts_figure,
}


def write_sweep_pictures(record: SweepRecord, folder: Path) -> tuple[str, ...]:
    """Write every picture that `record` has figures for into `folder`, and remove the others; returns the names.

    Raises OutputError where a file cannot be written or removed.
    """
    make_folder(folder)
    written = []
    for name, draw in SWEEP_FIGURES.items():
        figure = draw(record)
        if figure is None:
            remove_file(folder / name)
        else:
            write_atomically(folder / name, png_bytes(figure))
            written.append(name)
    return tuple(written)
