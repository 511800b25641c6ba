"""The pictures of a benchmark as files, drawn from its record alone.

    throughput.png         every measured case with its interval and its samples
    scaling.png            images/s by batch size, by width and by threads, where two sizes or more were measured
    roofline.png           the arithmetic done beneath what the hardware allows, where the limits were measured
    time-to-accuracy.png   seconds to the target over seeds, where a target was asked for

Each replaces its predecessor in one step. One that an earlier benchmark left in the folder, and that this one has no
figures for, is removed, so that the folder shows one benchmark.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from accelmnist.measure.record import BenchRecord
from accelmnist.show.figures import png_bytes, roofline_figure, scaling_figure, target_figure, throughput_figure
from accelmnist.storage import make_folder, remove_file, write_atomically

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
    make_folder(folder)
    written = []
    for name, draw in BENCH_FIGURES.items():
        figure = draw(record)
        if figure is None:
            remove_file(folder / name)
        else:
            write_atomically(folder / name, png_bytes(figure))
            written.append(name)
    return tuple(written)
