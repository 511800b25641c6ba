"""The cells of a candidate's row, the same while a sweep runs and at its end.

Only the parts of a candidate that differ have a column. A figure that isn't known yet is a dash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from accelmnist.show.units import UNKNOWN, count, percent, seconds
from accelmnist.sweep.naming import parts_of
from accelmnist.sweep.record import CandidateResult, SweepRecord

_PARTS = ("network", "activation", "output", "optimizer", "rate")


@dataclass(frozen=True)
class Column:
    """A heading, whether its cells are numbers, and the cell of a candidate."""

    heading: str
    is_number: bool
    cell: Callable[[CandidateResult], str]


def varying_columns(record: SweepRecord) -> tuple[Column, ...]:
    """A column for the network and for every other part that has several values."""
    rows = [parts_of(result) for result in record.candidates]
    shown = [place for place in range(len(_PARTS)) if place == 0 or len({row[place] for row in rows}) > 1]
    return tuple(_part(place) for place in shown)


def shared_text(record: SweepRecord) -> str:
    """What all candidates have in common, in words."""
    rows = [parts_of(result) for result in record.candidates]
    same = [rows[0][place] for place in range(1, len(_PARTS)) if len({row[place] for row in rows}) == 1]
    if len({row[4] for row in rows}) == 1:
        same[-1] = f"learning rate {same[-1]}"
    training = record.config.training
    return ", ".join([*same, f"{training.epochs} epochs", f"batches of {training.batch_size}"])


def figure_columns(record: SweepRecord) -> tuple[Column, ...]:
    """Accuracy with its interval, how it stands, parameters and time."""
    settled = any(result.standing for result in record.candidates)
    figures = [
        Column("accuracy", True, lambda result: percent(result.accuracy.mean if result.accuracy else None)),
        Column("±", True, half_width),
        Column("to the best", False, standing_text),
        Column("parameters", True, lambda result: count(result.parameters)),
        Column("trains in", True, lambda result: seconds(result.train_s)),
    ]
    return tuple(column for column in figures if settled or column.heading not in ("±", "to the best"))


def half_width(result: CandidateResult) -> str:
    """Of the 95 % interval, in percentage points."""
    accuracy = result.accuracy
    if accuracy is None or accuracy.high is None:
        return UNKNOWN
    return f"{100 * (accuracy.high - accuracy.mean):.2f}"


def standing_text(result: CandidateResult) -> str:
    """How far it is behind the best one in points, or that this may be chance."""
    standing = result.standing
    if standing is None:
        return ""
    if standing.verdict == "best":
        return "best"
    gap = f"−{100 * standing.gap:.2f}"
    return f"{gap} noise" if standing.verdict == "within noise" else gap


def front_text(result: CandidateResult) -> str:
    """On which fronts it lies: no other one is both more accurate and cheaper."""
    return ", ".join(result.on_front)


def cells(columns: Sequence[Column], result: CandidateResult) -> list[str]:
    """One row."""
    return [column.cell(result) for column in columns]


def _part(place: int) -> Column:
    return Column(_PARTS[place], place == 4, lambda result: parts_of(result)[place])
