"""The confusion matrix on the console: rows predicted, columns actual, errors by colour as in the figure.

Through a pipe there is no colour; then a dot for every empty cell lets the errors stand out. Class names that are words
stand before the rows, and the columns keep their numbers: so the matrix fits into 80 columns.
"""

from __future__ import annotations

import numpy as np
from rich.console import Group
from rich.style import Style
from rich.table import Table
from rich.text import Text

from accelmnist.core.metrics import ConfusedPair, Metrics
from accelmnist.show.heat import FAINT_INK, RGB, cell_colours, hex_colour, ink_on
from accelmnist.show.names import class_kind, row_names
from accelmnist.show.theme import LABEL, STRONG, table
from accelmnist.show.units import count, percent

__all__ = ["format_confusion", "format_pairs", "row_names"]


def format_confusion(metrics: Metrics, class_names: tuple[str, ...]) -> Group:
    """The counts, with precision at the end of every row and recall below every column, and what they mean."""
    kind = class_kind(class_names)
    legend = f"A row for each predicted {kind}, a column for each actual {kind}."
    return Group(Text(legend, style=LABEL), Text(), _grid(metrics, class_names))


def _grid(metrics: Metrics, class_names: tuple[str, ...]) -> Table:
    counts = np.array(metrics.confusion_matrix, dtype=np.int64)
    colours = cell_colours(counts)
    width = max(len(str(counts.max())), 4) + 1
    grid = Table.grid()
    for justify in ("left", *("right" for _ in counts), "right"):
        grid.add_column(justify="left" if justify == "left" else "right", no_wrap=True)
    heads = [Text(_entry(str(label), width), STRONG) for label in range(len(counts))]
    grid.add_row(Text(), *heads, Text("  precision", LABEL))
    for scores, name in zip(metrics.per_class, row_names(class_names), strict=True):
        row = zip(counts[scores.label], colours[scores.label], strict=True)
        cells = [_cell(int(number), colour, width) for number, colour in row]
        grid.add_row(Text(f"{name} ", STRONG), *cells, Text(percent(scores.precision)))
    recalls = [Text(_entry(f"{100 * scores.recall:.1f}", width)) for scores in metrics.per_class]
    grid.add_row(Text("recall % ", LABEL), *recalls, Text())
    return grid


def format_pairs(pairs: tuple[ConfusedPair, ...], metrics: Metrics, class_names: tuple[str, ...]) -> Table:
    """The most confused pairs, with their share of the actual class's images."""
    names = row_names(class_names)
    made = table(("actual", "left"), ("taken for", "left"), ("images", "right"), ("share of the actual", "right"))
    for pair in pairs:
        support = metrics.per_class[pair.actual].support
        share = percent(pair.count / support if support else None)
        made.add_row(names[pair.actual], names[pair.predicted], count(pair.count), share)
    return made


def _cell(number: int, background: RGB, width: int) -> Text:
    """Empty cells have a background too: the matrix is a light card on a dark terminal and on a light one."""
    ink = FAINT_INK if number == 0 else ink_on(background)
    style = Style(color=hex_colour(ink), bgcolor=hex_colour(background))
    return Text(_entry(str(number) if number else "·", width), style=style)


def _entry(text: str, width: int) -> str:
    """One column of every cell stays free at the right, so that neighbours with coloured backgrounds do not touch."""
    return f"{text} ".rjust(width)
