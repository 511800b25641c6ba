"""Figures of a run, of a benchmark and of a sweep: pure functions from a record to a matplotlib `Figure`.

Those of a run take arrays of weights or pixels as well. Those of a benchmark and a sweep are None if the record has
nothing for them. `png_bytes` makes a figure a file.
"""

from accelmnist.show.figures.class_scores import classes_figure, confusion_figure
from accelmnist.show.figures.curves import curve_panels, curves_figure
from accelmnist.show.figures.images import mistakes_figure, weights_figure
from accelmnist.show.figures.roofline import roofline_figure
from accelmnist.show.figures.scaling import scaling_figure
from accelmnist.show.figures.style import png_bytes
from accelmnist.show.figures.sweep_groups import groups_figure
from accelmnist.show.figures.sweep_panels import fronts_figure, sizes_figure
from accelmnist.show.figures.target import target_figure
from accelmnist.show.figures.throughput import throughput_figure

__all__ = [
    "classes_figure",
    "confusion_figure",
    "curve_panels",
    "curves_figure",
    "fronts_figure",
    "groups_figure",
    "mistakes_figure",
    "png_bytes",
    "roofline_figure",
    "scaling_figure",
    "sizes_figure",
    "target_figure",
    "throughput_figure",
    "weights_figure",
]
