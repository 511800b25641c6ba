"""What is wanted of a run, what comes of it, and who is told what happens in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from accelmnist.core.config import RunConfig
from accelmnist.core.records import EpochFigures, RunRecord
from accelmnist.data.types import Dataset, ImageSet
from accelmnist.engines.model import MLP
from accelmnist.training.checkpoint import Checkpoint
from accelmnist.training.head_start.training import HeadStart
from accelmnist.training.reference.scores import Oracle, score_here


class Observer(Protocol):
    """Who is told what happens in a run."""

    def planned(self, record: RunRecord) -> None:
        """All choices are made; training is about to begin."""

    def stage(self, what: str) -> None:
        """The run goes on to `what`, before or after the epochs."""

    def training_begins(self) -> None:
        """The first epoch is about to begin."""

    def epoch_done(self, figures: EpochFigures) -> None:
        """An epoch is over."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What is wanted of a run. `folder` None saves nothing; `checkpoint` is where a stopped run goes on.

    `head_start` has the images and the first epochs of a run that began before torch was there.

    `load` gives the data set, which may be on its way already; None loads it when it is needed.
    `on_trained` is told when the last epoch is over, `on_stopped` gets the record of a run that ends without a result.
    `oracle` begins to score (labels, predictions) and returns the function that gives the result; `on_evaluated` is
    told the record with its metrics, the network and the test images, before the verdict. `profile` has some steps
    profiled when all figures are taken, so that it changes none. `since_start` tells the age of the
    process in seconds.
    """

    config: RunConfig
    folder: Path | None = None
    save_every: int = 1
    repeat_on_reference: bool = True
    profile: bool = False
    checkpoint: Checkpoint | None = None
    head_start: HeadStart | None = None
    import_s: float | None = None
    load: Callable[[], Dataset] | None = None
    since_start: Callable[[], float | None] = lambda: None
    should_stop: Callable[[], bool] = lambda: False
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
