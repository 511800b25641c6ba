"""`--trials N` of `accelmnist run`: its option, what contradicts it, and the file that it adds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accelmnist.cli.interrupt import StopOnInterrupt
from accelmnist.core.errors import ConfigError

if TYPE_CHECKING:
    from accelmnist.core.records import RunRecord

_MOST = 10_000

trials_option = click.option(
    "--trials",
    type=click.IntRange(1, _MOST),
    default=1,
    show_default=True,
    metavar="N",
    help="Seeds to train together, from --seed on; the first is checked in full.",
)


def check_trials(context: click.Context, options: dict[str, Any]) -> None:
    """Raise ConfigError for an option that means nothing for many seeds."""
    if options["trials"] == 1:
        return
    reasons = {
        "resume": "it goes on with one stopped training",
        "profile": "it looks at the steps of one training",
        "save_every": "trainings of many seeds make no checkpoints",
    }
    for name, reason in reasons.items():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            flag = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{flag} has no place beside --trials: {reason}", remedy=f"Leave out {flag} or --trials")


def stop_on_interrupt(trials: int) -> StopOnInterrupt:
    """Ctrl-C in two steps; many seeds stop when those in training are over."""
    return StopOnInterrupt(until="after the trainings under way") if trials > 1 else StopOnInterrupt()


def write_trials_of(record: RunRecord, folder: Path | None) -> RunRecord:
    """Write the table of all seeds beside the record; returns the record with the file's name, saved."""
    if record.trials is None or folder is None:
        return record
    from accelmnist.core.records import save_record
    from accelmnist.show.run_files import write_trials

    record = replace(record, files=(*record.files, write_trials(record, record.trials, folder)))
    save_record(record, folder)
    return record
