"""A document on the console: rules between its sections, and every block as wide as the line allows.

A blank line stands between blocks of different kinds, except before a headline, and before text, which belongs to what
is above it. Drawings and small images are left to HTML and paper; their captions say what there is to be seen.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.style import Style
from rich.table import Table as RichTable
from rich.text import Text as RichText

from accelmnist.show.document import (
    Atlas,
    Block,
    Code,
    Document,
    Facts,
    Figure,
    Gallery,
    Headline,
    Matrix,
    MatrixCell,
    Missing,
    Notes,
    Points,
    Remarks,
    Section,
    Table,
    Text,
)
from accelmnist.show.heat import EMPTY, FAINT_INK, hex_colour
from accelmnist.show.names import row_names
from accelmnist.show.render.console_table import ConsoleTable
from accelmnist.show.theme import LABEL, STRONG, STYLES, pairs, section

_BULLET = "•"
_LEAST_CELL = 4  # characters of a matrix's counts


def print_document(document: Document, console: Console) -> None:
    """Print the whole document."""
    console.print(as_renderable(document))


def as_renderable(document: Document) -> RenderableType:
    """What rich can print, at any width."""
    return Group(*map(_section, document.sections))


def _section(part: Section) -> RenderableType:
    body = Group(*_spaced(part.blocks))
    return section(part.title, body) if part.title else body


def _spaced(blocks: Sequence[Block]) -> list[RenderableType]:
    shown: list[RenderableType] = []
    for place, block in enumerate(blocks):
        if place and not isinstance(block, (Text, Headline, type(blocks[place - 1]))):
            shown.append(RichText())
        shown.append(_block(block))
    return shown


def _block(block: Block) -> RenderableType:
    match block:
        case Text():
            return RichText(block.text.replace("{}", block.code) if block.code else block.text, STYLES[block.tone])
        case Headline():
            lines = [(f"\n{text}", STYLES[tone]) for text, tone in block.lines]
            return RichText.assemble((block.word, STYLES[block.tone]), f"  {block.text}", *lines)
        case Missing():
            return RichText(f"Not shown: {block.text}", LABEL)
        case Table():
            return ConsoleTable(block)
        case Matrix():
            return _matrix(block)
        case Facts() | Points() | Remarks():
            return _titled(block.title, _list(block))
        case Code():
            return RichText("\n".join(block.lines))
        case Figure() | Gallery() | Atlas():
            return RichText(block.caption, LABEL)
        case Notes():
            return RichText("The author's notes are in the file.", LABEL)


def _titled(title: str, body: RenderableType) -> RenderableType:
    return Group(RichText(title, LABEL), body) if title else body


def _list(block: Facts | Points | Remarks) -> RenderableType:
    """Names, or bullets, and beside them what folds within a column of its own."""
    if isinstance(block, Facts):
        return _beside(block) if block.beside else pairs(block.rows)
    grid = RichTable.grid(padding=(0, 1 if isinstance(block, Points) else 2))
    grid.add_column(no_wrap=True, style=LABEL if isinstance(block, Points) else STYLES[block.tone])
    grid.add_column(overflow="fold")
    if isinstance(block, Points):
        for item in block.items:
            grid.add_row(_BULLET, RichText(item, STYLES[block.tone]))
    else:
        for remark in block.items:
            details = [(f"\n{detail}", LABEL) for detail in remark.details]
            grid.add_row(RichText(remark.name), RichText.assemble(remark.text, *details))
    return grid


def _beside(facts: Facts) -> RichTable:
    grid = RichTable.grid(padding=(0, 2))
    for style in (LABEL, STRONG, LABEL, STRONG):
        grid.add_column(style=style, no_wrap=True, justify="right" if style == STRONG else "left")
    for (name, value), (other_name, other_value) in zip(facts.rows, facts.beside, strict=True):
        grid.add_row(name, value, f"   {other_name}", other_value)
    return grid


# --- the matrix


def _matrix(matrix: Matrix) -> RenderableType:
    """The counts, with precision at the end of every row and recall below every column, and what they mean.

    Through a pipe there is no colour; then a dot for every empty cell lets the errors stand out. Class names that are
    words stand before the rows, and the columns keep their numbers: so the matrix fits into 80 columns.
    """
    width = max(_LEAST_CELL, *(len(str(cell.count)) for row in matrix.cells for cell in row)) + 1
    grid = RichTable.grid()
    for column in range(len(matrix.names) + 2):
        grid.add_column(justify="right" if column else "left", no_wrap=True)
    heads = [RichText(_entry(str(label), width), STRONG) for label in range(len(matrix.names))]
    grid.add_row(RichText(), *heads, RichText("  precision", LABEL))
    for name, row, precision in zip(row_names(matrix.names), matrix.cells, matrix.precision, strict=True):
        grid.add_row(RichText(f"{name} ", STRONG), *(_cell(cell, width) for cell in row), RichText(precision))
    recalls = [RichText(_entry(recall.removesuffix(" %"), width)) for recall in matrix.recall]
    grid.add_row(RichText("recall % ", LABEL), *recalls, RichText())
    legend = f"A row for each predicted {matrix.class_kind}, a column for each actual {matrix.class_kind}."
    return Group(RichText(legend, LABEL), RichText(), grid)


def _cell(cell: MatrixCell, width: int) -> RichText:
    """Empty cells have a background too: the matrix is a light card on a dark terminal and on a light one."""
    ink, background = cell.ink or hex_colour(FAINT_INK), cell.background or hex_colour(EMPTY)
    return RichText(_entry(str(cell.count or "·"), width), Style(color=ink, bgcolor=background))


def _entry(text: str, width: int) -> str:
    """One column of every cell stays free at the right, so that neighbours with coloured backgrounds do not touch."""
    return f"{text} ".rjust(width)
