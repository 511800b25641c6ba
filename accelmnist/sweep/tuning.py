"""The learning rate of each candidate, from the trainings that tried them: the one with the best validation accuracy.

Of equals the smaller rate. A candidate whose every rate came to no end keeps none, and is not compared.
"""

from __future__ import annotations

from dataclasses import replace

from accelmnist.sweep.record import CandidateResult, SweepRecord


def with_tuned_rates(record: SweepRecord) -> SweepRecord:
    """`record` with a learning rate for every candidate that was tuned."""
    if not record.config.tune_rates:
        return record
    return replace(record, candidates=tuple(map(_tuned, record.candidates)))


def _tuned(result: CandidateResult) -> CandidateResult:
    tried = [
        (trial.accuracy, -trial.learning_rate) for trial in result.trials if _counts(trial.purpose, trial.accuracy)
    ]
    return replace(result, learning_rate=-max(tried)[1]) if tried else result


def _counts(purpose: str, accuracy: float | None) -> bool:
    return purpose == "tuning" and accuracy is not None
