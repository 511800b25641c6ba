"""`run --trials N`: N seeds of one configuration trained together, the first of them judged as a run of its own.

Everything that is told of a run (weights, pictures, metrics, the comparison with the reference) is the first seed's.
Each of the others meets the test set once, when its training is over, and is held against all of them. They share the
first one's images: its validation split, and its synthetic set where that is what trains.

There is no checkpoint between epochs: a stopped run keeps the seeds that are over.

The interval of a mean over seeds is Student's, mean ± t s / sqrt(n) with n - 1 degrees of freedom, which holds for so
few and so similar values as accuracies over seeds. A seed is held against the median of all of them. What it may differ
by is the spread that was measured between seeds (`reference.tolerances`), or that of these seeds where it is larger: as
many deviations of theirs, estimated by 1.4826 times the median absolute deviation, which one that stands apart can't
widen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace

import numpy as np

from accelmnist.core.config import AUTO, EVERY_STEP, RunConfig
from accelmnist.core.engine_file import label_of
from accelmnist.core.errors import ConfigError
from accelmnist.core.records import Check, Choice, SeedSpread, TrialFigures, TrialsSummary
from accelmnist.data.types import upload
from accelmnist.device.ranks import Ranks
from accelmnist.engines.contract import Job
from accelmnist.engines.step.rules import require_memory
from accelmnist.sweep.trials.dealt import Dealer
from accelmnist.sweep.trials.training import at_once, is_together, train_trials, way_of
from accelmnist.sweep.trials.trial import Trial, TrialResult
from accelmnist.training.evaluation import Evaluation, evaluate
from accelmnist.training.proof import Trained, prove
from accelmnist.training.reference.answers import answer_faults
from accelmnist.training.reference.audit import Audit
from accelmnist.training.reference.chain import clock_faults
from accelmnist.training.reference.tolerances import DEVIATIONS, seed_spread_limit, tolerances
from accelmnist.training.run import Observer, Run, RunOutcome, RunRequest, Setup

CONFIDENCE = 0.95
_TO_DEVIATIONS = 1.4826  # of a normal distribution, from its median absolute deviation
_TICK_S = 2 * time.get_clock_info("monotonic").resolution
_MANY_IMAGES = 1000  # of a test set on which a full score is a fault


def execute_trials(
    request: RunRequest,
    setup: Setup,
    observe: Callable[[], Observer],
    *,
    count: int,
    ranks: Ranks | None = None,
) -> RunOutcome:
    """Run `request` with `count` seeds from its own on; see `training.execute` for what is returned and raised.

    `ranks`, if there are several, share the seeds out; the others `serve_trainings`.

    A first seed that diverges ends the run when the others are over. Raises ConfigError for an engine that was asked
    for on a device where the batched graph takes its place.
    """
    ranks = ranks if ranks is not None and ranks.size > 1 else None
    engine, is_shared = request.config.execution.engine, ranks is not None
    if setup.device.kind != "cpu" and engine != AUTO and is_together(request.config, setup.device, is_shared=is_shared):
        raise ConfigError(
            f"--engine {label_of(engine)} has no effect with --trials on {setup.device}: one graph trains all seeds",
            remedy="Leave out --engine, or --trials",
        )
    trials = [_trial(setup.config, place) for place in range(count)]
    run = Run(request, setup, observe)
    run.change(choices=_choices(setup, trials, ranks), trials=TrialsSummary(planned=count))
    with run.recorded():
        run.load()
        require_memory(run.config, setup.device)
        job = Job(run.config, setup.device, run.images.training)
        run.open()
        run.observer.training_begins()
        trained = _Trainings(run, trials, ranks).train()
        if trained is not None:
            job = trained.job
            prove(run, trained)
    return RunOutcome(run.record, job.model, run.images.test)


class _Trainings:
    """The trainings of many seeds in the place of a run's one."""

    def __init__(self, run: Run, trials: list[Trial], ranks: Ranks | None) -> None:
        self.run, self.trials = run, trials
        # Of each rank, settled here: it depends on the memory that is free.
        self.at_once = at_once(trials, run.setup.device, is_shared=ranks is not None)
        self.test = upload(run.images.test, run.setup.device)
        self.images_seen = 0.0
        self.faults: list[str] = []  # of the seeds' trainings and evaluations
        self.dealer = Dealer(ranks, run.config, faults=self.faults, on_lost=run.observer.stage) if ranks else None
        self.audits: dict[str, Audit] = {}
        self.seen_s = 0.0, math.inf  # the least and the most that all took by another clock

    def train(self) -> Trained | None:
        """Train all, and return the first seed's training; None where the run was stopped. Raises what ended it."""
        run, images, first = self.run, self.run.images, None
        around, started, within = time.monotonic(), time.perf_counter(), time.monotonic()
        for result in train_trials(
            self.trials,
            images.training,
            images.probe,
            run.setup.device,
            workers=self.at_once,
            should_stop=run.request.should_stop,
            on_epoch=lambda _key, figures: run.observer.epoch_done(figures),
            audit=self._audit_of,
            dealer=self.dealer,
        ):
            least_s, took_s = time.monotonic() - within - _TICK_S, time.perf_counter() - started
            self.seen_s = least_s, time.monotonic() - around + _TICK_S
            self.faults += [f"seed {result.key}: {fault}" for fault in result.faults]
            evaluation = self._evaluation_of(result)
            if result.key == self.trials[0].key:
                run.keep_epochs(result.epochs)
                first = result, evaluation
            self._keep(result, evaluation, took_s)
        if run.request.should_stop():
            done = len(self._summary.trials)
            run.stop("interrupted", f"stopped after {done} of {self._summary.planned} seeds")
            return None
        assert first is not None, "every trial has a result"
        result, evaluation = first
        if result.cause is not None:
            raise result.cause
        job = Job(run.config, run.setup.device, run.images.training, result.model)
        return Trained(
            job, result.losses.numpy(), audit=self.audits.get(result.key), evaluation=evaluation, checks=self._checks
        )

    def _audit_of(self, trial: Trial) -> Audit | None:
        """The first seed's audit is that of a run of its own; the others have a share of its steps each."""
        windows, is_first = self.run.request.audit_windows, trial.key == self.trials[0].key
        if not windows:
            return None
        images = self.run.images.training
        share = windows if is_first or windows == EVERY_STEP else math.ceil(windows / len(self.trials))
        self.audits[trial.key] = Audit(trial.config, images, share, brief=not is_first)
        return self.audits[trial.key]

    def _checks(self, evaluation: Evaluation) -> tuple[Check, ...]:
        late = clock_faults("all seeds", self._summary.total_s or 0.0, self.seen_s)
        ranks = self.dealer.ranks.size if self.dealer else 1
        told = check_told([*self.faults, *late], self._summary, at_once=self.at_once * ranks)
        others = {key: audit for key, audit in self.audits.items() if key != self.trials[0].key}
        audited = (check_audits(others),) if others else ()
        return told, *audited, check_seeds(self._summary.trials, images=evaluation.metrics.images)

    def _evaluation_of(self, result: TrialResult) -> Evaluation | None:
        if result.model is None:
            self.audits.pop(result.key, None)
            return None
        if result.audit is not None:
            self.audits[result.key] = result.audit  # by a rank that trained it
        if result.audit is not None and result.key != self.trials[0].key:  # the first one's is the verdict's to finish
            result.audit.finish(result.model.arrays(), result.losses.numpy())
        precision, test = self.run.config.execution.precision, self.run.images.test
        device, is_first = self.run.setup.device, result.key == self.trials[0].key
        with self.run.timed("evaluate_s", device) if is_first else nullcontext():
            evaluation = evaluate(result.model, self.test, device=device, precision=precision)
        faults = answer_faults(result.model, evaluation, test, tolerances(precision))
        self.faults += [f"seed {result.key}: {fault}" for fault in faults]
        return evaluation

    def _keep(self, result: TrialResult, evaluation: Evaluation | None, took_s: float) -> None:
        figures = TrialFigures(
            seed=int(result.key),
            accuracy=evaluation.metrics.accuracy if evaluation else None,
            macro_f1=evaluation.metrics.macro_f1 if evaluation else None,
            train_s=result.train_s,
            error=result.error,
        )
        self.images_seen += sum(epoch.train_s * epoch.images_per_s for epoch in result.epochs)
        ranks = self.dealer.figures() if self.dealer else ()
        self.run.change(trials=_summary(self._summary, figures, took_s, self.images_seen), ranks=ranks)
        self.run.save()
        self.run.observer.trial_done(figures)

    @property
    def _summary(self) -> TrialsSummary:
        assert self.run.record.trials is not None
        return self.run.record.trials


def _trial(config: RunConfig, place: int) -> Trial:
    training = replace(config.training, seed=config.training.seed + place)
    return Trial(key=str(training.seed), config=replace(config, training=training))


def _choices(setup: Setup, trials: list[Trial], ranks: Ranks | None) -> tuple[Choice, ...]:
    """The run's choices, with how its seeds are trained; on a GPU one graph takes the engine's place."""
    way = way_of(setup.config, setup.device, count=len(trials), ranks=ranks.size if ranks else 1)
    seeds = Choice(what="seeds", value=f"{trials[0].key} to {trials[-1].key}", reason=way)
    if setup.device.kind == "cpu" or not is_together(setup.config, setup.device, is_shared=ranks is not None):
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


# --- what the seeds say together


def spread_of(values: Sequence[float]) -> SeedSpread | None:
    """Mean, deviation and interval of one value a seed; None without any."""
    count = len(values)
    if count == 0:
        return None
    mean = float(np.mean(values))
    if count == 1:
        return SeedSpread(mean=mean)
    from scipy.special import stdtrit  # here: a run of one seed does without it

    deviation = float(np.std(values, ddof=1))
    arm = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * deviation / math.sqrt(count)
    return SeedSpread(mean=mean, deviation=deviation, low=mean - arm, high=mean + arm)


def check_seeds(trials: Sequence[TrialFigures], *, images: int) -> Check:
    """No seed failed, was always right, or stands apart from the others on `images` test images."""
    faults = [fault for trial in trials if (fault := _fault(trial, trials, images))]
    detail = "; ".join(faults) or "failed or stand apart"
    reason = "the spread between seeds, measured, or that of these seeds where it is larger"
    return Check.at_most("all seeds", len(faults), 0.0, detail=detail, reason=reason)


def check_told(faults: Sequence[str], summary: TrialsSummary, *, at_once: int) -> Check:
    """What is told of each seed follows from its weights, which gave these `faults`; the mean is that of all seeds.

    So many train `at_once` at most, so all take a share of the sum of their times at least.
    """
    trained_s = math.fsum(trial.train_s for trial in summary.trials)
    if summary.total_s is not None and trained_s > summary.total_s * at_once * (1 + 1e-9):
        faults = [*faults, f"all took {summary.total_s:.4g} s, {at_once} at once, and their trainings {trained_s:.4g}"]
    means = [("accuracy", summary.accuracy), ("macro_f1", summary.macro_f1)]
    for name, spread in means:
        told = [value for trial in summary.trials if (value := getattr(trial, name)) is not None]
        if spread is not None and not math.isclose(spread.mean, math.fsum(told) / len(told), rel_tol=1e-9):
            faults = [*faults, f"the mean of {name} is not that of {len(told)} seeds"]
    reason = "every tenth answer of each seed is computed anew in float64, and its scores counted from its answers"
    return Check.without("answers of all seeds", faults, finds="scores unlike a seed's weights", reason=reason)


def check_audits(audits: Mapping[str, Audit]) -> Check:
    """The training of no seed fails its audit."""
    failed = [
        f"seed {seed}: {check.name}, {check.detail}"
        for seed, audit in audits.items()
        for check in audit.checks()
        if not check.passed
    ]
    steps = sum(audit.summary.steps for audit in audits.values())
    reason = f"{steps} steps of the other seeds, replayed in float64 as the first one's are"
    return Check.without("audits of all seeds", failed, finds="a seed that trains otherwise", reason=reason)


def _fault(trial: TrialFigures, trials: Sequence[TrialFigures], images: int) -> str | None:
    if trial.error is not None or trial.accuracy is None:
        return f"seed {trial.seed}: {trial.error or 'no result'}"
    if trial.accuracy == 1.0 and images >= _MANY_IMAGES:
        return f"seed {trial.seed} is always right"
    accuracies = np.array([each.accuracy for each in trials if each.accuracy is not None])
    middle = float(np.median(accuracies))
    own = DEVIATIONS * _TO_DEVIATIONS * float(np.median(np.abs(accuracies - middle)))
    limit = max(own, seed_spread_limit("accuracy", 1 - middle, images))
    difference = trial.accuracy - middle
    return f"seed {trial.seed} is {100 * difference:+.2f} points off" if abs(difference) > limit else None
