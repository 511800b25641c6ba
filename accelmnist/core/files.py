"""Files and folders of a result: written in one step, by one program at a time; records as files; the cache folder.

A file is replaced by POSIX's means: a temporary file in the same folder is flushed to the disk and renamed over the old
one. A process killed at any moment leaves either the old file or the new one.

A record is a file of JSON with a schema version, validated on load. In memory it is a frozen dataclass with the fields
`schema_version` and `kind`: msgspec encodes it as it is and checks every type on the way back. Keys are never renamed
within a schema version; a new key has a default, so that older records still load.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from accelmnist.core.errors import ConfigError, DataError, OutputError, RecordError
from accelmnist.core.text import checked_json

RESULTS = Path("results")
RECORDS = {
    "run": "run.json",
    "bench": "bench.json",
    "sweep": "sweep.json",
    "soak": "soak.json",
}  # the record of each command, by its kind
NOUNS = {"run": "a run", "bench": "a benchmark", "sweep": "a sweep", "soak": "a soak"}
SCHEMA_VERSION = 1

Record = TypeVar("Record")

_OF_ALL_USERS = Path("/tmp")  # every user of Linux and macOS may write there
_LOCK = ".lock"
_TEMPORARY = re.compile(r"\..+\.(gz|html|json|md|pdf|png|safetensors|txt)\.[a-z0-9_]{8}")  # `write_atomically`'s
_MOST_OF_ONE_SECOND = 1000  # new folders with one label


def new_folder(asked: Path | None, *, label: str) -> Path:
    """The folder of a new result: `asked`, or a new one under `results/` named by the time and the label.

    The new folder is made at once, so that two of one second get one each. Raises ConfigError if `asked` holds files,
    which would be lost, and OutputError if a folder can't be made.
    """
    if asked is not None:
        require_new(asked)
        return asked
    make_folder(RESULTS)
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{label}"
    for suffix in ("", *(f"-{number}" for number in range(2, _MOST_OF_ONE_SECOND))):
        folder = RESULTS / f"{name}{suffix}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise OutputError(f"{RESULTS} is full of {name}", remedy="Choose a folder with --out")


def require_new(asked: Path) -> None:
    """Raise ConfigError if the folder `asked` holds something that a new result could replace."""
    if any((asked / record).exists() for record in RECORDS.values()):
        raise ConfigError(
            f"--out {asked} already holds a result", remedy="Choose another folder, or go on with it by --resume"
        )
    if asked.is_dir() and any(not _is_leftover(path) for path in asked.rglob("*")):
        raise ConfigError(f"--out {asked} holds other files, which could be replaced", remedy="Choose a new folder")


def is_whole(folder: Path, status: str, files: Sequence[str]) -> bool:
    """Whether a result in `folder` is done and all of its `files` are there."""
    return status == "done" and bool(files) and all((folder / name).is_file() for name in files)


def make_folder(folder: Path, *, within: Path | None = None) -> Path:
    """Create `folder` with its parents and prove that it can be written; raises OutputError if it can't.

    One of ours `within` that of a result is no symbolic link, which would lead elsewhere.
    """
    try:
        if within is not None and folder.is_symlink():
            raise OutputError(f"{folder} is a symbolic link", remedy="Remove it, or choose another folder with --out")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _output_error(folder, error) from error
    return folder


def remove_if_empty(*folders: Path) -> None:
    """Remove a folder in which nothing was saved, and then those above it that hold nothing else."""
    for empty in folders:
        with contextlib.suppress(OSError):
            empty.rmdir()


@contextlib.contextmanager
def sole_writer(folder: Path) -> Iterator[int]:
    """Within: no other program writes into `folder`; raises OutputError, with its process, if one does.

    The lock is the operating system's, so it goes with the process that holds it, however that ends: what a dead one
    left half written is removed. A process started within goes on holding it if it is passed the file descriptor, which
    this gives.
    """
    handle = _locked(make_folder(folder) / _LOCK)
    try:
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}".encode())
            remove_leftovers(folder)
        yield handle
    finally:  # whatever went wrong: a folder with nothing in it but this can't be removed
        with contextlib.suppress(OSError):
            remove_leftovers(folder)
            (folder / _LOCK).unlink()
        os.close(handle)


def lock_on_machine(*names: str) -> int:
    """A lock of this name, held until the file that is given is closed, which programs of all users here respect.

    Raises BlockingIOError if another one holds it, OSError if there can be none. Its file stays: a name and nothing
    else, and another user's may be read and locked, not removed.
    """
    import fcntl

    file = _OF_ALL_USERS / f"accelmnist-{'-'.join(names).replace(':', '-')}.lock"
    try:  # without O_CREAT, which Linux refuses for another user's file in such a folder
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        handle = os.open(file, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        with contextlib.suppress(OSError):
            os.fchmod(handle, 0o644)  # whatever this user's mask
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def _locked(file: Path) -> int:
    """The open and locked `file`; raises OutputError if another process holds it."""
    import fcntl

    while True:
        try:
            handle = os.open(file, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o644)  # a link would lead elsewhere
        except OSError as error:
            raise _output_error(file, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(handle, 100).decode(errors="replace")
            os.close(handle)
            raise OutputError(
                f"another accelmnist is writing into {file.parent}{holder and f': {holder}'}",
                remedy="Wait for it, or choose another folder",
            ) from error
        except OSError:  # a file system without locks
            return handle
        with contextlib.suppress(FileNotFoundError):  # its holder has just removed it: what is locked is no file
            if os.path.samestat(os.fstat(handle), file.stat()):
                return handle
        os.close(handle)


def remove_leftovers(folder: Path) -> None:
    """Remove what programs that were killed left half written in `folder`, which has to be the caller's alone."""
    for path in folder.rglob(".*"):
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def _is_leftover(path: Path) -> bool:
    """Whether a path in a result's folder is what a killed program of ours leaves before its first record."""
    is_own_folder = path.is_dir() and not path.is_symlink()
    return is_own_folder or path.name == _LOCK or _TEMPORARY.fullmatch(path.name) is not None


def write_atomically(path: Path, content: bytes, *, flush: bool = True) -> None:
    """Replace `path` by `content` in one step; raises OutputError, and leaves the old file, if that fails.

    What can be made again at any time needs no `flush` to the disk. A symbolic link is replaced, never written through;
    a device, a pipe or a link to one is left alone: root would replace even /dev/full.
    """
    temporary = None
    try:
        if path.exists() and not path.is_file():
            raise OutputError(f"cannot write {path}: it is no regular file", remedy="Choose the name of a file")
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            if flush:
                os.fsync(file.fileno())
        temporary.chmod(0o644)  # the temporary file's own mode keeps everyone else out
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        raise _output_error(path, error) from error


def remove_file(path: Path) -> None:
    """Remove `path` if it is there; raises OutputError if it can't be removed."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _output_error(path, error, action="replace") from error


def _output_error(path: Path, error: OSError, *, action: str = "write") -> OutputError:
    cause = (error.strerror or str(error)).lower()
    return OutputError(
        f"cannot {action} {path}: {cause}",
        remedy="Choose another place with --out, or make room there",
    )


def cache_folder() -> Path:
    """The folder of what can be had again, by the XDG Base Directory Specification: downloads, measured speeds.

    Raises DataError if there is no home folder.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # the specification has a relative path ignored
        try:
            base = Path.home() / ".cache"
        except RuntimeError as error:
            raise DataError("no home folder to keep downloads in", remedy="Set XDG_CACHE_HOME") from error
    return base / "accelmnist"


@dataclass(frozen=True)
class _Header:
    schema_version: int
    kind: str


def encode(record: object) -> bytes:
    """The record as indented UTF-8 JSON with a closing line feed."""
    import msgspec  # here, as in `load`: a page of help needs no record

    try:
        content = msgspec.json.encode(record)
    except UnicodeEncodeError:  # a name that is not in UTF-8, in the command or in a variable
        content = msgspec.json.encode(checked_json(msgspec.to_builtins(record)))
    return msgspec.json.format(content, indent=2) + b"\n"


def save(record: object, path: Path) -> Path:
    """Write the record to `path` in one step; raises OutputError."""
    write_atomically(path, encode(record))
    return path


def record_file(path: Path, kind: str) -> Path:
    """The file of a record of `kind`, given it or its folder; raises RecordError for another command's folder."""
    if not path.is_dir():
        return path
    if (other := other_kind_in(path, kind)) is not None:
        raise RecordError(
            f"{path} holds {NOUNS[other]}, not {NOUNS[kind]}", remedy=f"Give the folder of `accelmnist {kind}`"
        )
    return path / RECORDS[kind]


def kind_of(path: Path, *, noun: str, remedy: str) -> str:
    """The kind of the record in a file or a folder, empty for JSON that says none; `noun` is what may be there.

    Raises RecordError for a folder without a record, and for a file that can't be read or isn't whole JSON.
    """
    if path.is_dir():
        kinds = [kind for kind, name in RECORDS.items() if (path / name).exists()]
        if not kinds:
            raise RecordError(f"{path} holds none of {', '.join(RECORDS.values())}", remedy=remedy)
        return kinds[0]
    document = read_json(path, noun)
    kind = document.get("kind", "") if isinstance(document, dict) else ""
    return kind if isinstance(kind, str) else ""


def other_kind_in(path: Path, kind: str) -> str | None:
    """The kind of the record that a folder or a file holds in place of one of `kind`; None if it may hold one."""
    if path.is_dir():
        kinds = [other for other, name in RECORDS.items() if (path / name).exists()]
    else:
        kinds = [other for other, name in RECORDS.items() if path.name == name and path.exists()]
    return None if kind in kinds or not kinds else kinds[0]


def load(file: Path, record_type: type[Record], *, kind: str, noun: str) -> Record:
    """Read and validate the record in `file`, which has to be of `kind`; `noun` is its name, as in "a run".

    Raises RecordError for one that is missing, truncated, foreign, of another kind or of a newer schema.
    """
    import msgspec

    document = read_json(file, noun)
    try:
        _check_header(msgspec.convert(document, _Header), file, kind, noun)
        return msgspec.convert(document, record_type)
    except (msgspec.ValidationError, RecursionError) as error:
        raise RecordError(f"{file} is not a record of accelmnist: {error}", remedy=f"Give {noun}'s record") from error
    except ConfigError as error:
        raise RecordError(f"{file} holds a configuration that can't be: {error.message}", remedy="Remake it") from error


def read_json(file: Path, noun: str, *, decode: Callable[[bytes], Any] | None = None) -> Any:
    """What the JSON in `file` holds, its texts fit to be shown; by msgspec's decoder if no other is given.

    Raises RecordError for a file that can't be read or isn't whole JSON.
    """
    import msgspec

    content = read(file, noun)
    try:
        return checked_json((decode or msgspec.json.decode)(content))
    except RecursionError as error:
        raise RecordError(f"{file} is nested too deeply for a record", remedy=f"Give the folder of {noun}") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise RecordError(
            f"{file} is not whole JSON: {error}", remedy="Remake it; a record is written in one step"
        ) from error


def read(file: Path, noun: str) -> bytes:
    """The bytes of a record's file; raises RecordError if it can't be read."""
    try:
        if file.exists() and not (file.is_file() or file.is_dir()):  # to read a pipe would wait for its writer
            raise RecordError(f"{file} is not a regular file", remedy=f"Give the folder of {noun}")
        return file.read_bytes()
    except OSError as error:
        cause = (error.strerror or str(error)).lower()
        raise RecordError(f"cannot read {file}: {cause}", remedy=f"Give the folder of {noun}") from error


def _check_header(header: _Header, file: Path, kind: str, noun: str) -> None:
    if header.schema_version > SCHEMA_VERSION:
        raise RecordError(
            f"{file} has schema version {header.schema_version}, newer than the {SCHEMA_VERSION} known here",
            remedy="Upgrade accelmnist",
        )
    if header.kind != kind:
        raise RecordError(
            f"{file} is a record of kind {header.kind!r}, not of {noun}", remedy=f"Give the folder of {noun}"
        )
