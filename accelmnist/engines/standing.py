"""Where this machine stands: its measured speeds beside those of verified records of the same hardware, offline.

`results/records/` holds the records themselves, checked by `accelmnist submit`. The package holds what they say of
training, in one small file made from them (`python -m bench.studies.standing`), so that an installed one has it too.

A processor is its name, generation, cores and vector instructions, for a virtual machine's name tells little; a card
is its name. A case stands beside cases that do the same: engine, precision, batch size, network, optimizer, all cores.
The share is the geometric mean, over those cases, of the speed here over the median of the records.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import geometric_mean, median
from typing import Literal

from accelmnist.core.config import Optimizer, Precision
from accelmnist.core.errors import RecordError
from accelmnist.core.files import SCHEMA_VERSION, load
from accelmnist.core.records import Environment

DIGEST = Path(__file__).with_name("standing.json")


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a case of training does, on whatever machine."""

    engine: str
    precision: Precision
    batch_size: int
    hidden: tuple[int, ...]
    optimizer: Optimizer


@dataclass(frozen=True, kw_only=True)
class RecordedSpeed(Work):
    """Images a second, by the median."""

    images_per_s: float


@dataclass(frozen=True, kw_only=True)
class VerifiedRecord:
    """The speeds of a device in one of the verified records, which has the name `file`."""

    file: str
    hardware: str
    torch: str
    measured: str
    speeds: tuple[RecordedSpeed, ...]


@dataclass(frozen=True, kw_only=True)
class VerifiedRecords:
    """All of them."""

    schema_version: int = SCHEMA_VERSION
    kind: Literal["standing"] = "standing"
    records: tuple[VerifiedRecord, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A device beside the records of its hardware: `share` is None if nothing of the same was measured here.

    `cases` are the cases that both have; `sentence` says it for people.
    """

    device: str
    hardware: str
    records: int
    cases: int
    share: float | None
    sentence: str


def hardware_of(environment: Environment, device: str, name: str) -> str:
    """The hardware of `device`, whose own `name` a card is known by."""
    if device != "cpu":
        return name
    cores = "" if environment.cores is None else f"{environment.cores} cores"
    return ", ".join(filter(None, (environment.processor, cores, environment.cpu_capability)))


def slug_of(hardware: str) -> str:
    """The hardware as the name of a file or folder, such as amd-epyc-zen-5-2-cores-avx512."""
    return re.sub(r"[^a-z0-9]+", "-", hardware.lower()).strip("-")[:80]


@cache
def verified_records() -> tuple[VerifiedRecord, ...]:
    """The records that the package knows; raises RecordError for an installation without its file, or a damaged one."""
    return load(DIGEST, VerifiedRecords, kind="standing", noun="the verified records").records


def standing(device: str, hardware: str, speeds: Mapping[Work, float]) -> Standing:
    """Where `device` stands with the `speeds` that were measured on it."""
    try:
        own = [record for record in verified_records() if record.hardware == hardware]
    except RecordError as error:
        sentence = f"no verified record can be read here: {error.message}"
        return Standing(device=device, hardware=hardware, records=0, cases=0, share=None, sentence=sentence)
    known: dict[Work, list[float]] = {}
    for record in own:
        for speed in record.speeds:
            known.setdefault(_work(speed), []).append(speed.images_per_s)
    ratios = [speeds[work] / median(others) for work, others in known.items() if speeds.get(work)]
    what = "processor" if device == "cpu" else "card"
    if not own:
        sentence = f"no verified record of this {what} yet: `accelmnist submit` makes one"
    elif not ratios:
        sentence = f"{_count(own)} of this {what}; `accelmnist bench` tells where this one stands"
    else:
        share = f"at {100 * geometric_mean(ratios):.0f} % of the {'median of ' if len(own) > 1 else ''}"
        cases = f"{len(ratios)} case{'' if len(ratios) == 1 else 's'} of training"
        sentence = f"{share}{_count(own)} of this {what}, over {cases}"
    return Standing(
        device=device,
        hardware=hardware,
        records=len(own),
        cases=len(ratios),
        share=geometric_mean(ratios) if ratios else None,
        sentence=sentence,
    )


def _work(speed: RecordedSpeed) -> Work:
    return Work(
        engine=speed.engine,
        precision=speed.precision,
        batch_size=speed.batch_size,
        hidden=speed.hidden,
        optimizer=speed.optimizer,
    )


def _count(records: Sequence[VerifiedRecord]) -> str:
    return "one record" if len(records) == 1 else f"{len(records)} records"
