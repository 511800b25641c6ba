"""A sheet of rows: names at the left, a chart in the middle, figures and notes at the right, in blocks with a title.

The chart of a block is an axes whose vertical coordinate counts pixels from the top of the block, so that a row's
marks lie at the height of its texts. Columns are as wide as in the widest of the blocks, and the sheet follows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from accelmnist.show.figures.layout import (
    COLUMN_GAP,
    LINE,
    Column,
    Heading,
    draw_lines,
    draw_table,
    middles,
    row_heights,
    text_width,
    wrap,
)
from accelmnist.show.figures.style import MARGIN, Sheet, add_axes

CHART = 380  # pixels of the chart's width
_ROW = 40
_TITLE = 34
_HEADINGS = 30
_AXIS = 84  # below a chart: its numbers and what they are
_FAINT_RULE = "#e4e4e4"


@dataclass(frozen=True, kw_only=True)
class Block:
    """Rows under one `title`, with columns before and after the chart; `faint` are rows in soft ink."""

    title: str
    before: tuple[Column, ...]
    after: tuple[Column, ...]
    faint: frozenset[int] = frozenset()

    @property
    def heights(self) -> list[int]:
        """Pixels of each row."""
        return row_heights((*self.before, *self.after), least=_ROW)


@dataclass(frozen=True)
class Chart:
    """The axes of a block, and the middle of each of its rows in their vertical coordinate."""

    axes: Axes
    middles: list[float]


def draw_rows(
    blocks: Sequence[Block], *, title: str, lines: Sequence[str], footer: Sequence[str]
) -> tuple[Sheet, list[Chart]]:
    """The sheet with everything but what is in the charts, which are returned empty; call it within `look()`."""
    before, after = (_widths([getattr(block, side) for block in blocks]) for side in ("before", "after"))
    left = MARGIN + sum(before) + sum(column.gap for column in blocks[0].before) + COLUMN_GAP
    width = left + CHART + sum(after) + sum(column.gap for column in blocks[0].after) + MARGIN
    width = max(width, *(2 * MARGIN + math.ceil(text_width(block.title, bold=True)) for block in blocks))
    heading = Heading.fit(title, lines, width)
    notes = [part for line in footer if line for part in wrap(line, width - 2 * MARGIN).split("\n")]
    tops = [heading.height]
    for block in blocks:
        tops.append(tops[-1] + _TITLE + _HEADINGS + sum(block.heights) + _AXIS)
    sheet = Sheet(width, tops[-1] + LINE * len(notes) + MARGIN)
    heading.draw(sheet)
    draw_lines(sheet, notes, left=MARGIN, top=tops[-1])
    places = zip(blocks, tops[:-1], strict=True)
    return sheet, [_draw_block(sheet, block, top, left, width, before, after) for block, top in places]


def _widths(tables: Sequence[tuple[Column, ...]]) -> list[int]:
    """The common widths of the columns of tables below each other."""
    return [max(column.width for column in same) for same in zip(*tables, strict=True)]


def _draw_block(
    sheet: Sheet, block: Block, top: int, left: int, width: int, before: list[int], after: list[int]
) -> Chart:
    sheet.text(MARGIN, top + _TITLE / 2, block.title, weight="bold")
    headings, start = top + _TITLE + _HEADINGS / 2 - 2, top + _TITLE + _HEADINGS
    heights = block.heights
    for edge in range(len(heights)):
        down = start + sum(heights[:edge])
        sheet.line([(MARGIN, down), (width - MARGIN, down)], color=_FAINT_RULE, linewidth=0.6)
    downs = [start + middle for middle in middles(heights)]
    draw_table(sheet, block.before, downs, left=MARGIN, heading_down=headings, faint=block.faint, widths=before)
    draw_table(sheet, block.after, downs, left=left + CHART, heading_down=headings, faint=block.faint, widths=after)
    axes = add_axes(sheet.figure, left=left, top=start, width=CHART, height=sum(heights))
    axes.set_ylim(sum(heights), 0)
    axes.set_yticks([])
    axes.grid(visible=True, axis="x")
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    return Chart(axes, middles(heights))
