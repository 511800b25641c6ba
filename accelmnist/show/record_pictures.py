"""The pictures of a benchmark and of a sweep as files, drawn from the record alone.

throughput.png         every measured case with its interval and its samples
scaling.png            images/s by batch size, by width and by threads, if two sizes or more were measured
roofline.png           the arithmetic done beneath what the hardware allows, if the limits were measured
time-to-accuracy.png   seconds to the target over seeds, if a target was asked for

accuracy-by-size.png   a panel for each output and depth, a line for each activation
accuracy-by-group.png  a row for each activation and output, every network a dot
pareto.png             accuracy against parameters and against time, with the fronts
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from matplotlib.figure import Figure

from accelmnist.core.files import make_folder, remove_file, write_atomically
from accelmnist.measure.record import BenchRecord
from accelmnist.show.figures.case_rows import target_figure, throughput_figure
from accelmnist.show.figures.roofline import roofline_figure
from accelmnist.show.figures.scaling import scaling_figure
from accelmnist.show.figures.sheet import png_bytes
from accelmnist.show.figures.sweep import fronts_figure, groups_figure, sizes_figure
from accelmnist.sweep.record import SweepRecord

Record = TypeVar("Record")

BENCH_FIGURES: dict[str, Callable[[BenchRecord], Figure | None]] = {
    "throughput.png": throughput_figure,
    "scaling.png": scaling_figure,
    "roofline.png": roofline_figure,
    "time-to-accuracy.png": target_figure,
}
SWEEP_FIGURES: dict[str, Callable[[SweepRecord], Figure | None]] = {
    "accuracy-by-size.png": sizes_figure,
    "accuracy-by-group.png": groups_figure,
    "pareto.png": fronts_figure,
}


def write_bench_pictures(record: BenchRecord, folder: Path) -> tuple[str, ...]:
    """Write every picture that `record` has figures for into `folder`; returns their names.

    What an earlier record left there, and this one has no figures for, is removed: the folder shows one record. Raises
    OutputError if a file cannot be written or removed.
    """
    return _write_pictures(BENCH_FIGURES, record, folder)


def write_sweep_pictures(record: SweepRecord, folder: Path) -> tuple[str, ...]:
    """The same for a sweep."""
    return _write_pictures(SWEEP_FIGURES, record, folder)


def _write_pictures(
    figures: Mapping[str, Callable[[Record], Figure | None]], record: Record, folder: Path
) -> tuple[str, ...]:
    """Each in one step; one figure at a time is held in memory."""
    make_folder(folder)
    written = []
    for name, draw in figures.items():
        figure = draw(record)
        if figure is None:
            remove_file(folder / name)
        else:
            write_atomically(folder / name, png_bytes(figure))
            written.append(name)
    return tuple(written)
