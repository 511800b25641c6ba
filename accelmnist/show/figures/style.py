"""One look for every figure, and a sheet of paper measured in pixels to draw it on.

The layout engines of matplotlib measure every text before they place it, which doubles the time of a figure; here each
figure knows its own size and places its parts by pixel, from the top left, at 150 dots an inch: sharp on a screen, and
185 dots an inch or better across a printed A4 column. A raster is drawn pixel for pixel, never resampled.

The two line colours are a dark blue and a light orange: apart for every common form of colour blindness, and apart in
greyscale by their lightness; lines differ in their dashes and markers as well. They begin a palette of six, which was
searched for by computer: any two differ by 7 or more in CIE lightness, and by 28 or more in CIE 1976 Lab as seen with
protanopia, deuteranopia or tritanopia (Machado, Oliveira and Fernandes, "A physiologically-based model for simulation
of color vision deficiency", IEEE TVCG 15, 2009; a difference of 2.3 is just noticed). Only `Figure` and the Agg canvas
are used: pyplot keeps global state and looks for a window system.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, cast

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray
from PIL import Image

DPI = 150
MARGIN = 40  # pixels, of every sheet
HEADING = 84  # pixels that a title and a subtitle take
_ROUNDING = 1e-6  # pixels

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
    """How one series looks: by colour and by marker, either of which is enough to know it by."""

    colour: str
    marker: str
    face: str  # what the marker is filled with

    @property
    def style(self) -> dict[str, Any]:
        """As `plot` takes it."""
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


def series_mark(place: int) -> Mark:
    """The look of the series at `place`, from 0; from the seventh on the same again with hollow markers, in turn."""
    mark = PALETTE[place % len(PALETTE)]
    is_hollow = place // len(PALETTE) % 2 == 1
    return Mark(mark.colour, mark.marker, "white") if is_hollow else mark


_LOOK: dict[str, Any] = {
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


def figure_style() -> AbstractContextManager[None]:
    """The settings of all figures, in force inside a `with` block and undone after it."""
    return matplotlib.rc_context(cast(Any, _LOOK))


def new_figure(width: int, height: int) -> Figure:
    """An empty white figure of `width` by `height` pixels."""
    # The canvas rounds down, and some numbers of pixels over 150 and times 150 are a little less than they were.
    inches = ((width + _ROUNDING) / DPI, (height + _ROUNDING) / DPI)
    figure = Figure(figsize=inches, dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def size_px(figure: Figure) -> tuple[int, int]:
    """Width and height in pixels."""
    width, height = (round(DPI * float(inches)) for inches in figure.get_size_inches())
    return width, height


def add_axes(figure: Figure, *, left: int, top: int, width: int, height: int) -> Axes:
    """Ordinary axes whose frame has this place, in pixels from the top left of the figure."""
    whole_width, whole_height = size_px(figure)
    bottom = whole_height - top - height
    return figure.add_axes((left / whole_width, bottom / whole_height, width / whole_width, height / whole_height))


class Sheet:
    """A figure without axes, whose coordinates are pixels from the top left."""

    def __init__(self, width: int, height: int) -> None:
        self.figure = new_figure(width, height)
        self.height = height
        self._pixels = Affine2D().scale(1 / width, -1 / height).translate(0, 1) + self.figure.transFigure

    def text(
        self, left: float, top: float, text: str, *, across: str = "left", down: str = "middle", **style: Any
    ) -> None:
        """Write `text`: `across` and `down` say which of its edges, or its middle, lies at the point."""
        vertical = "center_baseline" if down == "middle" else down
        self.figure.text(left, top, text, transform=self._pixels, ha=across, va=vertical, **style)

    def line(self, places: Sequence[tuple[float, float]], **style: Any) -> None:
        """Draw a line through `places`, each (left, top)."""
        across, down = zip(*places, strict=True)
        self.figure.add_artist(Line2D(across, down, transform=self._pixels, **style))

    def raster(self, pixels: NDArray[np.uint8], *, left: int, top: int) -> None:
        """Put `pixels`, grey (h, w) or colour (h, w, 3), on the figure, one on one of its 150 dots an inch."""
        self.figure.add_artist(_Raster(pixels, left=left, bottom=self.height - top - pixels.shape[0]))


class _Raster(Artist):
    """Pixels that go to the canvas as they are.

    `imshow` and `figimage` resample every image, even one to one: 0.25 s for the page of 256 neurons, against 0.02 s.
    """

    def __init__(self, pixels: NDArray[np.uint8], *, left: int, bottom: int) -> None:
        super().__init__()
        self._corner = np.array((left, bottom))
        upside_down = np.ascontiguousarray(pixels[::-1])  # a canvas counts its rows from the bottom
        self._rgba = np.array(Image.fromarray(upside_down).convert("RGBA"))

    def draw(self, renderer: RendererBase) -> None:
        """Called by matplotlib; a PDF counts in 1/72 inch."""
        figure = self.figure
        assert figure is not None
        left, bottom = self._corner * figure.dpi / DPI
        context = renderer.new_gc()
        renderer.draw_image(context, left, bottom, self._rgba)
        context.restore()


def add_heading(figure: Figure, title: str, subtitle: str) -> None:
    """The title and, smaller below it, what the figure shows; flush left at the margin."""
    width, height = size_px(figure)
    place: dict[str, Any] = {"ha": "left", "va": "top"}
    figure.text(MARGIN / width, 1 - 30 / height, title, size=TITLE_SIZE, weight="bold", **place)
    figure.text(MARGIN / width, 1 - 70 / height, subtitle, size=TEXT_SIZE, color=SOFT_INK, **place)


def png_bytes(figure: Figure, *, dpi: int = DPI) -> bytes:
    """The figure as a PNG of its own size in pixels; greyscale where it holds no colour, a third of the size.

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
