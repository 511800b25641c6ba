"""Many seeds of one run: the progress of their training, a row a seed, and what they say together.

Seeds beyond the first rows are in the record; the mean, its interval and the total are of all of them.
"""

from __future__ import annotations

from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from accelmnist.core.records import EpochFigures, SeedSpread, TrialFigures, TrialsSummary
from accelmnist.show.theme import BAD, LABEL, STRONG, table
from accelmnist.show.units import UNKNOWN, fraction, percent, plural, rate, seconds

_MOST_ROWS = 12


class TrialsProgress:
    """A context manager around the training of `trials` seeds of `epochs` epochs: a bar, or plain lines in a pipe.

    The bar moves with every epoch; a line comes with every seed that is over. Like the bar of one training, it is drawn
    only when it is told something.
    """

    def __init__(self, trials: int, epochs: int, console: Console) -> None:
        self._trials, self._done, self._console = trials, 0, console
        self._bar = _make_bar(console) if console.is_terminal else None
        self._task = None if self._bar is None else self._bar.add_task("", total=trials * epochs, done=self._said())

    def __enter__(self) -> TrialsProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, _epoch: EpochFigures) -> None:
        """An epoch of one of the seeds is over."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=1, refresh=True)

    def trial_done(self, trial: TrialFigures) -> None:
        """A seed is over."""
        self._done += 1
        if self._bar is None or self._task is None:
            line = f"seed {trial.seed} ({self._said()}): {_came_of(trial)}"
            self._console.print(line, highlight=False, soft_wrap=True)
        else:
            self._bar.update(self._task, done=self._said(), refresh=True)

    def _said(self) -> str:
        return f"{self._done} of {self._trials}"


def _came_of(trial: TrialFigures) -> str:
    if trial.error is not None:
        return trial.error
    return f"test accuracy {percent(trial.accuracy)}, trained in {seconds(trial.train_s)}"


def _make_bar(console: Console) -> Progress:
    return Progress(
        TextColumn("training {task.fields[done]} seeds"),
        BarColumn(bar_width=None),
        TextColumn("epoch {task.completed}/{task.total}"),
        console=console,
        auto_refresh=False,
        expand=True,
    )


def format_trials(summary: TrialsSummary) -> RenderableType:
    """A row a seed, mean and interval below, what ended a seed early, and what all of them took."""
    errors = [Text(f"seed {trial.seed}: {trial.error}", style=BAD) for trial in summary.trials if trial.error]
    return Group(_table(summary), *errors, Text(total_text(summary), style=LABEL))


def _table(summary: TrialsSummary) -> Table:
    made = table(("seed", "left"), ("test accuracy", "right"), ("macro F1", "right"), ("training", "right"))
    shown = summary.trials[:_MOST_ROWS]
    for trial in shown:
        made.add_row(*row_of(trial))
    if len(summary.trials) > len(shown):
        made.add_row(Text(f"{len(summary.trials) - len(shown)} more", style=LABEL))
    made.add_section()
    for name, accuracy, macro_f1 in spread_rows(summary):
        made.add_row(name, accuracy, macro_f1, "", style=STRONG if name == "mean" else "")
    return made


def row_of(trial: TrialFigures) -> tuple[str, str, str, str]:
    """The cells of a seed."""
    return (str(trial.seed), percent(trial.accuracy), fraction(trial.macro_f1), seconds(trial.train_s))


def spread_rows(summary: TrialsSummary) -> list[tuple[str, str, str]]:
    """What the seeds say together, of accuracy and of macro F1: the mean, its interval, the deviation."""
    accuracy, macro_f1 = summary.accuracy, summary.macro_f1
    return [
        ("mean", percent(accuracy.mean if accuracy else None), fraction(macro_f1.mean if macro_f1 else None)),
        ("95 % interval", _interval(accuracy, 100, 2, " %"), _interval(macro_f1, 1, 4, "")),
        ("deviation", percent(accuracy.deviation if accuracy else None, digits=3), _deviation(macro_f1)),
    ]


def _interval(spread: SeedSpread | None, scale: float, digits: int, unit: str) -> str:
    if spread is None or spread.low is None or spread.high is None:
        return UNKNOWN
    return f"{scale * spread.low:.{digits}f} to {scale * spread.high:.{digits}f}{unit}"


def _deviation(spread: SeedSpread | None) -> str:
    return fraction(spread.deviation if spread else None, digits=5)


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
