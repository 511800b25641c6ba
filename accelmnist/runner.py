"""One run from its configuration to its record: the main job, in the order in which it happens.

    prepare   data, weights and engine, by the choices that `run_setup` made
    train     epoch by epoch; a checkpoint and the record are saved as it goes
    evaluate  on the device, on the test set, once; a profile, where one is wanted, comes after it
    judge     against float64 and the reference
It prints nothing: an `Observer` is told what happens. Nothing that was measured is lost: whatever ends a run early, the
record is saved with its status first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from accelmnist.averaging import WeightAverage
from accelmnist.checkpoint import (
    CHECKPOINT_NAME,
    MODEL_NAME,
    Checkpoint,
    load_weights,
    save_checkpoint,
    save_model,
    weights_of,
)
from accelmnist.config import RunConfig, check_fits
from accelmnist.data.ahead import begin_loading
from accelmnist.data.on_device import DeviceSet, upload
from accelmnist.data.order import split_validation
from accelmnist.data.types import Dataset, ImageSet
from accelmnist.device import memory_errors, peak_memory_bytes
from accelmnist.ending import told_early_end
from accelmnist.environment import describe_environment
from accelmnist.errors import OutputError
from accelmnist.evaluation import Evaluation, confident_mistakes, evaluate
from accelmnist.model import MLP
from accelmnist.reference.scores import Oracle, OracleScores, score_here
from accelmnist.reference.tolerances import tolerances
from accelmnist.reference.training import is_reference, train_reference
from accelmnist.reference.verdict import Evidence, judge
from accelmnist.results import DataSummary, EpochFigures, RunRecord, Status, save_record
from accelmnist.run_setup import Setup
from accelmnist.step.contract import Job
from accelmnist.step.memory import require_memory
from accelmnist.storage import make_folder
from accelmnist.training import EpochResult, prepare, train

_PROBE_IMAGES = 5000  # of the training set, for the accuracy by epoch where no image is held out


class Observer(Protocol):
    """Who is told what happens in a run."""

    def planned(self, record: RunRecord) -> None:
        """All choices are made; training is about to begin."""

    def stage(self, what: str) -> None:
        """The run goes on to `what`, before or after the epochs."""

    def training_begins(self) -> None:
        """The first epoch is about to begin."""

    def epoch_done(self, figures: EpochFigures) -> None:
        """An epoch is over."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What is wanted of a run. `folder` None saves nothing; `checkpoint` is where a stopped run goes on.

    `load` gives the data set, which may be on its way already; None loads it when it is needed.
    `on_trained` is told when the last epoch is over, `on_stopped` gets the record of a run that ends without a result.
    `oracle` begins to score (labels, predictions) and returns the function that gives the result; `on_evaluated` is
    told the record with its metrics, the network and the test images, before the verdict. `profile` has some steps
    profiled when all figures are taken, so that it changes none. `since_start` tells the age of the
    process in seconds.
    """

    config: RunConfig
    folder: Path | None = None
    save_every: int = 1
    repeat_on_reference: bool = True
    profile: bool = False
    checkpoint: Checkpoint | None = None
    import_s: float | None = None
    load: Callable[[], Dataset] | None = None
    since_start: Callable[[], float | None] = lambda: None
    should_stop: Callable[[], bool] = lambda: False
    on_trained: Callable[[], None] = lambda: None
    on_stopped: Callable[[RunRecord], None] = lambda _record: None
    oracle: Oracle = score_here
    on_evaluated: Callable[[RunRecord, MLP, ImageSet], None] = lambda *_: None


@dataclass(frozen=True)
class RunOutcome:
    """A run's record, and what the pictures are made of."""

    record: RunRecord
    model: MLP
    test: ImageSet


def execute(request: RunRequest, setup: Setup, observer: Observer) -> RunOutcome:
    """Run `request` as `setup` says, and return the record with the trained network.

    Raises DivergedError, DeviceError (out of memory), DataError, OutputError; the record is saved with its status
    before. A stop asked for through `should_stop` ends the run after the present epoch, with the status
    `interrupted`.
    """
    return Run(request, setup, observer).execute()


class Run:
    """One run: its parts in their order, and the record as it grows."""

    def __init__(self, request: RunRequest, setup: Setup, observer: Observer) -> None:
        self.request, self.setup, self.observer = request, setup, observer
        self.config = setup.config
        self.folder: Path | None = None  # from when there is something to save: a mistake should leave no record
        done = request.checkpoint
        self.losses = [done.losses] if done else []
        self.record = RunRecord(
            created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            environment=describe_environment(setup.device),
            config=self.config,
            choices=setup.choices,
            parameters=self.config.model.parameters,
            epochs=done.epochs if done else (),
        )
        self._time(import_s=request.import_s, **training_time(self.record.epochs))

    def execute(self) -> RunOutcome:
        """Run from beginning to end; whatever ends it early, the record is saved with its status first."""
        with told_early_end(self._end):
            self._load_data()
            remedy = "Try a smaller --batch-size or --hidden, or another --device"
            with memory_errors(self.setup.device, remedy):
                self._prepare()
                self._train()
                if self.record.status != "interrupted":
                    self._finish()
        return RunOutcome(self.record, self.job.model, self.dataset.test)

    def _load_data(self) -> None:
        started = time.perf_counter()
        data = self.config.data
        load = self.request.load or begin_loading(data, seed=self.config.training.seed)
        self.dataset: Dataset = load()
        whole = self.dataset.train
        check_fits(self.config, training_images=len(whole.labels))
        kept, held_out = split_validation(whole.labels, data.validation, seed=self.config.training.seed)
        self.training = whole if data.validation == 0 else _part(whole, kept)
        self.probe = _part(whole, held_out if data.validation else np.arange(min(_PROBE_IMAGES, len(kept))))
        self._time(load_s=time.perf_counter() - started)
        summary = DataSummary(
            dataset=self.dataset.name,
            source=self.dataset.source,
            training_images=len(kept),
            validation_images=len(held_out),
            test_images=len(self.dataset.test.labels),
            class_names=self.dataset.class_names,
        )
        self.record = dataclasses.replace(self.record, data=summary)

    def _prepare(self) -> None:
        device = self.setup.device
        started = time.perf_counter()
        require_memory(self.config, device)
        model = MLP(self.config.model, seed=self.config.training.seed).to(device.torch_device)
        self.job = Job(self.config, device, model, upload(self.training, device))
        self.average = WeightAverage(model, self.config.training.averaging)
        self.device_probe: DeviceSet = upload(self.probe, device)
        self._time(upload_s=time.perf_counter() - started)
        self.engine = self.setup.engine.engine()
        if self.request.folder is not None:
            self.folder = make_folder(self.request.folder)
        self.observer.planned(self.record)
        self._save()
        self._prepare_engine()

    def _prepare_engine(self) -> None:
        compiles = self.engine.compiles_on(self.setup.device.kind)
        if compiles:
            self.observer.stage("compiling the step")
        prepare_s = prepare(self.engine, self.job)
        self._time(compile_s=prepare_s if compiles else None)
        if (done := self.request.checkpoint) is not None:
            load_weights(self.job.model, done.weights, source=CHECKPOINT_NAME)
            self.engine.load_state(done.state)
            self.average.load_state(done.state)

    def _train(self) -> None:
        first = len(self.record.epochs)
        self.observer.training_begins()
        epochs = train(self.engine, self.job, probe=self.device_probe, first_epoch=first, average=self.average)
        for result in epochs:
            self._keep(result)
            number, last = result.figures.epoch, self.config.training.epochs
            stops, every = self.request.should_stop(), self.request.save_every
            if stops or (every and (number % every == 0 or number == last)):
                self._save_checkpoint()
            self.observer.epoch_done(result.figures)
            if stops:
                self._end("interrupted", f"stopped after epoch {number} of {last}")
                return

    def _keep(self, result: EpochResult) -> None:
        self.losses.append(result.losses)
        self.record = dataclasses.replace(self.record, epochs=(*self.record.epochs, result.figures))
        self._time(**training_time(self.record.epochs))

    def _save_checkpoint(self) -> None:
        if self.folder is None:
            return
        checkpoint = Checkpoint(
            config=self.config,
            weights=weights_of(self.job.model),
            state=self.engine.state() | self.average.state(),
            losses=torch.cat(self.losses),
            epochs=self.record.epochs,
        )
        save_checkpoint(checkpoint, self.folder / CHECKPOINT_NAME)
        self._save()

    def _finish(self) -> None:
        self._save_model()
        self.request.on_trained()
        self.observer.stage("evaluating on the test set")
        evaluation = self._evaluate()
        self.record = dataclasses.replace(
            self.record,
            metrics=evaluation.metrics,
            mistakes=confident_mistakes(evaluation, self.job.model),
            peak_memory_bytes=peak_memory_bytes(self.setup.device),
        )
        self._save()
        if self.request.profile:
            self._profile()
        oracle = self.request.oracle(evaluation.labels, evaluation.predictions)
        self.request.on_evaluated(self.record, self.job.model, self.dataset.test)
        self._judge(evaluation, oracle)
        self.record = dataclasses.replace(self.record, status="done")
        self._save()
        if self.folder is not None:
            (self.folder / CHECKPOINT_NAME).unlink(missing_ok=True)  # a finished run has nothing to go on with

    def _evaluate(self) -> Evaluation:
        started = time.perf_counter()
        device, precision = self.setup.device, self.config.execution.precision
        test = upload(self.dataset.test, device)
        evaluation = evaluate(self.job.model, test, device=device, precision=precision)
        self._time(evaluate_s=time.perf_counter() - started, to_accuracy_s=self.request.since_start())
        return evaluation

    def _profile(self) -> None:
        from accelmnist.profiling.profile import TRACE_NAME, profile_training  # here: most runs do without it

        self.observer.stage("profiling a few steps")
        trace = None if self.folder is None else self.folder / TRACE_NAME
        profile = profile_training(self.engine, self.job, trace=trace)
        self.record = dataclasses.replace(self.record, profile=profile.summary)
        self._save()

    def _save_model(self) -> None:
        if self.folder is not None:
            names, dataset = self.dataset.class_names, self.dataset.name
            save_model(self.job.model, self.folder / MODEL_NAME, class_names=names, dataset=dataset)

    def _judge(self, evaluation: Evaluation, oracle: Callable[[], OracleScores]) -> None:
        started = time.perf_counter()
        itself = is_reference(self.config, device_kind=self.setup.device.kind, engine=self.setup.engine.name)
        reference = None
        if self.request.repeat_on_reference and not itself:
            self.observer.stage("repeating the training on the reference")
            reference = train_reference(self.config, self.training, self.dataset.test)
        self.observer.stage("checking the result")
        evidence = Evidence(
            config=self.config,
            model=self.job.model,
            training=self.training,
            test=self.dataset.test,
            evaluation=evaluation,
            losses=torch.cat(self.losses),
        )
        verdict = judge(evidence, oracle=oracle, reference=reference, nudged=self._nudged_losses, is_reference=itself)
        self._time(verify_s=time.perf_counter() - started)
        self.record = dataclasses.replace(self.record, verdict=verdict, reference=reference.run if reference else None)

    def _nudged_losses(self) -> torch.Tensor:
        self.observer.stage("measuring how far one rounding moves this training")
        nudge = tolerances(self.config.execution.precision).rounding
        return train_reference(self.config, self.training, self.dataset.test, nudge=nudge).losses

    def _time(self, **seconds: Any) -> None:
        timing = dataclasses.replace(self.record.timing, **seconds)
        self.record = dataclasses.replace(self.record, timing=timing)

    def _end(self, status: Status, message: str) -> None:
        """Save what there is; where even that fails, what was saved last stays."""
        self.record = dataclasses.replace(self.record, status=status, message=message)
        with contextlib.suppress(OutputError):
            self._save()
        self.request.on_stopped(self.record)

    def _save(self) -> None:
        if self.folder is not None:
            save_record(self.record, self.folder)


def training_time(epochs: tuple[EpochFigures, ...]) -> dict[str, float | None]:
    """`train_s` and `images_per_s` of the timing, from the epochs so far."""
    train_s = sum(figures.train_s for figures in epochs)
    images = sum(figures.train_s * figures.images_per_s for figures in epochs)
    return {"train_s": train_s, "images_per_s": images / train_s if train_s else None}


def _part(images: ImageSet, chosen: np.ndarray) -> ImageSet:
    return ImageSet(images=images.images[chosen], labels=images.labels[chosen])
