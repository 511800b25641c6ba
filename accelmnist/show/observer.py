"""Tells a person what a run is doing, as it does it: the plan, the progress, the stages after training."""

from __future__ import annotations

import contextlib
from types import TracebackType

from rich.console import Console

from accelmnist.core.records import EpochFigures, RunRecord, TrialFigures
from accelmnist.show.plan import plan_page
from accelmnist.show.progress import TrainingProgress, TrialsProgress
from accelmnist.show.render.console import print_document
from accelmnist.show.theme import LABEL


class SilentObserver:
    """Says nothing."""

    def __enter__(self) -> SilentObserver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""

    def planned(self, record: RunRecord) -> None:
        """Say nothing."""

    def stage(self, what: str) -> None:
        """Say nothing."""

    def training_begins(self) -> None:
        """Say nothing."""

    def epoch_done(self, figures: EpochFigures) -> None:
        """Say nothing."""

    def trial_done(self, figures: TrialFigures) -> None:
        """Say nothing."""


class ConsoleObserver:
    """Prints the plan, the progress of the epochs, and a line for every stage; a context manager around the run."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._open = contextlib.ExitStack()
        self._progress: TrainingProgress | TrialsProgress | None = None

    def __enter__(self) -> ConsoleObserver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        """Close the progress where it is open, and print what comes now."""
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
