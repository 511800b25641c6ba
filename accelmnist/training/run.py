"""What is wanted of a run, who is told what happens in it, and what every run has: its images and its record.

A run is train, then prove: `execute` trains once, `sweep/trials` many times at once, and both prove by `proof`. Nothing
is printed: an `Observer` is told what happens. Nothing that was measured is lost: whatever ends a run early, the record
is saved with its status first.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from accelmnist.core.config import RunConfig
from accelmnist.core.records import EpochFigures, RunRecord, Status
from accelmnist.data.split import RunImages, load_images
from accelmnist.data.types import Dataset, ImageSet
from accelmnist.device import memory_errors, set_threads
from accelmnist.device.environment import describe_environment
from accelmnist.device.loading import load_torch
from accelmnist.training.early_exit import record_early_exit
from accelmnist.training.record_writer import RecordWriter
from accelmnist.training.reference.scores import Oracle, score_here
from accelmnist.training.setup import Setup

if TYPE_CHECKING:
    from accelmnist.engines.model import MLP
    from accelmnist.training.checkpoint import Checkpoint

_REMEDY = "Try a smaller --batch-size or --hidden, or another --device"


class Observer(Protocol):
    """Who is told what happens in a run."""

    def planned(self, record: RunRecord) -> None:
        """All choices are made; training is about to begin, or was quick and is over."""

    def stage(self, what: str) -> None:
        """The run goes on to `what`, before or after the epochs."""

    def training_begins(self) -> None:
        """The first epoch is about to begin."""

    def epoch_done(self, figures: EpochFigures) -> None:
        """An epoch is over."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What is wanted of a run. `folder` None saves nothing; `checkpoint` is where a stopped run goes on.

    `import_s` is what importing torch took, if that came before the run; `load` gives the data set, which may be on its
    way already; None loads it when it is needed. `since_start` tells the age of the process in seconds.

    `on_loading` is told before torch is loaded, `on_answer` the accuracy on the test set where it is known before that,
    `on_trained` when the last epoch is over; `on_stopped` gets the record of a run that ends without a result. `oracle`
    begins to score (labels, predictions) and returns the function that gives the result; `on_evaluated` is told the
    record with its metrics, the network and the test images, before the verdict. `profile` has some steps profiled when
    all figures are taken, so that it changes none.
    """

    config: RunConfig
    folder: Path | None = None
    save_every: int = 1
    repeat_on_reference: bool = True
    profile: bool = False
    checkpoint: Checkpoint | None = None
    import_s: float | None = None
    load: Callable[[], Dataset] | None = None
    since_start: Callable[[], float | None] = lambda: None
    should_stop: Callable[[], bool] = lambda: False
    on_loading: Callable[[], None] = lambda: None
    on_answer: Callable[[float], None] = lambda _accuracy: None
    on_trained: Callable[[], None] = lambda: None
    on_stopped: Callable[[RunRecord], None] = lambda _record: None
    oracle: Oracle = score_here
    on_evaluated: Callable[[RunRecord, MLP, ImageSet], None] = lambda *_: None


@dataclass(frozen=True)
class RunOutcome:
    """A run's record, and what the pictures are made of."""

    record: RunRecord
    model: MLP
    test: ImageSet


class Run:
    """What every run has: `writer` holds the record as it grows, `images` are those that it loads.

    `observe` makes the observer when the run opens, which is when it first shows and saves itself. A run that `waits`
    opens late: until then neither torch nor what shows it is loaded.
    """

    images: RunImages
    observer: Observer

    def __init__(
        self, request: RunRequest, setup: Setup, observe: Callable[[], Observer], *, waits: bool = False
    ) -> None:
        self.request, self.setup, self.config = request, setup, setup.config
        self.waits, self.is_open = waits, False
        self._observe = observe
        record = RunRecord(
            created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            config=self.config,
            choices=setup.choices,
            parameters=self.config.model.parameters,
        )
        self.writer = RecordWriter(record, on_stopped=request.on_stopped)
        self.writer.time(import_s=request.import_s)

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Within: whatever ends the run early, the record is saved with its status first."""
        with record_early_exit(self._stop), memory_errors(self.setup.device, _REMEDY):
            yield

    def _stop(self, status: Status, message: str) -> None:
        if status == "diverged" and not self.is_open:
            self.open()
        if self.writer.record.environment is None:
            self.writer.change(environment=describe_environment(self.setup.device))
        self.writer.stop(status, message)

    def load(self) -> None:
        """Load the images, and meanwhile torch, unless the run waits."""
        from accelmnist.data.mnist import load_in_background

        config = self.config
        load = self.request.load or load_in_background(config.data, seed=config.training.seed)
        if not self.waits:
            self.load_torch()
        started = time.perf_counter()
        self.images = load_images(config, load)
        self.writer.time(load_s=time.perf_counter() - started)
        self.writer.change(data=self.images.summary)

    def load_torch(self) -> None:
        """Load torch, unless it is there, and give it the run's threads."""
        if "torch" not in sys.modules:
            self.request.on_loading()
            self.writer.time(import_s=load_torch())
        set_threads(self.config.execution.threads)

    def open(self) -> None:
        """Show the run and save its record, from now on after every change; raises OutputError."""
        self.load_torch()
        self.is_open = True
        self.writer.change(environment=describe_environment(self.setup.device))
        self.writer.open(self.request.folder)
        self.observer = self._observe()
        self.observer.planned(self.writer.record)
        self.writer.save()
