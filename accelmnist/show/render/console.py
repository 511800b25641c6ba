"""A document on the console: rules between its sections, and every block as wide as the line allows.

A blank line stands between blocks of different kinds, except before a headline, and before text, which belongs to what
is above it. Figures and galleries are left to HTML and paper; their captions say what there is to be seen.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from rich.color import Color
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from accelmnist.core.config import IMAGE_SIDE
from accelmnist.show import document as doc
from accelmnist.show.heat import EMPTY, FAINT_INK, hex_colour
from accelmnist.show.render.console_table import ConsoleTable
from accelmnist.show.theme import GAP, GOOD, LABEL, STRONG, STYLES, section
from accelmnist.show.units import row_names

_BULLET = "•"
_LEAST_CELL = 4  # characters of a matrix's counts
_BLOCKS = " ░▒▓█"
_ASCII = " .:-=+*#%@"
_BAR_WIDTH = 18
_ANY_WIDTH = 1000


def print_document(document: doc.Document, console: Console) -> None:
    """Print the whole document."""
    console.print(as_renderable(document))


def as_text(document: doc.Document, *, width: int) -> str:
    """The document without colours, in lines of at most `width` characters: for a file."""
    text = io.StringIO()
    print_document(document, Console(file=text, width=width, color_system=None, highlight=False))
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def as_renderable(document: doc.Document) -> RenderableType:
    """What rich can print, at any width."""
    bodies = ((part.title, Group(*_spaced(part.blocks))) for part in document.sections)
    return Group(*(section(title, body) if title else body for title, body in bodies))


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
        case doc.Scores():
            return _scores(block)
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
    if isinstance(block, doc.Facts) and block.beside:
        return _beside(block)
    grid = Table.grid(padding=(0, 1 if isinstance(block, doc.Points) else GAP))
    grid.add_column(no_wrap=True, style=STYLES[block.tone] if isinstance(block, doc.Remarks) else LABEL)
    grid.add_column(overflow="fold")
    match block:
        case doc.Facts():
            rows = [(name, Text(value)) for name, value in block.rows]
        case doc.Points():
            rows = [(_BULLET, Text(item, STYLES[block.tone])) for item in block.items]
        case doc.Remarks():
            rows = [(remark.name, _remark(remark)) for remark in block.items]
    for name, text in rows:
        grid.add_row(Text(name), text)
    return grid


def _remark(remark: doc.Remark) -> Text:
    return Text.assemble(remark.text, *((f"\n{detail}", LABEL) for detail in remark.details))


class _Widest:
    """A renderable: the first of `choices` that has room in a line, else the last, which folds."""

    def __init__(self, *choices: RenderableType) -> None:
        self._choices = choices

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        anywhere = options.update(max_width=_ANY_WIDTH)
        fits = (it for it in self._choices if console.measure(it, options=anywhere).maximum <= options.max_width)
        yield next(fits, self._choices[-1])


def _beside(facts: doc.Facts) -> RenderableType:
    grid = Table.grid(padding=(0, GAP))
    for style in (LABEL, STRONG, LABEL, STRONG):
        grid.add_column(style=style, no_wrap=True, justify="right" if style == STRONG else "left")
    for (name, value), (other_name, other_value) in zip(facts.rows, facts.beside, strict=True):
        grid.add_row(name, value, f"   {other_name}", other_value)
    return _Widest(grid, _list(replace(facts, rows=facts.rows + facts.beside, beside=())))


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
    no_room = Text("The line is too narrow for the matrix; confusion.png and the record have it.", LABEL)
    return Group(Text(legend, LABEL), Text(), _Widest(grid, no_room))


def _cell(cell: doc.MatrixCell, width: int) -> Text:
    """Empty cells have a background too: the matrix is a light card on a dark terminal and on a light one."""
    ink, background = cell.ink or hex_colour(FAINT_INK), cell.background or hex_colour(EMPTY)
    return Text(_entry(str(cell.count or "·"), width), Style(color=ink, bgcolor=background))


def _entry(text: str, width: int) -> str:
    """One column of every cell stays free at the right, so that neighbours with coloured backgrounds do not touch."""
    return f"{text} ".rjust(width)


# --- a picture and its scores


def _scores(scores: doc.Scores) -> Table:
    """The picture, and the bars with their figures, the answer's marked."""
    bars = Table.grid(padding=(0, 1))
    for bar in scores.bars:
        cells = (bar.label, ("━" * round(_BAR_WIDTH * bar.share)).ljust(_BAR_WIDTH), bar.text)
        bars.add_row(*(Text(cell, GOOD if bar.is_own else "") for cell in cells))
    bars.columns[2].justify = "right"
    grid = Table.grid(padding=(0, 3))
    grid.add_row(Digit(scores.pixels), bars)
    return grid


class Digit:
    """A renderable of one greyscale image: 784 bytes, bright on black as in the data.

    A character cell is about twice as high as wide, so one cell shows two pixels, one above the other: the half block
    `▀` in the upper pixel's grey on the lower one's. Without colours the mean of the two picks one of five blocks of
    rising density, and one of ten ASCII characters if the output's encoding has no blocks. 28 × 28 pixels take 28
    columns and 14 lines.
    """

    def __init__(self, pixels: bytes) -> None:
        self._rows = np.frombuffer(pixels, np.uint8).reshape(IMAGE_SIDE, IMAGE_SIDE).tolist()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        plain = console.no_color or console.color_system is None
        ramp = _ASCII if options.ascii_only else _BLOCKS
        for upper, lower in zip(self._rows[::2], self._rows[1::2], strict=True):
            for above, below in zip(upper, lower, strict=True):
                if plain:
                    yield Segment(ramp[round((above + below) / 510 * (len(ramp) - 1))])
                else:
                    yield Segment("▀", Style(color=_grey(above), bgcolor=_grey(below)))
            yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Called by rich: the width never changes."""
        return Measurement(IMAGE_SIDE, IMAGE_SIDE)


def _grey(level: int) -> Color:
    return Color.from_rgb(level, level, level)


# --- the terminal


class Terminal(Console):
    """rich's console, but that a closed pipe is raised and not answered by an exit: a run has to be saved first."""

    def on_broken_pipe(self) -> None:
        """Let the caller know that its reader is gone."""
        raise BrokenPipeError


def make_terminal(*, stderr: bool) -> Terminal:
    """A console on standard output, or on standard error; nothing is coloured by guess."""
    return Terminal(stderr=stderr, highlight=False)
