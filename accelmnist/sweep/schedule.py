"""Which trainings are left, in which order, how long they will take, and who is told of them.

Tuning comes first; then seed by seed, so that a sweep which is stopped has compared all candidates alike. Within a
seed the largest networks come first: the small ones fill the cores while the last large one ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accelmnist.core.config import RunConfig
from accelmnist.sweep.record import CandidateResult, Purpose, SweepRecord


@dataclass(frozen=True)
class PlannedTrial:
    """One training to do: of the record's candidate number `candidate`, counted from 0."""

    candidate: int
    purpose: Purpose
    learning_rate: float
    seed: int

    @property
    def key(self) -> str:
        """Its name among the others."""
        return f"{self.candidate} {self.purpose} lr {self.learning_rate:g} seed {self.seed}"

    def run_config(self, record: SweepRecord) -> RunConfig:
        """Its configuration, with device and engine by name."""
        result = record.candidates[self.candidate]
        return record.config.run_config(
            result.candidate, learning_rate=self.learning_rate, seed=self.seed, engine=result.engine
        )

    def is_done(self, record: SweepRecord) -> bool:
        """Whether the record has it."""
        return any(
            (trial.purpose, trial.learning_rate, trial.seed) == (self.purpose, self.learning_rate, self.seed)
            for trial in record.candidates[self.candidate].trials
        )


def tuning_left(record: SweepRecord) -> list[PlannedTrial]:
    """The trainings that choose learning rates, as far as they are missing."""
    if not record.config.tune_rates:
        return []
    planned = [
        PlannedTrial(candidate, "tuning", rate, record.config.tuning_seed)
        for candidate in _largest_first(record.candidates)
        for rate in record.config.learning_rates
    ]
    return [trial for trial in planned if not trial.is_done(record)]


def comparison_left(record: SweepRecord) -> list[PlannedTrial]:
    """The trainings that are compared, as far as they are missing, of the candidates that have a learning rate."""
    planned = [
        PlannedTrial(candidate, "comparison", rate, seed)
        for seed in record.config.seed_numbers
        for candidate in _largest_first(record.candidates)
        if (rate := record.candidates[candidate].learning_rate) is not None
    ]
    return [trial for trial in planned if not trial.is_done(record)]


def trainings_done(record: SweepRecord) -> int:
    """Number of the trainings that are over."""
    return sum(len(result.trials) for result in record.candidates)


def trainings_planned(record: SweepRecord) -> int:
    """Number of all trainings; a candidate whose every rate failed has no seeds to train from."""
    failed = sum(_has_no_rate(result) for result in record.candidates)
    return record.config.trainings - failed * record.config.seeds


def seconds_left(record: SweepRecord, spent_s: float) -> float | None:
    """An estimate from the trainings so far, which took `spent_s`; None before the first.

    A training takes what others of its candidate took, or else in proportion to its parameters.
    """
    worked_s = sum(trial.train_s for result in record.candidates for trial in result.trials)
    if worked_s == 0:
        return None
    parameters = sum(len(result.trials) * result.parameters for result in record.candidates)
    left_s = sum(_left_s(record, result, worked_s / parameters) for result in record.candidates)
    return left_s * spent_s / worked_s


def _left_s(record: SweepRecord, result: CandidateResult, s_per_parameter: float) -> float:
    if _has_no_rate(result):
        return 0.0
    config, done = record.config, len(result.trials)
    each_s = sum(trial.train_s for trial in result.trials) / done if done else result.parameters * s_per_parameter
    return (config.trainings_each - done) * each_s


def _has_no_rate(result: CandidateResult) -> bool:
    """Whether every rate that was tried for it failed."""
    return result.learning_rate is None and result.error is not None


def _largest_first(results: Sequence[CandidateResult]) -> list[int]:
    return sorted(range(len(results)), key=lambda candidate: -results[candidate].parameters)


class SweepObserver:
    """Is told what happens in a sweep, from the thread that runs it; this one says nothing of it."""

    def planned(self, record: SweepRecord) -> None:
        """Every candidate is known; the first training is about to begin."""

    def stage(self, what: str) -> None:
        """The sweep goes on to `what`."""

    def epoch_done(self) -> None:
        """A training under way has one more epoch behind it."""

    def trial_done(self, record: SweepRecord) -> None:
        """A training is over, and saved."""
