"""The cells of a candidate's row, the same while a sweep runs and at its end.

Only the parts of a candidate that differ have a column, and only the columns that fit on the console are shown: of
those that can be spared the first goes first. A figure that isn't known yet is a dash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.table import Table

from accelmnist.show.theme import table
from accelmnist.show.units import UNKNOWN, count, percent, seconds
from accelmnist.sweep.naming import parts_of
from accelmnist.sweep.record import CandidateResult, SweepRecord

_GAP = 2
_PARTS = ("hidden", "activation", "output", "optimizer", "lr")
_FRONTS = {(): "", ("parameters",): "size", ("time",): "time", ("parameters", "time"): "both"}


@dataclass(frozen=True)
class Column:
    """A heading, whether its cells are numbers, the cell of a candidate, and how readily it is left out (0: never)."""

    heading: str
    is_number: bool
    cell: Callable[[CandidateResult], str]
    spare: int = 0


def rank_column() -> Column:
    """The place by mean accuracy."""
    return Column("#", True, lambda result: str(result.rank or ""))


def varying_columns(record: SweepRecord) -> tuple[Column, ...]:
    """A column for the hidden layers and for every other part that has several values."""
    rows = [parts_of(result) for result in record.candidates]
    shown = [place for place in range(len(_PARTS)) if place == 0 or len({row[place] for row in rows}) > 1]
    return tuple(_part(place, is_tuned=record.config.tune_rates) for place in shown)


def shared_text(record: SweepRecord) -> str:
    """What all candidates have in common, in words."""
    rows = [parts_of(result) for result in record.candidates]
    same = [rows[0][place] for place in range(1, 4) if len({row[place] for row in rows}) == 1]
    if record.config.tune_rates:
        same.append("learning rates tuned")
    elif len({row[4] for row in rows}) == 1:
        same.append(f"learning rate {rows[0][4]}")
    training = record.config.training
    return ", ".join([*same, f"{training.epochs} epochs", f"batches of {training.batch_size}"])


def figure_columns(record: SweepRecord) -> tuple[Column, ...]:
    """Accuracy with its interval, how far it is behind, parameters and time."""
    behind = [Column("behind", True, behind_text)] if any(result.standing for result in record.candidates) else []
    return (
        Column("accuracy", True, accuracy_text),
        *behind,
        Column("parameters", True, lambda result: count(result.parameters), spare=1),
        Column("time", True, lambda result: seconds(result.train_s), spare=2),
    )


def front_column() -> Column:
    """On which fronts a candidate lies: no other one is both more accurate and smaller, or quicker."""
    return Column("front", False, lambda result: _FRONTS[result.on_front], spare=3)


def accuracy_text(result: CandidateResult) -> str:
    """The mean with half of its interval, both in percent: "98.45 ±0.07 %"."""
    accuracy = result.accuracy
    if accuracy is None:
        return UNKNOWN
    if accuracy.low is None:
        return percent(accuracy.mean)
    return f"{100 * accuracy.mean:.2f} ±{100 * (accuracy.mean - accuracy.low):.2f} %"


def behind_text(result: CandidateResult) -> str:
    """Points behind the best one, after ≈ where that may be the luck of the seeds."""
    standing = result.standing
    if standing is None:
        return ""
    if standing.verdict == "best":
        return "best"
    return f"{'≈ ' if standing.verdict == 'within noise' else ''}{100 * standing.gap:.2f}"


def candidate_table(
    columns: Sequence[Column],
    results: Sequence[CandidateResult],
    style: Callable[[CandidateResult], str],
    *,
    width: int,
) -> Table:
    """A row for each of `results`, in a table that fits into `width` characters."""
    fitting = _fitting(columns, results, width)
    made = table(*((column.heading, "right" if column.is_number else "left") for column in fitting))
    made.padding = (0, _GAP - 1, 0, 0)  # the box adds one
    for column in made.columns:
        column.no_wrap = True
    for result in results:
        made.add_row(*(column.cell(result) for column in fitting), style=style(result))
    return made


def _fitting(columns: Sequence[Column], results: Sequence[CandidateResult], width: int) -> list[Column]:
    """The columns without those that have no room, the readiest to be spared first."""
    kept = list(columns)
    while sum(_width(column, results) + _GAP for column in kept) - _GAP > width:
        sparing = max(kept, key=lambda column: column.spare)
        if sparing.spare == 0:
            break
        kept.remove(sparing)
    return kept


def _width(column: Column, results: Sequence[CandidateResult]) -> int:
    return max(cell_len(text) for text in (column.heading, *(column.cell(result) for result in results)))


def _part(place: int, *, is_tuned: bool) -> Column:
    if place == 0:
        return Column("hidden", False, lambda result: "-".join(map(str, result.hidden)) or "none")
    is_rate = place == 4
    return Column(
        _PARTS[place], is_rate, lambda result: parts_of(result)[place], spare=4 if is_rate and is_tuned else 0
    )
