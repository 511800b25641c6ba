"""The seeds of a run as GitHub Markdown, for a report or an issue: the sentence, a row a seed, mean and interval."""

from __future__ import annotations

from pathlib import Path

from accelmnist.core.files import write_atomically
from accelmnist.core.records import RunRecord, TrialsSummary
from accelmnist.show.trials import row_of, spread_rows, total_text

TRIALS_NAME = "trials.md"
_HEAD = ("seed", "test accuracy", "macro F1", "training")


def format_trials_markdown(record: RunRecord, summary: TrialsSummary) -> str:
    """The whole text, ending in a line feed; every seed has its row."""
    rows = [row_of(trial) for trial in summary.trials]
    means = [(f"**{name}**", accuracy, macro_f1, "") for name, accuracy, macro_f1 in spread_rows(summary)]
    errors = [f"- seed {trial.seed}: {trial.error}" for trial in summary.trials if trial.error is not None]
    lines = [f"| {' | '.join(cells)} |" for cells in (_HEAD, ("---", "---:", "---:", "---:"), *rows, *means)]
    blocks = [f"{record.config.model}{_where(record)}: {total_text(summary)}.", "\n".join(lines), "\n".join(errors)]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _where(record: RunRecord) -> str:
    """On what it ran, with what, when."""
    environment = record.environment
    if environment is None:
        return ""
    return f" on {environment.hardware}, torch {environment.torch}, {record.created[:10]}"


def write_trials(record: RunRecord, summary: TrialsSummary, folder: Path) -> str:
    """Write the text into `folder`; returns the file's name, raises OutputError."""
    write_atomically(folder / TRIALS_NAME, format_trials_markdown(record, summary).encode())
    return TRIALS_NAME
