"""What two records have in common for a comparison: cases with speeds, whatever tool measured them.

A `ComparedRecord` is one record as a comparison sees it. `compared_bench` makes it of a benchmark's record,
`pytest_benchmark` of the JSON of pytest-benchmark. Speeds are images or calls per second, higher is better; the facts
are what else may have moved them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from statistics import mean
from typing import Literal

from accelmnist.core.errors import RecordError
from accelmnist.core.records import Environment
from accelmnist.core.text import printable
from accelmnist.measure.limit_keys import LimitKey
from accelmnist.measure.plan import BenchConfig
from accelmnist.measure.record import BenchRecord, CaseResult, Round
from accelmnist.measure.statistics.summary import as_samples

Tool = Literal["accelmnist bench", "pytest-benchmark"]
Fact = str | int | float | tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True)
class Series:
    """One case of one record: its speeds, or the `reason` why there are none.

    By its `key` it is found in the other record; `label` is its name, and `axes` are the parts of that by what they
    are. `rates` are the limits of its device that were measured beside every sample. `processes` numbers the process
    that took each sample, and is empty if that is unknown. `failed` says that it was tried and came to no end, `wrong`
    names the checks of its result that failed.
    """

    key: Hashable
    label: str
    axes: dict[str, str]
    speeds: tuple[float, ...] = ()
    rates: dict[LimitKey, tuple[float, ...]] = field(default_factory=dict)
    processes: tuple[int, ...] = ()
    reason: str | None = None
    failed: bool = False
    wrong: str | None = None


@dataclass(frozen=True, kw_only=True)
class ComparedRecord:
    """One of the two records. `name` is the file or folder as it was given, `state` what kept it from being complete.

    `facts` are of the environment, the configuration and the tool. `machine` names the processor and the devices: if
    these differ, two machines are compared. `other_cpu` is the share of the processors' time that other processes used
    meanwhile, None if nobody looked. `runs` are the times of several runs that it is made of, in order.
    """

    name: str
    tool: Tool
    created: str
    series: dict[Hashable, Series]
    facts: dict[str, Fact]
    machine: dict[str, str]
    other_cpu: float | None = None
    runs: tuple[str, ...] = ()
    state: str | None = None


def compared_bench(record: BenchRecord, name: str) -> ComparedRecord:
    """A benchmark's record as a comparison sees it; RecordError if it holds no case, or what can't be."""
    rounds = {round_.number: round_ for round_ in record.rounds}
    environment = record.environment
    other_cpu = [round_.other_cpu for round_ in record.rounds if round_.other_cpu is not None]
    limits = {limit.key: limit.what for limit in record.limits if limit.what is not None}
    return ComparedRecord(
        name=printable(name),
        tool="accelmnist bench",
        created=record.created,
        series=by_key((_series(result, rounds, limits, name) for result in record.cases), name),
        facts=_environment_facts(environment) | _config_facts(record.config),
        machine=_machine(record, environment),
        other_cpu=mean(other_cpu) if other_cpu else None,
        state=None if record.status == "done" else f"{record.status}: {record.message or 'not at its end'}",
    )


def by_key(series: Iterable[Series], name: str) -> dict[Hashable, Series]:
    """The cases by their keys, in order; RecordError if there is none, or two share a key."""
    cases: dict[Hashable, Series] = {}
    for case in series:
        if case.key in cases:
            raise RecordError(f"{name} holds {case.label} twice", remedy="Make it again")
        cases[case.key] = case
    if not cases:
        raise RecordError(f"{name} holds no case", remedy="Give one in which something was measured")
    return cases


def check_samples(values: Sequence[float], what: str, name: str) -> tuple[float, ...]:
    """`values`, the samples of `what` in the file `name`; RecordError if one isn't a finite number above 0."""
    try:
        as_samples(values)
    except RecordError as error:
        raise RecordError(f"{name}, {what}: {error.message}", remedy="Make it again") from error
    return tuple(values)


def _series(result: CaseResult, rounds: Mapping[int, Round], limits: Mapping[str, LimitKey], name: str) -> Series:
    label = result.label
    failed = result.status == "failed"
    samples = result.images_per_s.samples if result.images_per_s and not failed else ()
    if len(samples) != len(result.rounds) and not failed:
        raise RecordError(f"{name}, {label}: {len(samples)} samples of {len(result.rounds)} rounds", remedy="Remake it")
    row = Series(
        key=result.case,
        label=label,
        axes=result.axes,
        failed=failed,
        wrong=_wrong(result),
    )
    if not samples:
        reason = result.skipped or f"not measured: {result.status}"
        return replace(row, reason=f"failed: {reason}" if failed else reason)
    own = [rounds[number] for number in result.rounds if number in rounds]
    known = len(own) == len(samples)  # of every sample, its round
    return replace(
        row,
        speeds=check_samples(samples, label, name),
        rates=_rates(own, limits, result.device, name) if known else {},
        processes=tuple(round_.process for round_ in own) if known else (),
    )


def _rates(
    rounds: Sequence[Round], limits: Mapping[str, LimitKey], device: str, name: str
) -> dict[LimitKey, tuple[float, ...]]:
    """The limits of the device that every one of these rounds measured."""
    own = {key: limits[key] for key in rounds[0].limits if key in limits and limits[key].device == device}
    return {
        limit: check_samples([round_.limits[key] for round_ in rounds], f"limit {limit.name}", name)
        for key, limit in own.items()
        if all(key in round_.limits for round_ in rounds)
    }


def _wrong(result: CaseResult) -> str | None:
    if result.verdict is None or result.verdict.passed:
        return None
    return ", ".join(check.name for check in result.verdict.failures) or "its verdict"


def _environment_facts(environment: Environment | None) -> dict[str, Fact]:
    """Every field, and every variable as a fact of its own."""
    if environment is None:
        return {}
    apart = ("variables", "cpu", "gpus")
    named = {item.name: getattr(environment, item.name) for item in fields(environment) if item.name not in apart}
    return named | environment.variables | _hardware_facts(environment)


def _hardware_facts(environment: Environment) -> dict[str, Fact]:
    """What was set or built in, of the processor and of each card; clocks and counters are another in every record."""
    cpu = environment.cpu
    found: dict[str, Fact] = {} if cpu is None else {"governor": cpu.governor, "quota": cpu.quota}
    for card in environment.gpus:
        settings = ("clock_max_hz", "power_cap_w", "link_generation_max", "link_width", "ecc", "mig", "persistence")
        found |= {f"{card.device} {name}": getattr(card, name) for name in settings}
    return found


def _config_facts(config: BenchConfig) -> dict[str, Fact]:
    """What of the configuration moves a speed or its interval; the lists of cases show in the cases themselves."""
    return {
        "dataset": config.data.dataset,
        "data folder": config.data.folder,
        "images held out": config.data.validation,
        "processes": config.processes,
        "effort": config.effort,
        "time limit in s": config.ends_after_s,
        "precision target": config.precision_target,
        "epochs of the check": config.training_epochs,
        "recipe": config.recipe,
        "plain training": config.plain,
    }


def _machine(record: BenchRecord, environment: Environment | None) -> dict[str, str]:
    devices = {device.name: device.hardware for device in record.devices}
    if environment is None:
        return devices
    devices = {environment.device: environment.hardware} | devices
    own = {name: hardware for name, hardware in devices.items() if hardware != environment.processor}
    cores = {} if environment.cores is None else {"number of cores": str(environment.cores)}
    return {"processor": environment.processor, **cores, **own}
