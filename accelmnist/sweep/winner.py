"""The winner's own run: on all training images, from the first seed, as `accelmnist run` would do it, verdict included.

It was chosen, so its validation accuracy is a little too good to be true. What the test set says of it is not: this is
the one time that a network of the sweep meets it. It is one network, not a mean over seeds; the interval is that of the
10,000 images (Wilson's).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from accelmnist.core.config import RunConfig
from accelmnist.core.errors import StoppedError
from accelmnist.core.metrics import wilson_interval
from accelmnist.core.records import EpochFigures, RunRecord
from accelmnist.data.types import ImageSet
from accelmnist.engines.model import MLP
from accelmnist.sweep.observer import SweepObserver
from accelmnist.sweep.plan import SweepConfig
from accelmnist.sweep.record import CandidateResult, Winner
from accelmnist.training.reference.scores import Oracle
from accelmnist.training.runner import RunRequest, execute
from accelmnist.training.setup import choose_setup


@dataclass(frozen=True, kw_only=True)
class WinnerRequest:
    """The best candidate, and what its run is to tell whom."""

    config: SweepConfig
    best: CandidateResult
    folder: Path | None
    oracle: Oracle
    should_stop: Callable[[], bool]
    on_trained: Callable[[], None]
    on_evaluated: Callable[[RunRecord, MLP, ImageSet], None]


def winner_config(config: SweepConfig, best: CandidateResult) -> RunConfig:
    """The run of the winner: nothing is held out."""
    assert best.learning_rate is not None
    seed = config.training.seed
    made = config.run_config(best.candidate, learning_rate=best.learning_rate, seed=seed)
    execution = replace(made.execution, engine=best.engine)
    return replace(made, data=replace(made.data, validation=0), execution=execution)


def retrain_winner(request: WinnerRequest, observer: SweepObserver) -> tuple[Winner, RunRecord]:
    """Train and judge the winner; raises StoppedError where the user stopped it, and what a run raises."""
    config = winner_config(request.config, request.best)
    run_request = RunRequest(
        config=config,
        folder=request.folder,
        save_every=0,
        should_stop=request.should_stop,
        on_trained=request.on_trained,
        oracle=request.oracle,
        on_evaluated=request.on_evaluated,
    )
    record = execute(run_request, choose_setup(config), _Forwarding(observer)).record
    if record.status != "done":
        raise StoppedError(f"the winner's training {record.message}")
    return _winner(request, record), record


def _winner(request: WinnerRequest, record: RunRecord) -> Winner:
    metrics = record.metrics
    assert metrics is not None
    assert record.data is not None
    right = sum(row[label] for label, row in enumerate(metrics.confusion_matrix))
    low, high = wilson_interval(right, metrics.images)
    return Winner(
        candidate=request.best.candidate,
        seed=record.config.training.seed,
        training_images=record.data.training_images,
        train_s=record.timing.train_s,
        folder=None if request.folder is None else request.folder.name,
        metrics=metrics,
        low=low,
        high=high,
        verdict=record.verdict,
    )


class _Forwarding:
    """A run's observer that tells the sweep's what stage it is at."""

    def __init__(self, observer: SweepObserver) -> None:
        self._observer = observer

    def planned(self, record: RunRecord) -> None:
        """The sweep has planned already."""

    def stage(self, what: str) -> None:
        """Tell of it as the winner's."""
        self._observer.stage(f"the winner: {what}")

    def training_begins(self) -> None:
        """Its stage is told."""

    def epoch_done(self, figures: EpochFigures) -> None:  # noqa: ARG002 - the stage is enough
        """Let the display go on."""
        self._observer.epoch_done()
