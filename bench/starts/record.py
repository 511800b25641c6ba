"""results/starts.json: whole processes, raw; written after every round. What follows from them is in `table`."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from accelmnist.core.files import write_atomically
from accelmnist.device import cpu_instructions, processor


@dataclass(frozen=True, kw_only=True)
class StartCase:
    """Processes of one program from their start to 98.0 %: `seconds` of the whole, and of its parts by name.

    `accuracies` are shares of the test set; process number n of everyone had the seed n.
    """

    title: str
    ours: bool
    version: str
    reason: str | None
    seconds: tuple[float, ...]
    accuracies: tuple[float, ...]
    parts: tuple[dict[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class StartsRecord:
    """A whole run of the command, and the machine that it ran on."""

    schema_version: int
    command: str
    date: str
    processor: str
    instructions: str
    threads: int
    python: str
    starts: tuple[StartCase, ...] = ()


def new_record(command: str, *, threads: int) -> StartsRecord:
    """A record of this machine, now."""
    return StartsRecord(
        schema_version=1,
        command=command,
        date=datetime.now(UTC).date().isoformat(),
        processor=processor(),
        instructions=cpu_instructions(),
        threads=threads,
        python=platform.python_version(),
    )


def save_record(record: StartsRecord, path: Path) -> None:
    """Write it in one step."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")


def load_record(path: Path) -> StartsRecord:
    """Read and validate what `save_record` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=StartsRecord)
