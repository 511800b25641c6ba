"""One run, trained once: it loads the images, trains, answers, and is proven (see `proof`).

Importing torch takes longer than training a small network does. So a run by the native kernels waits with all that only
shows and saves it until its answer is there, or until torch would be; from then on it goes on like any other. The
result is the same to the bit; what differs is when it is there.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from accelmnist.core.config import RunConfig
from accelmnist.core.records import Check
from accelmnist.data.types import DeviceSet, ImageSet, upload
from accelmnist.engines.contract import Job
from accelmnist.engines.room import Room
from accelmnist.engines.step.rules import SLOTS, require_memory
from accelmnist.training.agreement import Agreement
from accelmnist.training.loop import EpochResult, accuracy_by, average_of, losses_of, prepare, train
from accelmnist.training.reference.audit import Audit, digests_of, expected_copies
from accelmnist.training.run import Observer, Run, RunOutcome, RunRequest, Setup

if TYPE_CHECKING:
    from accelmnist.training.evaluation import Evaluation

LONGEST_S = 3.0  # that a run waits before it shows itself, as torch's import would take
WEIGHTS_A_SECOND = 1.5e10  # times images: a low estimate for two cores, before an epoch has told the true one
_IMAGES = 60_000


def execute(request: RunRequest, setup: Setup, observe: Callable[[], Observer]) -> RunOutcome:
    """Run `request` as `setup` says, and return the record with the trained network.

    `observe` makes who is told what happens, when there is something to be told. Raises DivergedError, DeviceError (out
    of memory), DataError, OutputError; the record is saved with its status before. A stop asked for through
    `should_stop` ends the run after the present epoch, with the status `interrupted`.
    """
    run = Run(request, setup, observe, waits=request.checkpoint is None and answers_first(setup))
    if request.ranks is not None:
        request.ranks.on_give_up = partial(run.stop, "failed")
    with run.recorded():
        room = _room_of(run) if run.waits else None
        run.load()
        training = Training(run, room)
        if training.train():
            from accelmnist.training.proof import Trained, evaluate_run, prove

            trained = Trained(
                training.job,
                losses_of(training.epochs),
                training.runner,
                answered=training.answered,
                audit=training.audit,
                seen_s=tuple((epoch.least_s, epoch.most_s) for epoch in training.epochs),
                faults=tuple(fault for epoch in training.epochs for fault in epoch.faults),
                checks=training.checks,
            )
            if training.agreement is not None:
                trained = replace(trained, evaluation=evaluate_run(run, trained))
                training.agreement.hear([*training.audit.breaks, *trained.faults])
                training.keep_ranks(training.agreement)
            if run.is_first:
                prove(run, trained)
    return RunOutcome(run.record, training.job.model, run.images.test)


def _room_of(run: Run) -> Room:
    """Room for the copies that the audit keeps, which is made while the images are loaded."""
    size = run.config.model.parameters * (1 + len(SLOTS[run.config.training.optimizer]))
    return Room(size, ahead=expected_copies(run.request.audit_windows, 4 * size))


def answers_first(setup: Setup) -> bool:
    """Whether a run trains before torch is loaded: by the native kernels, from images at hand, in short epochs."""
    config, is_native = setup.config, setup.engine.name == "fused" and setup.device.kind == "cpu"
    needs_torch = config.training.augment != "none" or config.training.averaging > 0
    at_hand = config.data.folder is not None or config.data.dataset == "mnist"
    short = expected_epoch_s(config, _IMAGES) <= LONGEST_S
    return "torch" not in sys.modules and is_native and not needs_torch and at_hand and short


def expected_epoch_s(config: RunConfig, images: int) -> float:
    """A high estimate of the seconds that an epoch over `images` takes the native kernels."""
    return config.model.parameters * images / WEIGHTS_A_SECOND


class Training:
    """The one training of a run: its `job` by its `runner`, and the `epochs` so far, those of the checkpoint included.

    `answered` is the accuracy on the test set, if that was told before torch was loaded.
    """

    def __init__(self, run: Run, room: Room | None = None) -> None:
        self.run = run
        self.answered: float | None = None
        with run.timed("upload_s", run.setup.device):
            require_memory(run.config, run.setup.device)
            self.job = Job(run.config, run.setup.device, run.images.training, ranks=run.request.ranks, room=room)
            self.probe: ImageSet | DeviceSet = run.images.probe
            if not run.waits:
                self.probe = upload(run.images.probe, run.setup.device)
                assert self.job.model is not None
                assert self.job.data is not None
        self.average = average_of(self.job)
        self.epochs = _epochs_of(run.request)
        self.agreement = None if run.request.ranks is None else Agreement(run.request.ranks)
        entropy = None
        if self.agreement is not None:
            options = {"audit": run.request.audit_windows, "resume": len(self.epochs)}
            images = {"training": run.images.training, "test": run.images.test}
            self.agreement.require_alike(run.config, images, **options)
            entropy = self.agreement.ranks.tell(secrets.randbits(64))[0]
        self.audit = Audit(
            run.config, run.images.training, run.request.audit_windows, entropy=entropy, replays=run.is_first
        )

    def train(self) -> bool:
        """Train to the last epoch, and open the run; False if it stopped before."""
        run = self.run
        self._keep()
        if not run.waits:
            run.open()
        self._prepare()
        if run.is_open:
            run.observer.training_begins()
        begun = time.perf_counter()
        takes_s = expected_epoch_s(run.config, len(self.job))
        if not run.is_open and takes_s > LONGEST_S:
            self._open()
        epochs = train(
            self.runner,
            self.job,
            probe=self.probe,
            first_epoch=len(self.epochs),
            average=self.average,
            audit=self.audit,
        )
        for result in epochs:
            self.epochs = (*self.epochs, result)
            self._keep()
            if run.is_open and self._goes_no_further(result):
                return False
            late = time.perf_counter() - begun + result.figures.train_s > LONGEST_S
            if not run.is_open and late and result.figures.epoch < run.config.training.epochs:
                self._open()
        if not run.is_open:
            self._answer()
            self._open()
        return True

    def _keep(self) -> None:
        self.run.keep_epochs(tuple(result.figures for result in self.epochs))

    def _prepare(self) -> None:
        run, engine = self.run, self.run.setup.engine.engine
        compiles = run.setup.device.kind in engine.compiles_on
        if compiles:
            run.observer.stage("compiling the step")
        self.runner = prepare(engine, self.job)
        run.change(choices=(*run.record.choices, *self.runner.choices))
        if compiles:
            run.time(compile_s=self.runner.prepare_s)
            run.seen_s["compile_s"] = self.runner.prepare_seen_s
        if run.request.checkpoint is not None:
            from accelmnist.training.checkpoint import CHECKPOINT_NAME, load_weights

            load_weights(self.job.model, run.request.checkpoint.weights, source=CHECKPOINT_NAME)
            self.runner.load_state(run.request.checkpoint.state)
            self.audit.resume(run.request.checkpoint.digests, self.job.model.arrays())
            if self.average is not None:
                self.average.load_state(run.request.checkpoint.state)
        if self.agreement is not None:
            self.agreement.after_epoch(len(self.epochs), digests_of(self.job.model.arrays()))

    def _answer(self) -> None:
        """Tell the accuracy on the test set."""
        run = self.run
        with run.timed("evaluate_s", run.setup.device):
            self.answered = accuracy_by(self.runner, self.job, run.images.test)
        run.time(to_accuracy_s=run.request.since_start())
        run.request.on_answer(self.answered)

    def _open(self) -> None:
        """Show and save what is there of a run that waited."""
        run = self.run
        self.audit.replay_apart()  # torch is imported now
        run.open()
        run.observer.training_begins()
        if run.request.save_every and self.epochs:
            self._save_checkpoint()
        for result in self.epochs:
            run.observer.epoch_done(result.figures)

    def _goes_no_further(self, result: EpochResult) -> bool:
        """Save what there is to be saved after an epoch; whether the run is to stop here."""
        run, number = self.run, result.figures.epoch
        last, every = run.config.training.epochs, run.request.save_every
        stops = run.request.should_stop()
        if self.agreement is not None:
            stops = self.agreement.after_epoch(number, self.audit.digests(), stops=stops)
        if stops or (every and (number % every == 0 or number == last)):
            self._save_checkpoint()
        run.observer.epoch_done(result.figures)
        if stops:
            run.stop("interrupted", f"stopped after epoch {number} of {last}")
        return stops

    def checks(self, evaluation: Evaluation) -> tuple[Check, ...]:
        """What the verdict holds of the ranks."""
        return () if self.agreement is None else (self.agreement.check(evaluation.faults),)

    def keep_ranks(self, agreement: Agreement) -> None:
        """Keep which ranks there were, and what each computed in the training."""
        execution, share, timing = self.run.config.execution, self.job.share, self.run.record.timing
        whole = sum(len(epoch.losses) for epoch in self.epochs) * self.run.config.training.batch_size
        own = whole if share is None else whole * share.rows * share.shards // share.of
        figures = agreement.figures(
            device=execution.device, threads=execution.threads or 1, images=own, train_s=timing.train_s
        )
        self.run.change(ranks=figures, backend=agreement.ranks.carrier)

    def _save_checkpoint(self) -> None:
        folder = self.run.folder
        if folder is None:
            return
        import torch

        from accelmnist.training.checkpoint import CHECKPOINT_NAME, Checkpoint, save_checkpoint, weights_of

        checkpoint = Checkpoint(
            config=self.run.config,
            weights=weights_of(self.job.model),
            state=self.runner.state() | (self.average.state() if self.average is not None else {}),
            losses=torch.from_numpy(losses_of(self.epochs)),
            epochs=self.run.record.epochs,
            digests=self.audit.digests(),
        )
        save_checkpoint(checkpoint, folder / CHECKPOINT_NAME)
        self.run.save()


def _epochs_of(request: RunRequest) -> tuple[EpochResult, ...]:
    """The epochs that a stopped run has behind it, each with its share of the losses."""
    done = request.checkpoint
    if done is None or not done.epochs:
        return ()
    parts = done.losses.numpy().reshape(len(done.epochs), -1)
    return tuple(EpochResult(figures, part) for figures, part in zip(done.epochs, parts, strict=True))
