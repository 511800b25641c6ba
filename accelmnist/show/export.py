"""A record's figures in the formats that continuous integration and monitoring read.

A function for each kind of record makes `Exports` of it: figures with their units and 95 % intervals, and what was left
out, with the reason: a result that is wrong or was not proven has no speed that counts. The formats know nothing of
records:

github       two arrays of {name, unit, value, range, extra}, since what is better bigger and what smaller are two tools
             of github-action-benchmark, customBiggerIsBetter and customSmallerIsBetter
             (github.com/benchmark-action/github-action-benchmark, README, "Custom benchmarks")
bencher      {name: {measure: {value, lower_value, upper_value}}}, Bencher Metric Format
             (bencher.dev/docs/reference/bencher-metric-format)
openmetrics  gauges: `show.openmetrics`

What is exported keeps its name from version to version, for a name begins a new line in whatever draws it: that of a
case is its label, that of a measure stands in `_MEASURES`, and its unit belongs to it.

As a ratio, a speed is exported as the share of the hardware's limits that were measured beside it, which another tenant
of the machine slows down too. Its interval is that of the shares of single rounds.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from accelmnist.core.errors import ConfigError, RecordError
from accelmnist.core.records import Environment, RunRecord, SeedSpread, Verdict
from accelmnist.measure.limits.bound import share_by_round
from accelmnist.measure.plan import Case
from accelmnist.measure.record import BenchRecord, CaseResult, TimeToAccuracy
from accelmnist.measure.scaling_record import Scaling
from accelmnist.measure.soak.record import SoakDevice, SoakRecord
from accelmnist.measure.statistics.summary import Summary
from accelmnist.show.openmetrics import Family, openmetrics_text

Unit = Literal["images_per_second", "ratio", "bytes_per_second", "seconds", "bytes", "joules"]
UNITS: dict[Unit, str] = {
    "images_per_second": "images/s",
    "ratio": "ratio",
    "bytes_per_second": "bytes/s",
    "seconds": "s",
    "bytes": "bytes",
    "joules": "J",
}
_BIGGER_IS_BETTER: tuple[Unit, ...] = ("images_per_second", "ratio", "bytes_per_second")
_MEASURES = {
    "throughput": "Images a second; of a benchmark, the median of the samples.",
    "share_of_limit": "Share of the speed that the measured limits of the hardware allow.",
    "latency_p50": "A call with one image, the median.",
    "latency_p99": "A call with one image, the 99th percentile.",
    "compile": "Compiling, before the first step.",
    "training": "All epochs.",
    "start_to_answer": "From the start of the process until the accuracy on the test set is known.",
    "peak_memory": "The most memory that was in use.",
    "energy_per_image": "Energy that an image takes.",
    "accuracy": "Share of the test images that are classified right; of several seeds, their mean.",
    "macro_f1": "Mean of the F1 scores of the classes; of several seeds, their mean.",
    "throughput_alone": "Images a second while the other devices rest.",
    "over_others": "Speed over that of the other devices of its kind, all at work.",
    "over_others_alone": "Speed over that of the other devices of its kind, each at work alone.",
    "bus_bandwidth": "What every rank sends and receives while a sum is taken.",
}
_REMEDY = "Give a record with a right result"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A figure: `measure` of `subject`, which `labels` name by parts; `low` to `high` is its 95 % interval, if known.

    `note` is what a reader of a single figure wants to know besides.
    """

    subject: str
    labels: dict[str, str]
    measure: str
    unit: Unit
    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""

    @property
    def bigger_is_better(self) -> bool:
        """Whether more of it is better; if not, less is."""
        return self.unit in _BIGGER_IS_BETTER

    @property
    def help(self) -> str:
        """What the measure is, in a sentence."""
        return _MEASURES.get(self.measure, f"{self.measure.replace('_', ' ').capitalize()}.")


@dataclass(kw_only=True)
class Exports:
    """The figures of one record of `kind`, and what was `left_out` of it: subjects and reasons."""

    kind: str
    created: str
    environment: Environment | None
    figures: list[Exported] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def add(self, subject: str, labels: dict[str, str], measure: str, unit: Unit, value: Any, **more: Any) -> None:
        """Add a figure that is known; None and what is no finite number are left out without a word."""
        if value is not None and math.isfinite(value):
            figure = Exported(subject=subject, labels=labels, measure=measure, unit=unit, value=value, **more)
            self.figures.append(figure)

    def checked(self, name: str) -> Exports:
        """Itself; RecordError if nothing of the record `name` can be exported."""
        if not self.figures:
            subject, reason = self.left_out[0] if self.left_out else ("", "it holds no figure")
            cause = f"{subject}: {reason}" if subject else reason
            raise RecordError(f"{name} has nothing to export: {cause}", remedy=_REMEDY)
        return self


# --- the figures of a run


def run_exports(record: RunRecord, *, ratio: bool = False) -> Exports:
    """The scores, times and memory of a run; nothing of one that did not end, or is wrong.

    Raises ConfigError with `ratio`: it has none.
    """
    if ratio:
        raise ConfigError("--ratio: a run measures no limits of the hardware", remedy="Leave it out")
    exports = Exports(kind=record.kind, created=record.created, environment=record.environment)
    device = record.environment.device if record.environment else record.config.execution.device
    config, training = record.config, record.config.training
    labels = {
        "device": device,
        "engine": config.execution.engine,
        "precision": config.execution.precision,
        "network": str(config.model),
        "batch_size": str(training.batch_size),
        "optimizer": training.optimizer,
        "dataset": config.data.dataset,
        "epochs": str(training.epochs),
    }
    words = {"batch_size": "batch {}", "epochs": "{} epochs"}
    subject = " ".join(("run", *(words.get(name, "{}").format(text) for name, text in labels.items())))
    if record.status != "done":
        exports.left_out.append((subject, f"the run is {record.status}"))
    elif (fault := _fault(record.verdict)) is not None:
        exports.left_out.append((subject, fault))
    else:
        _add_run(exports, record, subject, labels)
    return exports


def _add_run(exports: Exports, record: RunRecord, subject: str, labels: dict[str, str]) -> None:
    trials, timing = record.trials, record.timing
    for score in ("accuracy", "macro_f1"):
        spread: SeedSpread | None = getattr(trials, score, None)
        if spread is not None:
            exports.add(subject, labels, score, "ratio", spread.mean, low=spread.low, high=spread.high)
        elif record.metrics is not None:
            exports.add(subject, labels, score, "ratio", getattr(record.metrics, score))
    speed = trials.images_per_s if trials is not None else timing.images_per_s
    exports.add(subject, labels, "throughput", "images_per_second", speed)
    exports.add(subject, labels, "training", "seconds", trials.total_s if trials is not None else timing.train_s)
    exports.add(subject, labels, "compile", "seconds", timing.compile_s)
    exports.add(subject, labels, "start_to_answer", "seconds", timing.to_accuracy_s)
    exports.add(subject, labels, "peak_memory", "bytes", record.peak_memory_bytes)


def _fault(verdict: Verdict | None) -> str | None:
    """Why a result doesn't count, or None if it is proven."""
    if verdict is None:
        return "it was not verified"
    if verdict.passed:
        return None
    return f"wrong: {', '.join(check.name for check in verdict.failures) or 'its verdict'}"


# --- the figures of a benchmark


def bench_exports(record: BenchRecord, *, ratio: bool = False) -> Exports:
    """The figures of every case that is right, or with `ratio` its share of the limits alone.

    Raises ConfigError with `ratio` for a benchmark of ranks, which has none.
    """
    exports = Exports(kind=record.kind, created=record.created, environment=record.environment)
    if record.scaling is not None:
        if ratio:
            raise ConfigError("--ratio: a benchmark of ranks measures no limits", remedy="Leave it out")
        _add_scaling(exports, record.scaling)
        return exports
    for result in record.cases:
        subject = result.case.label
        if result.images_per_s is None and result.time_to_accuracy is None:
            exports.left_out.append((subject, result.skipped or f"not measured: {result.status}"))
        elif result.status == "failed":
            exports.left_out.append((subject, f"failed: {result.skipped}"))
        elif (fault := _fault(result.verdict)) is not None:
            exports.left_out.append((subject, fault))
        elif ratio:
            _add_share(exports, result, record)
        else:
            _add_case(exports, result)
    return exports


def _labels(case: Case) -> dict[str, str]:
    """What the case is, by parts; one that it doesn't have is empty."""
    own = {"batch_size": str(case.batch_size), "threads": str(case.threads or ""), "side": case.side or ""}
    return {name.replace(" ", "_"): text for name, text in case.axes.items()} | own


def _add_share(exports: Exports, result: CaseResult, record: BenchRecord) -> None:
    """The share as the record has it; what it varies by, from round to round, is that of the pairs."""
    share, subject = result.share_of_limit, result.case.label
    if share is None:
        exports.left_out.append((subject, "no limit of the hardware was measured beside it"))
        return
    by_round = share_by_round(result, record)
    arms = (by_round.low / by_round.median, by_round.high / by_round.median) if by_round else (None, None)
    low, high = (None if arm is None else share * arm for arm in arms)
    exports.add(subject, _labels(result), "share_of_limit", "ratio", share, low=low, high=high, note=_bound_of(result))


def _add_case(exports: Exports, result: CaseResult) -> None:
    subject, labels = result.case.label, _labels(result)
    if (speed := result.images_per_s) is not None:
        _add_summary(exports, subject, labels, "throughput", "images_per_second", speed, note=_bound_of(result))
    if (latency := result.latency) is not None:
        exports.add(subject, labels, "latency_p50", "seconds", latency.p50_s)
        exports.add(subject, labels, "latency_p99", "seconds", latency.p99_s)
    exports.add(subject, labels, "compile", "seconds", result.compile_s)
    exports.add(subject, labels, "peak_memory", "bytes", result.peak_memory_bytes)
    exports.add(subject, labels, "energy_per_image", "joules", result.joules_per_image)
    exports.add(subject, labels, "accuracy", "ratio", result.accuracy)
    if result.time_to_accuracy is not None:
        _add_time(exports, result, result.time_to_accuracy)


def _add_summary(
    exports: Exports, subject: str, labels: dict[str, str], measure: str, unit: Unit, summary: Summary, note: str = ""
) -> None:
    ends: dict[str, Any] = {"low": summary.low, "high": summary.high, "note": note}
    exports.add(subject, labels, measure, unit, summary.median, **ends)


def _add_time(exports: Exports, result: CaseResult, times: TimeToAccuracy) -> None:
    """An interval that has no end has none here: no format knows infinity."""
    target, subject = times.with_compile, result.case.label
    measure = f"time_to_{100 * times.target:g}_percent".replace(".", "_")
    if target.median_s is None:
        reached = f"{times.reached} of {len(times.epochs)} seeds reached {100 * times.target:g} %"
        exports.left_out.append((f"{subject}, {measure.replace('_', ' ')}", reached))
        return
    ends = {} if None in (target.low_s, target.high_s) else {"low": target.low_s, "high": target.high_s}
    exports.add(subject, _labels(result), measure, "seconds", target.median_s, **ends)


def _bound_of(result: CaseResult) -> str:
    return "" if result.bound is None else result.bound.sentence


def _add_scaling(exports: Exports, scaling: Scaling) -> None:
    """The rows of a benchmark of ranks, and the bandwidth of its sums."""
    for row in scaling.rows:
        labels = {**_labels(row), "form": row.form, "ranks": str(row.ranks)}
        fault = None if row.form == "compute" else _fault(row.verdict)  # which trains nothing that could be right
        if row.images_per_s is None:
            exports.left_out.append((row.title, row.skipped or "not measured"))
        elif fault is not None:
            exports.left_out.append((row.title, fault))
        else:
            _add_summary(exports, row.title, labels, "throughput", "images_per_second", row.images_per_s)
    for probe in scaling.sums:
        subject = f"sum of {probe.bytes} bytes on {probe.ranks} ranks"
        labels = {"bytes": str(probe.bytes), "ranks": str(probe.ranks)}
        if probe.wrong:
            exports.left_out.append((subject, f"wrong: {probe.wrong} of {probe.values} values"))
        else:
            exports.add(subject, labels, "bus_bandwidth", "bytes_per_second", probe.bus_bytes_per_s)


# --- the figures of a soak


def soak_exports(record: SoakRecord, *, ratio: bool = False) -> Exports:
    """The speeds of every device that computes right and the same, alone and beside the others.

    Raises ConfigError with `ratio`: it has none.
    """
    if ratio:
        raise ConfigError("--ratio: a soak measures no limits of the hardware", remedy="Leave it out")
    exports = Exports(kind=record.kind, created=record.created, environment=record.environment)
    training, model = record.config.run.training, record.config.run.model
    for device in record.devices:
        labels = {
            "device": device.name,
            "hardware": device.hardware,
            "engine": device.engine or "",
            "threads": str(device.threads or ""),
            "network": str(model),
            "batch_size": str(training.batch_size),
            "optimizer": training.optimizer,
        }
        parts = ("soak", device.name, device.engine, str(model), f"batch {training.batch_size}", training.optimizer)
        subject = " ".join(filter(None, parts))
        if (fault := _fault_of(device)) is not None:
            exports.left_out.append((subject, fault))
        else:
            _add_device(exports, device, subject, labels)
    return exports


def _fault_of(device: SoakDevice) -> str | None:
    """Why the speed of a device doesn't count, or None if it does."""
    if device.status in ("lost", "refused", "skipped"):
        return device.error or device.reason or device.status
    if device.wrong:
        return f"wrong: {device.wrong} of {device.replays} replays differ from the first"
    return _fault(device.proof)


def _add_device(exports: Exports, device: SoakDevice, subject: str, labels: dict[str, str]) -> None:
    for measure, speed in (("throughput", device.images_per_s), ("throughput_alone", device.alone)):
        if speed is not None:
            _add_summary(exports, subject, labels, measure, "images_per_second", speed)
    for beside in device.beside:
        over = beside.over_others
        measure = "over_others" if beside.kind == "together" else "over_others_alone"
        exports.add(subject, labels, measure, "ratio", over.ratio, low=over.low, high=over.high)
    exports.add(subject, labels, "accuracy", "ratio", device.accuracy)


# --- the formats


def as_github(exports: Exports, *, bigger: bool) -> list[dict[str, Any]]:
    """The array for customBiggerIsBetter, or for customSmallerIsBetter."""
    return [_github_entry(one, exports) for one in exports.figures if one.bigger_is_better == bigger]


def _github_entry(one: Exported, exports: Exports) -> dict[str, Any]:
    name = f"{one.subject}: {one.measure.replace('_', ' ')}"
    entry: dict[str, Any] = {"name": name, "unit": UNITS[one.unit], "value": one.value}
    if one.low is not None and one.high is not None:
        # The action takes a number after the sign and converts it with the value's unit.
        entry["range"] = f"± {max(one.value - one.low, one.high - one.value):.6g}"
    extra = "\n".join(filter(None, (one.note, *_facts(exports))))
    return entry | ({"extra": extra} if extra else {})


def _facts(exports: Exports) -> Iterator[str]:
    if (environment := exports.environment) is not None:
        commit = f", commit {environment.commit}" if environment.commit else ""
        yield environment.hardware
        yield f"torch {environment.torch}, accelmnist {environment.accelmnist}{commit}"


def as_bencher(exports: Exports) -> dict[str, dict[str, dict[str, float]]]:
    """Every subject with its measures, each by its slug, which ends in the unit."""
    document: dict[str, dict[str, dict[str, float]]] = {}
    for one in exports.figures:
        ends = {"lower_value": one.low, "upper_value": one.high}
        metric = {"value": one.value} | {name: end for name, end in ends.items() if end is not None}
        document.setdefault(one.subject, {})[f"{one.measure}_{one.unit}".replace("_", "-")] = metric
    return document


def as_openmetrics(exports: Exports) -> str:
    """A gauge for each measure, and for each end of its interval, beside what was measured on what, and when."""
    families = {family.name: family for family in _of_record(exports)}
    for one in exports.figures:
        ends = {"": one.value, "_low": one.low, "_high": one.high}
        for end, value in ends.items():
            name = f"accelmnist_{one.measure}{end}_{one.unit}"
            words = f"{one.help}{f' The {end[1:]} end of its 95 % interval.' if end else ''}"
            family = families.setdefault(name, Family(name=name, help=words, unit=one.unit))
            if value is not None:
                family.add(value, **one.labels)
    return openmetrics_text(families.values())


def _of_record(exports: Exports) -> Iterable[Family]:
    """The environment as labels of a 1, and the time of the record."""
    about = Family(name="accelmnist_record", help="What the figures were measured on, and with.")
    known = exports.environment
    names = ("hardware", "processor", "driver", "torch", "python", "accelmnist", "commit")
    facts = {name: str(getattr(known, name) or "") for name in names} if known is not None else {}
    about.add(1, kind=exports.kind, **facts)
    when = Family(
        name="accelmnist_record_time_seconds", help="When the record was begun, since 1970 in UTC.", unit="seconds"
    )
    with contextlib.suppress(ValueError):  # a record that doesn't say
        when.add(datetime.fromisoformat(exports.created).timestamp())
    return about, when
