"""Folders: of a result (new, emptied where nothing came of it, written by one program at a time), and the cache."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from accelmnist.errors import ConfigError, DataError, OutputError
from accelmnist.storage import make_folder

RESULTS = Path("results")
RECORDS = {"run": "run.json", "bench": "bench.json", "sweep": "sweep.json"}  # the record of each command, by its kind
_LOCK = ".lock"


def new_folder(asked: Path | None, *, label: str) -> Path:
    """Where something new will be saved: `asked`, or a new folder under `results/` named by the time and the label.

    The new folder is made at once, so that two of one second get one each. Raises ConfigError where `asked` holds
    files, which would be lost, and OutputError where a folder can't be made.
    """
    if asked is not None:
        require_new(asked)
        return asked
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{label}"
    make_folder(RESULTS)
    candidates = (RESULTS / f"{name}{suffix}" for suffix in ("", *(f"-{number}" for number in range(2, 1000))))
    return next(folder for folder in candidates if _is_made(folder))


def require_new(asked: Path) -> None:
    """Raise ConfigError where the folder `asked` holds something that a new result could replace."""
    if any((asked / record).exists() for record in RECORDS.values()):
        raise ConfigError(
            f"--out {asked} already holds a result", remedy="Choose another folder, or go on with it by --resume"
        )
    if asked.is_dir() and any(asked.iterdir()):
        raise ConfigError(f"--out {asked} holds other files, which could be replaced", remedy="Choose a new folder")


def _is_made(folder: Path) -> bool:
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def cache_folder() -> Path:
    """Where what can be had again is kept, by the XDG Base Directory Specification: downloads, measured speeds.

    Raises DataError where there is no home folder.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # the specification has a relative path ignored
        try:
            base = Path.home() / ".cache"
        except RuntimeError as error:
            raise DataError("no home folder to keep downloads in", remedy="Set XDG_CACHE_HOME") from error
    return base / "accelmnist"


def remove_if_empty(folder: Path) -> None:
    """Remove a folder in which nothing was saved, and the results folder if that was all."""
    for empty in (folder, RESULTS):
        with contextlib.suppress(OSError):
            empty.rmdir()


@contextlib.contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Within: no other program writes into `folder`; raises OutputError where one does.

    The lock is the operating system's, so it goes with the process that holds it, however that ends.
    """
    import fcntl

    make_folder(folder)
    handle = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputError(
                f"another accelmnist is writing into {folder}", remedy="Wait for it, or choose another folder"
            ) from error
        try:
            yield
        finally:  # whatever went wrong: a folder with nothing in it but this can't be removed
            with contextlib.suppress(OSError):
                (folder / _LOCK).unlink()
    finally:
        os.close(handle)
