"""The table of candidates, the same while a sweep runs and at its end.

Only the parts of a candidate that differ have a column, and only the columns that fit on the console are shown: of
those that can be spared the first goes first. A figure that isn't known yet is a dash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from accelmnist.show.document import Cell, Column, Table, Tone
from accelmnist.show.units import UNKNOWN, count, percent, seconds
from accelmnist.sweep.record import CandidateResult, SweepRecord, parts_of

CandidateColumn = tuple[Column, Callable[[CandidateResult], str]]  # and its cell of a candidate

_PARTS = ("hidden", "activation", "output", "optimizer", "lr")
_LEARNING_RATE = _PARTS.index("lr")
_FRONTS = {(): "", ("parameters",): "size", ("time",): "time", ("parameters", "time"): "both"}
# On which fronts a candidate lies: no other one is both more accurate and smaller, or quicker.
FRONT: CandidateColumn = (Column("front", spare=3), lambda result: _FRONTS[result.on_front])


def candidates_table(
    record: SweepRecord,
    results: Sequence[CandidateResult],
    tone_of: Callable[[CandidateResult], Tone],
    *,
    last: CandidateColumn,
    legend: tuple[tuple[str, str], ...] = (),
    note: str = "",
) -> Table:
    """A row for each of `results`: rank, what differs, accuracy with its interval, distance, costs, and `last`."""
    behind: list[CandidateColumn] = [(Column("behind", True), behind_text)]
    columns: tuple[CandidateColumn, ...] = (
        (Column("#", True), lambda result: str(result.rank or "")),
        *_varying(record),
        (Column("accuracy", True), accuracy_text),
        *(behind if any(result.standing for result in record.candidates) else []),
        (Column("parameters", True, spare=1), lambda result: count(result.parameters)),
        (Column("time", True, spare=2), lambda result: seconds(result.train_s)),
        last,
    )
    return Table(
        ident="candidates",
        caption="The candidates.",
        columns=tuple(column for column, _ in columns),
        rows=tuple(tuple(Cell(text(result), tone=tone_of(result)) for _, text in columns) for result in results),
        has_names=False,
        shared=shared_text(record) if legend else "",
        legend=legend,
        note=note,
        fit="drop",
    )


def _varying(record: SweepRecord) -> tuple[CandidateColumn, ...]:
    """A column for the hidden layers and for every other part that has several values."""
    rows = [parts_of(result) for result in record.candidates]
    varying = [index for index in range(1, len(_PARTS)) if len({row[index] for row in rows}) > 1]
    hidden: CandidateColumn = (Column("hidden"), lambda result: "-".join(map(str, result.hidden)) or "none")
    return hidden, *(_part(index, is_tuned=record.config.tune_rates) for index in varying)


def _part(index: int, *, is_tuned: bool) -> CandidateColumn:
    is_rate = index == _LEARNING_RATE
    column = Column(_PARTS[index], is_rate, spare=4 if is_rate and is_tuned else 0)
    return column, lambda result: parts_of(result)[index]


def shared_text(record: SweepRecord) -> str:
    """What all candidates have in common, in words."""
    rows = [parts_of(result) for result in record.candidates]
    same = [rows[0][index] for index in range(1, _LEARNING_RATE) if len({row[index] for row in rows}) == 1]
    if record.config.tune_rates:
        same.append("learning rates tuned")
    elif len({row[_LEARNING_RATE] for row in rows}) == 1:
        same.append(f"learning rate {rows[0][_LEARNING_RATE]}")
    training = record.config.training
    return ", ".join([*same, f"{training.epochs} epochs", f"batches of {training.batch_size}"])


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
