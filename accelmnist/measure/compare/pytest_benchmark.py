"""The JSON of pytest-benchmark as one of the two records of a comparison.

A benchmark is a case, named by its `fullname`. Its samples are `stats.data`, the seconds of one call in each round,
and a speed is one over them. What benchmarks put into `extra_info` is their own, and not read. pytest-benchmark knows
no limits of the hardware, so a drift of the machine between two files can't be divided out.

The format is that of pytest-benchmark 3 to 5 (https://pytest-benchmark.readthedocs.io). Its writer is Python's json
module, which writes Infinity and NaN for such parameters of a test; so they are read here too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
    return Series(key=label, label=label, axes=axes, speeds=speeds)


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
