"""A sheet of paper measured in pixels, which grows with its texts: a heading, a body and notes, and none ever cut.

Names of devices and checks are as long as they are, and a figure grows to hold them. The layout engines of matplotlib
go the other way: they shrink axes into a figure of a given size, measure every text twice to do so (a fifth of the time
of a figure with nine panels), and wrap no title. Here each text is measured once, by the renderer that draws it, and
each part is placed by pixel, from the top left, at 150 dots an inch: sharp on a screen, and 185 dots an inch or better
across a printed A4 column. A raster is drawn pixel for pixel, never resampled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, cast

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

from accelmnist.show.figures.style import DPI, SOFT_INK, TEXT_SIZE, TITLE_SIZE

MARGIN = 40  # pixels
LINE = 24  # pixels from line to line at TEXT_SIZE
_TITLE_TOP, _TITLE_LINE = 26, 36
_AFTER_TITLE, _AFTER_LINES = 8, 10
_ROUNDING = 1e-6  # pixels

Points = Sequence[tuple[float, float]]


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
        soft_lines, note_lines = _wrapped(lines, room), _wrapped(notes, room)
        lines_top = _TITLE_TOP + _TITLE_LINE * len(title_lines) + _AFTER_TITLE
        top = lines_top + LINE * len(soft_lines) + _AFTER_LINES
        sheet = cls(width, top + body + LINE * len(note_lines) + MARGIN)
        sheet.top = top
        sheet.lines(title_lines, top=_TITLE_TOP, step=_TITLE_LINE, size=TITLE_SIZE, weight="bold")
        sheet.lines(soft_lines, top=lines_top, color=SOFT_INK)
        sheet.lines(note_lines, top=top + body, color=SOFT_INK)
        return sheet

    def text(self, left: float, top: float, text: str, *, va: str = "center_baseline", **style: Any) -> None:
        """Write `text`: its left edge and its middle lie at the point, unless `ha` and `va` say otherwise."""
        self.figure.text(left, top, text, transform=self._pixels, va=va, **style)

    def lines(self, lines: Iterable[str], *, top: float, step: float = LINE, **style: Any) -> None:
        """Write lines at the margin, one each `step` pixels."""
        for row, line in enumerate(lines):
            self.text(MARGIN, top + (row + 0.5) * step, line, **style)

    def line(self, points: Points, **style: Any) -> None:
        """Draw a line through `points`, each (left, top)."""
        across, down = zip(*points, strict=True)
        self.figure.add_artist(Line2D(across, down, transform=self._pixels, **style))

    def raster(self, pixels: NDArray[np.uint8], *, left: int, top: int) -> None:
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


@lru_cache(maxsize=1)
def _renderer() -> RendererAgg:
    return RendererAgg(1, 1, DPI)  # type: ignore[no-untyped-call]


@lru_cache(maxsize=4096)
def text_width(text: str, *, size: float = TEXT_SIZE, bold: bool = False) -> float:
    """Pixels that the widest line of `text` takes."""
    font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")
    measure = cast(Any, _renderer().get_text_width_height_descent)  # untyped in matplotlib
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


def _wrapped(texts: Iterable[str], room: float) -> list[str]:
    """The lines of all `texts` that aren't empty."""
    return [line for text in texts if text for line in wrap(text, room).split("\n")]
