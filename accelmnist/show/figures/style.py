"""The style of every figure: sizes, colours, marks and settings, and how a figure becomes a PNG.

The two line colours are a dark blue and a light orange: apart for every common form of colour blindness, and apart in
greyscale by their lightness; lines differ in their dashes and markers as well. They begin a palette of six, which was
searched for by computer: any two differ by 7 or more in CIE lightness, and by 28 or more in CIE 1976 Lab as seen with
protanopia, deuteranopia or tritanopia (Machado, Oliveira and Fernandes, "A physiologically-based model for simulation
of color vision deficiency", IEEE TVCG 15, 2009; a difference of 2.3 is just noticed). Only `Figure` and the Agg canvas
are used: pyplot keeps global state and looks for a window system.
"""

from __future__ import annotations

import io
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

DPI = 150
MARGIN = 40  # pixels, of every sheet

INK = "#1c1c1c"  # neutral, so that a figure without colours is a greyscale file
SOFT_INK = "#606060"
RULE = "#cccccc"
GREY = "#8a8a8a"  # marks of what does not count
BLUE = "#0b4f8a"
ORANGE = "#e08a1e"

TITLE_SIZE = 12.5  # points
TEXT_SIZE = 9.0
SMALL_SIZE = 8.0


@dataclass(frozen=True)
class Mark:
    """Colour and marker of one series, either of which is enough to know it by."""

    colour: str
    marker: str
    face: str  # what the marker is filled with

    @property
    def style(self) -> dict[str, Any]:
        """The arguments for `plot`."""
        return {"color": self.colour, "marker": self.marker, "markerfacecolor": self.face}


PALETTE: tuple[Mark, ...] = tuple(
    Mark(colour, marker, colour)
    for colour, marker in (
        (BLUE, "o"),
        (ORANGE, "s"),
        ("#40180f", "^"),  # dark brown
        ("#55c3d6", "D"),  # light turquoise
        ("#8c2fd4", "v"),  # violet
        ("#dc4463", "P"),  # rose
    )
)

WRONG = Mark(GREY, "X", GREY)  # of a case whose result is wrong


def series_mark(index: int) -> Mark:
    """The mark of series `index`, from 0; from the seventh on the same again with hollow markers, in turn."""
    mark = PALETTE[index % len(PALETTE)]
    is_hollow = index // len(PALETTE) % 2 == 1
    return Mark(mark.colour, mark.marker, "white") if is_hollow else mark


_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # travels with matplotlib: the same figure on every machine
    "font.size": TEXT_SIZE,
    "text.color": INK,
    "text.parse_math": False,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT_INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.titley": 1.0,  # a fixed place; looking for a free one draws every tick label twice
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": SOFT_INK,
    "ytick.color": SOFT_INK,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.0,
}


@lru_cache(maxsize=1)
def _settings() -> dict[str, Any]:
    """matplotlib's own settings with ours, so that no file or style of the user's shows in a figure."""
    defaults = dict.items(cast(Any, matplotlib.rcParamsDefault))  # reading "backend" would choose one
    return {name: value for name, value in defaults if not name.startswith("backend")} | _SETTINGS


def figure_style() -> AbstractContextManager[None]:
    """The settings of all figures, in force inside a `with` block and undone after it."""
    return matplotlib.rc_context(cast(Any, _settings()))


def size_px(figure: Figure) -> tuple[int, int]:
    """Width and height in pixels."""
    width, height = (round(DPI * float(inches)) for inches in figure.get_size_inches())
    return width, height


def png_bytes(figure: Figure, *, dpi: int = DPI) -> bytes:
    """The figure as a PNG of its own size in pixels; greyscale if it holds no colour, a third of the size.

    `dpi` is what the file says of its size on paper: a page with twice as many pixels is meant for 300.
    """
    canvas = FigureCanvasAgg(figure)
    with figure_style():  # some settings are read only while drawing
        canvas.draw()  # type: ignore[no-untyped-call]
    rgba = Image.frombuffer("RGBA", size_px(figure), canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    red, green, blue = (rgba.getchannel(channel) for channel in "RGB")
    is_grey = red.tobytes() == green.tobytes() == blue.tobytes()
    file = io.BytesIO()
    # Level 6 takes 1.6 times as long for a file 6 % smaller.
    (red if is_grey else rgba.convert("RGB")).save(file, "PNG", dpi=(dpi, dpi), compress_level=3)
    return file.getvalue()
