"""The tables of a sweep: all candidates, and what each factor does."""

from __future__ import annotations

from accelmnist.show.document import Cell, Column, Table, Tone
from accelmnist.show.run_tables import number
from accelmnist.show.units import UNKNOWN, count, percent, seconds
from accelmnist.sweep.record import CandidateResult, Effect, Estimate, Level, SweepRecord

_TONES: dict[str, Tone] = {"best": "good", "within noise": "", "worse": "faint"}


def range_text(low: float, high: float) -> str:
    """An interval of a share: "96.29 to 96.99 %"."""
    return f"{100 * low:.2f} to {100 * high:.2f} %"


def candidates_table(record: SweepRecord) -> Table:
    """A row for each candidate."""
    ordered = [*record.ranked, *(result for result in record.candidates if result.rank is None)]
    return Table(
        ident="candidates",
        caption="All candidates, the most accurate first; the interval is that of the mean over the seeds.",
        columns=(
            Column("#", True),
            Column("network"),
            Column("activation"),
            Column("output"),
            Column("optimizer"),
            Column("learning rate", True),
            Column("parameters", True),
            Column("accuracy", True),
            Column("95 % interval", True),
            Column("training", True),
            Column("against the best"),
        ),
        rows=tuple(map(_candidate, ordered)),
        has_names=False,
    )


def _candidate(result: CandidateResult) -> tuple[Cell, ...]:
    estimate = result.accuracy
    tone = "" if result.standing is None else _TONES[result.standing.verdict]
    return (
        number(result.rank, "" if result.rank is None else str(result.rank)),
        Cell(result.network, result.parameters),
        Cell(result.activation),
        Cell(result.output),
        Cell(result.optimizer),
        number(result.learning_rate, UNKNOWN if result.learning_rate is None else f"{result.learning_rate:.3g}"),
        Cell(count(result.parameters), result.parameters),
        number(estimate.mean if estimate else None, percent(estimate.mean if estimate else None)),
        number(estimate.low if estimate else None, _interval(estimate)),
        number(result.train_s, seconds(result.train_s)),
        Cell(_standing(result), None if result.standing is None else result.standing.gap, tone),
    )


def _interval(estimate: Estimate | None) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return UNKNOWN
    return range_text(estimate.low, estimate.high)


def _standing(result: CandidateResult) -> str:
    if result.error is not None:
        return result.error
    if result.standing is None:
        return UNKNOWN
    if result.standing.verdict == "best":
        return "best"
    return f"{result.standing.verdict}, {100 * result.standing.gap:.2f} points less"


def effect_table(effect: Effect) -> Table:
    """What one factor does, a row for each of its values."""
    return Table(
        ident=f"effect-{effect.factor}",
        caption=f"By {effect.factor}, all else held: mean accuracy over the settings that all of them have in common.",
        columns=(
            Column(effect.factor),
            Column("accuracy", True),
            Column("less than the best", True),
            Column("95 % interval", True),
            Column("times the mistakes", True),
            Column("best in", True),
        ),
        rows=tuple(map(_level, effect.levels)),
    )


def _level(level: Level) -> tuple[Cell, ...]:
    interval = UNKNOWN
    if level.low is not None and level.high is not None:
        interval = f"{100 * level.low:.2f} to {100 * level.high:.2f} points"
    return (
        Cell(level.value),
        number(level.mean, percent(level.mean)),
        number(level.gap, f"{100 * level.gap:.2f} points"),
        number(level.low, interval),
        number(level.error_ratio, UNKNOWN if level.error_ratio is None else f"{level.error_ratio:.2f}"),
        Cell(f"{level.wins} of {level.settings}", level.wins / max(level.settings, 1)),
    )
