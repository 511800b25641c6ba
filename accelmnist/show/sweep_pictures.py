"""The pictures of a sweep as files, drawn from its record alone.

accuracy-by-size.png    a panel for each output and depth, a line for each activation
accuracy-by-group.png   a row for each activation and output, every network a dot
pareto.png              accuracy against parameters and against time, with the fronts

"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from accelmnist.show.figure_files import write_figures
from accelmnist.show.figures import fronts_figure, groups_figure, sizes_figure
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
    return tuple(write_figures(SWEEP_FIGURES, record, folder))
