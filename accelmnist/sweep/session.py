"""One sweep from its configuration to its record, in the order in which it happens.

    split     a part of the training images is held out, by class in proportion: the only ones that judge
    tune      a learning rate for each candidate, where that is asked for
    compare   every candidate from every seed
    conclude  means, noise, ranks; the winner is the candidate with the best mean
    winner    the winner trains once more on all training images, as `accelmnist run` would, and meets the test set
The test images are not touched before the last step. It prints nothing: an observer is told what happens. The record is
saved after every training, so that nothing is lost, whatever ends it early.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import RunConfig, check_fits
from accelmnist.core.errors import ConfigError, OutputError, StoppedError
from accelmnist.core.files import make_folder
from accelmnist.core.records import DataSummary, RunRecord, Status
from accelmnist.data.mnist import load_dataset
from accelmnist.data.split import split_validation
from accelmnist.data.types import Dataset, ImageSet
from accelmnist.device import Device
from accelmnist.device.environment import describe_environment
from accelmnist.engines.choose import choose_engine
from accelmnist.engines.model import MLP
from accelmnist.sweep.conclusion import best_of, conclude
from accelmnist.sweep.observer import SweepObserver
from accelmnist.sweep.plan import VALIDATION_SHARE, Candidate, SweepConfig, candidates
from accelmnist.sweep.record import WINNER_FOLDER, CandidateResult, SweepRecord, SweepTrial, save_sweep
from accelmnist.sweep.schedule import Training, comparison_left, trainings_done, trainings_planned, tuning_left
from accelmnist.sweep.trials import Trial, TrialData, TrialResult, train_trials
from accelmnist.sweep.tuning import with_tuned_rates
from accelmnist.sweep.winner import WinnerRequest, retrain_winner
from accelmnist.training.early_exit import record_early_exit
from accelmnist.training.reference.scores import Oracle, score_here
from accelmnist.training.setup import Setup, choose_setup


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """What is wanted of a sweep. `folder` None saves nothing; `record` is a stopped sweep to go on with.

    `workers` trainings go on side by side, as many as there are threads where it is None. `on_stopped` gets the record
    of a sweep that ends without a result; `on_evaluated` and `oracle` are those of the winner's run.
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
    """The record of the sweep, and that of its winner's run; None where no training came to its end."""

    record: SweepRecord
    winner: RunRecord | None


def execute_sweep(request: SweepRequest, observer: SweepObserver) -> SweepOutcome:
    """Run the whole sweep; raises StoppedError after a stop that was asked for, with the record saved.

    Raises ConfigError and DeviceError for what can't run here, DataError, OutputError.
    """
    return _Session(request, observer).execute()


class _Session:
    def __init__(self, request: SweepRequest, observer: SweepObserver) -> None:
        self.request, self.observer = request, observer
        self.started = time.monotonic()
        self.spent_before_s = request.record.elapsed_s if request.record else 0.0
        self.folder: Path | None = None  # from when there is something to save
        dataset = _load(request.record.config if request.record else request.config)
        self.training = dataset.train  # the test split is let go of unread
        if request.record is not None:
            _require_same_data(request.record, dataset)
        self.setup = _setup(request.record.config if request.record else request.config)
        self.record = request.record or _new_record(request.config, self.setup, dataset)
        self.config = self.record.config
        self.record = replace(
            self.record,
            status="running",
            message=None,
            choices=self.setup.choices,
            environment=describe_environment(self.setup.device),
        )

    def execute(self) -> SweepOutcome:
        """From beginning to end; whatever ends it early, the record is concluded and saved first."""
        with record_early_exit(self._end):
            self._begin()
            self._train(tuning_left(self.record), "trying learning rates")
            self._take(with_tuned_rates(self.record))
            self._train(comparison_left(self.record), "training every network from every seed")
            return self._crown()

    def _begin(self) -> None:
        if self.request.folder is not None:
            self.folder = make_folder(self.request.folder)
        self._take(self.record)
        self.observer.planned(self.record)

    def _train(self, left: Sequence[Training], what: str) -> None:
        """Do the trainings that are left; each is saved when it is over."""
        if left:
            self.observer.stage(what)
            for training, result in self._results(left):
                self._keep(training, result)
        if self.request.should_stop():
            done, planned = trainings_done(self.record), trainings_planned(self.record)
            raise StoppedError(f"stopped after {done:,} of {planned:,} trainings")

    def _results(self, left: Sequence[Training]) -> Iterator[tuple[Training, TrialResult]]:
        by_key = {training.key: training for training in left}
        trials = [Trial(key=key, config=self._run_config(training)) for key, training in by_key.items()]
        held_out, seed = self.config.data.validation, self.config.training.seed
        kept, judging = split_validation(self.training.labels, held_out, seed=seed)
        for result in train_trials(
            trials,
            TrialData(_part(self.training, kept), _part(self.training, judging)),
            self.setup.device,
            workers=self.request.workers,
            should_stop=self.request.should_stop,
            on_epoch=lambda *_: self.observer.epoch_done(),
        ):
            yield by_key[result.key], result

    def _run_config(self, training: Training) -> RunConfig:
        """With device and engine by name."""
        result = self.record.candidates[training.place]
        config = self.config.run_config(result.candidate, learning_rate=training.learning_rate, seed=training.seed)
        return replace(config, execution=replace(config.execution, engine=result.engine))

    def _keep(self, training: Training, result: TrialResult) -> None:
        made = list(self.record.candidates)
        before = made[training.place]
        made[training.place] = replace(before, trials=(*before.trials, _trial(training, result)))
        self._take(replace(self.record, candidates=tuple(made)))
        self.observer.trial_done(self.record)

    def _crown(self) -> SweepOutcome:
        best = best_of(self.record)
        if best is None:
            self._take(replace(self.record, status="failed", message=_no_winner(self.record)))
            return SweepOutcome(self.record, None)
        self.observer.stage("training the winner on all training images")
        request = WinnerRequest(
            config=self.config,
            best=best,
            folder=None if self.folder is None else self.folder / WINNER_FOLDER,
            oracle=self.request.oracle,
            should_stop=self.request.should_stop,
            on_trained=self.request.on_trained,
            on_evaluated=self.request.on_evaluated,
        )
        winner, run = retrain_winner(request, self.observer)
        self._take(replace(self.record, winner=winner, status="done", message=None))
        return SweepOutcome(self.record, run)

    def _take(self, record: SweepRecord) -> None:
        """Conclude and save."""
        elapsed_s = self.spent_before_s + time.monotonic() - self.started
        self.record = conclude(replace(record, elapsed_s=elapsed_s))
        if self.folder is not None:
            save_sweep(self.record, self.folder)

    def _end(self, status: Status, message: str) -> None:
        """Save what there is; where even that fails, what was saved last stays."""
        with contextlib.suppress(OutputError):
            self._take(replace(self.record, status=status, message=message))
        self.request.on_stopped(self.record)


def _load(config: SweepConfig) -> Dataset:
    folder = Path(config.data.folder) if config.data.folder is not None else None
    return load_dataset(config.data.dataset, folder=folder, seed=config.training.seed)


def _new_record(config: SweepConfig, setup: Setup, dataset: Dataset) -> SweepRecord:
    """Every candidate without a training yet; raises ConfigError where the images are too few.

    Device, threads and engines are settled here, so that a stopped sweep goes on as it began.
    """
    images = len(dataset.train)
    held_out = config.data.validation or images // VALIDATION_SHARE
    execution = replace(setup.config.execution, engine=config.execution.engine)
    config = replace(config, data=replace(config.data, validation=held_out), execution=execution)
    tried = candidates(config)
    check_fits(config.run_config(tried[0], learning_rate=1.0, seed=0), training_images=images)
    return SweepRecord(
        created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        config=config,
        data=_summary(config, dataset),
        candidates=tuple(_blank(config, candidate, setup.device) for candidate in tried),
    )


def _blank(config: SweepConfig, candidate: Candidate, device: Device) -> CandidateResult:
    """A candidate before its first training."""
    run_config = config.run_config(candidate, learning_rate=candidate.learning_rate or 1.0, seed=0)
    return CandidateResult(
        hidden=candidate.hidden,
        activation=candidate.activation,
        output=candidate.output,
        optimizer=candidate.optimizer,
        learning_rate=candidate.learning_rate,
        parameters=candidate.parameters,
        engine=choose_engine(run_config, device).name,
    )


def _summary(config: SweepConfig, dataset: Dataset) -> DataSummary:
    return DataSummary(
        dataset=dataset.name,
        source=dataset.source,
        training_images=len(dataset.train) - config.data.validation,
        validation_images=config.data.validation,
        test_images=len(dataset.test),
        class_names=dataset.class_names,
    )


def _require_same_data(record: SweepRecord, dataset: Dataset) -> None:
    if record.data != _summary(record.config, dataset):
        raise ConfigError(
            f"--resume: the data set is not the one that the sweep began with ({dataset.source})",
            remedy="Put its files back, or start a new sweep",
        )


def _setup(config: SweepConfig) -> Setup:
    """Device, engine, precision and threads, by the first candidate; the others may take another engine."""
    first = candidates(config)[0]
    return choose_setup(config.run_config(first, learning_rate=first.learning_rate or 1.0, seed=config.training.seed))


def _part(images: ImageSet, chosen: NDArray[np.int64]) -> ImageSet:
    return ImageSet(images=images.images[chosen], labels=images.labels[chosen])


def _trial(training: Training, result: TrialResult) -> SweepTrial:
    last = result.epochs[-1] if result.epochs else None
    return SweepTrial(
        purpose=training.purpose,
        seed=training.seed,
        learning_rate=training.learning_rate,
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
