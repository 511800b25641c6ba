"""What a soak is asked, and the devices that it is asked of."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace

from accelmnist.core.config import RunConfig
from accelmnist.core.errors import ConfigError
from accelmnist.device import available, resolve
from accelmnist.device.loading import usable_threads

LONGEST_S = 30 * 86400.0  # beyond that it is a slip of the finger
_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")
_REMEDY = "Give one such as 90s, 10m, 8h or 2d"


def parse_duration(text: str, option: str = "--for") -> float:
    """Seconds of "90s", "10m", "1h30m" or "2d"; raises ConfigError for 0, for no duration, and for over 30 days."""
    words = text.strip().lower()
    parts = _DURATION.findall(words)
    is_whole = parts and re.sub(_DURATION, "", words).strip() == ""
    if not is_whole or any(unit not in _UNITS for _, unit in parts):
        bare = words.replace(".", "", 1).isdecimal()
        cause = "has no unit" if bare else "is no duration"
        raise ConfigError(f"{option}: {text!r} {cause}", remedy=_REMEDY)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds <= 0:
        raise ConfigError(f"{option}: {text!r} leaves no time for a replay", remedy=_REMEDY)
    if seconds > LONGEST_S:
        raise ConfigError(f"{option}: {text!r} is more than {LONGEST_S / 86400:.0f} days", remedy=_REMEDY)
    return seconds


@dataclass(frozen=True, kw_only=True)
class SoakConfig:
    """What is replayed, where, and for how long: `for_s` seconds, or `replays` of each device.

    `run` is the training; its device is not read. `devices` are names such as cuda:0, cpu, or cpu:3 for a single
    core; with `cores` each core of the processor is one. A device is slow if it is, next to others of its kind, by
    more than `tolerance`, a share. It may take `patience_s` longer than its replays so far would.
    """

    run: RunConfig = field(default_factory=RunConfig)
    devices: tuple[str, ...] = ()
    cores: bool = False
    for_s: float | None = None
    replays: int | None = None
    tolerance: float = 0.05
    patience_s: float = 60.0

    def __post_init__(self) -> None:
        if (self.for_s is None) == (self.replays is None):
            raise ConfigError("a soak ends by --for or by --replays", remedy="Give one of them, such as --for 10m")
        if self.replays is not None and not 2 <= self.replays <= 10**9:
            raise ConfigError(
                f"--replays: {self.replays} is out of range", remedy="Give 2 or more: one has no other to be held to"
            )
        if not 0.001 <= self.tolerance < 1:
            raise ConfigError(f"--tolerance: {self.tolerance} is out of range", remedy="Give a share such as 5%")
        if not 1 <= self.patience_s <= 86400:
            raise ConfigError(f"--patience: {self.patience_s:g} s is out of range", remedy="Give 1s up to 1d")


@dataclass(frozen=True)
class Target:
    """A device of a soak: its `name`, what it is to torch, and the core that it is pinned to, if it is one."""

    name: str
    device: str
    hardware: str
    threads: int | None = None
    core: int | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of all that works where it does: of the processor as a whole, its cores."""
        if self.name != "cpu" or not hasattr(os, "sched_getaffinity"):
            return (self.name,)
        return tuple(f"cpu:{core}" for core in sorted(os.sched_getaffinity(0)))


def targets_of(config: SoakConfig) -> tuple[Target, ...]:
    """The devices of `config` that are here, each once; raises ConfigError and DeviceError, naming what isn't.

    If none is named: all there are, of which the processor keeps a thread free for each other one.
    """
    if config.cores and config.devices:
        raise ConfigError("--cores contradicts --devices", remedy="Give one of them, such as --devices cpu:0,cpu:1")
    names = config.devices
    if config.cores:
        names = tuple(f"cpu:{core}" for core in _cores("--cores"))
    targets = [_target(name) for name in names or available()]
    names = tuple(target.name for target in targets)
    if len(set(names)) < len(names):
        raise ConfigError(f"--devices: {', '.join(names)} has one of them twice", remedy="Name each once")
    others = sum(target.device != "cpu" for target in targets)
    threads = config.run.execution.threads or max(1, usable_threads() - others)
    return tuple(replace(target, threads=threads) if target.name == "cpu" else target for target in targets)


def _target(name: str) -> Target:
    kind, _, number = name.partition(":")
    if kind == "cpu" and number:
        cores = _cores(f"--devices {name}")
        if not number.isdecimal() or int(number) not in cores:
            here = f"{cores[0]} to {cores[-1]}" if len(cores) > 1 else str(cores[0])
            raise ConfigError(f"--devices: there is no core {name}", remedy=f"This process may use cores {here}")
        return Target(f"cpu:{int(number)}", "cpu", resolve("cpu").hardware, 1, int(number))
    device = resolve(name, option="--devices")
    return Target(device.name, device.name, device.hardware, None)


def _cores(asked: str) -> list[int]:
    """The processors, each by its number, that this process may use."""
    if not hasattr(os, "sched_getaffinity"):
        raise ConfigError(f"{asked}: this system can't pin a process to a core", remedy="Soak the cpu as a whole")
    return sorted(os.sched_getaffinity(0))
