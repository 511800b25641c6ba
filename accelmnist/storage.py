"""Writing files so that a reader never sees half of one, and a failure is one clear line.

The method is POSIX's: write a temporary file in the same folder, flush it to the disk, rename it over the old one. A
process killed at any moment leaves either the old file or the new one.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from accelmnist.errors import OutputError


def make_folder(folder: Path) -> Path:
    """Create `folder` with its parents and prove that it can be written; raises OutputError where it can't."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _output_error(folder, error) from error
    return folder


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step; where that fails, raises OutputError and leaves the old file."""
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # the temporary file's own mode keeps everyone else out
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        raise _output_error(path, error) from error


def remove_file(path: Path) -> None:
    """Remove `path` where it is there; raises OutputError where it can't be."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _output_error(path, error, action="replace") from error


def _output_error(path: Path, error: OSError, *, action: str = "write") -> OutputError:
    cause = (error.strerror or str(error)).lower()
    return OutputError(
        f"cannot {action} {path}: {cause}",
        remedy="Choose a folder with --out, make room there, or run with --no-save",
    )
