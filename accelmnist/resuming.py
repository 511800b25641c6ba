"""The folder of a run: a new one, or that of a stopped run to go on with."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from accelmnist.checkpoint import CHECKPOINT_NAME, Checkpoint, load_checkpoint
from accelmnist.config import RunConfig
from accelmnist.errors import CheckpointError, ConfigError
from accelmnist.results import RECORD_NAME, load_record
from accelmnist.storage import make_folder

RESULTS = Path("results")


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


def new_folder(asked: Path | None, *, device: str, engine: str) -> Path:
    """Where a new run will be saved: `asked`, or a new folder under `results/` named by time, device and engine.

    The new folder is made at once, so that two runs of one second get one each. Raises ConfigError where `asked`
    holds a run already, which would be lost, and OutputError where a folder can't be made.
    """
    if asked is not None:
        if (asked / RECORD_NAME).exists():
            raise ConfigError(
                f"--out {asked} already holds a run", remedy="Choose another folder, or go on with it by --resume"
            )
        if asked.is_dir() and any(asked.iterdir()):
            raise ConfigError(
                f"--out {asked} holds other files, which a run could replace", remedy="Choose a new folder"
            )
        return asked
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{device.replace(':', '')}-{engine}"
    make_folder(RESULTS)
    candidates = (RESULTS / f"{name}{suffix}" for suffix in ("", *(f"-{number}" for number in range(2, 1000))))
    return next(folder for folder in candidates if _is_made(folder))


def _is_made(folder: Path) -> bool:
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def remove_if_empty(folder: Path) -> None:
    """Remove a run's folder in which nothing was saved, and the results folder if that was all."""
    for empty in (folder, RESULTS):
        with contextlib.suppress(OSError):
            empty.rmdir()
