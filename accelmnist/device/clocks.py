"""The processor's clock and what holds it down, by the files of Linux; each with the reason where it can't be read.

clock       that of the processor on which the asking thread runs: it has just worked, while others may be at rest
governor    who chooses the clock (cpufreq); a virtual machine mostly has none, and doesn't see its host's clock
heat        how often heat held the clock down: the counters of Intel's processors, of a core and of its package
steal       the share of all processors' time that the hypervisor gave to others, since the machine started
quota       what a control group allows: see `cgroups`

Reading takes some 100 µs. Sources: Linux's Documentation/admin-guide/pm/cpufreq.rst; thermal_throttle in its
arch/x86/kernel/cpu/mce/therm_throt.c; proc(5).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import psutil

from accelmnist.core.hardware import CpuFacts
from accelmnist.device.cgroups import cpu_quota, quota_held_s

_CPUS = Path("/sys/devices/system/cpu")
_THREAD = Path("/proc/thread-self/stat")
_KHZ = 1e3
_PROCESSOR = 36  # the field of proc(5)'s "processor" after the name in parentheses


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
        clock_max_hz=known("clock_max_hz", _frequency("cpuinfo_max_freq")),
        governor=known("governor", _cpufreq("scaling_governor")),
        quota=quota if math.isfinite(quota) else None,
        quota_held_s=quota_held_s(),
        steal_share=known("steal_share", steal_share()),
        heat_events=known("heat_events", heat_events()),
        unknown=unknown,
    )


def clock_hz() -> tuple[float | None, str]:
    """The clock of the processor that this thread runs on, or None and the reason."""
    return _frequency("scaling_cur_freq")


def clock_share() -> float | None:
    """That clock over its maximum; None if either can't be read."""
    clock, most = clock_hz()[0], _frequency("cpuinfo_max_freq")[0]
    return None if clock is None or most is None else clock / most


def steal_share() -> tuple[float | None, str]:
    """The share of all processors' time since the start that a hypervisor gave to others, or None and the reason."""
    try:
        times = psutil.cpu_times()
    except (OSError, ValueError, RuntimeError, psutil.Error) as error:
        return None, f"the processors' times can't be read: {error}"
    stolen = getattr(times, "steal", None)
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)  # in user and nice already
    return (None, "only Linux tells it") if stolen is None or not total else (stolen / total, "")


def heat_events() -> tuple[int | None, str]:
    """How often heat held down the clock of this thread's core or of its package, or None and the reason."""
    folder = _own_cpu() / "thermal_throttle"
    if not folder.is_dir():
        return None, "nothing counts it here, as on all but Intel's processors"
    counts = [_text(folder / f"{part}_throttle_count") for part in ("core", "package")]
    known = [int(text) for text, _ in counts if text is not None and text.isdecimal()]
    return (sum(known), "") if known else (None, counts[0][1] or "its counters hold no number")


def _frequency(name: str) -> tuple[float | None, str]:
    text, why = _cpufreq(name)
    if text is None or not text.isdecimal() or int(text) == 0:
        return None, why or f"cpufreq's {name} is no number"
    return int(text) * _KHZ, ""


def _cpufreq(name: str) -> tuple[str | None, str]:
    folder = _own_cpu() / "cpufreq"
    if not folder.is_dir():
        return None, "no cpufreq here, as in most virtual machines" if _CPUS.is_dir() else "only Linux tells it"
    return _text(folder / name)


def _own_cpu() -> Path:
    """The folder of the processor that this thread runs on; the first one's where the kernel doesn't tell."""
    fields = (_text(_THREAD)[0] or "").rpartition(")")[2].split()
    number = fields[_PROCESSOR] if len(fields) > _PROCESSOR else "0"
    return _CPUS / f"cpu{number}"


def _text(file: Path) -> tuple[str | None, str]:
    """What a file of the kernel says, or None and the reason."""
    try:
        return file.read_text().strip(), ""
    except (OSError, UnicodeDecodeError) as error:
        return None, f"{file.name}: {(getattr(error, 'strerror', None) or str(error)).lower()}"
