"""Tells a person what a run is doing, as it does it: the plan, the progress, the stages after training."""

from __future__ import annotations

import contextlib
from types import TracebackType

from rich.console import Console

from accelmnist.results import EpochFigures, RunRecord
from accelmnist.show.plan import print_plan
from accelmnist.show.progress import TrainingProgress
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


class ConsoleObserver:
    """Prints the plan, the progress of the epochs, and a line for every stage; a context manager around the run."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._open = contextlib.ExitStack()
        self._progress: TrainingProgress | None = None

    def __enter__(self) -> ConsoleObserver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def planned(self, record: RunRecord) -> None:
        """Print what will run and why."""
        print_plan(record, self._console)
        validates = record.data is not None and record.data.validation_images > 0
        self._progress = TrainingProgress(
            record.config.training.epochs, self._console, accuracy_on="validation" if validates else "training"
        )

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
