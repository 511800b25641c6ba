"""Which trainings are left, in which order, and how long they will take.

Tuning comes first; then seed by seed, so that a sweep which is stopped has compared all candidates alike. Within a
seed the largest networks come first: the small ones fill the cores while the last large one ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accelmnist.sweep.record import CandidateResult, Purpose, SweepRecord


@dataclass(frozen=True)
class Training:
    """One training to do: of the candidate at `place` in the record."""

    place: int
    purpose: Purpose
    learning_rate: float
    seed: int

    @property
    def key(self) -> str:
        """What names it among the others."""
        return f"{self.place} {self.purpose} lr {self.learning_rate:g} seed {self.seed}"


def tuning_left(record: SweepRecord) -> list[Training]:
    """The trainings that choose learning rates, as far as they are missing."""
    if not record.config.tune_rates:
        return []
    seed = record.config.tuning_seed
    return [
        training
        for place in _largest_first(record.candidates)
        for rate in record.config.learning_rates
        if not _is_done(record, training := Training(place, "tuning", rate, seed))
    ]


def comparison_left(record: SweepRecord) -> list[Training]:
    """The trainings that are compared, as far as they are missing, of the candidates that have a learning rate."""
    return [
        training
        for seed in record.config.seed_numbers
        for place in _largest_first(record.candidates)
        if (rate := record.candidates[place].learning_rate) is not None
        and not _is_done(record, training := Training(place, "comparison", rate, seed))
    ]


def trainings_done(record: SweepRecord) -> int:
    """How many are behind it."""
    return sum(len(result.trials) for result in record.candidates)


def trainings_planned(record: SweepRecord) -> int:
    """How many there are in all; a candidate whose every rate failed has no seeds to train from."""
    failed = sum(result.learning_rate is None and result.error is not None for result in record.candidates)
    return record.config.trainings - failed * record.config.seeds


def seconds_left(record: SweepRecord, spent_s: float) -> float | None:
    """An estimate from the trainings so far, which took `spent_s`; None before the first.

    A training takes what others of its candidate took, or else in proportion to its parameters.
    """
    trials = [trial for result in record.candidates for trial in result.trials]
    worked_s = sum(trial.train_s for trial in trials)
    if worked_s == 0:
        return None
    parameters = sum(len(result.trials) * result.parameters for result in record.candidates)
    left_s = sum(_left_s(record, result, worked_s / parameters) for result in record.candidates)
    return left_s * spent_s / worked_s


def _left_s(record: SweepRecord, result: CandidateResult, s_per_parameter: float) -> float:
    config = record.config
    each_s = (
        sum(trial.train_s for trial in result.trials) / len(result.trials)
        if result.trials
        else result.parameters * s_per_parameter
    )
    planned = config.seeds + (len(config.learning_rates) if config.tune_rates else 0)
    gone = result.learning_rate is None and result.error is not None
    return 0.0 if gone else (planned - len(result.trials)) * each_s


def _largest_first(results: Sequence[CandidateResult]) -> list[int]:
    return sorted(range(len(results)), key=lambda place: -results[place].parameters)


def _is_done(record: SweepRecord, training: Training) -> bool:
    return any(
        (trial.purpose, trial.learning_rate, trial.seed) == (training.purpose, training.learning_rate, training.seed)
        for trial in record.candidates[training.place].trials
    )
