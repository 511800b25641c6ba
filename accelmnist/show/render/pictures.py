"""The pictures of a report: figures as SVG, and the sheets of small images that the blocks point into.

A figure keeps its text as text, so that it can be selected, searched and read aloud; a reader without matplotlib's own
font gets a narrower one, which fits as well. The names in a drawing get a prefix: many drawings share one page. A sheet
is one PNG for hundreds of images, of which a page shows a part: hundreds of files would be three times the size.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Raster

from accelmnist.core.config import IMAGE_SIDE
from accelmnist.show.document import Figure, Panel, Pictures
from accelmnist.show.figures.sheet import DPI, figure_style, size_px

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

Record = TypeVar("Record")
DIGITS = "digits"  # the sheet of the test images, whose ink is light; paper shows it dark
SHEET_COLUMNS = 32
_CSS_PX = 96  # an inch
_PROLOGUE = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>\s*", re.DOTALL)
_NAME = re.compile(r'\sid="([^"]*)"')
_REFERENCE = re.compile(r'(url\(#|href="#)([^")]*)')


def panel_of(drawing: Drawing, name: str) -> Panel:
    """The figure as one SVG element; `name` is its own among the drawings of a report."""
    import matplotlib

    file = io.StringIO()
    with figure_style(), matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        drawing.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = _METADATA.sub("", _PROLOGUE.sub("", file.getvalue(), count=1)).strip()
    width, height = size_px(drawing)
    return Panel(svg=_with_own_names(svg, name), width=width * _CSS_PX / DPI, height=height * _CSS_PX / DPI)


def drawn(
    figures: Iterable[tuple[str, Callable[[Record], Drawing | None], str]], record: Record, *, alt: str
) -> list[Figure]:
    """The figures that a record has data for, each by its name, what draws it, and its caption; `alt` says the rest."""
    drawings = ((name, draw(record), caption) for name, draw, caption in figures)
    return [
        Figure(ident=name, caption=caption, alt=f"{caption} {alt}", panels=(panel_of(drawing, name),))
        for name, drawing, caption in drawings
        if drawing is not None
    ]


def _with_own_names(svg: str, name: str) -> str:
    """The drawing without the names that nothing refers to, which need not be unique, and the others with a prefix."""
    used = {match[2] for match in _REFERENCE.finditer(svg)}
    named = _NAME.sub(lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "", svg)
    return _REFERENCE.sub(lambda match: f"{match[1]}{name}-{match[2]}", named)


class Collector:
    """Gathers the small images that the blocks need, each once, and gives out their places."""

    def __init__(self) -> None:
        self._chosen: dict[str, dict[int, int]] = {}
        self._stacks: dict[str, NDArray[np.uint8]] = {}

    def offer(self, sheet: str, stack: NDArray[np.uint8]) -> None:
        """All images that the blocks may ask of `sheet`: (n, 28, 28), or (n, 28, 28, 3)."""
        self._stacks[sheet] = stack

    def place(self, sheet: str, index: int) -> int:
        """The place that image `index` of the stack has on its sheet."""
        chosen = self._chosen.setdefault(sheet, {})
        return chosen.setdefault(index, len(chosen))

    def pictures(self) -> Pictures:
        """The sheets of what was asked for."""
        return Pictures(sheets={sheet: self._stacks[sheet][list(chosen)] for sheet, chosen in self._chosen.items()})


def sheet_png(stack: NDArray[np.uint8]) -> bytes:
    """All images of a sheet as one PNG, 32 a row."""
    rows = math.ceil(len(stack) / SHEET_COLUMNS)
    padded = np.zeros((rows * SHEET_COLUMNS, *stack.shape[1:]), dtype=np.uint8)
    padded[: len(stack)] = stack
    grid = padded.reshape(rows, SHEET_COLUMNS, *stack.shape[1:]).swapaxes(1, 2)
    return png_of(grid.reshape(rows * IMAGE_SIDE, SHEET_COLUMNS * IMAGE_SIDE, *stack.shape[3:]))


def png_of(pixels: NDArray[np.uint8]) -> bytes:
    """One image as a PNG."""
    file = io.BytesIO()
    Raster.fromarray(pixels).save(file, "PNG", compress_level=9)
    return file.getvalue()
