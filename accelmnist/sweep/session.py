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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from accelmnist.core.config import check_fits
from accelmnist.core.errors import ConfigError, OutputError, StoppedError
from accelmnist.core.files import make_folder
from accelmnist.core.metrics import wilson_interval
from accelmnist.core.records import EpochFigures, RunRecord, Status, Verdict, finished_run
from accelmnist.data.mnist import load_in_background
from accelmnist.data.split import split_validation, summary_of
from accelmnist.data.types import Dataset, ImageSet
from accelmnist.device.environment import describe_environment, with_clocks
from accelmnist.device.ranks import Ranks
from accelmnist.engines.choose import choose_engine
from accelmnist.engines.model import MLP
from accelmnist.sweep.conclusion import best_of, conclude, with_tuned_rates
from accelmnist.sweep.plan import VALIDATION_SHARE, Candidate, SweepConfig, candidates
from accelmnist.sweep.proof import TrainingsProof
from accelmnist.sweep.record import WINNER_FOLDER, CandidateResult, SweepRecord, SweepTrial, Winner, save_sweep
from accelmnist.sweep.recount import recount_sweep
from accelmnist.sweep.schedule import (
    PlannedTrial,
    SweepObserver,
    comparison_left,
    trainings_done,
    trainings_planned,
    tuning_left,
)
from accelmnist.sweep.trials import Dealer, Trial, TrialResult, train_trials
from accelmnist.training.execute import execute
from accelmnist.training.reference.scores import Oracle, score_here
from accelmnist.training.run import Observer, RunRequest, Setup, choose_setup, record_early_exit


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """What is wanted of a sweep. `folder` None saves nothing; `record` is a stopped sweep to go on with.

    `workers` trainings go on side by side, as many as there are threads if it is None. `ranks` share the trainings, if
    there are several; those that are not the first `serve_trainings`; `why_threads` is the reason for the number of
    threads, if it was chosen already. `on_stopped` gets the record of
    a sweep that ends without a result; `on_trained`, `on_evaluated`, `finish_winner` and `oracle` are those of the
    winner's run. `finish` writes what belongs to the sweep besides its record, and returns the names of all its files.
    """

    config: SweepConfig
    folder: Path | None = None
    record: SweepRecord | None = None
    workers: int | None = None
    ranks: Ranks | None = None
    why_threads: str | None = None
    should_stop: Callable[[], bool] = lambda: False
    on_trained: Callable[[], None] = lambda: None
    on_stopped: Callable[[SweepRecord], None] = lambda _record: None
    oracle: Oracle = score_here
    on_evaluated: Callable[[RunRecord, MLP, ImageSet], None] = lambda *_: None
    finish_winner: Callable[[RunRecord], tuple[str, ...]] = lambda _record: ()
    finish: Callable[[SweepRecord], tuple[str, ...]] = lambda _record: ()


def execute_sweep(request: SweepRequest, observer: SweepObserver) -> tuple[SweepRecord, RunRecord | None]:
    """Run the whole sweep; returns its record and that of its winner's run, None if no training came to its end.

    Raises StoppedError after a stop that was asked for, with the record saved, ConfigError and DeviceError for what
    can't run here, DataError, OutputError.
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
        self.setup = _setup(config, request.why_threads)
        self.record = _first_record(request, self.setup, dataset)
        self.spent_before_s = self.record.elapsed_s
        self.config = self.record.config
        held_out, seed = self.config.data.validation, self.config.training.seed
        self.proof = TrainingsProof(self.training, held_out, seed=seed, faults=self.record.faults)
        self.dealer = self._dealer()
        self.folder: Path | None = None  # from when there is something to save

    def _dealer(self) -> Dealer | None:
        """Who shares the trainings out, if there are ranks."""
        ranks, config = self.request.ranks, self.config
        if ranks is None or ranks.size == 1:
            return None
        first = candidates(config)[0]
        base = config.run_config(first, learning_rate=first.learning_rate or 1.0, seed=config.training.seed)
        return Dealer(ranks, base, faults=self.proof.faults, on_lost=self._do_without)

    def _do_without(self, line: str) -> None:
        """A rank is lost: the others go on."""
        self.observer.stage(f"{line}; its training is done by another")
        self._update(replace(self.record, notes=(*self.record.notes, line)))

    def execute(self) -> tuple[SweepRecord, RunRecord | None]:
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
        self.proof.draw(by_key)
        for result in train_trials(
            [Trial(key=key, config=planned.run_config(self.record)) for key, planned in by_key.items()],
            self.training.part(kept),
            self.training.part(held_out),
            self.setup.device,
            workers=self.request.workers,
            should_stop=self.request.should_stop,
            on_epoch=lambda *_: self.observer.epoch_done(),
            # One graph of a GPU audits all of its trainings, or none.
            audit=self.proof.audit_of if self.setup.device.kind == "cpu" or self.dealer else lambda _trial: None,
            dealer=self.dealer,
        ):
            self._keep(by_key[result.key], result)

    def _keep(self, planned: PlannedTrial, result: TrialResult) -> None:
        candidates = list(self.record.candidates)
        before = candidates[planned.candidate]
        told = _recorded(planned, result)
        self.proof.hold(result, told, before, planned.run_config(self.record))
        candidates[planned.candidate] = replace(before, trials=(*before.trials, told))
        ranks, faults = self.dealer.figures() if self.dealer else (), tuple(self.proof.faults)
        self._update(replace(self.record, candidates=tuple(candidates), faults=faults, ranks=ranks))
        self.observer.trial_done(self.record)

    def _finish(self) -> tuple[SweepRecord, RunRecord | None]:
        """Let the winner train on all images and meet the test set, if there is one."""
        best = best_of(self.record)
        if best is None:
            reason = next((result.error for result in self.record.candidates if result.error is not None), "unknown")
            message = f"no network trained to its end from every seed; the first one's reason: {reason}"
            self._end("failed", message)
            return self.record, None
        self.observer.stage("training the winner on all training images")
        run = self._retrain_winner(best)
        winner = _winner(best, run, self.folder)
        verdict = winner.verdict
        if verdict is not None:
            verdict = Verdict.of(verdict.reference, (*verdict.checks, self.proof.check()))
        self._update(replace(self.record, winner=replace(winner, verdict=verdict)))
        recount_sweep(self.record)
        self._end("done", None)
        return self.record, run

    def _end(self, status: Status, message: str | None) -> None:
        """It is over when all of its files are there."""
        environment = with_clocks(self.record.environment, self.setup.device)
        ended = replace(self.record, status=status, message=message, environment=environment)
        self._update(replace(ended, files=self.request.finish(ended)))

    def _retrain_winner(self, best: CandidateResult) -> RunRecord:
        """The winner's run, with nothing held out, unless it is there, with all its files.

        Raises StoppedError if the user stopped it, and a run's errors.
        """
        assert best.learning_rate is not None
        config = self.config.run_config(
            best.candidate, learning_rate=best.learning_rate, seed=self.config.training.seed, engine=best.engine
        )
        config = replace(config, data=replace(config.data, validation=0))
        setup = choose_setup(config)
        done = finished_run(self.folder / WINNER_FOLDER) if self.folder is not None else None
        if done is not None and done.config == setup.config:
            return done
        run_request = RunRequest(
            config=config,
            folder=None if self.folder is None else make_folder(self.folder / WINNER_FOLDER, within=self.folder),
            save_every=0,
            should_stop=self.request.should_stop,
            on_trained=self.request.on_trained,
            oracle=self.request.oracle,
            on_evaluated=self.request.on_evaluated,
            finish=self.request.finish_winner,
        )
        run = execute(run_request, setup, lambda: _WinnerObserver(self.observer)).record
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


def _winner(best: CandidateResult, run: RunRecord, folder: Path | None) -> Winner:
    metrics, data = run.metrics, run.data
    assert metrics is not None
    assert data is not None
    low, high = wilson_interval(metrics.right, metrics.images)
    return Winner(
        candidate=best.candidate,
        seed=run.config.training.seed,
        training_images=data.training_images,
        train_s=run.timing.train_s,
        folder=None if folder is None else WINNER_FOLDER,
        metrics=metrics,
        low=low,
        high=high,
        verdict=run.verdict,
    )


class _WinnerObserver(Observer):
    """Tells the sweep's observer what stage the winner's run is at."""

    def __init__(self, observer: SweepObserver) -> None:
        self._observer = observer

    def stage(self, what: str) -> None:
        self._observer.stage(f"the winner: {what}")

    def epoch_done(self, figures: EpochFigures) -> None:  # noqa: ARG002 - the stage is enough
        self._observer.epoch_done()


# --- the beginning


def _setup(config: SweepConfig, why_threads: str | None) -> Setup:
    """Device, engine, precision and threads, by the first candidate; the others may take another engine."""
    first = candidates(config)[0]
    run_config = config.run_config(first, learning_rate=first.learning_rate or 1.0, seed=config.training.seed)
    return choose_setup(run_config, why_threads=why_threads)


def _first_record(request: SweepRequest, setup: Setup, dataset: Dataset) -> SweepRecord:
    """The record that the sweep begins with, a new one or that of `request`.

    Raises ConfigError if the images are too few, or not those that a stopped sweep began with.
    """
    record = request.record or _new_record(request.config, setup, dataset)
    if record.data != summary_of(dataset, validation_images=record.config.data.validation):
        raise ConfigError(
            f"--resume: the data set is not the one that the sweep began with ({dataset.source})",
            remedy="Put its files back, or start a new sweep",
        )
    environment = describe_environment(setup.device)
    return replace(record, status="running", message=None, choices=setup.choices, environment=environment, ranks=())


def _new_record(config: SweepConfig, setup: Setup, dataset: Dataset) -> SweepRecord:
    """Every candidate without a training yet.

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
        data=summary_of(dataset, validation_images=held_out),
        candidates=tuple(_untrained(config, candidate, setup) for candidate in tried),
    )


def _untrained(config: SweepConfig, candidate: Candidate, setup: Setup) -> CandidateResult:
    run_config = config.run_config(candidate, learning_rate=candidate.learning_rate or 1.0, seed=0)
    engine = choose_engine(run_config, setup.device).name
    return CandidateResult(**vars(candidate), parameters=run_config.model.parameters, engine=engine)
