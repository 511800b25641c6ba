"""Many seeds of one run: a row a seed, and what they say together, on the page and in trials.md.

A console shows the first rows and leaves the other seeds to the record; the mean, its interval and the total are of
all of them.
"""

from __future__ import annotations

from accelmnist.core.records import RunRecord, SeedSpread, TrialFigures, TrialsSummary
from accelmnist.show.document import Block, Cell, Column, Document, Points, Section, Table, Text
from accelmnist.show.units import UNKNOWN, fraction, percent, plural, rate, seconds

_MOST_ROWS = 12


def trials_blocks(summary: TrialsSummary) -> tuple[Block, ...]:
    """A row a seed, mean and interval below, what ended a seed early, and what all of them took."""
    return (_table(summary), *_errors(summary), Text(text=total_text(summary), tone="faint"))


def trials_note(record: RunRecord, summary: TrialsSummary) -> Document:
    """The seeds of a run for a report or an issue: the sentence, a row a seed, mean and interval."""
    sentence = f"{record.config.model}{_where(record)}: {total_text(summary)}."
    errors = _errors(summary)
    points = (Points(items=tuple(error.text for error in errors)),) if errors else ()
    return Document((Section(title="", blocks=(Text(text=sentence), _table(summary), *points)),))


def _where(record: RunRecord) -> str:
    """On what it ran, with what, when."""
    environment = record.environment
    if environment is None:
        return ""
    return f" on {environment.hardware}, torch {environment.torch}, {record.created[:10]}"


def _errors(summary: TrialsSummary) -> tuple[Text, ...]:
    return tuple(Text(text=f"seed {trial.seed}: {trial.error}", tone="bad") for trial in summary.trials if trial.error)


def _table(summary: TrialsSummary) -> Table:
    return Table(
        ident="trials",
        caption="All seeds.",
        columns=(
            Column("seed"),
            Column("test accuracy", True),
            Column("macro F1", True),
            Column("training", True),
        ),
        rows=tuple(map(_row, summary.trials)),
        totals=_spread_rows(summary),
        most_on_screen=_MOST_ROWS,
    )


def _row(trial: TrialFigures) -> tuple[Cell, ...]:
    figures = (percent(trial.accuracy), fraction(trial.macro_f1), seconds(trial.train_s))
    return tuple(map(Cell, (str(trial.seed), *figures)))


def _spread_rows(summary: TrialsSummary) -> tuple[tuple[Cell, ...], ...]:
    """What the seeds say together, of accuracy and of macro F1: the mean, its interval, the deviation."""
    accuracy, macro_f1 = summary.accuracy, summary.macro_f1
    mean = (percent(accuracy.mean if accuracy else None), fraction(macro_f1.mean if macro_f1 else None))
    interval = (_interval(accuracy, 100, 2, " %"), _interval(macro_f1, 1, 4, ""))
    deviations = [None if spread is None else spread.deviation for spread in (accuracy, macro_f1)]
    deviation = (percent(deviations[0], digits=3), fraction(deviations[1], digits=5))
    return (
        tuple(Cell(text, tone="strong") for text in ("mean", *mean, "")),
        tuple(map(Cell, ("95 % interval", *interval, ""))),
        tuple(map(Cell, ("deviation", *deviation, ""))),
    )


def _interval(spread: SeedSpread | None, scale: float, digits: int, unit: str) -> str:
    if spread is None or spread.low is None or spread.high is None:
        return UNKNOWN
    return f"{scale * spread.low:.{digits}f} to {scale * spread.high:.{digits}f}{unit}"


def total_text(summary: TrialsSummary) -> str:
    """How long all of them took, and how fast that was together."""
    done = len(summary.trials)
    of = "" if done == summary.planned else f" of {summary.planned}"
    together = f"{done}{of} seeds" if of else plural(done, "seed")
    return f"{together} in {seconds(summary.total_s)}, {rate(summary.images_per_s)} together; interval of the mean by t"


def mean_text(summary: TrialsSummary) -> str:
    """The mean accuracy of the seeds, with the arm of its interval: for a line of a log."""
    spread = summary.accuracy
    if spread is None:
        return f"no result of {plural(summary.planned, 'seed')}"
    arm = "" if spread.high is None else f" ± {100 * (spread.high - spread.mean):.2f}"
    return f"{plural(len(summary.trials), 'seed')}: mean {100 * spread.mean:.2f}{arm} %"
