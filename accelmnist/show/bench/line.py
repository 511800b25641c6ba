"""A benchmark in one line, for `--quiet` and for logs."""

from __future__ import annotations

from accelmnist.measure.record import BenchRecord
from accelmnist.show.bench.headline import extent, failures_text, leaders, message_of, nothing_text, outcome_of
from accelmnist.show.bench.view import BenchView


def format_line(record: BenchRecord) -> str:
    """The outcome first, then how much was measured, what is fastest, every wrong row; or why nothing was measured."""
    view = BenchView(record)
    wrong = [f"wrong: {view.label(result)} ({failures_text(result)})" for result in view.wrong]
    outcome = f"{outcome_of(view).word} {extent(view)}"
    return "; ".join(filter(None, (outcome, message_of(view), *leaders(view), *wrong, nothing_text(view))))
