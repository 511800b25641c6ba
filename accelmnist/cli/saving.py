"""Where a command's result is saved, and how to go on with one that was stopped: what run, bench and sweep share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from accelmnist.core.errors import ConfigError


@contextlib.contextmanager
def result_folder(options: Mapping[str, Any], *, label: str) -> Iterator[Path | None]:
    """Within: the new folder that --out names, or one named by time and `label`; None with --no-save.

    It goes where nothing came of it. Raises ConfigError for one that holds files, OutputError where it can't be made.
    """
    from accelmnist.core.files import new_folder, remove_if_empty

    if options["no_save"]:
        yield None
        return
    folder = new_folder(options["out"], label=label)
    try:
        yield folder
    finally:
        remove_if_empty(folder)


def how_to_go_on(command: str, folder: Path | None, record_name: str) -> str:
    """What to type to go on with what was stopped, where anything of it is saved."""
    saved = folder is not None and (folder / record_name).exists()
    return f"Go on with: accelmnist {command} --resume {folder}" if saved else "Nothing was saved"


def stopped_folder(path: Path, command: str) -> Path:
    """The folder that `command --resume` goes on in, given it or its record.

    Raises ConfigError, with the command that does it, where that holds what another command stopped.
    """
    from accelmnist.core.files import NOUNS, other_kind_in

    other = other_kind_in(path, command)
    if other is not None:
        noun = NOUNS[other]
        raise ConfigError(
            f"--resume {path}: that is {noun}, not {NOUNS[command]}",
            remedy=f"{noun.capitalize()} goes on with: accelmnist {other} --resume {path}",
        )
    return path.parent if path.is_file() else path
