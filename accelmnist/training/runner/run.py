"""The parts of a run, in the order in which they happen.

    prepare   data, weights and engine, by the choices that `run_setup` made
    train     epoch by epoch; a checkpoint and the record are saved as it goes
    evaluate  on the device, on the test set, once; a profile, where one is wanted, comes after it
    judge     against float64 and the reference
It prints nothing: an `Observer` is told what happens. Nothing that was measured is lost: whatever ends a run early, the
record is saved with its status first.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from accelmnist.core.records import RunRecord
from accelmnist.data.on_device import DeviceSet, upload
from accelmnist.data.split import RunImages, load_images
from accelmnist.device import memory_errors, peak_memory_bytes
from accelmnist.device.environment import describe_environment
from accelmnist.engines.contract import Job
from accelmnist.engines.model import MLP
from accelmnist.engines.step.memory import require_memory
from accelmnist.training.averaging import WeightAverage
from accelmnist.training.checkpoint import (
    CHECKPOINT_NAME,
    MODEL_NAME,
    Checkpoint,
    load_weights,
    save_checkpoint,
    save_model,
    weights_of,
)
from accelmnist.training.early_exit import record_early_exit
from accelmnist.training.evaluation import Evaluation, confident_mistakes, evaluate
from accelmnist.training.head_start.adoption import as_checkpoint
from accelmnist.training.head_start.training import HeadStart
from accelmnist.training.loop import EpochResult, prepare, train
from accelmnist.training.reference.scores import OracleScores
from accelmnist.training.reference.tolerances import tolerances
from accelmnist.training.reference.training import is_reference, train_reference
from accelmnist.training.reference.verdict import VerdictInputs, judge
from accelmnist.training.runner.contract import Observer, RunOutcome, RunRequest
from accelmnist.training.runner.record_writer import RecordWriter
from accelmnist.training.setup import Setup

_REMEDY = "Try a smaller --batch-size or --hidden, or another --device"


def execute(request: RunRequest, setup: Setup, observer: Observer) -> RunOutcome:
    """Run `request` as `setup` says, and return the record with the trained network.

    Raises DivergedError, DeviceError (out of memory), DataError, OutputError; the record is saved with its status
    before. A stop asked for through `should_stop` ends the run after the present epoch, with the status
    `interrupted`.
    """
    return Run(request, setup, observer).execute()


class Run:
    """One run: its parts in their order; the `journal` holds the record as it grows."""

    def __init__(self, request: RunRequest, setup: Setup, observer: Observer) -> None:
        self.request, self.setup, self.observer = request, setup, observer
        self.config = setup.config
        self.head_start = head = request.head_start
        self.answered = head if head and head.accuracy is not None else None  # it has told the accuracy
        self.done = done = as_checkpoint(head, self.config) if head else request.checkpoint
        self.losses = [done.losses] if done else []
        record = RunRecord(
            created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            environment=describe_environment(setup.device),
            config=self.config,
            choices=setup.choices,
            parameters=self.config.model.parameters,
        )
        self.journal = RecordWriter(record, on_stopped=request.on_stopped)
        self.journal.time(import_s=request.import_s)
        self.journal.keep_epochs(done.epochs if done else ())

    def execute(self) -> RunOutcome:
        """Run from beginning to end; whatever ends it early, the record is saved with its status first."""
        with record_early_exit(self.journal.stop):
            self._load_images()
            with memory_errors(self.setup.device, _REMEDY):
                self._prepare()
                self._train()
                if self.journal.record.status != "interrupted":
                    self._finish()
        return RunOutcome(self.journal.record, self.job.model, self.images.test)

    def _load_images(self) -> None:
        started, head = time.perf_counter(), self.head_start
        self.images: RunImages = head.images if head else load_images(self.config, self.request.load)
        self.journal.time(load_s=head.load_s if head else time.perf_counter() - started)
        self.journal.change(data=self.images.summary)

    def _prepare(self) -> None:
        device = self.setup.device
        started = time.perf_counter()
        require_memory(self.config, device)
        model = MLP(self.config.model, seed=self.config.training.seed).to(device.torch_device)
        self.job = Job(self.config, device, model, upload(self.images.training, device))
        self.average = WeightAverage(model, self.config.training.averaging)
        self.device_probe: DeviceSet = upload(self.images.probe, device)
        self.journal.time(upload_s=time.perf_counter() - started)
        self.engine = self.setup.engine.engine
        self.journal.open(self.request.folder)
        self.observer.planned(self.journal.record)
        self.journal.save()
        self._prepare_engine()

    def _prepare_engine(self) -> None:
        compiles = self.engine.compiles_on(self.setup.device.kind)
        if compiles:
            self.observer.stage("compiling the step")
        self.runner = prepare(self.engine, self.job)
        self.journal.time(compile_s=self.runner.prepare_s if compiles else None)
        if (done := self.done) is not None:
            load_weights(self.job.model, done.weights, source=CHECKPOINT_NAME)
            self.runner.load_state(done.state)
            self.average.load_state(done.state)

    def _train(self) -> None:
        first = len(self.journal.record.epochs)
        self.observer.training_begins()
        if self.head_start:
            self._tell_head_start(self.head_start)
        epochs = train(self.runner, self.job, probe=self.device_probe, first_epoch=first, average=self.average)
        for result in epochs:
            self._keep(result)
            number, last = result.figures.epoch, self.config.training.epochs
            stops, every = self.request.should_stop(), self.request.save_every
            if stops or (every and (number % every == 0 or number == last)):
                self._save_checkpoint()
            self.observer.epoch_done(result.figures)
            if stops:
                self.journal.stop("interrupted", f"stopped after epoch {number} of {last}")
                return

    def _tell_head_start(self, head_start: HeadStart) -> None:
        if self.request.save_every and head_start.epochs:
            self._save_checkpoint()
        for figures in head_start.epochs:
            self.observer.epoch_done(figures)

    def _keep(self, result: EpochResult) -> None:
        self.losses.append(result.losses)
        self.journal.keep_epochs((*self.journal.record.epochs, result.figures))

    def _save_checkpoint(self) -> None:
        if self.journal.folder is None:
            return
        checkpoint = Checkpoint(
            config=self.config,
            weights=weights_of(self.job.model),
            state=self.runner.state() | self.average.state(),
            losses=torch.cat(self.losses),
            epochs=self.journal.record.epochs,
        )
        save_checkpoint(checkpoint, self.journal.folder / CHECKPOINT_NAME)
        self.journal.save()

    def _finish(self) -> None:
        self._save_model()
        self.request.on_trained()
        self.observer.stage("evaluating on the test set")
        evaluation = self._evaluate()
        self.journal.change(
            metrics=evaluation.metrics,
            mistakes=confident_mistakes(evaluation, self.job.model),
            peak_memory_bytes=peak_memory_bytes(self.setup.device),
        )
        self.journal.save()
        if self.answered is None:
            self.observer.stage(f"{100 * evaluation.metrics.accuracy:.2f} % of the test set are right")
        if self.request.profile:
            self._profile()
        oracle = self.request.oracle(evaluation.labels, evaluation.predictions)
        self.request.on_evaluated(self.journal.record, self.job.model, self.images.test)
        self._judge(evaluation, oracle)
        self.journal.change(status="done")
        self.journal.save()
        if self.journal.folder is not None:
            (self.journal.folder / CHECKPOINT_NAME).unlink(missing_ok=True)  # a finished run has nothing to go on with

    def _evaluate(self) -> Evaluation:
        started = time.perf_counter()
        device, precision = self.setup.device, self.config.execution.precision
        test = upload(self.images.test, device)
        evaluation = evaluate(self.job.model, test, device=device, precision=precision)
        if self.answered is None:
            self.journal.time(evaluate_s=time.perf_counter() - started, to_accuracy_s=self.request.since_start())
        else:
            self.journal.time(evaluate_s=self.answered.evaluate_s, to_accuracy_s=self.answered.to_accuracy_s)
        return evaluation

    def _profile(self) -> None:
        from accelmnist.training.profiling.profile import TRACE_NAME, profile_training  # here: most runs do without it

        self.observer.stage("profiling a few steps")
        folder = self.journal.folder
        trace = None if folder is None else folder / TRACE_NAME
        profile = profile_training(self.runner, self.job, trace=trace)
        self.journal.change(profile=profile.summary)
        self.journal.save()

    def _save_model(self) -> None:
        if self.journal.folder is not None:
            names, dataset = self.images.summary.class_names, self.images.summary.dataset
            save_model(self.job.model, self.journal.folder / MODEL_NAME, class_names=names, dataset=dataset)

    def _judge(self, evaluation: Evaluation, oracle: Callable[[], OracleScores]) -> None:
        started = time.perf_counter()
        itself = is_reference(self.config, device_kind=self.setup.device.kind, engine=self.setup.engine.name)
        reference = None
        if self.request.repeat_on_reference and not itself:
            self.observer.stage("repeating the training on the reference")
            reference = train_reference(self.config, self.images.training, self.images.test)
        self.observer.stage("checking the result")
        evidence = VerdictInputs(
            config=self.config,
            model=self.job.model,
            training=self.images.training,
            test=self.images.test,
            evaluation=evaluation,
            losses=torch.cat(self.losses),
        )
        verdict = judge(evidence, oracle=oracle, reference=reference, nudged=self._nudged_losses, is_reference=itself)
        self.journal.time(verify_s=time.perf_counter() - started)
        self.journal.change(verdict=verdict, reference=reference.run if reference else None)

    def _nudged_losses(self) -> torch.Tensor:
        self.observer.stage("measuring how far one rounding moves this training")
        nudge = tolerances(self.config.execution.precision).rounding
        return train_reference(self.config, self.images.training, self.images.test, nudge=nudge).losses
