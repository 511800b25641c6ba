"""The cells of a candidate's row, the same while a sweep runs and at its end.

Only the parts of a candidate that differ have a column, and only the columns that fit on the console are shown: of
those that can be spared the first goes first. A figure that isn't known yet is a dash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from accelmnist.show.document import Cell, Column, Table, Tone
from accelmnist.show.units import UNKNOWN, count, percent, seconds
from accelmnist.sweep.record import CandidateResult, SweepRecord, parts_of

_PARTS = ("hidden", "activation", "output", "optimizer", "lr")
_FRONTS = {(): "", ("parameters",): "size", ("time",): "time", ("parameters", "time"): "both"}


@dataclass(frozen=True)
class CandidateColumn:
    """A heading, whether its cells are numbers, the cell of a candidate, and how readily it is left out (0: never)."""

    heading: str
    is_number: bool
    text: Callable[[CandidateResult], str]
    spare: int = 0


def rank_column() -> CandidateColumn:
    """The rank by mean accuracy."""
    return CandidateColumn("#", True, lambda result: str(result.rank or ""))


def varying_columns(record: SweepRecord) -> tuple[CandidateColumn, ...]:
    """A column for the hidden layers and for every other part that has several values."""
    rows = [parts_of(result) for result in record.candidates]
    shown = [index for index in range(len(_PARTS)) if index == 0 or len({row[index] for row in rows}) > 1]
    return tuple(_part(index, is_tuned=record.config.tune_rates) for index in shown)


def shared_text(record: SweepRecord) -> str:
    """What all candidates have in common, in words."""
    rows = [parts_of(result) for result in record.candidates]
    same = [rows[0][index] for index in range(1, 4) if len({row[index] for row in rows}) == 1]
    if record.config.tune_rates:
        same.append("learning rates tuned")
    elif len({row[4] for row in rows}) == 1:
        same.append(f"learning rate {rows[0][4]}")
    training = record.config.training
    return ", ".join([*same, f"{training.epochs} epochs", f"batches of {training.batch_size}"])


def figure_columns(record: SweepRecord) -> tuple[CandidateColumn, ...]:
    """Accuracy with its interval, how far it is behind, parameters and time."""
    behind = (
        [CandidateColumn("behind", True, behind_text)] if any(result.standing for result in record.candidates) else []
    )
    return (
        CandidateColumn("accuracy", True, accuracy_text),
        *behind,
        CandidateColumn("parameters", True, lambda result: count(result.parameters), spare=1),
        CandidateColumn("time", True, lambda result: seconds(result.train_s), spare=2),
    )


def front_column() -> CandidateColumn:
    """On which fronts a candidate lies: no other one is both more accurate and smaller, or quicker."""
    return CandidateColumn("front", False, lambda result: _FRONTS[result.on_front], spare=3)


def accuracy_text(result: CandidateResult) -> str:
    """The mean with half of its interval, both in percent: "98.45 ±0.07 %"."""
    accuracy = result.accuracy
    if accuracy is None:
        return UNKNOWN
    if accuracy.low is None:
        return percent(accuracy.mean)
    return f"{100 * accuracy.mean:.2f} ±{100 * (accuracy.mean - accuracy.low):.2f} %"


def behind_text(result: CandidateResult) -> str:
    """Points behind the best one, after ≈ if that may be the luck of the seeds."""
    standing = result.standing
    if standing is None:
        return ""
    if standing.verdict == "best":
        return "best"
    return f"{'≈ ' if standing.verdict == 'within noise' else ''}{100 * standing.gap:.2f}"


def name_of(result: CandidateResult) -> str:
    """A candidate by all of its parts."""
    *parts, rate = parts_of(result)
    return f"{' '.join(parts)} lr {rate}"


def candidates_table(
    columns: Sequence[CandidateColumn],
    results: Sequence[CandidateResult],
    tone_of: Callable[[CandidateResult], Tone],
    *,
    shared: str = "",
    legend: tuple[tuple[str, str], ...] = (),
    note: str = "",
) -> Table:
    """A row for each of `results`, without the columns that have no room on the console."""
    return Table(
        ident="candidates",
        caption="The candidates.",
        columns=tuple(Column(column.heading, column.is_number, spare=column.spare) for column in columns),
        rows=tuple(tuple(Cell(column.text(result), tone=tone_of(result)) for column in columns) for result in results),
        has_names=False,
        shared=shared,
        legend=legend,
        note=note,
        fit="drop",
    )


def _part(index: int, *, is_tuned: bool) -> CandidateColumn:
    if index == 0:
        return CandidateColumn("hidden", False, lambda result: "-".join(map(str, result.hidden)) or "none")
    is_rate = index == 4
    return CandidateColumn(
        _PARTS[index], is_rate, lambda result: parts_of(result)[index], spare=4 if is_rate and is_tuned else 0
    )
