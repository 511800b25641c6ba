"""A network's confusions as blocks: the matrix, rows predicted and columns actual, and the most confused pairs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from accelmnist.core.metrics import ConfusedPair, Metrics
from accelmnist.show.document import Cell, Column, Matrix, MatrixCell, Table, Tile
from accelmnist.show.heat import EMPTY, cell_colours, hex_colour, ink_on
from accelmnist.show.names import class_kind, row_names
from accelmnist.show.units import count, percent

TilesOf = Callable[[int, int], tuple[Tile, ...]]


def confusion_matrix(
    metrics: Metrics,
    class_names: tuple[str, ...],
    *,
    label_of: Callable[[int, int, int], str] = lambda _count, _predicted, _actual: "",
    tiles_of: TilesOf = lambda _predicted, _actual: (),
    gap: str = "",
) -> Matrix:
    """The counts, with precision at the end of every row and recall below every column.

    Of a cell, given by its predicted and its actual class, `label_of` says what its count means and `tiles_of` shows
    some of its images; `gap` says why there are none.
    """
    kind = class_kind(class_names)
    counts = np.array(metrics.confusion_matrix, dtype=np.int64)
    colours = cell_colours(counts)

    def cell(row: int, column: int) -> MatrixCell:
        background, number = colours[row][column], int(counts[row, column])
        return MatrixCell(
            count=number,
            background="" if background == EMPTY else hex_colour(background),
            ink="" if background == EMPTY else hex_colour(ink_on(background)),
            label=label_of(number, row, column),
            tiles=tiles_of(row, column) if number else (),
        )

    return Matrix(
        caption=f"Confusion matrix: a row for each predicted {kind}, a column for each actual one. Mistakes are "
        "coloured by their share of the column, on a logarithmic scale.",
        names=class_names,
        class_kind=kind,
        cells=tuple(tuple(cell(row, column) for column in range(len(counts))) for row in range(len(counts))),
        precision=tuple(percent(scores.precision) for scores in metrics.per_class),
        recall=tuple(percent(scores.recall, digits=1) for scores in metrics.per_class),
        accuracy=percent(metrics.accuracy),
        gap=gap,
    )


def pairs_table(pairs: tuple[ConfusedPair, ...], metrics: Metrics, class_names: tuple[str, ...]) -> Table:
    """The most confused pairs, with their shares of the actual class's images and of all mistakes."""
    names = row_names(class_names)
    wrong = metrics.images - sum(row[label] for label, row in enumerate(metrics.confusion_matrix))
    return Table(
        ident="pairs",
        caption="The most frequent mistakes.",
        columns=(
            Column("actual"),
            Column("taken for"),
            Column("images", True),
            Column("share of the actual", True),
            Column("of all mistakes", True, only_large=True),
        ),
        rows=tuple(
            (
                Cell(names[pair.actual], pair.actual),
                Cell(names[pair.predicted], pair.predicted),
                Cell(count(pair.count), pair.count),
                _share(pair.count, metrics.per_class[pair.actual].support),
                _share(pair.count, wrong),
            )
            for pair in pairs
        ),
    )


def _share(part: int, whole: int) -> Cell:
    share = part / whole if whole else None
    return Cell(percent(share), share)
