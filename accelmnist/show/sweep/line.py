"""A sweep in one line, for `--quiet` and for logs."""

from __future__ import annotations

from accelmnist.show.units import percent, plural, seconds
from accelmnist.sweep.record import SweepRecord, label_of
from accelmnist.sweep.schedule import seconds_left, trainings_done, trainings_planned


def format_line(record: SweepRecord) -> str:
    """The outcome, the best by validation, and what the test set says of the winner."""
    return "; ".join(filter(None, (f"{outcome_word(record)} {extent(record)}", _best(record), winner_text(record))))


def outcome_word(record: SweepRecord) -> str:
    """PASS or FAIL of the winner's verdict; before that, how the sweep ended."""
    verdict = record.winner.verdict if record.winner else None
    if record.status != "done" or verdict is None:
        return record.status.upper()
    return "PASS" if verdict.passed else "FAIL"


def extent(record: SweepRecord) -> str:
    """How much was done: "24 candidates, 72 trainings, 1 min 12 s"."""
    trainings = plural(trainings_done(record), "training")
    return f"{plural(len(record.candidates), 'candidate')}, {trainings}, {seconds(record.elapsed_s)}"


def winner_text(record: SweepRecord) -> str:
    """The one figure of the test set."""
    winner = record.winner
    if winner is None or winner.metrics is None:
        return ""
    interval = f" ({percent(winner.low)} to {percent(winner.high)})"
    return f"{percent(winner.metrics.accuracy)}{interval} of the test set, trained on all {winner.training_images:,}"


def _best(record: SweepRecord) -> str:
    if not record.ranked:
        return record.message or ""
    best = record.ranked[0]
    mean = percent(best.accuracy.mean if best.accuracy else None)
    return f"best {label_of(best, record)}, {mean} of the validation images"


def format_progress(record: SweepRecord, *, spent_s: float) -> str:
    """Trainings behind and ahead, the time left, and the best so far."""
    return ", ".join(filter(None, (count_text(record), time_text(record, spent_s), leader_text(record))))


def count_text(record: SweepRecord) -> str:
    """How many of how many trainings are done."""
    return f"{trainings_done(record):,} of {plural(trainings_planned(record), 'training')}"


def time_text(record: SweepRecord, spent_s: float) -> str:
    """The time left, by what the trainings so far took in `spent_s`; nothing before the first and after the last."""
    left_s = seconds_left(record, spent_s)
    if not left_s:
        return ""
    return f"about {round(left_s)} s left" if left_s < 60 else f"about {seconds(round(left_s))} left"


def leader_text(record: SweepRecord) -> str:
    """The first of the ranks, as they are now."""
    if not record.ranked:
        return ""
    best = record.ranked[0]
    return f"best so far {label_of(best, record)} {percent(best.accuracy.mean if best.accuracy else None)}"
