"""A table of cases that never cuts a figure: what doesn't fit into the line moves into a second table below.

How wide a line is, is known only where it is printed. There the columns are measured; if all fit, it is one table. Else
the costs make a second one, and so does whatever else is too wide, each with the cases' ranks and names again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from accelmnist.measure.record import CaseResult
from accelmnist.show.bench.columns import Column, Sheet
from accelmnist.show.bench.naming import one_line
from accelmnist.show.bench.parts import Part
from accelmnist.show.theme import BAD, LABEL, UNSURE, table

_GAP = 2  # columns of characters between two cells


class PartTable:
    """A renderable of one part: its rows, then the cases that were not measured, each with its reason."""

    def __init__(self, part: Part, sheet: Sheet) -> None:
        self._part, self._sheet = part, sheet
        everyone = (*part.rows, *part.unmeasured)
        self._widths = {column: column_width(column, everyone) for column in sheet.identity}
        self._widths |= {
            column: column_width(column, part.rows) for column in (*sheet.figures, *sheet.costs, sheet.verdict)
        }

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        pages = self.pages(options.max_width) if self._part.rows else []
        for columns in pages[:1]:
            yield self._table(columns, options.max_width)
        if self._part.unmeasured:
            yield self._reasons()
        for columns in pages[1:]:
            yield Text()
            yield self._table(columns, options.max_width)

    def pages(self, width: int) -> list[tuple[Column, ...]]:
        """The columns of each table that it takes in lines of `width` characters."""
        sheet = self._sheet
        everything = (*sheet.identity, *sheet.figures, *sheet.costs, sheet.verdict)
        if self._extent(everything) <= width:
            return [everything]
        first, rest = self._fit((*sheet.identity, sheet.verdict), sheet.figures, width)
        pages = [(*sheet.identity, *first, sheet.verdict)]
        rest = (*rest, *sheet.costs)
        while rest:
            taken, rest = self._fit(sheet.identity, rest, width)
            pages.append((*sheet.identity, *taken))
        return pages

    def _fit(
        self, fixed: Sequence[Column], columns: tuple[Column, ...], width: int
    ) -> tuple[tuple[Column, ...], tuple[Column, ...]]:
        """As many of `columns` as fit beside the `fixed` ones, at least one of them so that it ends; and the rest."""
        taken = next((end for end in range(len(columns), 0, -1) if self._extent((*fixed, *columns[:end])) <= width), 1)
        return columns[:taken], columns[taken:]

    def _extent(self, columns: Sequence[Column]) -> int:
        return sum(self._widths[column] for column in columns) + _GAP * (len(columns) - 1)

    def _table(self, columns: tuple[Column, ...], width: int) -> Table:
        made = table()
        made.padding = (0, _GAP - 1, 0, 0)
        fits = self._extent(columns) <= width
        for column in columns:
            least = self._widths[column] if fits else None
            made.add_column(
                column.heading,
                justify=_justify(column),
                vertical="bottom",
                no_wrap=fits,
                min_width=least,
                overflow="fold",
            )
        for result in self._part.rows:
            made.add_row(*(cell_of(column, result) for column in columns), style=BAD if result.is_wrong else "")
        return made

    def _reasons(self) -> Table:
        """The names in columns as wide as those above, and the reason in what is left of the line."""
        grid = Table.grid(padding=(0, _GAP, 0, 0))
        for column in self._sheet.identity:
            grid.add_column(justify=_justify(column), no_wrap=True, min_width=self._widths[column])
        grid.add_column(overflow="fold")
        for result in self._part.unmeasured:
            names = [Text(column.text(result)) for column in self._sheet.identity[1:]]
            grid.add_row(Text(), *names, reason_of(result), style=LABEL)
        return grid


def column_width(column: Column, results: Sequence[CaseResult]) -> int:
    """How many characters a column takes."""
    return max(map(cell_len, (*column.heading.splitlines(), *map(column.cell, results))), default=0)


def _justify(column: Column) -> Literal["left", "right"]:
    return "right" if column.is_number else "left"


def cell_of(column: Column, result: CaseResult) -> Text:
    """One cell; in a wrong row everything is red."""
    return Text(column.cell(result), style=BAD if result.is_wrong else column.style(result))


def reason_of(result: CaseResult) -> Text:
    """Why a case has no figures, or was given up."""
    style = BAD if result.is_wrong else UNSURE if result.status == "failed" else ""
    return Text(reason_text(result), style=style)


def reason_text(result: CaseResult) -> str:
    """The reason, led by what became of the case where it doesn't say so itself."""
    if result.skipped is None:
        return "the result is wrong" if result.is_wrong else "not reached"
    reason = one_line(result.skipped)
    return reason if reason.startswith(result.status) else f"{result.status}: {reason}"
