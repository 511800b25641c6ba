"""results/peers.json: everything that was measured, raw, as data classes; written after every round.

The samples are seconds of a region. Speeds, intervals, ratios and verdicts follow from them (`bench.peers.judgement`),
so they are not stored; unknown is null.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from accelmnist.core.files import write_atomically
from accelmnist.device import cpu_instructions, processor
from bench.peers.rounds import Case
from bench.peers.workloads import PeerPrecision

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class CaseRecord:
    """One contender at one workload and precision; `seconds` are those of regions of `steps` steps, one a round.

    `accuracies` are shares of the test set after so many steps from the start. A `limit` is no contender: it has none.
    """

    key: str
    title: str
    ours: bool
    version: str
    precision: PeerPrecision
    reason: str | None
    steps: int
    first_s: float | None
    seconds: tuple[float, ...]
    accuracies: tuple[tuple[int, float], ...]
    limit: bool = False


@dataclass(frozen=True, kw_only=True)
class WorkloadRecord:
    """All cases of one workload; every case that has no reason was sampled in the same rounds."""

    workload: str
    cases: tuple[CaseRecord, ...]


@dataclass(frozen=True, kw_only=True)
class StartCase:
    """Processes of one contender from their start to 98.0 %: `seconds` of the whole, and of its parts by name.

    `accuracies` are shares of the test set; process number n of everyone had the seed n.
    """

    key: str
    title: str
    ours: bool
    version: str
    reason: str | None
    seconds: tuple[float, ...]
    accuracies: tuple[float, ...]
    parts: tuple[dict[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class PeersRecord:
    """A whole run of the command."""

    schema_version: int
    command: str
    date: str
    system: str
    processor: str
    instructions: str
    processors: int
    threads: int
    python: str
    workloads: tuple[WorkloadRecord, ...]
    starts: tuple[StartCase, ...] = ()


def case_record(case: Case, rounds: int) -> CaseRecord:
    """A case with its first `rounds` samples: a round that was broken off counts for nobody."""
    return CaseRecord(
        key=case.entry.key,
        title=case.entry.title,
        ours=case.entry.ours,
        version=case.version,
        precision=case.precision,
        reason=case.reason,
        steps=case.steps,
        first_s=case.first_s,
        seconds=tuple(case.seconds[:rounds]),
        accuracies=tuple(case.accuracies),
        limit=case.entry.limit,
    )


def workload_record(workload: str, cases: Iterable[Case]) -> WorkloadRecord:
    """The complete rounds of `cases`."""
    cases = list(cases)
    rounds = min((len(case.seconds) for case in cases if case.runs), default=0)
    return WorkloadRecord(workload=workload, cases=tuple(case_record(case, rounds) for case in cases))


def new_record(command: str, *, threads: int, workloads: tuple[WorkloadRecord, ...] = ()) -> PeersRecord:
    """A record of this machine, now."""
    return PeersRecord(
        schema_version=SCHEMA,
        command=command,
        date=datetime.now(UTC).date().isoformat(),
        system=f"{platform.system()} {platform.machine()}",
        processor=processor(),
        instructions=cpu_instructions(),
        processors=os.cpu_count() or 1,
        threads=threads,
        python=platform.python_version(),
        workloads=workloads,
    )


def save_record(record: PeersRecord, path: Path) -> None:
    """Write it in one step."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")


def load_record(path: Path) -> PeersRecord:
    """Read and validate what `save_record` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=PeersRecord)
