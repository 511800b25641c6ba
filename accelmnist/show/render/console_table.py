"""A table on the console that never cuts a figure, however narrow the line.

How wide a line is, is known only where it is printed. A table that is too wide folds its words; or it is continued in a
second table below, with the names of its rows again, the costs together; or the columns that can be spared are left
out, and with them what explains them. `Table.fit` says which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from accelmnist.show.document import Cell, Column, Table
from accelmnist.show.theme import BAD, GAP, LABEL, STRONG, STYLES

_BLOCKS, _ASCII = "▁▂▃▄▅▆▇█•✓", ".:-=+*#@*v"
_FOLDED = 12  # characters of a column of words
_TO_ASCII = str.maketrans(_BLOCKS, _ASCII)


class ConsoleTable:
    """A renderable: the rows, those that have no figures with their reasons, and what is to be said below."""

    def __init__(self, content: Table) -> None:
        self._table = content
        # A mark says itself what it is.
        self._heads = ["" if column.role == "mark" else column.heading for column in content.columns]
        self._columns = [index for index, column in enumerate(content.columns) if not column.only_large]
        self._widths = [self._width(index) for index in range(len(content.columns))]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        content, width = self._table, options.max_width
        parts = self.parts(width) if content.rows or not content.reasons else []
        if any(self._least(columns) > width for columns in parts):
            yield self._listed()
            parts = []
        for columns in parts[:1]:
            yield self._part(columns, width, ascii_only=options.ascii_only)
        if content.reasons:
            yield self._reasons()
        for columns in parts[1:]:
            yield Text()
            yield self._part(columns, width, ascii_only=options.ascii_only)
        shown = {content.columns[index].heading for columns in parts for index in columns}
        if below := "\n".join(self._below(shown)):
            yield Text(below, LABEL)

    def _width(self, index: int) -> int:
        """How many characters a column takes."""
        content, heads = self._table, self._heads[index].splitlines()
        cells = [row[index] for row in (*content.rows, *content.totals)]
        texts = [line for cell in cells for line in (cell.text, *cell.details)]
        if index in (names := self._of_role("name")):
            texts += [reason.names[names.index(index)] for reason in content.reasons]
        return max(map(cell_len, (*(heads if content.has_head else ()), *texts)), default=0)

    def parts(self, width: int) -> list[list[int]]:
        """The columns, by their indices, of each table that it takes in lines of `width` characters."""
        if self._extent(self._columns) <= width or self._table.fit == "fold":
            return [self._columns]
        return [self._spared(width)] if self._table.fit == "drop" else self._continued(width)

    def _spared(self, width: int) -> list[int]:
        """The columns without those that have no room, the readiest to be spared first."""
        kept, spare = list(self._columns), [column.spare for column in self._table.columns]
        while self._extent(kept) > width and any(spare[index] for index in kept):
            kept.remove(max(kept, key=spare.__getitem__))
        return kept

    def _continued(self, width: int) -> list[list[int]]:
        names, figures, costs, marks = map(self._of_role, ("name", "figure", "cost", "mark"))
        first, rest = self._fitting([*names, *marks], figures, width)
        parts = [[*names, *first, *marks]]
        rest = [*rest, *costs]
        while rest:
            taken, rest = self._fitting(names, rest, width)
            parts.append([*names, *taken])
        return parts

    def _of_role(self, role: str) -> list[int]:
        return [index for index in self._columns if self._table.columns[index].role == role]

    def _fitting(self, fixed: list[int], columns: list[int], width: int) -> tuple[list[int], list[int]]:
        """As many of `columns` as fit beside the `fixed` ones, at least one of them so that it ends; and the rest."""
        fits = (end for end in range(len(columns), 0, -1) if self._extent([*fixed, *columns[:end]]) <= width)
        taken = next(fits, 1)
        return columns[:taken], columns[taken:]

    def _extent(self, indices: Sequence[int]) -> int:
        return sum(self._widths[index] for index in indices) + GAP * (len(indices) - 1)

    def _least(self, indices: Sequence[int]) -> int:
        """How many characters a part takes at least: its figures and names whole, its words folded."""
        if self._table.fit != "fold":
            return self._extent(indices)
        whole = [index for index in indices if self._keeps(index)]
        return self._extent(indices) - sum(max(self._widths[i] - _FOLDED, 0) for i in indices if i not in whole)

    def _keeps(self, index: int) -> bool:
        column = self._table.columns[index]
        return column.is_number or column.role in ("name", "mark")

    def _listed(self) -> Text:
        """Each row as lines of a heading and what stands below it: nothing is cut where a table has no room."""
        rows = (*(row for row in self._table.rows), *self._table.totals)
        heads = [" ".join(head.split()) for head in self._heads]
        texts = ([(heads[index], row[index].text) for index in self._columns if row[index].text] for row in rows)
        return Text("\n\n".join("\n".join(f"{head}: {text}" if head else text for head, text in row) for row in texts))

    def _part(self, indices: list[int], width: int, *, ascii_only: bool) -> RichTable:
        content = self._table
        shown = RichTable(
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, GAP - 1, 0, 0),  # the box adds one
            header_style=STRONG,
            show_header=content.has_head,
        )
        fits = self._extent(indices) <= width
        lines = max(self._heads[index].count("\n") for index in indices)
        for index in indices:
            column = content.columns[index]
            keeps = fits or (content.fit == "fold" and self._keeps(index))
            shown.add_column(
                "\n" * (lines - self._heads[index].count("\n")) + self._heads[index],
                justify=_justify(column),
                no_wrap=keeps,
                min_width=self._widths[index] if fits else None,
                overflow="fold",
            )
        rows = list(self._rows())
        for number, row in enumerate((*rows, *content.totals), start=1):
            ends = number == len(rows) and bool(content.totals)
            shown.add_row(*(_text(row[index], ascii_only=ascii_only) for index in indices), end_section=ends)
        return shown

    def _rows(self) -> Iterator[tuple[Cell, ...]]:
        """The rows that are shown, and how many more there are."""
        content = self._table
        yield from content.rows[: content.most_on_screen]
        if content.most_on_screen is not None and (more := len(content.rows) - content.most_on_screen) > 0:
            yield (Cell(f"{more} more", tone="faint"), *(Cell("") for _ in content.columns[1:]))

    def _reasons(self) -> RichTable:
        """The names in columns as wide as those above, and the reason in what is left of the line."""
        content, grid = self._table, RichTable.grid(padding=(0, GAP, 0, 0))
        for index in self._of_role("name"):
            grid.add_column(justify=_justify(content.columns[index]), no_wrap=True, min_width=self._widths[index])
        grid.add_column(overflow="fold")
        for reason in content.reasons:
            grid.add_row(*map(Text, reason.names), Text(reason.text, STYLES[reason.tone]), style=LABEL)
        return grid

    def _below(self, shown: set[str]) -> Iterator[str]:
        content = self._table
        explained = " ".join(words for heading, words in content.legend if heading in shown)
        yield from filter(None, (content.shared, explained, content.note))


def _justify(column: Column) -> Literal["left", "right"]:
    return "right" if column.is_number else "left"


def _text(cell: Cell, *, ascii_only: bool) -> Text:
    own = STYLES[cell.tone]
    below = [(f"\n{detail}", BAD if own == BAD else LABEL) for detail in cell.details]
    return Text.assemble((cell.text.translate(_TO_ASCII) if ascii_only else cell.text, own), *below)
