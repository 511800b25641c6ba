"""`run --trials N`: N seeds of one configuration trained together, the first of them judged as a run of its own.

Everything that is told of a run (weights, pictures, metrics, the comparison with the reference) is the first seed's.
Each of the others meets the test set once, when its training is over, and is held against all of them. They share the
first one's images: its validation split, and its synthetic set where that is what trains.

There is no checkpoint between epochs: a stopped run keeps the seeds that are over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from accelmnist.core.config import AUTO, RunConfig
from accelmnist.core.errors import ConfigError
from accelmnist.core.records import Choice, EpochFigures, TrialFigures, TrialsSummary
from accelmnist.data.on_device import upload
from accelmnist.sweep.trials.contract import Trial, TrialData, TrialResult
from accelmnist.sweep.trials.scores import check_seeds, spread_of
from accelmnist.sweep.trials.training import is_together, train_trials, way_of
from accelmnist.training.evaluation import Evaluation, evaluate
from accelmnist.training.reference.scores import OracleScores
from accelmnist.training.runner import Observer, Run, RunOutcome, RunRequest
from accelmnist.training.setup import Setup


class TrialsObserver(Observer, Protocol):
    """Who is told what happens in a run of many seeds; `epoch_done` is told every seed's epochs."""

    def trial_done(self, figures: TrialFigures) -> None:
        """A seed's training is over, and it has met the test set."""


def execute_trials(request: RunRequest, setup: Setup, observer: TrialsObserver, *, count: int) -> RunOutcome:
    """Run `request` with `count` seeds from its own on; see `runner.execute` for what is returned and raised.

    A first seed that diverges ends the run when the others are over. Raises ConfigError for an engine that was asked
    for on a device where the batched graph takes its place.
    """
    engine = request.config.execution.engine
    if setup.device.kind != "cpu" and engine != AUTO and is_together(request.config, setup.device):
        raise ConfigError(
            f"--engine {engine} has no effect with --trials on {setup.device}: one graph trains all seeds",
            remedy="Leave out --engine, or --trials",
        )
    return _TrialsRun(request, setup, observer, count).execute()


class _TrialsRun(Run):
    """A run whose training is that of many seeds, and whose verdict has a check for all of them."""

    def __init__(self, request: RunRequest, setup: Setup, observer: TrialsObserver, count: int) -> None:
        super().__init__(request, setup, observer)
        self.told = observer
        self.trials = [_trial(self.config, place) for place in range(count)]
        self.journal.change(choices=_choices(setup, self.trials), trials=TrialsSummary(planned=len(self.trials)))

    def _prepare_engine(self) -> None:
        """Every trial has an engine of its own."""

    def _train(self) -> None:
        self.observer.training_begins()
        self.test = upload(self.images.test, self.setup.device)
        self.images_seen, self.started = 0.0, time.perf_counter()
        data, first_seed = TrialData(self.images.training, self.images.probe), self.trials[0].key
        for result in train_trials(
            self.trials, data, self.setup.device, should_stop=self.request.should_stop, on_epoch=self._tell_epoch
        ):
            took_s = time.perf_counter() - self.started
            evaluation = self._evaluation_of(result)
            if result.key == first_seed:
                self.journal.time(evaluate_s=time.perf_counter() - self.started - took_s)
                self._keep_first(result, evaluation)
            self._keep_trial(result, evaluation, took_s)
        self._end_training()

    def _tell_epoch(self, _key: str, figures: EpochFigures) -> None:
        self.observer.epoch_done(figures)

    def _evaluation_of(self, result: TrialResult) -> Evaluation | None:
        if result.model is None:
            return None
        precision = self.config.execution.precision
        return evaluate(result.model, self.test, device=self.setup.device, precision=precision)

    def _keep_first(self, result: TrialResult, evaluation: Evaluation | None) -> None:
        self.first, self.first_evaluation, self.losses = result, evaluation, [result.losses]
        if result.model is not None:
            self.job = replace(self.job, model=result.model)
        self.journal.keep_epochs(result.epochs)

    def _keep_trial(self, result: TrialResult, evaluation: Evaluation | None, took_s: float) -> None:
        figures = TrialFigures(
            seed=int(result.key),
            accuracy=evaluation.metrics.accuracy if evaluation else None,
            macro_f1=evaluation.metrics.macro_f1 if evaluation else None,
            train_s=result.train_s,
            error=result.error,
        )
        self.images_seen += sum(epoch.train_s * epoch.images_per_s for epoch in result.epochs)
        self.journal.change(trials=_summary(self._summary, figures, took_s, self.images_seen))
        self.journal.save()
        self.told.trial_done(figures)

    @property
    def _summary(self) -> TrialsSummary:
        assert self.journal.record.trials is not None
        return self.journal.record.trials

    def _end_training(self) -> None:
        if self.request.should_stop():
            done = len(self._summary.trials)
            self.journal.stop("interrupted", f"stopped after {done} of {self._summary.planned} seeds")
        elif self.first.cause is not None:
            raise self.first.cause

    def _evaluate(self) -> Evaluation:
        assert self.first_evaluation is not None
        return self.first_evaluation  # a test set is met once

    def _judge(self, evaluation: Evaluation, oracle: Callable[[], OracleScores]) -> None:
        super()._judge(evaluation, oracle)
        assert self.journal.record.verdict is not None
        verdict, check = (
            self.journal.record.verdict,
            check_seeds(self._summary.trials, images=evaluation.metrics.images),
        )
        passed, checks = verdict.passed and check.passed, (*verdict.checks, check)
        self.journal.change(verdict=replace(verdict, passed=passed, checks=checks))


def _trial(config: RunConfig, place: int) -> Trial:
    training = replace(config.training, seed=config.training.seed + place)
    return Trial(key=str(training.seed), config=replace(config, training=training))


def _choices(setup: Setup, trials: list[Trial]) -> tuple[Choice, ...]:
    """The run's choices, with how its seeds are trained; on a GPU one graph takes the engine's place."""
    way = way_of(setup.config, setup.device, count=len(trials))
    seeds = Choice(what="seeds", value=f"{trials[0].key} to {trials[-1].key}", reason=way)
    if setup.device.kind == "cpu" or not is_together(setup.config, setup.device):
        return (*setup.choices, seeds)
    batched = Choice(what="engine", value="batched", reason="one graph trains all seeds")
    return (*(batched if choice.what == "engine" else choice for choice in setup.choices), seeds)


def _summary(before: TrialsSummary, figures: TrialFigures, total_s: float, images: float) -> TrialsSummary:
    """`before` with one more seed; `images` were seen by all of them in `total_s`."""
    trials = tuple(sorted((*before.trials, figures), key=lambda each: each.seed))
    return replace(
        before,
        trials=trials,
        accuracy=spread_of([each.accuracy for each in trials if each.accuracy is not None]),
        macro_f1=spread_of([each.macro_f1 for each in trials if each.macro_f1 is not None]),
        total_s=total_s,
        images_per_s=images / total_s if images else None,
    )
