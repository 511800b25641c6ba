"""The record of a benchmark: one JSON document, complete after every round, from which all that is shown follows.

Speeds are images per second, limits are rates, higher is better for both; times are seconds, fractions 0 to 1, and
unknown is null. Every sample names its round, and every round says what else was measured and went on in it, so that
two cases can be paired, a drift of the machine divided out, and a stopped benchmark gone on with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import ENGINES
from accelmnist.core.errors import DeviceError
from accelmnist.core.files import RECORDS, SCHEMA_VERSION, save
from accelmnist.core.records import Environment, Launches, ProfileSummary, RankFigures, Status, Verdict
from accelmnist.core.text import require_of_record
from accelmnist.engines.standing import Standing
from accelmnist.measure.limit_keys import Limit, LimitKey, new_limit
from accelmnist.measure.plan import BenchConfig, Case
from accelmnist.measure.scaling_record import Scaling
from accelmnist.measure.statistics.comparison import Comparison
from accelmnist.measure.statistics.summary import Summary, summarize
from accelmnist.measure.statistics.symptoms import RoundLoad, Symptom

RECORD_NAME = RECORDS["bench"]
QUANTILES = (0.5, 0.9, 0.99)  # of the latencies
_KEPT_CALLS = 400

Sampled = Case | LimitKey  # what has samples
CaseStatus = Literal["pending", "measuring", "done", "skipped", "cut", "failed"]
BoundKind = Literal["launch", "compute", "memory", "shape", "overhead", "above"]


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round: every case once in random order, the limits, and what else went on.

    `process` counts the processes that took part in the record, from 0; `limits` are rates by `Limit.key`. What went on
    is as in `RoundLoad`.
    """

    number: int
    process: int
    limits: dict[str, float] = field(default_factory=dict)
    other_cpu: float | None = None
    throttled: bool | None = None
    steal: float | None = None
    clocks: dict[str, float] = field(default_factory=dict)
    held: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """Counted work of one step, or of one call in inference: not measured, but known from the shapes.

    `flops` counts a multiplication and an addition as two; `bytes` is the least traffic if nothing stays in a cache
    between operations that could share it; `working_set_bytes` is what a step touches at all.
    """

    flops: int
    bytes: int
    working_set_bytes: int

    def __post_init__(self) -> None:
        require_of_record(min(vars(self).values()) > 0, "a step has no such cost")


@dataclass(frozen=True, kw_only=True)
class Bound:
    """What holds a case back. The seconds are of one step: what each part would take alone, at the measured limits.

    `bound_s` is the larger of `compute_s` and `memory_s`: no program that does the counted work can be faster.
    `share` is `bound_s` over the measured step. `sentence` says it for people.
    """

    kind: BoundKind
    sentence: str
    step_s: float
    bound_s: float
    compute_s: float
    memory_s: float
    launch_s: float | None
    workload_s: float | None  # the step's matrix products alone, at their own shapes
    flops_per_s: float
    share: float

    def __post_init__(self) -> None:
        figures = (self.step_s, self.bound_s, self.compute_s, self.memory_s, self.launch_s, self.workload_s)
        holds = all(value is None or value >= 0 for value in (*figures, self.share)) and self.flops_per_s > 0
        require_of_record(holds, "a bound has no such figures")


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Seconds of single calls, synchronized one by one; `order` are those of `kept_ranks`, empty in older records."""

    calls: int
    p50_s: float
    p90_s: float
    p99_s: float
    worst_s: float
    order: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        figures = (self.calls, self.p50_s, self.p90_s, self.p99_s, self.worst_s, *self.order)
        require_of_record(min(figures) > 0, "a call takes no such time")

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        """The quantiles of the calls, and what it takes to find them again."""
        ordered = np.sort(seconds)
        p50, p90, p99 = np.quantile(ordered, QUANTILES).tolist()
        kept = tuple(ordered[kept_ranks(len(seconds))].tolist())
        return cls(calls=len(seconds), p50_s=p50, p90_s=p90, p99_s=p99, worst_s=kept[-1], order=kept)


def kept_ranks(calls: int) -> NDArray[np.int64]:
    """The ranks of so many sorted calls that a record keeps: all of few, else some hundred and the quantiles' own."""
    places = np.multiply(QUANTILES, calls - 1)
    evenly = np.linspace(0, calls - 1, min(calls, _KEPT_CALLS))
    return np.unique(np.concatenate([evenly, np.floor(places), np.ceil(places)]).round().astype(np.int64))


@dataclass(frozen=True, kw_only=True)
class Target:
    """Seconds to a target accuracy over seeds; a missed target is None and counts as infinite.

    `median_s`, `low_s` and `high_s` (95 % interval of the median) are None if they are infinite.
    """

    seconds: tuple[float | None, ...]
    median_s: float | None
    low_s: float | None
    high_s: float | None


@dataclass(frozen=True, kw_only=True)
class TimeToAccuracy:
    """How long a case takes from untouched files to `target` on the test set, evaluation after every epoch included.

    One entry a seed, in order, none left out. `epochs` are those that it took (None if it missed), `accuracies` the
    best that each seed reached within the `most_epochs` allowed.
    """

    target: float
    most_epochs: int
    with_compile: Target
    without_compile: Target
    epochs: tuple[int | None, ...]
    accuracies: tuple[float, ...]

    @property
    def reached(self) -> int:
        """Seeds that reached the target."""
        return sum(epochs is not None for epochs in self.epochs)


@dataclass(frozen=True, kw_only=True)
class CaseResult(Case):
    """One row: the case, what was measured of it, and whether its result is right.

    `skipped` is the reason of a case that was not measured: it can't run here, was cut for time, or failed.
    `images_per_s` has its samples in the order of `rounds`. `speedup` is over the baseline in the same rounds. A case
    of another side has in `beside` the speed of this program's case over its own, in the same rounds.
    A row whose verdict failed is not ranked: its `rank` is None.
    """

    status: CaseStatus = "pending"
    skipped: str | None = None
    images_per_s: Summary | None = None
    rounds: tuple[int, ...] = ()
    steps_per_region: int | None = None
    region_s: float | None = None
    latency: Latency | None = None
    symptoms: tuple[Symptom, ...] = ()
    process_medians: tuple[float, ...] = ()
    process_spread: float | None = None
    speedup: Comparison | None = None
    beside: Comparison | None = None
    rank: int | None = None
    cost: StepCost | None = None
    launches: Launches | None = None
    bound: Bound | None = None
    share_of_limit: float | None = None
    compile_s: float | None = None
    break_even_epochs: float | None = None
    peak_memory_bytes: int | None = None
    joules_per_image: float | None = None
    accuracy: float | None = None
    verdict: Verdict | None = None
    time_to_accuracy: TimeToAccuracy | None = None
    profile: ProfileSummary | None = None

    def __post_init__(self) -> None:
        counted = self.batch_size >= 1 and (self.threads is None or self.threads >= 1)
        require_of_record(counted, "a case's batch size or number of threads is below 1")

    @classmethod
    def of(cls, case: Case, **figures: Any) -> CaseResult:
        """The row of `case`, pending unless the `figures` say more."""
        return cls(**asdict(case), **figures)

    @cached_property
    def case(self) -> Case:
        """The case itself."""
        return Case(**{part.name: getattr(self, part.name) for part in fields(Case)})

    @property
    def step_s(self) -> float | None:
        """Seconds of one step, or of one call in inference, by the median."""
        return self.batch_size / self.images_per_s.median if self.images_per_s else None

    @property
    def is_wrong(self) -> bool:
        """Whether a check of the result failed."""
        return self.verdict is not None and not self.verdict.passed

    @property
    def is_broken(self) -> bool:
        """Whether it failed by an engine in a user's own file, which was asked for by name."""
        return self.status == "failed" and self.engine not in (*ENGINES, self.side)


@dataclass(frozen=True, kw_only=True)
class Crossover:
    """From which size on a way of running pays: `start` None if it never did within what was measured."""

    what: str  # such as "compiled over eager on cpu, fp32"
    axis: Literal["batch size", "width"]
    start: int | None
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Harness:
    """What the measurement itself costs: the time of an empty region, and its share of the shortest one measured."""

    empty_region_s: float
    share: float | None


@dataclass(frozen=True, kw_only=True)
class DeviceInfo:
    """A device that took part."""

    name: str
    hardware: str
    memory_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class SideFacts:
    """Another side: its name, as typed, what it says of itself, and the variables that its command sets.

    `protocol_share` is the median time that passes between the processes around a region, over the region's own, of the
    case with the largest; `failure` says why the side was not measured.
    """

    name: str
    command: str
    versions: dict[str, str] = field(default_factory=dict)
    threads: int | None = None
    settings: dict[str, str] = field(default_factory=dict)
    protocol_share: float | None = None
    failure: str | None = None


@dataclass(frozen=True, kw_only=True)
class Presence:
    """The speed of this program's case beside the processes of the others, over that with none there."""

    case: str
    alone: tuple[float, ...]  # images a second, before the others were started
    beside: tuple[float, ...]  # the first as many afterwards
    comparison: Comparison


@dataclass(frozen=True, kw_only=True)
class BenchRecord:
    """Everything that is known of one benchmark."""

    schema_version: int = SCHEMA_VERSION
    kind: Literal["bench"] = "bench"
    status: Status = "running"
    message: str | None = None
    created: str = ""
    environment: Environment | None = None
    devices: tuple[DeviceInfo, ...] = ()
    config: BenchConfig = field(default_factory=BenchConfig)
    training_images: int | None = None
    cases: tuple[CaseResult, ...] = ()
    limits: tuple[Limit, ...] = ()
    rounds: tuple[Round, ...] = ()
    crossovers: tuple[Crossover, ...] = ()
    harness: Harness | None = None
    elapsed_s: float = 0.0
    peak_memory_bytes: int | None = None
    ranks: tuple[RankFigures, ...] = ()
    backend: str | None = None  # what carried the ranks' sums, with its version; gloo has torch's
    scaling: Scaling | None = None
    sides: tuple[SideFacts, ...] = ()  # this program's own process first
    presence: tuple[Presence, ...] = ()
    standing: tuple[Standing, ...] = ()  # of each device beside the verified records, as they were then
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what was cut for time, and everything else that a reader must know


class BenchObserver:
    """Told of the record as it grows; this one says nothing of it.

    It is told by the measuring thread, between two regions and never inside one, and the measurement waits until it
    returns: what an observer does costs time, but falsifies nothing.
    """

    def planned(self, record: BenchRecord) -> None:
        """Every case is known; nothing is measured yet."""

    def stage(self, what: str) -> None:
        """The benchmark goes on to `what`, such as "compiling training cpu compiled ..."."""

    def round_done(self, record: BenchRecord) -> None:
        """A round is over: every case has one more sample, or one more seed."""

    def case_done(self, record: BenchRecord, case: Case) -> None:
        """A stage of this case is over; its row says what came of it."""


class RecordWriter:
    """The record as it grows: results by case, rounds, and the file in `folder`, if it isn't None."""

    def __init__(self, record: BenchRecord, folder: Path | None) -> None:
        self._folder = folder
        self.take(record)

    @property
    def record(self) -> BenchRecord:
        """The record as it is now."""
        return replace(self._record, cases=tuple(self.results.values()))

    def take(self, record: BenchRecord) -> None:
        """Go on with this record."""
        self._record = record
        self.results = {result.case: result for result in record.cases}
        self._limits = {limit.what: limit.key for limit in record.limits}  # what the rounds of this record call them

    def set(self, **fields: Any) -> None:
        """Change fields of the record."""
        self._record = replace(self._record, **fields)

    def update(self, case: Case, **fields: Any) -> None:
        """Change fields of one case's result."""
        self.results[case] = replace(self.results[case], **fields)

    def note(self, text: str) -> None:
        """Add a note that a reader must know, once."""
        if text not in self._record.notes:
            self.set(notes=(*self._record.notes, text))

    def failed(self, key: Sampled, reason: str) -> None:
        """Write down why a case or a limit could not be measured."""
        if isinstance(key, Case):
            self.update(key, status="failed", skipped=reason)
        else:
            self.note(f"The limit {key.name} was not measured: {reason}")

    def add_limit(self, what: LimitKey) -> None:
        """Add a limit, unless the record holds it already."""
        if what not in self._limits:
            limit = new_limit(what)
            self._limits[what] = limit.key
            self.set(limits=(*self._record.limits, limit))

    def add_round(
        self, outcomes: Mapping[Sampled, float | DeviceError], load: RoundLoad, *, process: int = 0
    ) -> list[Sampled]:
        """Add a round: the speeds of cases, the rates of limits, and what else went on; returns what failed in it."""
        number = len(self._record.rounds) + 1
        limits: dict[str, float] = {}
        failed: list[Sampled] = []
        for key, outcome in outcomes.items():
            if isinstance(outcome, DeviceError):
                self.failed(key, str(outcome))
                failed.append(key)
            elif isinstance(key, Case):
                self._add_sample(key, outcome, number)
            else:
                limits[self._limits[key]] = outcome
        round_ = Round(number=number, process=process, limits=limits, **asdict(load))
        self.set(rounds=(*self._record.rounds, round_))
        return failed

    def _add_sample(self, case: Case, speed: float, number: int) -> None:
        result = self.results[case]
        before = result.images_per_s.samples if result.images_per_s else ()
        self.update(case, images_per_s=summarize((*before, speed)), rounds=(*result.rounds, number))

    def end(self, status: Status, message: str | None) -> None:
        """Say how it ended, and save."""
        self.set(status=status, message=message)
        self.save()

    def save(self) -> None:
        """Replace the file; raises OutputError."""
        if self._folder is not None:
            save_bench(self.record, self._folder)


def save_bench(record: BenchRecord, folder: Path) -> Path:
    """Write `bench.json` into `folder` in one step; raises OutputError."""
    return save(record, folder / RECORD_NAME)
