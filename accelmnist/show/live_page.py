"""What long measurements show while they run: a page that is drawn anew, or plain lines through a pipe.

rich would draw from a thread of its own, in the middle of whatever is measured. Here nothing is drawn but inside a call
of the measurement, which waits for it: not more often than asked for, and so seldom that it takes a fiftieth of the
time at most. Only a stage always shows, because it may be one that takes long. The page goes when the measurement ends:
its place is the summary's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, Self, TypeVar

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from accelmnist.show.theme import GAP, LABEL

_DRAWING_SHARE = 0.02
_AROUND_ROWS = 8  # lines of the title, the table's head, the footer, and one to spare
_FEWEST_ROWS = 3
_BAR_WIDTH = 28

Record = TypeVar("Record")
Cell = tuple[str, str]  # text and style


def rows_in(height: int) -> int:
    """How many rows of a table have room on a page of `height` lines."""
    return max(height - _AROUND_ROWS, _FEWEST_ROWS)


def time_bar(completed: float, total: float, text: str) -> Table:
    """How far it is, as a bar and in words."""
    grid = Table.grid(padding=(0, GAP))
    bar = ProgressBar(total=total, completed=min(completed, total), width=_BAR_WIDTH, complete_style="cyan")
    grid.add_row(bar, Text(text))
    return grid


def aligned(rows: Sequence[tuple[Cell, ...]]) -> Text:
    """The rows below a head, as one text with a line feed at its end.

    rich's own tables measure every cell several times: with twenty rows a page of them takes three times as long, and
    all of it is taken from the measurement.
    """
    widths = [max(cell_len(text) for text, _ in column) for column in zip(*rows, strict=True)]
    ends = (0, len(widths) - 1)  # words, padded at the right; the numbers in between are at the left
    pieces: list[Cell] = []
    for number, row in enumerate(rows):
        for index, ((text, style), width) in enumerate(zip(row, widths, strict=True)):
            pad = " " * (width - cell_len(text))
            gap = " " * GAP if index < ends[1] else "\n"
            pieces += [(text + pad if index in ends else pad + text, style), (gap, "")]
        if number == 0:
            pieces.append(("─" * (sum(widths) + GAP * ends[1]) + "\n", LABEL))
    return Text.assemble(*pieces)


class LivePage(ABC, Generic[Record]):
    """A context manager around the measurement, which has a `_record` once it is planned.

    `clock` gives seconds, `draw_every_s` is the least time between two pages, and `spent_s` are the seconds before it
    was made.
    """

    def __init__(
        self, console: Console, *, clock: Callable[[], float], draw_every_s: float, spent_s: float = 0.0
    ) -> None:
        self._console, self._clock = console, clock
        self._least_s = self._draw_every_s = draw_every_s
        self._started = self._shown_at = clock() - spent_s
        self._record: Record | None = None
        self._stage = ""
        # A dumb terminal can't move its cursor: it gets the lines of a pipe.
        is_live = console.is_terminal and not console.is_dumb_terminal
        self._live = Live(console=console, auto_refresh=False, transient=True) if is_live else None

    @abstractmethod
    def _page(self, record: Record, *, spent_s: float, height: int) -> RenderableType:
        """What there is to see after `spent_s` seconds, in `height` lines."""

    @property
    def _spent_s(self) -> float:
        return self._clock() - self._started

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def stage(self, what: str) -> None:
        """Show what comes now."""
        self._stage = what
        if self._live is None:
            self._print(f"… {what}", LABEL)
        else:
            self._draw()

    def _open(self) -> None:
        """Begin to draw, if that can be."""
        if self._live is not None:
            self._live.start()
            self._draw()

    def _is_due(self, every_s: float) -> bool:
        return self._clock() - self._shown_at >= every_s

    def _draw_in_time(self) -> None:
        if self._is_due(self._draw_every_s):
            self._draw()

    def _draw(self) -> None:
        begun = self._clock()
        if self._live is None or self._record is None:
            return
        page = self._page(self._record, spent_s=begun - self._started, height=self._console.size.height)
        self._live.update(page, refresh=True)
        self._shown_at = self._clock()
        self._draw_every_s = max(self._least_s, (self._shown_at - begun) / _DRAWING_SHARE)

    def _print(self, line: str, style: str = "") -> None:
        self._console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)
