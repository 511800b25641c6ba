"""Paper and ink of every figure: colours, marks and settings, and a sheet measured in pixels on which no text is cut.

The two line colours are a dark blue and a light orange: apart for every common form of colour blindness, and apart in
greyscale by their lightness; lines differ in their dashes and markers as well. They begin a palette of six, which was
searched for by computer: any two differ by 7 or more in CIE lightness, and by 28 or more in CIE 1976 Lab as seen with
protanopia, deuteranopia or tritanopia (Machado, Oliveira and Fernandes, "A physiologically-based model for simulation
of color vision deficiency", IEEE TVCG 15, 2009; a difference of 2.3 is just noticed). Only `Figure` and the Agg canvas
are used: pyplot keeps global state and looks for a window system.

Names of devices and checks are as long as they are, and a sheet grows to hold them. The layout engines of matplotlib
go the other way: they shrink axes into a figure of a given size, measure every text twice to do so (a fifth of the time
of a figure with nine panels), and wrap no title. Here each text is measured once, by the renderer that draws it, and
each part is placed by pixel, from the top left, at 150 dots an inch: sharp on a screen, and 185 dots an inch or better
across a printed A4 column. A raster is drawn pixel for pixel, never resampled.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, cast

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray
from PIL import Image

DPI = 150
MARGIN = 40  # pixels, of every sheet
LINE = 24  # pixels from line to line at TEXT_SIZE
_TITLE_TOP, _TITLE_LINE = 26, 36
_AFTER_TITLE, _AFTER_LINES = 8, 10
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
_FONT = "DejaVu Sans"  # travels with matplotlib: the same figure on every machine

_SETTINGS: dict[str, Any] = {
    "font.family": _FONT,
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

Points = Sequence[tuple[float, float]]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Mark:
    """Colour and marker of one series, either of which is enough to know it by."""

    colour: str
    marker: str
    is_hollow: bool = False

    @property
    def style(self) -> dict[str, Any]:
        """The arguments for `plot`."""
        face = "white" if self.is_hollow else self.colour
        return {"color": self.colour, "marker": self.marker, "markerfacecolor": face}


PALETTE = (
    Mark(BLUE, "o"),
    Mark(ORANGE, "s"),
    Mark("#40180f", "^"),  # dark brown
    Mark("#55c3d6", "D"),  # light turquoise
    Mark("#8c2fd4", "v"),  # violet
    Mark("#dc4463", "P"),  # rose
)
WRONG = Mark(GREY, "X")  # of a case whose result is wrong


def series_mark(index: int) -> Mark:
    """The mark of series `index`, from 0; from the seventh on the same again with hollow markers, in turn."""
    return replace(PALETTE[index % len(PALETTE)], is_hollow=index // len(PALETTE) % 2 == 1)


@contextmanager
def figure_style() -> Iterator[None]:
    """The settings of all figures, in force inside a `with` block and undone after it.

    They are matplotlib's own with ours, so that no file or style of the user's shows in a figure. A letter that the
    font lacks, in a class's name for instance, is an empty box and no warning on the console.
    """
    defaults = dict.items(cast(Any, matplotlib.rcParamsDefault))  # reading "backend" would choose one
    own = {name: value for name, value in defaults if not name.startswith("backend")}
    with warnings.catch_warnings(), matplotlib.rc_context(cast(Any, own | _SETTINGS)):
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


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


class FigureSheet:
    """A white figure whose coordinates are pixels from the top left; its body begins at `top`."""

    def __init__(self, width: int, height: int) -> None:
        # The canvas rounds down, and some numbers of pixels over 150 and times 150 are a little less than they were.
        inches = ((width + _ROUNDING) / DPI, (height + _ROUNDING) / DPI)
        self.figure = Figure(figsize=inches, dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)
        self.width, self.height, self.top = width, height, 0
        self._pixels = Affine2D().scale(1 / width, -1 / height).translate(0, 1) + self.figure.transFigure

    @classmethod
    def headed(
        cls, width: int, body: int, *, title: str, lines: Iterable[str] = (), notes: Iterable[str] = ()
    ) -> FigureSheet:
        """A sheet with a title, soft `lines` below it, `body` pixels for what it shows, and `notes` at the foot.

        All of them are wrapped to the width, and an empty line or note is left out.
        """
        room = width - 2 * MARGIN
        title_lines = wrap(title, room, size=TITLE_SIZE, bold=True).split("\n")
        soft_lines, note_lines = (
            [line for text in texts if text for line in wrap(text, room).split("\n")] for texts in (lines, notes)
        )
        lines_top = _TITLE_TOP + _TITLE_LINE * len(title_lines) + _AFTER_TITLE
        top = lines_top + LINE * len(soft_lines) + _AFTER_LINES
        sheet = cls(width, top + body + LINE * len(note_lines) + MARGIN)
        sheet.top = top
        sheet._lines(title_lines, top=_TITLE_TOP, step=_TITLE_LINE, size=TITLE_SIZE, weight="bold")
        sheet._lines(soft_lines, top=lines_top, color=SOFT_INK)
        sheet._lines(note_lines, top=top + body, color=SOFT_INK)
        return sheet

    def text(self, left: float, top: float, text: str, *, va: str = "center_baseline", **style: Any) -> None:
        """Write `text`: its left edge and its middle lie at the point, unless `ha` and `va` say otherwise."""
        self.figure.text(left, top, text, transform=self._pixels, va=va, **style)

    def _lines(self, lines: Iterable[str], *, top: float, step: float = LINE, **style: Any) -> None:
        """Write lines at the margin, one each `step` pixels."""
        for row, line in enumerate(lines):
            self.text(MARGIN, top + (row + 0.5) * step, line, **style)

    def line(self, points: Points, **style: Any) -> None:
        """Draw a line through `points`, each (left, top)."""
        across, down = zip(*points, strict=True)
        self.figure.add_artist(Line2D(across, down, transform=self._pixels, **style))

    def raster(self, pixels: Pixels, *, left: int, top: int) -> None:
        """Put `pixels`, grey (h, w) or colour (h, w, 3), on the figure, one on one of its 150 dots an inch."""
        self.figure.add_artist(_Raster(pixels, left=left, bottom=self.height - top - pixels.shape[0]))

    def add_axes(self, *, left: int, top: int, width: int, height: int) -> Axes:
        """Ordinary axes with their frame at this position."""
        bottom = self.height - top - height
        return self.figure.add_axes((left / self.width, bottom / self.height, width / self.width, height / self.height))


class _Raster(Artist):
    """Pixels that go to the canvas as they are.

    `imshow` and `figimage` resample every image, even one to one: 0.25 s for the page of 256 neurons, against 0.02 s.
    """

    def __init__(self, pixels: Pixels, *, left: int, bottom: int) -> None:
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


@lru_cache(maxsize=4096)
def text_width(text: str, *, size: float = TEXT_SIZE, bold: bool = False) -> float:
    """Pixels that the widest line of `text` takes."""
    font = FontProperties(family=_FONT, size=size, weight="bold" if bold else "normal")
    renderer = RendererAgg(1, 1, DPI)  # type: ignore[no-untyped-call]
    measure = cast(Any, renderer.get_text_width_height_descent)  # untyped in matplotlib
    return max(float(measure(line, font, False)[0]) for line in text.split("\n"))


def wrap(text: str, width: float, *, size: float = TEXT_SIZE, bold: bool = False) -> str:
    """`text` with line feeds between words where a line would be wider than `width`; a longer word stays whole."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and text_width(longer, size=size, bold=bold) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)
