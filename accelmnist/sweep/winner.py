"""The winner's own run: on all training images, from the first seed, as `accelmnist run` would do it, verdict included.

It was chosen, so its validation accuracy is a little too good to be true. The test set's is not: this is the one time
that a network of the sweep meets it. It is one network, not a mean over seeds; the interval is that of the 10,000
images (Wilson's).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from accelmnist.core.config import RunConfig
from accelmnist.core.errors import StoppedError
from accelmnist.core.metrics import wilson_interval
from accelmnist.core.records import EpochFigures, RunRecord
from accelmnist.sweep.observer import SweepObserver
from accelmnist.sweep.plan import SweepConfig
from accelmnist.sweep.record import CandidateResult, Winner
from accelmnist.sweep.start import SweepRequest
from accelmnist.training.execute import execute
from accelmnist.training.run import RunRequest
from accelmnist.training.setup import choose_setup


def retrain_winner(
    request: SweepRequest, sweep: SweepConfig, best: CandidateResult, observer: SweepObserver, *, folder: Path | None
) -> tuple[Winner, RunRecord]:
    """Train and judge the winner, saved into `folder`; raises StoppedError if the user stopped it, and a run's errors.

    `sweep` is the configuration as it was settled, `request` says whom the run tells what.
    """
    config = _winner_config(sweep, best)
    run_request = RunRequest(
        config=config,
        folder=folder,
        save_every=0,
        should_stop=request.should_stop,
        on_trained=request.on_trained,
        oracle=request.oracle,
        on_evaluated=request.on_evaluated,
    )
    run = execute(run_request, choose_setup(config), lambda: _Forwarding(observer)).record
    if run.status != "done":
        raise StoppedError(f"the winner's training {run.message}")
    return _winner(best, run, folder), run


def _winner_config(sweep: SweepConfig, best: CandidateResult) -> RunConfig:
    """The run of the winner: nothing is held out."""
    assert best.learning_rate is not None
    seed = sweep.training.seed
    config = sweep.run_config(best.candidate, learning_rate=best.learning_rate, seed=seed, engine=best.engine)
    return replace(config, data=replace(config.data, validation=0))


def _winner(best: CandidateResult, run: RunRecord, folder: Path | None) -> Winner:
    metrics = run.metrics
    assert metrics is not None
    assert run.data is not None
    right = sum(row[label] for label, row in enumerate(metrics.confusion_matrix))
    low, high = wilson_interval(right, metrics.images)
    return Winner(
        candidate=best.candidate,
        seed=run.config.training.seed,
        training_images=run.data.training_images,
        train_s=run.timing.train_s,
        folder=None if folder is None else folder.name,
        metrics=metrics,
        low=low,
        high=high,
        verdict=run.verdict,
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
