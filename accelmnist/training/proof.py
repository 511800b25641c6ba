"""The proof of a run: its network evaluated on the device, profiled if that is wanted, and judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch

from accelmnist.core.errors import ConfigError
from accelmnist.core.files import remove_file
from accelmnist.core.records import RECORD_NAME, Check, RunRecord, Verdict
from accelmnist.data.likeness import measure_likeness
from accelmnist.data.synthetic import make_synthetic
from accelmnist.data.types import ImageSet, upload
from accelmnist.engines.contract import Job, Runner
from accelmnist.engines.plan import Floats
from accelmnist.training.checkpoint import CHECKPOINT_NAME, MODEL_NAME, load_model, save_model
from accelmnist.training.evaluation import Evaluation, confident_mistakes, evaluate, evaluate_shared
from accelmnist.training.reference.answers import check_accuracies, check_first_answer, check_mistakes
from accelmnist.training.reference.audit import Audit
from accelmnist.training.reference.chain import (
    check_epochs,
    check_record,
    check_reference,
    check_saved_model,
    check_saved_record,
)
from accelmnist.training.reference.images import Source, check_images
from accelmnist.training.reference.scores import OracleScores
from accelmnist.training.reference.tolerances import tolerances
from accelmnist.training.reference.verdict import ReferenceTraining, VerdictInputs, is_reference, judge, train_reference
from accelmnist.training.run import Observer, Run, RunRequest, Setup


@dataclass(frozen=True)
class Trained:
    """What a run has trained: the network of `job`, with the `losses` of all steps, by `runner`.

    `audit` watched the training, and another clock saw what is between the `seen_s` of each epoch; `faults` are what
    was seen of the epochs besides. `answered` is the accuracy on the test set that was told already; an `evaluation` is
    there if the network has met the test set, and `checks` are what the verdict holds besides its own.
    """

    job: Job
    losses: Floats
    runner: Runner | None = None
    audit: Audit | None = None
    seen_s: tuple[tuple[float, float], ...] = ()
    faults: tuple[str, ...] = ()
    answered: float | None = None
    evaluation: Evaluation | None = None
    checks: Callable[[Evaluation], tuple[Check, ...]] = lambda _evaluation: ()


def prove(run: Run, trained: Trained) -> None:
    """Evaluate, profile and judge `trained`; the record of `run` is done then, and saved."""
    model = trained.job.model
    if run.folder is not None:
        summary = run.images.summary
        save_model(
            model,
            run.folder / MODEL_NAME,
            class_names=summary.class_names,
            dataset=summary.dataset,
            light=summary.light,
            likeness=measure_likeness(run.images.training.images, light=summary.light),
        )
    run.request.on_trained()
    run.observer.stage("evaluating on the test set")
    evaluation = trained.evaluation or evaluate_run(run, trained)
    run.change(metrics=evaluation.metrics, mistakes=confident_mistakes(evaluation, model))
    run.keep_clocks()
    run.keep_peak_memory()
    run.save()
    if trained.answered is None:
        run.observer.stage(f"{100 * evaluation.metrics.accuracy:.2f} % of the test set are right")
    if run.request.profile and trained.runner is not None:
        _profile(run, trained.runner, trained.job)
    oracle = run.request.oracle(evaluation.labels, evaluation.predictions)
    run.request.on_evaluated(run.record, model, run.images.test)
    _judge(run, trained, evaluation, oracle)
    run.save()
    _finish(run)


def complete(request: RunRequest, setup: Setup, observe: Callable[[], Observer], proven: RunRecord) -> RunRecord:
    """Make the files that a `proven` run lacks, by its record and its saved weights; returns the record of all.

    Raises CheckpointError, ConfigError if the images are not the run's, DataError and OutputError; the record is saved
    with its status before.
    """
    assert request.folder is not None
    run = Run(request, setup, observe)
    run.record, run.folder = proven, request.folder
    with run.recorded():
        saved = load_model(request.folder / MODEL_NAME)
        run.load()
        if run.record.data != proven.data:
            raise ConfigError("--resume: the data set is not the one of the run", remedy="Put its files back")
        run.record, run.is_open, run.observer = proven, True, observe()
        run.request.on_evaluated(proven, saved.model, run.images.test)
        _finish(run)
    return run.record


def _finish(run: Run) -> None:
    """Write what belongs to the run besides; it is done when all of it is there."""
    run.change(files=run.request.finish(replace(run.record, status="done", message=None)))
    if run.folder is not None:
        remove_file(run.folder / CHECKPOINT_NAME)  # a finished run has nothing to go on with
    run.change(status="done", message=None)
    run.save()


def evaluate_run(run: Run, trained: Trained) -> Evaluation:
    """Evaluate the network on the test set; of several ranks each on its part, so that all have to call this."""
    with run.timed("evaluate_s", run.setup.device) if trained.answered is None else nullcontext():
        evaluation = _evaluate(run, trained.job)
    if trained.answered is None:
        run.time(to_accuracy_s=run.request.since_start())
    return evaluation


def _evaluate(run: Run, job: Job) -> Evaluation:
    device, precision, ranks = run.setup.device, run.config.execution.precision, run.request.ranks
    if ranks is not None and ranks.size > 1:
        return evaluate_shared(job, run.images.test, ranks)
    return evaluate(job.model, upload(run.images.test, device), device=device, precision=precision)


def _profile(run: Run, runner: Runner, job: Job) -> None:
    from accelmnist.training.profile import TRACE_NAME, profile_training  # here: most runs do without it

    run.observer.stage("profiling a few steps")
    folder = run.folder
    profile = profile_training(runner, job, trace=None if folder is None else folder / TRACE_NAME)
    run.change(profile=profile.summary)
    run.save()


def _judge(run: Run, trained: Trained, evaluation: Evaluation, oracle: Callable[[], OracleScores]) -> None:
    with run.timed("verify_s"):
        verdict, reference = _verdict_of(run, trained, evaluation, oracle)
    run.change(
        verdict=verdict,
        reference=reference.run if reference else None,
        audit=trained.audit.summary if trained.audit else None,
    )
    recounted = check_record(replace(run.record, status="done"), run.seen_s, run.seen_peak_bytes)
    run.change(verdict=Verdict.of(verdict.reference, (*verdict.checks, recounted)))


def _verdict_of(
    run: Run, trained: Trained, evaluation: Evaluation, oracle: Callable[[], OracleScores]
) -> tuple[Verdict, ReferenceTraining | None]:
    config, images = run.config, run.images
    itself = is_reference(config, device_kind=run.setup.device.kind, engine=run.setup.engine.name)
    reference = None
    if run.request.repeat_on_reference and not itself:
        run.observer.stage("repeating the training on the reference")
        reference = train_reference(config, images.training, images.test)
    run.observer.stage("checking the result")
    inputs = VerdictInputs(
        config=config,
        model=trained.job.model,
        training=images.training,
        test=images.test,
        evaluation=evaluation,
        losses=torch.from_numpy(trained.losses),
        audit=trained.audit,
    )

    def nudged_losses() -> torch.Tensor:
        run.observer.stage("measuring how far one rounding moves this training")
        nudge = tolerances(config.execution.precision).rounding
        return train_reference(config, images.training, images.test, nudge=nudge).losses

    verdict = judge(inputs, oracle=oracle, reference=reference, nudged=nudged_losses, is_reference=itself)
    checks = (*_check_chain(run, trained, evaluation, reference), *trained.checks(evaluation))
    return Verdict.of(verdict.reference, (*verdict.checks, *checks)), reference


def _check_chain(
    run: Run, trained: Trained, evaluation: Evaluation, reference: ReferenceTraining | None
) -> Iterator[Check]:
    """The checks of what the run says and has saved besides its training."""
    job, images, record = trained.job, run.images, run.record
    source = _source_of(run)
    if source is not None:
        on_device = ImageSet(job.originals.images.cpu().numpy(), job.originals.labels.cpu().numpy())
        seed = run.config.training.seed
        yield from check_images(source, on_device, images.probe, images.test, images.summary, seed=seed)
    yield check_mistakes(run.config.model.output, evaluation, record.mistakes)
    yield check_epochs(record, trained.losses, trained.seen_s, trained.faults)
    limits = tolerances(run.config.execution.precision)
    known = trained.audit.drawn if trained.audit is not None else None
    ends = dict([known] if known else []) | {len(record.epochs): job.model.arrays()}
    yield check_accuracies(run.config.model, ends, images.probe, record.epochs, limits)
    if trained.answered is not None:
        yield check_first_answer(trained.answered, job.model, images.test, evaluation, limits)
    if reference is not None:
        yield check_reference(reference, run.config, job.model, evaluation, images.test)
    if run.folder is not None:
        yield check_saved_record(run.folder / RECORD_NAME, run.record)
        file = run.folder / MODEL_NAME
        weights, pixels = job.model.arrays(), images.training.images
        yield check_saved_model(file, weights, run.config.model, images.summary, pixels, loaded=load_model(file))


def _source_of(run: Run) -> Source | None:
    """Where the images came from; None for a set that the caller of `execute` gave."""
    images, seed = run.images, run.config.training.seed
    if images.files or images.summary.source == "embedded":
        return Source(images.summary.dataset, images.files)
    if images.summary.dataset != "synthetic":
        return None
    again = make_synthetic(seed=seed)
    return Source("synthetic", made=(again.train, again.test))
