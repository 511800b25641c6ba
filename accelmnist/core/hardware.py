"""What holds a processor's or a card's speed: clocks, power, link, quota; a fact that can't be read has its reason.

Units: Hz, watts, degrees Celsius, seconds, shares of 1. Unknown is None, and then `unknown` says why, by the name.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from accelmnist.core.text import require_of_record, require_shares


@dataclass(frozen=True, kw_only=True)
class CpuFacts:
    """The processor that the asking thread runs on, and what this process may take of the machine.

    `quota` is the number of processors that a control group allows, None if it sets no limit; `quota_held_s` are the
    seconds for which it has held threads back, and `heat_events` counts how often heat has held the clock down, both
    since the start of the group or of the machine, as is `steal_share`: the share of the processors' time that a
    hypervisor gave to others.
    """

    clock_hz: float | None = None
    clock_max_hz: float | None = None
    governor: str | None = None
    quota: float | None = None
    quota_held_s: float | None = None
    steal_share: float | None = None
    heat_events: int | None = None
    unknown: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_shares(self.steal_share)
        figures = (self.clock_hz, self.clock_max_hz, self.quota, self.quota_held_s, self.heat_events)
        require_of_record(all(value is None or value >= 0 for value in figures), "a fact of the processor is negative")

    @property
    def clock_share(self) -> float | None:
        """The clock over its maximum."""
        return _share(self.clock_hz, self.clock_max_hz)


@dataclass(frozen=True, kw_only=True)
class GpuFacts:
    """A CUDA device as its driver tells it: each figure beside what it can be at most.

    `held_by` names what holds its clock down, such as "heat" or "power cap"; an idle one has no reason. The ECC counts
    are those since the driver was loaded.
    """

    device: str
    clock_hz: float | None = None
    clock_max_hz: float | None = None
    held_by: tuple[str, ...] | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    power_cap_w: float | None = None
    power_default_w: float | None = None
    link_generation: int | None = None
    link_generation_max: int | None = None
    link_width: int | None = None
    link_width_max: int | None = None
    ecc: bool | None = None
    ecc_corrected: int | None = None
    ecc_uncorrected: int | None = None
    mig: bool | None = None
    persistence: bool | None = None
    unknown: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        figures = (self.clock_hz, self.clock_max_hz, self.power_w, self.power_cap_w, self.link_width)
        require_of_record(all(value is None or value >= 0 for value in figures), f"a fact of {self.device} is negative")

    @property
    def clock_share(self) -> float | None:
        """The clock over its maximum; None of a card at rest, which lowers it."""
        return _share(self.clock_hz, self.clock_max_hz)


def _share(value: float | None, most: float | None) -> float | None:
    return value / most if value is not None and most else None
