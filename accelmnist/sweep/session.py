"""One sweep from its configuration to its record, in the order in which it happens.

    split     a part of the training images is held out, by class in proportion: the only ones that judge
    tune      a learning rate for each candidate, if that is asked for
    compare   every candidate from every seed
    conclude  means, noise, ranks; the winner is the candidate with the best mean
    winner    the winner trains once more on all training images, as `accelmnist run` would, and meets the test set
The test images are not touched before the last step. It prints nothing: an observer is told what happens. The record is
saved after every training, so that nothing is lost, whatever ends it early.

The winner was chosen, so its validation accuracy is a little too good to be true. The test set's is not: this is the
one time that a network of the sweep meets it. It is one network, not a mean over seeds; the interval is that of the
10,000 images (Wilson's).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from accelmnist.core.errors import OutputError, StoppedError
from accelmnist.core.files import make_folder
from accelmnist.core.metrics import wilson_interval
from accelmnist.core.records import EpochFigures, RunRecord, Status
from accelmnist.data.mnist import load_in_background
from accelmnist.data.split import split_validation
from accelmnist.sweep.conclusion import best_of, conclude, with_tuned_rates
from accelmnist.sweep.observer import SweepObserver
from accelmnist.sweep.record import WINNER_FOLDER, CandidateResult, SweepRecord, SweepTrial, Winner, save_sweep
from accelmnist.sweep.schedule import PlannedTrial, comparison_left, trainings_done, trainings_planned, tuning_left
from accelmnist.sweep.start import SweepOutcome, SweepRequest, first_record, sweep_setup
from accelmnist.sweep.trials import Trial, TrialData, TrialResult, train_trials
from accelmnist.training.execute import execute
from accelmnist.training.run import RunRequest, choose_setup, record_early_exit


def execute_sweep(request: SweepRequest, observer: SweepObserver) -> SweepOutcome:
    """Run the whole sweep; raises StoppedError after a stop that was asked for, with the record saved.

    Raises ConfigError and DeviceError for what can't run here, DataError, OutputError.
    """
    return _Session(request, observer).execute()


class _Session:
    """A sweep under way: its parts in their order, and its record, which is concluded and saved after each training."""

    def __init__(self, request: SweepRequest, observer: SweepObserver) -> None:
        self.request, self.observer = request, observer
        self.started = time.monotonic()
        config = request.record.config if request.record else request.config
        dataset = load_in_background(config.data, seed=config.training.seed)()
        self.training = dataset.train  # the test split is let go of unread
        self.setup = sweep_setup(config)
        self.record = first_record(request, self.setup, dataset)
        self.spent_before_s = self.record.elapsed_s
        self.config = self.record.config
        self.folder: Path | None = None  # from when there is something to save

    def execute(self) -> SweepOutcome:
        """From beginning to end; whatever ends it early, the record is concluded and saved first."""
        with record_early_exit(self._stop):
            if self.request.folder is not None:
                self.folder = make_folder(self.request.folder)
            self._update(self.record)
            self.observer.planned(self.record)
            self._train(tuning_left(self.record), "trying learning rates")
            self._update(with_tuned_rates(self.record))
            self._train(comparison_left(self.record), "training every network from every seed")
            return self._finish()

    def _train(self, left: Sequence[PlannedTrial], what: str) -> None:
        """Do the trainings that are left; each is saved when it is over."""
        if left:
            self.observer.stage(what)
            self._train_all(left)
        if self.request.should_stop():
            done, planned = trainings_done(self.record), trainings_planned(self.record)
            raise StoppedError(f"stopped after {done:,} of {planned:,} trainings")

    def _train_all(self, left: Sequence[PlannedTrial]) -> None:
        by_key = {planned.key: planned for planned in left}
        kept, held_out = split_validation(
            self.training.labels, self.config.data.validation, seed=self.config.training.seed
        )
        for result in train_trials(
            [Trial(key=key, config=planned.run_config(self.record)) for key, planned in by_key.items()],
            TrialData(self.training.part(kept), self.training.part(held_out)),
            self.setup.device,
            workers=self.request.workers,
            should_stop=self.request.should_stop,
            on_epoch=lambda *_: self.observer.epoch_done(),
        ):
            self._keep(by_key[result.key], result)

    def _keep(self, planned: PlannedTrial, result: TrialResult) -> None:
        candidates = list(self.record.candidates)
        before = candidates[planned.candidate]
        candidates[planned.candidate] = replace(before, trials=(*before.trials, _recorded(planned, result)))
        self._update(replace(self.record, candidates=tuple(candidates)))
        self.observer.trial_done(self.record)

    def _finish(self) -> SweepOutcome:
        """Let the winner train on all images and meet the test set, if there is one."""
        best = best_of(self.record)
        if best is None:
            self._update(replace(self.record, status="failed", message=_no_winner(self.record)))
            return SweepOutcome(self.record, None)
        self.observer.stage("training the winner on all training images")
        run = self._retrain_winner(best)
        self._update(replace(self.record, winner=_winner(best, run, self.folder), status="done", message=None))
        return SweepOutcome(self.record, run)

    def _retrain_winner(self, best: CandidateResult) -> RunRecord:
        """The winner's run, with nothing held out; raises StoppedError if the user stopped it, and a run's errors."""
        assert best.learning_rate is not None
        config = self.config.run_config(
            best.candidate, learning_rate=best.learning_rate, seed=self.config.training.seed, engine=best.engine
        )
        config = replace(config, data=replace(config.data, validation=0))
        run_request = RunRequest(
            config=config,
            folder=None if self.folder is None else self.folder / WINNER_FOLDER,
            save_every=0,
            should_stop=self.request.should_stop,
            on_trained=self.request.on_trained,
            oracle=self.request.oracle,
            on_evaluated=self.request.on_evaluated,
        )
        run = execute(run_request, choose_setup(config), lambda: _Forwarding(self.observer)).record
        if run.status != "done":
            raise StoppedError(f"the winner's training {run.message}")
        return run

    def _update(self, record: SweepRecord) -> None:
        """Conclude and save."""
        elapsed_s = self.spent_before_s + time.monotonic() - self.started
        self.record = conclude(replace(record, elapsed_s=elapsed_s))
        if self.folder is not None:
            save_sweep(self.record, self.folder)

    def _stop(self, status: Status, message: str) -> None:
        """Save what there is; if even that fails, what was saved last stays."""
        with contextlib.suppress(OutputError):
            self._update(replace(self.record, status=status, message=message))
        self.request.on_stopped(self.record)


def _recorded(planned: PlannedTrial, result: TrialResult) -> SweepTrial:
    last = result.epochs[-1] if result.epochs else None
    return SweepTrial(
        purpose=planned.purpose,
        seed=planned.seed,
        learning_rate=planned.learning_rate,
        accuracy=last.accuracy if last and result.error is None else None,
        accuracy_by_epoch=tuple(epoch.accuracy for epoch in result.epochs if epoch.accuracy is not None),
        train_loss=last.train_loss if last else None,
        train_s=result.train_s,
        error=result.error,
    )


def _no_winner(record: SweepRecord) -> str:
    """Why no candidate has an accuracy from every seed."""
    error = next((result.error for result in record.candidates if result.error is not None), "unknown")
    return f"no network trained to its end from every seed; the first one's reason: {error}"


def _winner(best: CandidateResult, run: RunRecord, folder: Path | None) -> Winner:
    metrics = run.metrics
    assert metrics is not None
    assert run.data is not None
    right = metrics.right
    low, high = wilson_interval(right, metrics.images)
    return Winner(
        candidate=best.candidate,
        seed=run.config.training.seed,
        training_images=run.data.training_images,
        train_s=run.timing.train_s,
        folder=None if folder is None else WINNER_FOLDER,
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
