"""Records as files: JSON with a schema version, validated on load, written in one step.

A record is a frozen dataclass with the fields `schema_version` and `kind`. msgspec encodes it as it is and checks every
type on the way back. Keys are never renamed within a schema version; a new key has a default, so that older records
still load.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from accelmnist.core.errors import ConfigError, RecordError
from accelmnist.core.files import RECORDS, write_atomically

SCHEMA_VERSION = 1

NOUNS = {"run": "a run", "bench": "a benchmark", "sweep": "a sweep"}

Record = TypeVar("Record")


@dataclass(frozen=True)
class _Header:
    schema_version: int
    kind: str


def encode(record: object) -> bytes:
    """The record as indented UTF-8 JSON with a closing line feed."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


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
    return parse(read(file, noun), file, record_type, kind=kind, noun=noun)


def parse(content: bytes, file: Path, record_type: type[Record], *, kind: str, noun: str) -> Record:
    """`load` for content that was read already; `file` only names it."""
    try:
        _check_header(msgspec.json.decode(content, type=_Header), file, kind, noun)
        return msgspec.json.decode(content, type=record_type)
    except msgspec.ValidationError as error:
        raise RecordError(f"{file} is not a record of accelmnist: {error}", remedy=f"Give {noun}'s record") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(
            f"{file} is not whole JSON: {error}", remedy="Remake it; a record is written in one step"
        ) from error
    except ConfigError as error:
        raise RecordError(f"{file} holds a configuration that can't be: {error.message}", remedy="Remake it") from error


def read(file: Path, noun: str) -> bytes:
    """The bytes of a record's file; raises RecordError if it can't be read."""
    try:
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
