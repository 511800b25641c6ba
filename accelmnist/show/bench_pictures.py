"""The pictures of a benchmark as files, drawn from its record alone.

throughput.png         every measured case with its interval and its samples
scaling.png            images/s by batch size, by width and by threads, where two sizes or more were measured
roofline.png           the arithmetic done beneath what the hardware allows, where the limits were measured
time-to-accuracy.png   seconds to the target over seeds, where a target was asked for

"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from accelmnist.measure.record import BenchRecord
from accelmnist.show.figure_files import write_figures
from accelmnist.show.figures import roofline_figure, scaling_figure, target_figure, throughput_figure

BENCH_FIGURES: dict[str, Callable[[BenchRecord], Figure | None]] = {
    "throughput.png": throughput_figure,
    "scaling.png": scaling_figure,
    "roofline.png": roofline_figure,
    "time-to-accuracy.png": target_figure,
}


def write_bench_pictures(record: BenchRecord, folder: Path) -> tuple[str, ...]:
    """Write every picture that `record` has figures for into `folder`, and remove the others; returns the names.

    Raises OutputError where a file cannot be written or removed.
    """
    return tuple(write_figures(BENCH_FIGURES, record, folder))
