"""What else goes on in the machine while something is measured: other load, throttling, clocks, energy.

other load    the share of all processors' time that others used: what the machine was busy with (a hypervisor's steal
              included), less this process, its threads and its children. Children that live count on Linux, where the
              kernel lists them; elsewhere only those that have ended. Clock ticks are 10 ms, so a stretch in which all
              processors together had less than half a second tells nothing
throttling    the GPU's own word that heat or the power brake holds its clock down, at either end or, where it counts
              such time, anywhere between. A software power cap is no throttling: large cards reach it whenever they
              work hard, and idle or chosen clocks are none either
steal         the part of that which a hypervisor gave to others
clocks        the clock at the end of a stretch over its maximum: of a card, unless it rests then, and of the processor
              that the measuring thread runs on
held          what held a clock or threads back: what NVML names, for the CPU heat (counted by Intel's processors) and
              the quota of a control group, if it took more than a hundredth of the time
energy        joules by a counter of the hardware: RAPL's packages for the CPU (all that runs on them, this process or
              not), NVML's total for a CUDA device, which moves in steps of some 20 ms or more
peak memory   of one case among others in one process, which has one peak for all that it ever did: the peak is set back
              before a case is prepared, and what the case added is the new peak less what was in use. It is a lower
              bound: memory that another case gave back to the allocator is used again without a trace

Unknown is None: no counter, no driver, no permission. Nothing here raises for that. A reading costs some 100 µs of the
host, and is taken outside of what is timed.

Sources: Linux's Documentation/filesystems/proc.rst and Documentation/power/powercap; NVIDIA's NVML API reference.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from accelmnist.core.records import Check
from accelmnist.device import (
    Device,
    peak_memory_again,
    peak_memory_bytes,
    process_peak_bytes,
    reset_peak_memory,
    used_memory_bytes,
)
from accelmnist.device.cgroups import quota_held_s, text_of
from accelmnist.device.clocks import clock_share, heat_events
from accelmnist.device.nvml import HELD_DOWN, IDLE, SM_CLOCK, NvmlDevice, names_of
from accelmnist.measure.statistics.symptoms import RoundLoad
from accelmnist.training.reference.chain import peak_faults

_PROC = Path("/proc")
_POWERCAP = Path("/sys/class/powercap")
_SHORTEST_S = 0.5  # of all processors together
_NOTABLE_HOLD = 0.01  # of the time that passed: a quota's period is 100 ms, and its last slice is often cut
_MICROJOULE, _MILLIJOULE = 1e-6, 1e-3
_THERMAL_POLICY = 1  # NVML_PERF_POLICY_THERMAL: nanoseconds that heat kept the clock below what was asked for


class MachineWatch:
    """Watches between `begin` and `end`, as often as wanted; `devices` are those in use."""

    def __init__(self, devices: Sequence[Device] = ()) -> None:
        self._gpus = [_Gpu(device) for device in devices if device.kind == "cuda"]
        self._before: _CpuTime | None = None
        self._held_before = _CpuHeld()

    def begin(self) -> None:
        """From now on."""
        for gpu in self._gpus:
            gpu.begin()
        self._held_before = _CpuHeld.now()
        self._before = _cpu_time()

    def end(self) -> RoundLoad:
        """What went on since `begin`."""
        after, own_clock = _cpu_time(), clock_share()
        held = {"cpu": _CpuHeld.now().since(self._held_before)}
        throttled = []
        clocks = {} if own_clock is None else {"cpu": own_clock}
        for gpu in self._gpus:
            gpu.end()
            throttled.append(gpu.was_throttled)
            held[gpu.name] = gpu.held_by
            clocks |= {} if gpu.clock_share is None else {gpu.name: gpu.clock_share}
        return RoundLoad(
            other_cpu=_others_share(self._before, after),
            throttled=_any_of(throttled),
            steal=_stolen_share(self._before, after),
            clocks=clocks,
            held={name: reasons for name, reasons in held.items() if reasons},
        )


def _any_of(flags: Sequence[bool | None]) -> bool | None:
    """One card that was held down is enough to know; that none was, all of them have to say."""
    if True in flags:
        return True
    return None if None in flags or not flags else False


@dataclass(frozen=True)
class _CpuTime:
    """Seconds of all processors since the machine started: all, busy, and busy with us."""

    total: float
    busy: float
    own: float
    stolen: float | None


@dataclass(frozen=True)
class _CpuHeld:
    """What has held this process's threads back so far, and when it was read."""

    read_s: float = 0.0
    heat_events: int | None = None
    quota_held_s: float | None = None

    @classmethod
    def now(cls) -> _CpuHeld:
        return cls(time.monotonic(), heat_events()[0], quota_held_s())

    def since(self, before: _CpuHeld) -> tuple[str, ...]:
        """What it was between the two."""
        least_s = _NOTABLE_HOLD * (self.read_s - before.read_s)
        grew = {
            "heat": _growth(before.heat_events, self.heat_events) > 0,
            "quota": _growth(before.quota_held_s, self.quota_held_s) > least_s,
        }
        return tuple(name for name, did in grew.items() if did)


def _growth(before: float | None, after: float | None) -> float:
    return 0.0 if before is None or after is None else after - before


def _cpu_time() -> _CpuTime | None:
    try:
        times = psutil.cpu_times()._asdict()
    except (OSError, ValueError, RuntimeError, psutil.Error):
        return None
    total = sum(times.values()) - times.get("guest", 0.0) - times.get("guest_nice", 0.0)  # in user and nice already
    idle = times["idle"] + times.get("iowait", 0.0)
    return _CpuTime(total=total, busy=total - idle, own=_own_cpu_s(), stolen=times.get("steal"))


def _others_share(before: _CpuTime | None, after: _CpuTime | None) -> float | None:
    if before is None or after is None or after.total - before.total < _SHORTEST_S:
        return None
    others = (after.busy - before.busy) - (after.own - before.own)
    return min(max(others / (after.total - before.total), 0.0), 1.0)


def _stolen_share(before: _CpuTime | None, after: _CpuTime | None) -> float | None:
    if before is None or after is None or before.stolen is None or after.stolen is None:
        return None
    passed = after.total - before.total
    return None if passed < _SHORTEST_S else min(max((after.stolen - before.stolen) / passed, 0.0), 1.0)


def _own_cpu_s() -> float:
    """Seconds of this process, of the children it has waited for, and of those that live, with theirs."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    own = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    return own + sum(_process_cpu_s(pid) for pid in _descendants(os.getpid()))


def _descendants(parent: int) -> list[int]:
    """Processes below `parent`; none if the kernel keeps no list of them: a search of all takes milliseconds."""
    descendants: list[int] = []
    tasks = _PROC / str(parent) / "task"
    ended = contextlib.suppress(OSError)  # what is asked may end meanwhile
    with ended:
        for thread in os.listdir(tasks):  # noqa: PTH208 - iterdir costs three times as much
            with ended:
                for child in map(int, (tasks / thread / "children").read_bytes().split()):
                    descendants += [child, *_descendants(child)]
    return descendants


def _process_cpu_s(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except (OSError, psutil.Error):
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


class _Gpu:
    """The thermal state and the clock of one CUDA device, as NVML tells them."""

    def __init__(self, device: Device) -> None:
        self.name = device.name
        self._nvml = NvmlDevice(device)
        self._most = self._nvml.ask("nvmlDeviceGetMaxClockInfo", SM_CLOCK)
        self._before = self._after = _GpuState(None, None, None)

    def begin(self) -> None:
        self._before = self._read()

    def end(self) -> None:
        self._after = self._read()

    @property
    def was_throttled(self) -> bool | None:
        if self._after.reasons is None or self._before.reasons is None:
            return None
        return self._grew_hot or bool((self._after.reasons | self._before.reasons) & HELD_DOWN)

    @property
    def held_by(self) -> tuple[str, ...]:
        """What held its clock down at either end, or between."""
        bits = (self._before.reasons or 0) | (self._after.reasons or 0)
        return tuple(dict.fromkeys((*(("heat",) if self._grew_hot else ()), *(names_of(bits) or ()))))

    @property
    def clock_share(self) -> float | None:
        """Its clock at the end over its maximum; a card at rest lowers it, which says nothing."""
        is_idle = bool((self._after.reasons or 0) & IDLE)
        return None if self._after.clock is None or not self._most or is_idle else self._after.clock / self._most

    @property
    def _grew_hot(self) -> bool:
        return _growth(self._before.held_ns, self._after.held_ns) > 0

    def _read(self) -> _GpuState:
        status = self._nvml.ask("nvmlDeviceGetViolationStatus", _THERMAL_POLICY)
        return _GpuState(
            reasons=self._nvml.clock_reasons()[0],
            held_ns=None if status is None else int(status.violationTime),
            clock=self._nvml.ask("nvmlDeviceGetClockInfo", SM_CLOCK),
        )


@dataclass(frozen=True)
class _GpuState:
    """The bits of what holds a clock down, the nanoseconds that heat did so far, and the clock in MHz."""

    reasons: int | None
    held_ns: int | None
    clock: int | None


@dataclass(frozen=True)
class _Counter:
    """A counter of energy: `read` returns its state, which starts again from 0 at `wraps_at`."""

    read: Callable[[], int | None]
    unit_j: float
    wraps_at: int | None = None

    def joules(self, before: int, after: int) -> float:
        """What it counted, if it started again once at most: RAPL's take 5 minutes or more at full power."""
        counted = after - before
        return (counted + self.wraps_at if counted < 0 and self.wraps_at else counted) * self.unit_j


class EnergyMeter:
    """Joules of one device between `begin` and `end`, as often as wanted; `powercap` is the kernel's folder of RAPL."""

    def __init__(self, device: Device, *, powercap: Path = _POWERCAP) -> None:
        self._counters = _counters(device, powercap)
        self._before: list[int | None] = []

    def begin(self) -> None:
        """From now on."""
        self._before = [counter.read() for counter in self._counters]

    def end(self) -> float | None:
        """Joules since `begin`; None if nothing counts them, or a counter can't be read or stands still."""
        joules = 0.0
        for counter, before in zip(self._counters, self._before, strict=False):
            after = counter.read()
            if before is None or after is None:
                return None
            joules += counter.joules(before, after)
        return joules if joules > 0 else None


def _counters(device: Device, powercap: Path) -> list[_Counter]:
    if device.kind == "cuda":
        nvml = NvmlDevice(device)
        return [_Counter(lambda: nvml.ask("nvmlDeviceGetTotalEnergyConsumption"), _MILLIJOULE)]
    if device.kind != "cpu":
        return []
    # A package's parts (cores, memory) are in it, and the platform's counter would count it twice.
    packages = [zone for zone in sorted(powercap.glob("intel-rapl:*")) if text_of(zone / "name").startswith("package")]
    return [
        _Counter(partial(_number, zone / "energy_uj"), _MICROJOULE, wraps_at=_number(zone / "max_energy_range_uj"))
        for zone in packages
    ]


def _number(file: Path) -> int | None:
    text = text_of(file).strip()
    return int(text) if text.isdecimal() else None


class PeakMemory:
    """`begin` and `end` around a case's preparation; `process_bytes` is the peak of the process over all of them."""

    def __init__(self) -> None:
        self._highest = 0
        self._before: int | None = None
        self._before_again: int | None = None
        self.checks: tuple[Check, ...] = ()  # that failed, of the last case's peak

    @property
    def process_bytes(self) -> int:
        """The largest resident set of this process so far."""
        self._highest = max(self._highest, process_peak_bytes())
        return self._highest

    def begin(self, device: Device) -> None:
        """Set the peak back, after remembering it, and without what the case before left to be collected."""
        gc.collect()
        self._highest = self.process_bytes
        self._before = used_memory_bytes(device) if reset_peak_memory(device) else None
        self._before_again = peak_memory_again(device)

    def end(self, device: Device) -> int | None:
        """What was added since `begin` at most; None if a peak can't be set back."""
        least, peak, most = peak_memory_again(device), peak_memory_bytes(device), peak_memory_again(device)
        if self._before is None or peak is None:
            return None
        added = max(peak - self._before, 0)
        if least is not None and most is not None and self._before_again is not None:
            faults = [*peak_faults(added, (least - self._before_again, most - self._before_again))]
            check = Check.without("peak memory", faults, finds="another unit", reason="it is read twice, in two ways")
            self.checks = (check,) if faults else ()
        return added
