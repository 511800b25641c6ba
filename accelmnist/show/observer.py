"""Tells a person what a run is doing, as it does it: the plan, the progress, the stages after training."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from accelmnist.core.records import EpochFigures, RunRecord, TrialFigures
from accelmnist.show.render.console import print_document
from accelmnist.show.run_tables import plan_page
from accelmnist.show.theme import LABEL
from accelmnist.show.units import fraction, percent, rate, seconds
from accelmnist.training.run import Observer


class _EpochsBar:
    """A context manager around training: a bar on a terminal, nothing of its own through a pipe."""

    def __init__(self, console: Console, *, before: str, after: str, total: int, **fields: str) -> None:
        self._console = console
        columns = (TextColumn(before), BarColumn(bar_width=None), TextColumn(after))
        self._bar = Progress(*columns, console=console, auto_refresh=False, expand=True)
        self._is_drawn = console.is_terminal
        self._task = self._bar.add_task("", total=total, **fields)  # type: ignore[arg-type]

    def __enter__(self) -> Self:
        if self._is_drawn:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_drawn:
            self._bar.stop()

    def _show(self, line: str, *, completed: int | None = None, **fields: Any) -> None:
        """Draw the bar anew, or print the `line` that stands for it through a pipe."""
        if self._is_drawn:
            self._bar.update(self._task, completed=completed, refresh=True, **fields)
        elif line:
            self._console.print(line, highlight=False, soft_wrap=True)


class TrainingProgress(_EpochsBar):
    """The progress of one training, whose loop calls `update` once an epoch.

    `total_epochs` counts those of an earlier part of the run as well, `accuracy_on` names the images whose accuracy is
    told of an epoch; `clock` gives seconds and exists for tests.
    """

    def __init__(
        self,
        total_epochs: int,
        console: Console,
        *,
        accuracy_on: str = "training",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            console,
            before="epoch {task.completed}/{task.total}",
            after="{task.fields[figures]}",
            total=total_epochs,
            figures="",
        )
        self._total, self._accuracy_on, self._clock = total_epochs, accuracy_on, clock
        self._updates = 0

    def __enter__(self) -> Self:
        self._started = self._clock()
        return super().__enter__()

    def update(self, epoch: EpochFigures) -> None:
        """Show that `epoch` is done."""
        self._updates += 1
        loss, speed = f"loss {fraction(epoch.train_loss)}", rate(epoch.images_per_s)
        scores = f"{loss}, {self._accuracy_on} accuracy {percent(epoch.accuracy)}"
        line = f"epoch {epoch.epoch}/{self._total}: {scores}, {seconds(epoch.train_s)}, {speed}"
        pace_s = (self._clock() - self._started) / self._updates  # the mean so far, evaluation and all
        left_s = (self._total - epoch.epoch) * pace_s
        left = f"{seconds(left_s)} left" if epoch.epoch < self._total else "done"
        self._show(line, completed=epoch.epoch, figures=f"{loss}  {speed}  {left}")


class TrialsProgress(_EpochsBar):
    """The progress of `trials` seeds of `epochs` epochs: the bar moves with every epoch, a line comes with a seed."""

    def __init__(self, trials: int, epochs: int, console: Console) -> None:
        self._trials, self._done, self._epochs_done = trials, 0, 0
        super().__init__(
            console,
            before="training {task.fields[done]} seeds",
            after="epoch {task.completed}/{task.total}",
            total=trials * epochs,
            done=self._count(),
        )

    def update(self, _epoch: EpochFigures) -> None:
        """Show that an epoch of one of the seeds is over."""
        self._epochs_done += 1
        self._show("", completed=self._epochs_done)

    def trial_done(self, trial: TrialFigures) -> None:
        """Show that a seed is over."""
        self._done += 1
        outcome = f"test accuracy {percent(trial.accuracy)}, trained in {seconds(trial.train_s)}"
        self._show(f"seed {trial.seed} ({self._count()}): {trial.error or outcome}", done=self._count())

    def _count(self) -> str:
        return f"{self._done} of {self._trials}"


class SilentObserver(Observer):
    """Says nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""


class ConsoleObserver(SilentObserver):
    """Prints the plan, the progress of the epochs, and a line for every stage; a context manager around the run."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._open = contextlib.ExitStack()
        self._progress: TrainingProgress | TrialsProgress | None = None

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def planned(self, record: RunRecord) -> None:
        """Print what will run and why."""
        print_document(plan_page(record), self._console)
        epochs = record.config.training.epochs
        if record.trials is not None:
            self._progress = TrialsProgress(record.trials.planned, epochs, self._console)
            return
        validates = record.data is not None and record.data.validation_images > 0
        accuracy_on = "validation" if validates else "training"
        self._progress = TrainingProgress(epochs, self._console, accuracy_on=accuracy_on)

    def training_begins(self) -> None:
        """Open the progress."""
        assert self._progress is not None
        self._open.enter_context(self._progress)

    def stage(self, what: str) -> None:
        """Close the progress if it is open, and print what comes now."""
        self._open.close()
        self._console.print(f"… {what}", style=LABEL)

    def epoch_done(self, figures: EpochFigures) -> None:
        """Move the progress on."""
        assert self._progress is not None
        self._progress.update(figures)

    def trial_done(self, figures: TrialFigures) -> None:
        """Move the progress of many seeds on."""
        assert isinstance(self._progress, TrialsProgress)
        self._progress.trial_done(figures)
