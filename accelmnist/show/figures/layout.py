"""Texts that know how wide they are: measured, wrapped, and set in columns and headings, so that none is ever cut.

Names of devices and checks are as long as they are, and a figure grows to hold them. All sizes are pixels, at the 150
dots an inch of `style`; a text is measured by the renderer that draws it, once, instead of by a layout engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any, cast

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties

from accelmnist.show.figures.style import DPI, INK, MARGIN, SOFT_INK, TEXT_SIZE, TITLE_SIZE, Sheet

LINE = 24  # pixels from line to line at TEXT_SIZE
COLUMN_GAP = 22
_TITLE_LINE = 36
_TOP = 26


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


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A title and the lines below it, wrapped to the width of a sheet."""

    title: str
    lines: tuple[str, ...]

    @classmethod
    def fit(cls, title: str, lines: Sequence[str], width: float) -> Heading:
        """Wrapped so that both margins stay free; an empty line of `lines` is left out."""
        room = width - 2 * MARGIN
        wrapped = tuple(part for line in lines if line for part in wrap(line, room).split("\n"))
        return cls(title=wrap(title, room, size=TITLE_SIZE, bold=True), lines=wrapped)

    @property
    def height(self) -> int:
        """Pixels from the top of the sheet to where the rest may begin."""
        return self._lines_top + LINE * len(self.lines) + 10

    @property
    def _lines_top(self) -> int:
        return _TOP + _TITLE_LINE * (1 + self.title.count("\n")) + 8

    def draw(self, sheet: Sheet) -> None:
        """Flush left at the margin."""
        for place, line in enumerate(self.title.split("\n")):
            top = _TOP + (place + 0.5) * _TITLE_LINE
            sheet.text(MARGIN, top, line, size=TITLE_SIZE, weight="bold")
        draw_lines(sheet, self.lines, left=MARGIN, top=self._lines_top)


def draw_lines(sheet: Sheet, lines: Sequence[str], *, left: float, top: float) -> None:
    """Lines of soft text, one below the other."""
    for place, line in enumerate(lines):
        sheet.text(left, top + (place + 0.5) * LINE, line, color=SOFT_INK)


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table: a soft heading, and a cell for each row, of several lines where it likes.

    `bold` are the rows whose first line is bold.
    """

    heading: str
    cells: tuple[str, ...]
    across: str = "left"
    bold: frozenset[int] = frozenset()
    gap: int = COLUMN_GAP  # pixels before it

    @property
    def width(self) -> int:
        """Pixels of the widest of its texts."""
        lines = [cell.split("\n") for cell in self.cells]
        first = [text_width(line, bold=row in self.bold) for row, (line, *_) in enumerate(lines)]
        others = [text_width(line) for _, *rest in lines for line in rest]
        return round(max([text_width(self.heading), *first, *others])) + 1


def row_heights(columns: Sequence[Column], *, least: int) -> list[int]:
    """Pixels of each row: `least`, or more where a cell has more lines than that holds."""
    rows = zip(*(column.cells for column in columns), strict=True)
    return [max(least, 14 + LINE * max(cell.count("\n") + 1 for cell in row)) for row in rows]


def middles(heights: Sequence[float]) -> list[float]:
    """The middle of each row of these heights, from the top of the first."""
    return [end - height / 2 for end, height in zip(accumulate(heights), heights, strict=True)]


def draw_table(
    sheet: Sheet,
    columns: Sequence[Column],
    downs: Sequence[float],
    *,
    left: float,
    heading_down: float,
    faint: frozenset[int] = frozenset(),
    widths: Sequence[float] | None = None,
) -> None:
    """The columns from `left` on, each row with its middle at one of `downs`, those of `faint` in soft ink.

    `widths` are those of the columns, where tables below each other are to share them.
    """
    for column, width in zip(columns, widths or [column.width for column in columns], strict=True):
        left += column.gap
        at = {"left": left, "right": left + width, "center": left + width / 2}[column.across]
        sheet.text(at, heading_down, column.heading, across=column.across, color=SOFT_INK)
        for row, (cell, down) in enumerate(zip(column.cells, downs, strict=True)):
            style: dict[str, Any] = {"across": column.across, "color": SOFT_INK if row in faint else INK}
            _draw_cell(sheet, cell.split("\n"), at, down, bold=row in column.bold, **style)
        left += width


def _draw_cell(sheet: Sheet, lines: list[str], left: float, down: float, *, bold: bool, **style: Any) -> None:
    for place, line in enumerate(lines):
        weight = "bold" if bold and place == 0 else "normal"
        sheet.text(left, down + (place - (len(lines) - 1) / 2) * LINE, line, weight=weight, **style)
