"""What is wanted of a sweep, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from accelmnist.core.records import RunRecord
from accelmnist.data.types import ImageSet
from accelmnist.engines.model import MLP
from accelmnist.sweep.plan import SweepConfig
from accelmnist.sweep.record import SweepRecord
from accelmnist.training.reference.scores import Oracle, score_here


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """What is wanted of a sweep. `folder` None saves nothing; `record` is a stopped sweep to go on with.

    `workers` trainings go on side by side, as many as there are threads if it is None. `on_stopped` gets the record of
    a sweep that ends without a result; `on_trained`, `on_evaluated` and `oracle` are those of the winner's run.
    """

    config: SweepConfig
    folder: Path | None = None
    record: SweepRecord | None = None
    workers: int | None = None
    should_stop: Callable[[], bool] = lambda: False
    on_trained: Callable[[], None] = lambda: None
    on_stopped: Callable[[SweepRecord], None] = lambda _record: None
    oracle: Oracle = score_here
    on_evaluated: Callable[[RunRecord, MLP, ImageSet], None] = lambda *_: None


@dataclass(frozen=True)
class SweepOutcome:
    """The record of the sweep, and that of its winner's run; None if no training came to its end."""

    record: SweepRecord
    winner: RunRecord | None
