"""Where a command's result is saved, and how to go on with one that was stopped: what run, bench and sweep share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def result_folder(options: Mapping[str, Any], *, label: str) -> Iterator[Path | None]:
    """Within: the new folder that --out names, or one named by time and `label`; None with --no-save.

    It goes where nothing came of it. Raises ConfigError for one that holds files, OutputError where it can't be made.
    """
    from accelmnist.folders import new_folder, remove_if_empty

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
