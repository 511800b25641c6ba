"""A document on the console: rules between its sections, and every block as wide as the line allows.

A blank line stands between blocks of different kinds, except before a headline, and before text, which belongs to what
is above it. Drawings and small images are left to HTML and paper; their captions say what there is to be seen.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text

from accelmnist.show import document as doc
from accelmnist.show.heat import EMPTY, FAINT_INK, hex_colour
from accelmnist.show.names import row_names
from accelmnist.show.render.console_table import ConsoleTable
from accelmnist.show.theme import LABEL, STRONG, STYLES, pairs, section

_BULLET = "•"
_LEAST_CELL = 4  # characters of a matrix's counts


def print_document(document: doc.Document, console: Console) -> None:
    """Print the whole document."""
    console.print(as_renderable(document))


def as_renderable(document: doc.Document) -> RenderableType:
    """What rich can print, at any width."""
    return Group(*map(_section, document.sections))


def _section(part: doc.Section) -> RenderableType:
    body = Group(*_spaced(part.blocks))
    return section(part.title, body) if part.title else body


def _spaced(blocks: Sequence[doc.Block]) -> list[RenderableType]:
    shown: list[RenderableType] = []
    for index, block in enumerate(blocks):
        if index and not isinstance(block, (doc.Text, doc.Headline, type(blocks[index - 1]))):
            shown.append(Text())
        shown.append(_block(block))
    return shown


def _block(block: doc.Block) -> RenderableType:
    match block:
        case doc.Text():
            return Text(block.text.replace("{}", block.code) if block.code else block.text, STYLES[block.tone])
        case doc.Headline():
            lines = [(f"\n{text}", STYLES[tone]) for text, tone in block.lines]
            return Text.assemble((block.word, STYLES[block.tone]), f"  {block.text}", *lines)
        case doc.Missing():
            return Text(f"Not shown: {block.text}", LABEL)
        case doc.Table():
            return ConsoleTable(block)
        case doc.Matrix():
            return _matrix(block)
        case doc.Facts() | doc.Points() | doc.Remarks():
            return Group(Text(block.title, LABEL), _list(block)) if block.title else _list(block)
        case doc.Code():
            return Text("\n".join(block.lines))
        case doc.Figure() | doc.Gallery() | doc.Atlas():
            return Text(block.caption, LABEL)
        case doc.Notes():
            return Text("The author's notes are in the file.", LABEL)


def _list(block: doc.Facts | doc.Points | doc.Remarks) -> RenderableType:
    """Names, or bullets, and beside them what folds within a column of its own."""
    if isinstance(block, doc.Facts):
        return _beside(block) if block.beside else pairs(block.rows)
    grid = Table.grid(padding=(0, 1 if isinstance(block, doc.Points) else 2))
    grid.add_column(no_wrap=True, style=LABEL if isinstance(block, doc.Points) else STYLES[block.tone])
    grid.add_column(overflow="fold")
    if isinstance(block, doc.Points):
        for item in block.items:
            grid.add_row(_BULLET, Text(item, STYLES[block.tone]))
    else:
        for remark in block.items:
            details = [(f"\n{detail}", LABEL) for detail in remark.details]
            grid.add_row(Text(remark.name), Text.assemble(remark.text, *details))
    return grid


def _beside(facts: doc.Facts) -> Table:
    grid = Table.grid(padding=(0, 2))
    for style in (LABEL, STRONG, LABEL, STRONG):
        grid.add_column(style=style, no_wrap=True, justify="right" if style == STRONG else "left")
    for (name, value), (other_name, other_value) in zip(facts.rows, facts.beside, strict=True):
        grid.add_row(name, value, f"   {other_name}", other_value)
    return grid


# --- the matrix


def _matrix(matrix: doc.Matrix) -> RenderableType:
    """The counts, with precision at the end of every row and recall below every column, and what they mean.

    Through a pipe there is no colour; then a dot for every empty cell lets the errors stand out. Class names that are
    words stand before the rows, and the columns keep their numbers: so the matrix fits into 80 columns.
    """
    width = max(_LEAST_CELL, *(len(str(cell.count)) for row in matrix.cells for cell in row)) + 1
    grid = Table.grid()
    for column in range(len(matrix.names) + 2):
        grid.add_column(justify="right" if column else "left", no_wrap=True)
    heads = [Text(_entry(str(label), width), STRONG) for label in range(len(matrix.names))]
    grid.add_row(Text(), *heads, Text("  precision", LABEL))
    for name, row, precision in zip(row_names(matrix.names), matrix.cells, matrix.precision, strict=True):
        grid.add_row(Text(f"{name} ", STRONG), *(_cell(cell, width) for cell in row), Text(precision))
    recalls = [Text(_entry(recall.removesuffix(" %"), width)) for recall in matrix.recall]
    grid.add_row(Text("recall % ", LABEL), *recalls, Text())
    legend = f"A row for each predicted {matrix.class_kind}, a column for each actual {matrix.class_kind}."
    return Group(Text(legend, LABEL), Text(), grid)


def _cell(cell: doc.MatrixCell, width: int) -> Text:
    """Empty cells have a background too: the matrix is a light card on a dark terminal and on a light one."""
    ink, background = cell.ink or hex_colour(FAINT_INK), cell.background or hex_colour(EMPTY)
    return Text(_entry(str(cell.count or "·"), width), Style(color=ink, bgcolor=background))


def _entry(text: str, width: int) -> str:
    """One column of every cell stays free at the right, so that neighbours with coloured backgrounds do not touch."""
    return f"{text} ".rjust(width)


class Terminal(Console):
    """rich's console, but that a closed pipe is raised and not answered by an exit: a run has to be saved first."""

    def on_broken_pipe(self) -> None:
        """Let the caller know that its reader is gone."""
        raise BrokenPipeError


def make_terminal(*, stderr: bool) -> Terminal:
    """A console on standard output, or on standard error; nothing is coloured by guess."""
    return Terminal(stderr=stderr, highlight=False)
