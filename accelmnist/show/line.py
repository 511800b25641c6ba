"""A run in one line, for `--quiet` and for logs."""

from __future__ import annotations

from accelmnist.core.records import RunRecord
from accelmnist.show.trials import mean_text
from accelmnist.show.units import percent, rate, seconds


def format_line(record: RunRecord) -> str:
    """The verdict first, then accuracy, time and speed; where there is no verdict, what became of the run."""
    if record.verdict is None or record.metrics is None:
        return f"{record.status}: {record.message}" if record.message else record.status
    word = "PASS" if record.verdict.passed else "FAIL"
    figures = f"{percent(record.metrics.accuracy)} on the test set, trained in {seconds(record.timing.train_s)}"
    failed = "".join(f"; failed: {check.name}" for check in record.verdict.failures)
    seeds = "" if record.trials is None else f"; {mean_text(record.trials)}"
    return f"{word} {figures} ({rate(record.timing.images_per_s)}){seeds}{failed}"
