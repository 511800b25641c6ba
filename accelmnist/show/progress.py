"""The progress of training: a bar with the loss, the speed and the time left, or a plain line per epoch through a pipe.

rich's bar usually redraws itself ten times a second from a thread of its own. On a small machine that thread would take
time from the training it reports on, so here nothing is drawn but at the end of an epoch, when the training loop calls
`update` outside of its timed region.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from accelmnist.core.records import EpochFigures
from accelmnist.show.units import fraction, percent, rate, seconds


class TrainingProgress:
    """A context manager around the training loop, which calls `update` once an epoch.

    `total_epochs` counts those of an earlier part of the run as well, `accuracy_on` names the images whose accuracy an
    epoch tells; `clock` gives seconds and exists for tests.
    """

    def __init__(
        self,
        total_epochs: int,
        console: Console,
        *,
        accuracy_on: str = "training",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total_epochs
        self._accuracy_on = accuracy_on
        self._console = console
        self._clock = clock
        self._started = clock()
        self._updates = 0
        self._bar = _make_bar(console) if console.is_terminal else None
        self._task = None if self._bar is None else self._bar.add_task("training", total=total_epochs, figures="")

    def __enter__(self) -> TrainingProgress:
        self._started = self._clock()
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, epoch: EpochFigures) -> None:
        """Show that `epoch` is done."""
        self._updates += 1
        if self._bar is None or self._task is None:
            self._console.print(self._line(epoch), highlight=False, soft_wrap=True)
        else:
            self._bar.update(self._task, completed=epoch.epoch, figures=self._figures(epoch), refresh=True)

    def _line(self, epoch: EpochFigures) -> str:
        scores = f"loss {fraction(epoch.train_loss)}, {self._accuracy_on} accuracy {percent(epoch.accuracy)}"
        return f"epoch {epoch.epoch}/{self._total}: {scores}, {seconds(epoch.train_s)}, {rate(epoch.images_per_s)}"

    def _figures(self, epoch: EpochFigures) -> str:
        left = f"{seconds(self._time_left(epoch))} left" if epoch.epoch < self._total else "done"
        return f"loss {fraction(epoch.train_loss)}  {rate(epoch.images_per_s)}  {left}"

    def _time_left(self, epoch: EpochFigures) -> float:
        """What the remaining epochs take at the mean pace so far, evaluation and all."""
        pace = (self._clock() - self._started) / self._updates
        return (self._total - epoch.epoch) * pace


def _make_bar(console: Console) -> Progress:
    return Progress(
        TextColumn("epoch {task.completed}/{task.total}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[figures]}"),
        console=console,
        auto_refresh=False,
        expand=True,
    )
