"""A stopped run to go on with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from accelmnist.checkpoint import CHECKPOINT_NAME, Checkpoint, load_checkpoint
from accelmnist.config import RunConfig
from accelmnist.errors import CheckpointError, ConfigError
from accelmnist.results import RECORD_NAME, load_record


@dataclass(frozen=True)
class StoppedRun:
    """A run that can go on: from its checkpoint, or from the start where it was stopped before the first one."""

    folder: Path
    config: RunConfig
    checkpoint: Checkpoint | None


def find_stopped_run(folder: Path) -> StoppedRun:
    """The stopped run in `folder`; raises RecordError, CheckpointError, or ConfigError for one that is finished."""
    record = load_record(folder)
    if record.status == "done":
        raise ConfigError(f"--resume {folder}: that run is finished", remedy="Start a new one, or give a stopped run")
    if record.trials is not None:
        raise ConfigError(
            f"--resume {folder}: that run is of {record.trials.planned} seeds together, which have no checkpoint",
            remedy="Start it again; the seeds that are over stay in its record",
        )
    file = folder / CHECKPOINT_NAME
    if not file.exists():
        return StoppedRun(folder, record.config, None)
    checkpoint = load_checkpoint(file)
    if checkpoint.config != record.config:
        raise CheckpointError(
            f"{file} is of another configuration than {folder / RECORD_NAME}",
            remedy="Remove the checkpoint to start that run anew",
        )
    return StoppedRun(folder, checkpoint.config, checkpoint)
