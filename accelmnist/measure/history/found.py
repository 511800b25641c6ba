"""The benchmarks that lie in folders, as far as a history needs them: read in a millisecond each, and not trusted.

Of a record, a history takes its samples, the limits of its rounds, and whether a case is right; medians it works out
itself, so that a bent one moves nothing, and of a verdict it asks every check. The rest isn't decoded, let alone
recounted, which takes a hundred times as long: `compare` does that for the two records that matter.

What can't be read is named with the reason and left out: a file that is damaged, of a newer schema, or huge. Of other
JSON files some may be anyone's, so these are told together; records of other commands are none of it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from types import GenericAlias
from typing import Any, get_type_hints

import msgspec
import numpy as np

from accelmnist.core.errors import ConfigError, RecordError
from accelmnist.core.files import RECORDS, SCHEMA_VERSION, read
from accelmnist.core.records import Check, Verdict
from accelmnist.core.text import brief
from accelmnist.measure.limit_keys import Limit, LimitKey, with_shape
from accelmnist.measure.plan import Case
from accelmnist.measure.record import BenchRecord, CaseResult, Round
from accelmnist.measure.statistics.summary import Samples, Summary, as_samples

LARGEST = 64_000_000  # bytes of a record's file: some hundred times the largest that was seen
VERSIONS = ("accelmnist", "commit", "torch", "driver")
_FOREIGN = "no benchmark's record"
_NOUN = "a benchmark"


def _part(record: type[Any], *names: str, required: Sequence[str] = (), **inner: Any) -> Any:
    """Some fields of a record's class, with its types and defaults, but for `inner`, of which a part is read again."""
    types, own = get_type_hints(record), {one.name: one for one in fields(record)}

    def default(name: str) -> Any:
        one = own[name]
        if one.default_factory is not MISSING:
            return msgspec.field(default_factory=one.default_factory)
        return msgspec.NODEFAULT if one.default is MISSING or name in required else one.default

    parts = [(name, inner.get(name, types[name]), default(name)) for name in (*names, *inner)]
    return msgspec.defstruct(f"_{record.__name__}", parts, frozen=True, kw_only=True)


def _many(part: Any) -> Any:
    return GenericAlias(tuple, (part, ...))


_CHECK = _part(Check, "passed", "condemns")
_VERDICT = _part(Verdict, "passed", checks=_many(_CHECK))
_CASE_NAMES = tuple(one.name for one in fields(Case))
_CASE = _part(
    CaseResult,
    *(*_CASE_NAMES, "status", "rounds"),
    images_per_s=_part(Summary, "samples") | None,
    verdict=_VERDICT | None,
)
_ROUND = _part(Round, "number", "limits")
_LIMIT = _part(Limit, *(one.name for one in fields(Limit) if one.name != "rate"))
_BENCH = _part(
    BenchRecord,
    *("schema_version", "kind", "status", "created", "environment", "devices", "config"),
    required=("schema_version", "kind"),
    cases=_many(_CASE),
    rounds=_many(_ROUND),
    limits=_many(_LIMIT),
)


class _Header(msgspec.Struct):
    schema_version: int = 0
    kind: str = ""


@dataclass(frozen=True)
class Found:
    """A record that was found in `file`, and the part of it that is read; `created` is its time, as it says."""

    file: Path
    bench: BenchRecord

    @property
    def created(self) -> str:
        """When it was begun."""
        return self.bench.created

    @property
    def versions(self) -> dict[str, Any]:
        """The software by its name, as far as it says."""
        environment = self.bench.environment
        return {} if environment is None else {name: getattr(environment, name) for name in VERSIONS}

    def machine(self, device: str) -> str:
        """The hardware that a case on `device` depends on: other hardware is another line."""
        own = {one.name: one.hardware for one in self.bench.devices}
        if device != "cpu":
            return own.get(device, device)
        environment = self.bench.environment
        if environment is None:
            return own.get("cpu", "")
        return f"{environment.processor or own.get('cpu', '')}, {environment.threads} threads"

    @property
    def work(self) -> tuple[str, ...]:
        """What all cases train on and how, if that isn't the usual: their speeds compare with no others."""
        config = self.bench.config
        named = (config.data.dataset if config.data.dataset != "mnist" else "", config.data.folder or "")
        return tuple(filter(None, (*named, config.recipe or "", "plain" if config.plain else "")))

    @cached_property
    def limits(self) -> dict[str, LimitKey]:
        """What the limits of the rounds are rates of, by the names that the rounds have for them."""
        known = {one.key: _limit_key(one) for one in self.bench.limits}
        return {key: what for key, what in known.items() if what is not None}

    @cached_property
    def rates(self) -> dict[int, dict[str, float]]:
        """The limits of every round by its number."""
        return {one.number: one.limits for one in self.bench.rounds}


@lru_cache(maxsize=4096)
def _limit_key(limit: Limit) -> LimitKey | None:
    """What a limit is the rate of; every record of a machine says the same."""
    try:
        return with_shape(msgspec.convert(msgspec.to_builtins(limit), Limit)).what
    except (msgspec.ValidationError, ValueError):
        return None


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """What was left out, and why."""

    names: tuple[str, ...]
    reason: str


def find_records(paths: Sequence[Path]) -> tuple[list[Found], list[Skipped]]:
    """Every benchmark in files and below folders, by its time, and what was left out.

    Raises ConfigError for a path that isn't there.
    """
    found: dict[bytes, Found] = {}
    skipped: dict[str, list[str]] = {}
    for path in paths:
        if not path.exists():
            raise ConfigError(f"there is no {path}", remedy="Give folders in which benchmarks lie")
        for file, is_meant in _files_in(path):
            try:
                content = _content(file)
                bench = _decoded(content, is_meant=is_meant)
            except RecordError as error:
                reason = error.message.removeprefix(f"{file}").removeprefix(" ").removeprefix(f"cannot read {file}: ")
                skipped.setdefault(reason, []).append(str(file))
                continue
            if bench is not None and (first := found.setdefault(_digest(content), Found(file, bench))).file != file:
                skipped.setdefault(f"is the same as {first.file}", []).append(str(file))
    in_order = sorted(found.values(), key=lambda one: (one.created, str(one.file)))
    return in_order, [Skipped(names=tuple(names), reason=brief(reason)) for reason, names in skipped.items()]


def _files_in(path: Path) -> Iterator[tuple[Path, bool]]:
    """The files that may be records, and whether each is meant to be one, by its name or by who gave it."""
    if not path.is_dir():
        yield path, True
        return
    for file in sorted(path.rglob("*.json")):
        yield file, file.name == RECORDS["bench"]


def _content(file: Path) -> bytes:
    try:
        size = file.stat().st_size
    except OSError as error:
        raise RecordError((error.strerror or str(error)).lower()) from error
    if size > LARGEST:
        raise RecordError(f"is larger than {LARGEST // 1_000_000} MB")
    return read(file, _NOUN)


def _decoded(content: bytes, *, is_meant: bool) -> BenchRecord | None:
    """The record; None for one of another command. RecordError for what is none."""
    try:
        bench: BenchRecord = msgspec.json.decode(content, type=_BENCH)
        if bench.kind == "bench" and bench.schema_version <= SCHEMA_VERSION:
            return bench
        damage = ""
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ConfigError) as error:
        damage = str(error)
    try:  # why it is none
        header = msgspec.json.decode(content, type=_Header)
    except msgspec.ValidationError as error:
        raise RecordError(_FOREIGN) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RecordError(f"is not whole JSON: {error}") from error
    if header.kind != "bench":
        if header.kind in RECORDS and not is_meant:
            return None
        raise RecordError(f"is a record of kind {header.kind!r}" if header.kind in RECORDS else _FOREIGN)
    if header.schema_version > SCHEMA_VERSION:
        raise RecordError(f"has schema version {header.schema_version}, newer than the {SCHEMA_VERSION} known here")
    raise RecordError(f"is damaged: {damage}")


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


@dataclass(frozen=True, kw_only=True)
class Point:
    """A case of one record: the logarithms of its samples, or that its result is `wrong`; and the limits beside it."""

    record: Found
    logs: Samples
    limits: Beside
    wrong: bool = False


@dataclass(frozen=True)
class Beside:
    """Logarithms of the limits beside every sample, by what they are rates of; cases of the same rounds share them."""

    rates: dict[LimitKey, Samples]

    @cached_property
    def middles(self) -> dict[LimitKey, float]:
        """The median of each."""
        middles = np.median(list(self.rates.values()), axis=1) if self.rates else ()
        return dict(zip(self.rates, map(float, middles), strict=True))


def points_of(record: Found) -> Iterator[tuple[Case, Point]]:
    """Every case of the record that was measured; raises RecordError for samples that can't be."""
    shared: dict[tuple[str, tuple[int, ...]], Beside] = {}
    for one in record.bench.cases:
        if one.images_per_s is None or one.status == "failed":
            continue
        case = _case_of(one)
        samples, wrong = one.images_per_s.samples, _is_wrong(one.verdict)
        if len(samples) != len(one.rounds):
            raise RecordError(f"is damaged: {case.label} has {len(samples)} samples of {len(one.rounds)} rounds")
        try:
            logs = np.log(as_samples(samples))
        except RecordError as error:
            raise RecordError(f"is damaged: {case.label}: {error.message}") from error
        key = one.device, one.rounds
        if key not in shared:
            shared[key] = _beside([record.rates.get(number, {}) for number in one.rounds], record, one.device)
        yield case, Point(record=record, logs=logs, limits=shared[key], wrong=wrong)


def _case_of(one: CaseResult) -> Case:
    case = Case(**{name: getattr(one, name) for name in _CASE_NAMES})
    try:
        _ = case.network
    except ConfigError as error:
        raise RecordError(f"is damaged: {error.message}") from error
    return case


def _is_wrong(verdict: Verdict | None) -> bool:
    return verdict is not None and not (
        verdict.passed and all(one.passed or not one.condemns for one in verdict.checks)
    )


def _beside(rounds: Sequence[dict[str, float]], record: Found, device: str) -> Beside:
    """The limits of the device that every one of these rounds measured."""
    logs = {}
    for key, what in record.limits.items():
        rates = np.array([one.get(key, math.nan) for one in rounds] if what.device == device else [])
        if rates.size and bool(np.all((rates > 0) & (rates < math.inf))):
            logs[what] = np.log(rates)
    return Beside(logs)
