"""The processor's clock and what holds it down, by the files of Linux; each with the reason where it can't be read.

clock       the mean of the cores asked for, else of that on which the asking thread runs: it has just worked, while
            others may be at rest
governor    who chooses the clock (cpufreq); a virtual machine mostly has none, and doesn't see its host's clock
heat        how often heat held the clock down: the counters of Intel's processors, of the cores and of their package
steal       the time of a core or of all that the hypervisor gave to others, since the machine started
quota       what a control group allows: see `cgroups`

Reading takes some 100 µs. Sources: Linux's Documentation/admin-guide/pm/cpufreq.rst; thermal_throttle in its
arch/x86/kernel/cpu/mce/therm_throt.c; proc(5).
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from accelmnist.core.hardware import CpuFacts
from accelmnist.device.cgroups import cpu_quota, quota_held_s

Reading = tuple[float | None, str]  # a value, or None and the reason why there is none

_CPUS = Path("/sys/devices/system/cpu")
_STAT = Path("/proc/stat")
_THREAD = Path("/proc/thread-self/stat")
_KHZ = 1e3
_PROCESSOR = 36  # the field of proc(5)'s "processor" after the name in parentheses
_STEAL = 7  # the field of proc(5)'s "steal" after the name of the core; those behind it are in "user" and "nice" too


def cpu_facts() -> CpuFacts:
    """The facts of the processor, as they are now."""
    unknown: dict[str, str] = {}

    def known(name: str, reading: tuple[Any, str]) -> Any:
        value, unknown_why = reading
        if value is None:
            unknown[name] = unknown_why
        return value

    quota = cpu_quota()
    return CpuFacts(
        clock_hz=known("clock_hz", clock_hz()),
        clock_max_hz=known("clock_max_hz", _frequency("cpuinfo_max_freq", _own_core())),
        governor=known("governor", _cpufreq("scaling_governor", _own_core())),
        quota=quota if math.isfinite(quota) else None,
        quota_held_s=quota_held_s(),
        steal_share=known("steal_share", steal_share()),
        heat_events=known("heat_events", heat_events()),
        unknown=unknown,
    )


def clock_hz(*cores: int) -> Reading:
    """The clock of the `cores`, their mean; of the one that this thread runs on if none is named."""
    return _frequency("scaling_cur_freq", *(cores or (_own_core(),)))


def clock_share() -> float | None:
    """The clock of this thread's core over its maximum; None if either can't be read."""
    clock, most = clock_hz()[0], _frequency("cpuinfo_max_freq", _own_core())[0]
    return None if clock is None or most is None else clock / most


def steal_s(core: int | None = None) -> Reading:
    """Seconds of a core's time, or of all cores', that a hypervisor gave to others since the machine started."""
    ticks, why = _ticks("cpu" if core is None else f"cpu{core}")
    return (ticks[_STEAL] / os.sysconf("SC_CLK_TCK"), "") if ticks else (None, why)


def steal_share() -> Reading:
    """The share of all processors' time since the start that a hypervisor gave to others."""
    ticks, why = _ticks("cpu")
    total = sum(ticks[: _STEAL + 1])
    return (ticks[_STEAL] / total, "") if total else (None, why)


def heat_events(*cores: int) -> tuple[int | None, str]:
    """How often heat held down the clock of the `cores`, or of this thread's, or of a package that they are in."""
    folders = [_cpu(core) / "thermal_throttle" for core in cores or (_own_core(),)]
    if not any(folder.is_dir() for folder in folders):
        return None, "nothing counts it here, as on all but Intel's processors"
    (own, why), (packages, _) = (
        _numbers([_text(folder / f"{part}_throttle_count") for folder in folders]) for part in ("core", "package")
    )
    if not own and not packages:
        return None, why or "its counters hold no number"
    return sum(own) + max(packages, default=0), ""  # the cores of a package have the same count


def _frequency(name: str, *cores: int) -> Reading:
    known, why = _numbers([_cpufreq(name, core) for core in cores])
    known = [number for number in known if number]
    return (_KHZ * sum(known) / len(known), "") if known else (None, why or f"cpufreq's {name} is no number")


def _cpufreq(name: str, core: int) -> tuple[str | None, str]:
    folder = _cpu(core) / "cpufreq"
    if not folder.is_dir():
        return None, "no cpufreq here, as in most virtual machines" if _CPUS.is_dir() else "only Linux tells it"
    return _text(folder / name)


def _ticks(row: str) -> tuple[list[int], str]:
    """The fields of a core's row, or that of all, in the kernel's statistics; none, and the reason."""
    text, why = _text(_STAT)
    if text is None:
        return [], why if _STAT.exists() else "only Linux tells it"
    fields = next((line.split()[1:] for line in text.splitlines() if line.startswith(f"{row} ")), [])
    return ([*map(int, fields)], "") if len(fields) > _STEAL else ([], f"the kernel has no row {row} with this time")


def _numbers(read: list[tuple[str | None, str]]) -> tuple[list[int], str]:
    """The numbers among what was read, and the first reason."""
    known = [int(text) for text, _ in read if text is not None and text.isdecimal()]
    return known, next((why for _, why in read if why), "")


def _own_core() -> int:
    """The processor that this thread runs on; the first one where the kernel doesn't tell."""
    fields = (_text(_THREAD)[0] or "").rpartition(")")[2].split()
    return int(fields[_PROCESSOR]) if len(fields) > _PROCESSOR else 0


def _cpu(core: int) -> Path:
    return _CPUS / f"cpu{core}"


def _text(file: Path) -> tuple[str | None, str]:
    """What a file of the kernel says, or None and the reason."""
    try:
        return file.read_text().strip(), ""
    except (OSError, UnicodeDecodeError) as error:
        return None, f"{file.name}: {(getattr(error, 'strerror', None) or str(error)).lower()}"
