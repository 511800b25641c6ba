"""The JSON of pytest-benchmark as one of the two records of a comparison.

A benchmark is a case, named by its `fullname`. Its samples are `stats.data`, the seconds of one call in each round,
and a speed is one over them. What benchmarks put into `extra_info` is their own, and not read. pytest-benchmark knows
no limits of the hardware, so a drift of the machine between two files can't be divided out.

A file is one process. Its samples share where its memory lies and what its neighbours did, so they can't tell what
changes from one process to the next (`results/processes.md`). Several files are `merged` into one record, in which each
counts as one process.

The format is that of pytest-benchmark 3 to 5 (https://pytest-benchmark.readthedocs.io). Its writer is Python's json
module, which writes Infinity and NaN for such parameters of a test; so they are read here too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, combinations
from typing import Any

import msgspec

from accelmnist.core.errors import RecordError
from accelmnist.core.text import printable
from accelmnist.measure.compare.compared_record import ComparedRecord, Fact, Series, by_key, check_samples

_PASSING = ("hz_actual", "hz_actual_friendly")  # the clock at that moment: a reading, not what the machine is
_FOLLOWING = ("time", "author_time")  # they follow from the commit


@dataclass(frozen=True, kw_only=True)
class _Stats:
    data: list[float] | None = None


@dataclass(frozen=True, kw_only=True)
class _Benchmark:
    fullname: str
    stats: _Stats
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Document:
    benchmarks: list[_Benchmark]
    machine_info: dict[str, Any]
    commit_info: dict[str, Any] = field(default_factory=dict)
    datetime: str = ""
    version: str = ""


def is_pytest_benchmark(document: object) -> bool:
    """Whether a decoded JSON document is of pytest-benchmark, to judge by its keys."""
    return isinstance(document, dict) and {"benchmarks", "machine_info"} <= document.keys()


def compared_pytest_benchmark(document: object, name: str) -> ComparedRecord:
    """A decoded document as a comparison sees it; `name` is its file.

    RecordError if a part is missing or of another type, there is no benchmark, or it was saved without raw times.
    """
    try:
        known = msgspec.convert(document, _Document)
    except (msgspec.ValidationError, OverflowError) as error:  # the latter: an integer too large for a float
        raise RecordError(f"{name} is not whole: {error}", remedy="Save it again with --benchmark-json") from error
    machine = dict(_leaves("", known.machine_info))
    commit = {key: value for key, value in known.commit_info.items() if key not in _FOLLOWING}
    return ComparedRecord(
        name=printable(name),
        tool="pytest-benchmark",
        created=known.datetime,
        series=by_key((_series(benchmark, name) for benchmark in known.benchmarks), name),
        facts=machine | dict(_leaves("commit", commit)) | _settings(known),
        machine=_machine(machine),
    )


def merged(records: Sequence[ComparedRecord], name: str) -> ComparedRecord:
    """Several files of the same code as one record, a process each; RecordError if one is there twice."""
    for earlier, later in combinations(records, 2):
        if earlier.series == later.series:
            raise RecordError(f"{earlier.name} and {later.name} are one run", remedy="Keep each run once")
    first = records[0]
    keys = {key: one for record in records for key, one in record.series.items()}
    return replace(
        first,
        name=printable(name),
        runs=tuple(sorted(record.created for record in records)),
        series={key: _joined([record.series[key] for record in records if key in record.series]) for key in keys},
        facts={fact: _shared([record.facts.get(fact) for record in records]) for fact in first.facts},
        machine={part: str(_shared([record.machine.get(part) for record in records])) for part in first.machine},
    )


def _joined(runs: Sequence[Series]) -> Series:
    timed = [run for run in runs if run.speeds]
    if not timed:
        return runs[0]
    return replace(
        timed[0],
        speeds=tuple(chain.from_iterable(run.speeds for run in timed)),
        processes=tuple(number for number, run in enumerate(timed) for _ in run.speeds),
    )


def _shared(facts: Sequence[Fact]) -> Fact:
    """The fact of all runs, or what each of them has of it."""
    return facts[0] if len(set(facts)) == 1 else tuple(dict.fromkeys(map(str, facts)))


def _series(benchmark: _Benchmark, name: str) -> Series:
    label, times = benchmark.fullname, benchmark.stats.data
    if times is None:
        raise RecordError(
            f"{name} has no raw times",
            remedy="Save it with --benchmark-json, or add --benchmark-save-data to --benchmark-save",
        )
    file, separator, test = label.partition("::")
    axes = {"file": file if separator else "", "benchmark": test or label}
    if not times or 0 in times:
        reason = "no round was timed" if not times else "a time is 0: below what the clock tells apart"
        return Series(key=label, label=label, axes=axes, reason=reason)
    check_samples(times, label, name)
    speeds = check_samples([1 / time for time in times], label, name)
    return Series(key=label, label=label, axes=axes, speeds=speeds, processes=(0,) * len(speeds))


def _leaves(name: str, value: object) -> Iterator[tuple[str, Fact]]:
    """Every value of nested dictionaries, under the keys that lead to it: `cpu.count`."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in _PASSING:
                yield from _leaves(f"{name}.{key}" if name else key, inner)
    else:
        yield name, _fact(value)


def _fact(value: object) -> Fact:
    if isinstance(value, list):
        return tuple(map(str, value))
    if value is None or isinstance(value, int | float):
        return value
    return str(value)


def _settings(document: _Document) -> dict[str, Fact]:
    """What of the benchmarks' options changes what a time is; a file may hold several values of one."""
    settings: dict[str, Fact] = {"pytest-benchmark": document.version}
    for option in ("timer", "disable_gc"):
        values = {str(benchmark.options.get(option)) for benchmark in document.benchmarks}
        settings[option] = ", ".join(sorted(values))
    return settings


def _machine(facts: Mapping[str, Fact]) -> dict[str, str]:
    """The processor by the name that our own suite gives it, or by pytest-benchmark's, and our suite's devices."""
    processor = facts.get("processor_name") or facts.get("cpu.brand_raw")
    devices = {name.partition(".")[2]: fact for name, fact in facts.items() if name.startswith("devices.")}
    own = {name: hardware for name, hardware in devices.items() if hardware != processor}
    named = {"processor": processor, "number of cores": facts.get("cpu.count"), **own}
    return {name: str(fact) for name, fact in named.items() if fact is not None}
