"""How far a sweep is, in words: "131 of 756 trainings, about 6 min 20 s left"."""

from __future__ import annotations

from accelmnist.show.units import percent, plural, seconds
from accelmnist.sweep.naming import label, labels_of
from accelmnist.sweep.record import SweepRecord
from accelmnist.sweep.schedule import seconds_left, trainings_done, trainings_planned


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
    return f"best so far {label(best, labels_of(record))} {percent(best.accuracy.mean if best.accuracy else None)}"
