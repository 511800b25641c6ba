"""Figures of a run: pure functions from a record and arrays to a matplotlib `Figure`; `png_bytes` makes it a file."""

from accelmnist.show.figures.confusion import confusion_figure
from accelmnist.show.figures.curves import curves_figure
from accelmnist.show.figures.mistakes import mistakes_figure
from accelmnist.show.figures.style import png_bytes
from accelmnist.show.figures.weights import weights_figure

__all__ = ["confusion_figure", "curves_figure", "mistakes_figure", "png_bytes", "weights_figure"]
