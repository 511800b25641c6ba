"""What else goes on in the machine while something is measured: other load, throttling, energy.

other load    the share of all processors' time that others used: what the machine was busy with (a hypervisor's steal
              included), less this process, its threads and its children. Children that live count on Linux, where the
              kernel lists them; elsewhere only those that have ended. Clock ticks are 10 ms, so a stretch in which all
              processors together had less than half a second tells nothing
throttling    the GPU's own word that heat or the power brake holds its clock down, at either end or, where it counts
              such time, anywhere between. A software power cap is no throttling: large cards reach it whenever they
              work hard, and idle or chosen clocks are none either
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from accelmnist.core.records import Check
from accelmnist.device import (
    Device,
    nvml_uuid,
    peak_memory_again,
    peak_memory_bytes,
    process_peak_bytes,
    reset_peak_memory,
    used_memory_bytes,
)
from accelmnist.measure.statistics.symptoms import RoundLoad
from accelmnist.training.reference.chain import peak_faults

_PROC = Path("/proc")
_POWERCAP = Path("/sys/class/powercap")
_SHORTEST_S = 0.5  # of all processors together
_MICROJOULE, _MILLIJOULE = 1e-6, 1e-3
# NVML's bits for HW slowdown, SW thermal slowdown, HW thermal slowdown and HW power brake.
_HELD_DOWN = 0x08 | 0x20 | 0x40 | 0x80
_THERMAL_POLICY = 1  # NVML_PERF_POLICY_THERMAL: nanoseconds that heat kept the clock below what was asked for


class MachineWatch:
    """Watches between `begin` and `end`, as often as wanted; `devices` are those in use."""

    def __init__(self, devices: Sequence[Device] = ()) -> None:
        self._gpus = [_Gpu(device) for device in devices if device.kind == "cuda"]
        self._before: _CpuTime | None = None

    def begin(self) -> None:
        """From now on."""
        for gpu in self._gpus:
            gpu.begin()
        self._before = _cpu_time()

    def end(self) -> RoundLoad:
        """What went on since `begin`."""
        after = _cpu_time()
        return RoundLoad(_others_share(self._before, after), _any_of([gpu.was_throttled() for gpu in self._gpus]))


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


def _cpu_time() -> _CpuTime | None:
    try:
        times = psutil.cpu_times()._asdict()
    except (OSError, ValueError, RuntimeError, psutil.Error):
        return None
    total = sum(times.values()) - times.get("guest", 0.0) - times.get("guest_nice", 0.0)  # in user and nice already
    idle = times["idle"] + times.get("iowait", 0.0)
    return _CpuTime(total=total, busy=total - idle, own=_own_cpu_s())


def _others_share(before: _CpuTime | None, after: _CpuTime | None) -> float | None:
    if before is None or after is None or after.total - before.total < _SHORTEST_S:
        return None
    others = (after.busy - before.busy) - (after.own - before.own)
    return min(max(others / (after.total - before.total), 0.0), 1.0)


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
    """The thermal state of one CUDA device, as NVML tells it."""

    def __init__(self, device: Device) -> None:
        self._nvml = NvmlDevice(device)
        self._before: tuple[int | None, int | None] = (None, None)

    def begin(self) -> None:
        self._before = self._read()

    def was_throttled(self) -> bool | None:
        (reasons, held_ns), (reasons_before, held_before_ns) = self._read(), self._before
        if reasons is None or reasons_before is None:
            return None
        grew = held_ns is not None and held_before_ns is not None and held_ns > held_before_ns
        return grew or bool((reasons | reasons_before) & _HELD_DOWN)

    def _read(self) -> tuple[int | None, int | None]:
        """The bits of what holds its clock down now, and the nanoseconds that heat did so far."""
        # The name since driver 535, and the one that older drivers know.
        names = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
        answers = (self._nvml.ask(name) for name in names)
        reasons = next((int(answer) for answer in answers if answer is not None), None)
        status = self._nvml.ask("nvmlDeviceGetViolationStatus", _THERMAL_POLICY)
        return reasons, None if status is None else int(status.violationTime)


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
    packages = [zone for zone in sorted(powercap.glob("intel-rapl:*")) if _text(zone / "name").startswith("package")]
    return [
        _Counter(partial(_number, zone / "energy_uj"), _MICROJOULE, wraps_at=_number(zone / "max_energy_range_uj"))
        for zone in packages
    ]


def _number(file: Path) -> int | None:
    text = _text(file).strip()
    return int(text) if text.isdecimal() else None


def _text(file: Path) -> str:
    """What a file of the kernel says; empty if it isn't there or may not be read, as `energy_uj` by most users."""
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


class NvmlDevice:
    """One CUDA device to NVML; it is found by its UUID, since NVML's numbers ignore CUDA_VISIBLE_DEVICES."""

    def __init__(self, device: Device) -> None:
        self._nvml, uuid = load_nvml(), nvml_uuid(device)
        self._handle = None if uuid is None else self._call("nvmlDeviceGetHandleByUUID", uuid)

    def ask(self, name: str, *arguments: Any) -> Any:
        """What NVML's function `name` says of the device; None where it can't: not supported, or in no such driver."""
        return None if self._handle is None else self._call(name, self._handle, *arguments)

    def _call(self, name: str, *arguments: Any) -> Any:
        if self._nvml is None:
            return None
        try:
            return getattr(self._nvml, name)(*arguments)
        except (AttributeError, self._nvml.NVMLError):
            return None


def load_nvml() -> Any:
    """NVML's bindings, ready to be asked; None without the package, the driver or a device."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # whatever an installation lacks, it only means that there is nobody to ask
        return None
    return pynvml


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
