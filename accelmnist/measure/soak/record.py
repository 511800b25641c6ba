"""The record of a soak: what each device did, round by round, and what follows from that.

Unknown is null, fractions are 0 to 1, and a quantity's name ends in its unit. A round's figures stand in the order of
the devices; null where a device took no part. Conclusions are `judgement`'s, which draws them from all the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from accelmnist.core.files import SCHEMA_VERSION
from accelmnist.core.metrics import MOST
from accelmnist.core.records import Environment, Status, Verdict
from accelmnist.core.text import require_of_record, require_shares
from accelmnist.measure.soak.plan import SoakConfig
from accelmnist.measure.statistics.comparison import Comparison
from accelmnist.measure.statistics.summary import Summary
from accelmnist.measure.statistics.symptoms import Symptom

DeviceStatus = Literal["waiting", "working", "done", "lost", "refused", "skipped"]
RoundKind = Literal["together", "alone"]
FaultKind = Literal["wrong", "first wrong", "never alike", "too far"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A replay that isn't the first one's to the bit: which, and where it parted from it.

    After step `after_step` of the `epoch`, 0 for its beginning, all was still the same; `step` is the first that shows
    a difference. `tensor` is where that is largest, at `index`, which should hold `expected` and holds `found`, also as
    their bits; `elements` differ in all weights together. If a single `bit`, 0 the lowest, that flipped there explains
    all that came after, these are of the moment after `step`, and `elements` is 1.

    A "first wrong" is the first replay itself: a third one sides with the other. In "never alike" all three differ. Of
    a device that isn't deterministic a replay can only be "too far" from the first, in its losses.
    """

    replay: int
    kind: FaultKind = "wrong"
    epoch: int
    step: int
    after_step: int
    tensor: str | None = None
    index: tuple[int, ...] = ()
    expected: float | None = None
    found: float | None = None
    expected_bits: str | None = None
    found_bits: str | None = None
    bit: int | None = None
    elements: int | None = None

    def __post_init__(self) -> None:
        holds = 1 <= self.replay <= MOST and self.epoch >= 1 and 0 <= self.after_step < self.step <= MOST
        require_of_record(holds, "a fault is at no step")


@dataclass(frozen=True, kw_only=True)
class Counter:
    """A counter or a gauge of the machine: what it was at the `first` reading and at the `last`, and between.

    `reason` says why there is no reading. `held_by` are the shares of readings in which something held a clock down.
    """

    name: str
    unit: str = ""
    first: float | None = None
    last: float | None = None
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    readings: int = 0
    reason: str | None = None
    held_by: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_of_record(self.readings >= 0, f"{self.name} has a negative number of readings")
        require_shares(*self.held_by.values())

    @property
    def grew(self) -> float | None:
        """By how much a counter rose between the first reading and the last."""
        return None if self.first is None or self.last is None else self.last - self.first


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A device's speed over that of the others of its kind, in the same rounds."""

    kind: RoundKind
    over_others: Comparison
    is_slow: bool


@dataclass(frozen=True, kw_only=True)
class SoakDevice:
    """One device: what it is, what it was found to do, and what follows from the rounds.

    `replays` are those that were done, of which `wrong` were not the first one's; `faults` has the first of these.
    `fingerprints` digest the losses and weights that a replay ends with, one for each process that began. `proof` is
    the verdict on the training itself. `deterministic` is None until two replays were held against each other. A device
    that can't do such a training is skipped, which is no fault of its own: `error` says why, as of one that is gone.
    """

    name: str
    hardware: str
    core: int | None = None
    threads: int | None = None
    engine: str | None = None
    reason: str | None = None
    status: DeviceStatus = "waiting"
    error: str | None = None
    notes: tuple[str, ...] = ()
    proof: Verdict | None = None
    accuracy: float | None = None
    deterministic: bool | None = None
    fingerprints: tuple[str, ...] = ()
    segment_steps: int | None = None
    images: int | None = None
    replays: int = 0
    wrong: int = 0
    faults: tuple[Fault, ...] = ()
    counters: tuple[Counter, ...] = ()
    images_per_s: Summary | None = None
    alone: Summary | None = None
    beside: tuple[Beside, ...] = ()
    symptoms: tuple[Symptom, ...] = ()

    def __post_init__(self) -> None:
        require_of_record(0 <= self.wrong <= self.replays <= MOST, f"{self.name} has a number of replays that can't be")
        require_shares(self.accuracy)


@dataclass(frozen=True, kw_only=True)
class SoakRound:
    """All devices at work at once, or one alone: of each its replays, and the middle of their images a second.

    `at_s` is when it began, in seconds of the soak; `other_cpu` is the share of the processors that others used.
    """

    kind: RoundKind
    at_s: float
    replays: tuple[int | None, ...]
    images_per_s: tuple[float | None, ...]
    other_cpu: float | None = None

    def __post_init__(self) -> None:
        require_of_record(len(self.replays) == len(self.images_per_s), "a round's figures are of other devices")
        require_of_record(all(speed is None or speed > 0 for speed in self.images_per_s), "a speed is not above 0")
        require_shares(self.other_cpu)


@dataclass(frozen=True, kw_only=True)
class SoakRecord:
    """Everything that is known of one soak."""

    schema_version: int = SCHEMA_VERSION
    kind: Literal["soak"] = "soak"
    status: Status = "running"
    message: str | None = None
    created: str = ""
    environment: Environment | None = None
    config: SoakConfig = field(default_factory=lambda: SoakConfig(replays=2))
    devices: tuple[SoakDevice, ...] = ()
    rounds: tuple[SoakRound, ...] = ()
    elapsed_s: float = 0.0
    notes: tuple[str, ...] = ()
    verdict: Verdict | None = None
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        alike = all(len(round_.replays) == len(self.devices) for round_ in self.rounds)
        require_of_record(alike, "a round's figures are not of the devices")

    def speeds(self, place: int, kind: RoundKind) -> list[tuple[int, float]]:
        """The rounds of a `kind` in which the device at `place` has a speed: their numbers, and it."""
        return [
            (number, speed)
            for number, round_ in enumerate(self.rounds)
            if round_.kind == kind and (speed := round_.images_per_s[place]) is not None
        ]
