"""What the machine says of a device while it works: clocks, heat, power, what holds a clock down, errors counted.

All is read by this process, about once a second, while the devices' own processes work; it takes them nothing. What
can't be read has its reason. Of a core its own row counts; memory errors (EDAC) are the machine's.

clock, temperature, power    gauges: Hz, degrees Celsius, watts
steal                        seconds in which a hypervisor gave the processor to others
machine checks               of a processor, by the kernel's count of these exceptions
memory errors                corrected and uncorrected, by the memory's controllers
heat events                  how often heat held a core's clock down (Intel's processors)
ECC errors, Xid errors       of a card, by NVML: of its memory since the driver was loaded, and the driver's events

Sources: proc(5); Linux's Documentation on cpufreq, EDAC and x86's machine checks; NVIDIA's NVML API reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from accelmnist.device import resolve
from accelmnist.measure.machine import NvmlDevice, load_nvml
from accelmnist.measure.soak.plan import Target
from accelmnist.measure.soak.record import Counter

PROC, SYSTEM = Path("/proc"), Path("/sys/devices/system")
_STEAL, _TICKS_A_SECOND = 8, 100.0  # the column of proc(5)'s "steal", and its unit
_KHZ, _MHZ, _MILLIWATT = 1e3, 1e6, 1e-3
_XID_EVENT = 0x8  # nvmlEventTypeXidCriticalError
HELD_BY = {0x04: "power cap", 0x08: "hardware slowdown", 0x20: "heat", 0x40: "heat", 0x80: "power brake"}
_NO_NVML = "NVML doesn't tell: no driver, an older one, or no permission"

Reading = tuple[float | None, str]  # a value, or None and the reason why there is none


@dataclass(frozen=True)
class _Gauge:
    """What is to be read: its name, its unit, how, and for a clock what holds it down at the moment."""

    name: str
    unit: str
    read: Callable[[], Reading]
    held_by: Callable[[], set[str] | None] = lambda: None


class Counters:
    """The counters of one device, from now on, on top of what was read `before`, in an earlier process."""

    def __init__(self, target: Target, before: tuple[Counter, ...] = ()) -> None:
        self._gauges = [*(_of_card(target) if target.device.startswith("cuda") else _of_processor(target.core))]
        self._counters = {counter.name: counter for counter in before}

    def read(self) -> tuple[Counter, ...]:
        """Read all of them once more; returns them as they stand."""
        for gauge in self._gauges:
            known = self._counters.get(gauge.name, Counter(name=gauge.name, unit=gauge.unit))
            self._counters[gauge.name] = _with_reading(known, *gauge.read(), gauge.held_by())
        return tuple(self._counters.values())


def _with_reading(counter: Counter, value: float | None, reason: str, held_by: set[str] | None) -> Counter:
    if value is None:
        return replace(counter, reason=None if counter.readings else reason)
    number, mean = counter.readings + 1, counter.mean or 0.0
    shares = counter.held_by
    if held_by is not None:
        names = {*shares, *held_by}
        shares = {
            name: (shares.get(name, 0.0) * counter.readings + (name in held_by)) / number for name in sorted(names)
        }
    return replace(
        counter,
        first=value if counter.first is None else counter.first,
        last=value,
        low=value if counter.low is None else min(counter.low, value),
        high=value if counter.high is None else max(counter.high, value),
        mean=mean + (value - mean) / number,
        readings=number,
        reason=None,
        held_by=shares,
    )


# --- the processor, or one of its cores


def _of_processor(core: int | None) -> Iterator[_Gauge]:
    yield _Gauge("clock", "Hz", partial(_clock, core))
    yield _Gauge("temperature", "°C", _temperature)
    yield _Gauge("steal", "s", partial(_steal, core))
    yield _Gauge("machine checks", "", partial(_machine_checks, core))
    yield _Gauge("heat events", "", partial(_heat_events, core))
    for name in ("corrected", "uncorrected"):
        yield _Gauge(
            f"memory errors, {name}", "", partial(_memory_errors, "ce_count" if name == "corrected" else "ue_count")
        )


def _clock(core: int | None) -> Reading:
    """The clock of a core, or the mean of all."""
    values = [value for file in _files(core, "cpufreq/scaling_cur_freq") if (value := _number(file)) is not None]
    return (_KHZ * sum(values) / len(values), "") if values else (None, "no cpufreq here, as in most virtual machines")


def _temperature() -> Reading:
    sensors: dict[str, Any] = getattr(psutil, "sensors_temperatures", dict)()
    values = [
        one.current for name in ("coretemp", "k10temp", "zenpower", "cpu_thermal") for one in sensors.get(name, ())
    ]
    return (max(values), "") if values else (None, "the processor has no sensor here, as in most virtual machines")


def _steal(core: int | None) -> Reading:
    row = re.search(rf"^cpu{'' if core is None else core} .*$", _text(PROC / "stat"), re.MULTILINE)
    fields = row[0].split() if row else []
    return (int(fields[_STEAL]) / _TICKS_A_SECOND, "") if len(fields) > _STEAL else (None, "only Linux tells it")


def _machine_checks(core: int | None) -> Reading:
    """From the row "MCE: 0 0 Machine check exceptions", which has a column for each processor that is named above."""
    text = _text(PROC / "interrupts")
    row = re.search(r"^\s*MCE:((?:\s+\d+)+)", text, re.MULTILINE)
    if row is None:
        return (
            None,
            "the kernel doesn't count machine checks here, as in most virtual machines"
            if text
            else "only Linux tells it",
        )
    counts = dict(zip(text.partition("\n")[0].split(), map(int, row[1].split()), strict=False))
    if core is None:
        return sum(counts.values()), ""
    return (counts[f"CPU{core}"], "") if f"CPU{core}" in counts else (None, f"the kernel has no row of core {core}")


def _heat_events(core: int | None) -> Reading:
    values = [
        value for file in _files(core, "thermal_throttle/core_throttle_count") if (value := _number(file)) is not None
    ]
    return (sum(values), "") if values else (None, "only Intel's processors count it, and no virtual machine")


def _memory_errors(file: str) -> Reading:
    values = [value for path in (SYSTEM / "edac" / "mc").glob(f"mc*/{file}") if (value := _number(path)) is not None]
    return (sum(values), "") if values else (None, "no memory controller reports here (EDAC)")


def _files(core: int | None, name: str) -> Iterator[Path]:
    folder = SYSTEM / "cpu"
    yield from folder.glob(f"cpu[0-9]*/{name}") if core is None else [folder / f"cpu{core}" / name]


def _number(file: Path) -> float | None:
    text = _text(file).strip()
    return float(text) if text.isdecimal() else None


def _text(file: Path) -> str:
    """What a file of the kernel says; empty if it isn't there, or may not be read."""
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


# --- a card


def _of_card(target: Target) -> Iterator[_Gauge]:
    nvml = NvmlDevice(resolve(target.device))

    def gauge(name: str, unit: str, function: str, *arguments: int, scale: float = 1.0) -> _Gauge:
        def read() -> Reading:
            answer = nvml.ask(function, *arguments)
            return (None, _NO_NVML) if answer is None else (float(answer) * scale, "")

        return _Gauge(name, unit, read)

    yield replace(gauge("clock", "Hz", "nvmlDeviceGetClockInfo", 1, scale=_MHZ), held_by=partial(_held_by, nvml))
    yield gauge("temperature", "°C", "nvmlDeviceGetTemperature", 0)
    yield gauge("power", "W", "nvmlDeviceGetPowerUsage", scale=_MILLIWATT)
    yield gauge("ECC errors, corrected", "", "nvmlDeviceGetTotalEccErrors", 0, 0)
    yield gauge("ECC errors, uncorrected", "", "nvmlDeviceGetTotalEccErrors", 1, 0)
    yield _Gauge("Xid errors", "", _XidErrors(nvml).read)


def _held_by(nvml: NvmlDevice) -> set[str] | None:
    """What holds the clock down, in words; by the function's name since driver 535, or that of older ones."""
    for name in ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"):
        bits = nvml.ask(name)
        if bits is not None:
            return {reason for bit, reason in HELD_BY.items() if int(bits) & bit}
    return None


class _XidErrors:
    """Events of the driver, counted from now on: NVML keeps no number of them."""

    def __init__(self, nvml: NvmlDevice) -> None:
        self._nvml, self._count, self._events = load_nvml(), 0, None
        if self._nvml is not None:
            try:
                self._events = self._nvml.nvmlEventSetCreate()
            except (AttributeError, self._nvml.NVMLError):
                return
            if nvml.ask("nvmlDeviceRegisterEvents", _XID_EVENT, self._events) is None and not self._is_registered(nvml):
                self._events = None

    def _is_registered(self, nvml: NvmlDevice) -> bool:
        """NVML's binding returns nothing for success and for failure alike by `ask`; the card's list tells."""
        supported: Any = nvml.ask("nvmlDeviceGetSupportedEventTypes")
        return supported is not None and bool(int(supported) & _XID_EVENT)

    def read(self) -> Reading:
        if self._events is None:
            return None, _NO_NVML
        while True:
            try:
                self._nvml.nvmlEventSetWait_v2(self._events, 0)
            except (AttributeError, self._nvml.NVMLError):  # none waits
                return self._count, ""
            self._count += 1
