"""What a sweep proves of its trainings, beside the verdict on its winner's run.

The images are split once more by the specification, and the accuracy of every training is counted anew from its weights
on those that are held out, by the network that the candidate names. Its first loss has to be that of the seed's weights
on the first batch of the seed's order, by the specification. On a CPU one training, drawn by chance each time
that some begin, is audited as well: steps of it are replayed from the images that are not held out. So is the first one
of every rank that trains for this one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from random import SystemRandom

from accelmnist.core.config import RunConfig
from accelmnist.core.records import Check
from accelmnist.data.types import ImageSet
from accelmnist.sweep.record import CandidateResult, SweepTrial
from accelmnist.sweep.trials import Trial, TrialResult
from accelmnist.training.reference.answers import check_accuracies
from accelmnist.training.reference.audit import Audit
from accelmnist.training.reference.images import split_indexes
from accelmnist.training.reference.tolerances import tolerances
from accelmnist.training.reference.witness import Witness

_WINDOWS = 16


class TrainingsProof:
    """Holds the trainings of a sweep to their weights and its `images`, of which so many are `held_out` by `seed`.

    `faults` are what was found so far, by the process that began the sweep.
    """

    def __init__(self, images: ImageSet, held_out: int, *, seed: int, faults: Iterable[str] = ()) -> None:
        kept, chosen = split_indexes(images.labels, held_out, seed=seed)
        self.training, self.probe = images.part(kept), images.part(chosen)
        self.faults = [*faults]
        self.held, self.audited, self._drawn = 0, 0, ""

    def draw(self, keys: Iterable[str]) -> None:
        """Of these trainings, which begin, audit one."""
        self._drawn = SystemRandom().choice(list(keys))

    def audit_of(self, trial: Trial) -> Audit | None:
        """What watches `trial`, if it was drawn."""
        return Audit(trial.config, self.training, _WINDOWS, brief=True) if trial.key == self._drawn else None

    def hold(self, result: TrialResult, told: SweepTrial, candidate: CandidateResult, config: RunConfig) -> None:
        """Hold what is `told` of a training by `config` of the `candidate` to its result, and that to its weights."""
        if result.model is None:
            return
        model, training = config.model, config.training
        said = (model.hidden, model.activation, model.output, training.optimizer, training.learning_rate, training.seed)
        network = (candidate.hidden, candidate.activation, candidate.output, candidate.optimizer)
        if said != (*network, told.learning_rate, told.seed) or result.model.config != model:
            self.faults.append(f"{result.key}: another network or training")
            return
        self.faults += [f"{result.key}: {fault}" for fault in result.faults]
        if not math.isclose(told.train_s, math.fsum(epoch.train_s for epoch in result.epochs)):
            self.faults.append(f"{result.key}: {told.train_s:.4g} s are not those of its epochs")
        accuracies = tuple(epoch.accuracy for epoch in result.epochs)
        if (told.accuracy, told.accuracy_by_epoch) != (accuracies[-1], accuracies):
            self.faults.append(f"{result.key}: {told.accuracy} is not the accuracy after its last epoch")
        witness = Witness(config, self.training.images, self.training.labels)
        if not witness.first_loss_distance(float(result.losses[0])) <= 1:
            self.faults.append(f"{result.key}: its first loss is not that of its seed")
        weights, limits = result.model.arrays(), tolerances(config.execution.precision)
        checks = [check_accuracies(model, {len(result.epochs): weights}, self.probe, result.epochs, limits)]
        if result.audit is not None:
            self.audited += 1
            if (result.audit.config.model, result.audit.config.training) != (model, training):
                self.faults.append(f"{result.key}: another training was audited")
            result.audit.finish(weights, result.losses.numpy())
            checks += result.audit.checks()
        self.faults += [f"{result.key}: {check.name}, {check.detail}" for check in checks if not check.passed]
        self.held += 1

    def check(self) -> Check:
        """What was found."""
        return Check.without(
            "trainings of the sweep",
            self.faults,
            group="figures",
            finds="accuracies unlike a training's weights",
            reason=f"{self.held} accuracies counted anew on the images that are held out; {self.audited} were audited",
        )
