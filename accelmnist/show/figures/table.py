"""Tables on a sheet, and sheets of rows: names at the left, a chart in the middle, figures and notes at the right.

The chart of a block is an axes whose vertical coordinate counts pixels from the top of the block, so that a row's
marks lie at the height of its texts. Columns are as wide as in the widest of the blocks, and the sheet follows. (The
`table` of matplotlib has rows of one height, centres on cells of one width, and leaves no room for a chart.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accelmnist.show.figures.sheet import INK, LINE, MARGIN, RULE, SOFT_INK, WRONG, FigureSheet, Mark, text_width

CHART = 380  # pixels of a chart's width
_GAP = 22  # before a column
_ROW = 40
_TITLE = 34
_HEADINGS = 30
_AXIS = 84  # below a chart: its numbers and what they are
_DOTS_HEIGHT = 20  # from the first sample of a row to the last
_CROSS = 8  # half of a line across the end of an interval
_FAINT_RULE = "#e4e4e4"
_ANCHOR = {"left": 0.0, "center": 0.5, "right": 1.0}  # of a cell, as a share of the column's width


@dataclass(frozen=True)
class TableColumn:
    """One column: a soft heading, and a cell for each row, which may have several lines.

    The first line is bold in the rows of `bold`; `gap` are the pixels between the column and the one before.
    """

    heading: str
    cells: Sequence[str]
    ha: str = "left"
    bold: frozenset[int] = frozenset()
    gap: int = _GAP

    @property
    def width(self) -> int:
        """Pixels of the widest of its texts."""
        lines = [
            text_width(line, bold=row in self.bold and index == 0)
            for row, cell in enumerate(self.cells)
            for index, line in enumerate(cell.split("\n"))
        ]
        return round(max([text_width(self.heading), *lines])) + 1


def table_width(columns: Sequence[TableColumn], widths: Sequence[int] | None = None) -> int:
    """Pixels that `columns` take beside each other, each as wide as its texts or as `widths` say."""
    return sum(widths or [column.width for column in columns]) + sum(column.gap for column in columns[1:])


def draw_table(
    sheet: FigureSheet,
    columns: Sequence[TableColumn],
    middles: Sequence[float],
    *,
    left: float,
    heading: float,
    faint: frozenset[int] = frozenset(),
    widths: Sequence[int] | None = None,
) -> None:
    """Draw `columns` from `left` on, their headings at the height `heading`, the rows at `middles`.

    Rows of `faint` are in soft ink. `widths` are those of the columns, if tables below each other share them.
    """
    for index, (column, width) in enumerate(zip(columns, widths or [c.width for c in columns], strict=True)):
        left += column.gap if index else 0
        across = left + width * _ANCHOR[column.ha]
        sheet.text(across, heading, column.heading, ha=column.ha, color=SOFT_INK)
        for row, (cell, middle) in enumerate(zip(column.cells, middles, strict=True)):
            lines = cell.split("\n")
            colour = SOFT_INK if row in faint else INK
            for number, line in enumerate(lines):
                weight = "bold" if row in column.bold and number == 0 else "normal"
                down = middle + (number - (len(lines) - 1) / 2) * LINE
                sheet.text(across, down, line, ha=column.ha, weight=weight, color=colour)
        left += width


@dataclass(frozen=True, kw_only=True)
class RowBlock:
    """Rows under one `title`, with columns before and after the chart; `faint` are rows in soft ink."""

    title: str
    before: Sequence[TableColumn]
    after: Sequence[TableColumn]
    faint: frozenset[int] = frozenset()

    @property
    def heights(self) -> list[int]:
        """Pixels of each row: more if one of its cells has several lines."""
        rows = zip(*(column.cells for column in (*self.before, *self.after)), strict=True)
        return [max(_ROW, 14 + LINE * max(cell.count("\n") + 1 for cell in row)) for row in rows]

    @property
    def middles(self) -> list[float]:
        """The middle of each row, in pixels from the top of the first."""
        return [end - height / 2 for end, height in zip(accumulate(self.heights), self.heights, strict=True)]


def draw_rows(
    blocks: Sequence[RowBlock], *, title: str, lines: Iterable[str], notes: Iterable[str]
) -> tuple[Figure, list[Axes]]:
    """The figure with everything but what is in the charts, which are returned empty; call it within `figure_style()`.

    A row of a block lies at `middles` of the block in the vertical coordinate of its chart.
    """
    before, after = (
        [max(column.width for column in same) for same in zip(*tables, strict=True)]
        for tables in ([block.before for block in blocks], [block.after for block in blocks])
    )
    left = MARGIN + table_width(blocks[0].before, before) + _GAP
    end = left + CHART + _GAP
    width = max(
        end + table_width(blocks[0].after, after) + MARGIN,
        *(2 * MARGIN + math.ceil(text_width(block.title, bold=True)) for block in blocks),
    )
    heights = [_TITLE + _HEADINGS + sum(block.heights) + _AXIS for block in blocks]
    sheet = FigureSheet.headed(width, sum(heights), title=title, lines=lines, notes=notes)
    charts = []
    for block, bottom, height in zip(blocks, accumulate(heights), heights, strict=True):
        top = sheet.top + bottom - height
        sheet.text(MARGIN, top + _TITLE / 2, block.title, weight="bold")
        headings, start = top + _TITLE + _HEADINGS / 2 - 2, top + _TITLE + _HEADINGS
        for rule in accumulate(block.heights[:-1], initial=start):
            sheet.line([(MARGIN, rule), (width - MARGIN, rule)], color=_FAINT_RULE, linewidth=0.6)
        middles = [start + middle for middle in block.middles]
        for columns, widths, edge in ((block.before, before, MARGIN), (block.after, after, end)):
            draw_table(sheet, columns, middles, left=edge, heading=headings, faint=block.faint, widths=widths)
        axes = sheet.add_axes(left=left, top=start, width=CHART, height=sum(block.heights))
        axes.set_ylim(sum(block.heights), 0)
        axes.set_yticks([])
        axes.grid(visible=True, axis="x")
        axes.spines[["left", "right", "top"]].set_visible(False)
        charts.append(axes)
    return sheet.figure, charts


def draw_estimate(
    axes: Axes,
    middle: float,
    *,
    mark: Mark,
    samples: Sequence[float | None],
    interval: tuple[float, float] | None,
    centre: float | None,
    name: str,
    is_open: bool = False,
) -> None:
    """Draw small dots one below the other, the first on top; over them a bar over `interval`, and `mark` at `centre`.

    The bar ends in an arrow if `is_open`. What is None is left out, and the `gid` of each artist has the `name`.
    """
    downs = middle + np.linspace(-0.5, 0.5, len(samples)) * (_DOTS_HEIGHT if len(samples) > 1 else 0)
    dots = [(value, down) for value, down in zip(samples, downs, strict=True) if value is not None]
    if dots:
        values, heights = np.transpose(dots)
        axes.scatter(values, heights, s=8, color=mark.colour, alpha=0.4, linewidths=0, gid=f"samples of {name}")
    if interval:
        low, high = interval
        across = [low, low, low, high] if is_open else [low, low, low, high, high, high]
        cross = _CROSS * np.array([-1, 1, 0, 0, 1, -1])[: len(across)]
        axes.plot(across, middle + cross, color=mark.colour, linewidth=1.5, gid=f"interval of {name}")
        if is_open:
            axes.plot([high], [middle], color=mark.colour, marker=">", markersize=6)
    if centre is not None:
        style = {**mark.style, "markersize": 7.4 if mark is WRONG else 5.4}
        style["markeredgewidth"] = 1.6 if mark.is_hollow else 0.0
        axes.plot([centre], [middle], zorder=3, gid=f"median of {name}", **style)


def draw_wrong_band(axes: Axes, middle: float, gid: str) -> None:
    """The hatched band of a row whose result is wrong."""
    axes.axhspan(middle - 16, middle + 16, facecolor="none", edgecolor=RULE, hatch="////", linewidth=0, gid=gid)
