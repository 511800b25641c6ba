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

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from accelmnist.core.errors import headline
from accelmnist.device import Device, resolve
from accelmnist.device.cgroups import text_of
from accelmnist.device.clocks import Reading, clock_hz, heat_events, steal_s
from accelmnist.device.nvml import QUESTIONS, NvmlDevice, load_nvml, names_of
from accelmnist.measure.soak.plan import Target
from accelmnist.measure.soak.record import Counter

_INTERRUPTS, _MEMORY = Path("/proc/interrupts"), Path("/sys/devices/system/edac/mc")
_XID, _XID_EVENT = "Xid errors", 0x8  # nvmlEventTypeXidCriticalError


def _nothing() -> set[str] | None:
    return None


@dataclass(frozen=True)
class _Gauge:
    """What is to be read: its name, its unit, how, and for a clock what holds it down at the moment."""

    name: str
    unit: str
    read: Callable[[], Reading]
    held_by: Callable[[], set[str] | None] = _nothing


class Counters:
    """The counters of one device, from now on, on top of what was read `before`, in an earlier process."""

    def __init__(self, target: Target, before: tuple[Counter, ...] = ()) -> None:
        device = resolve(target.device)
        self._counters = {counter.name: counter for counter in before}
        if device.kind == "cuda":  # whose Xid errors are counted here, from 0 on
            xid = self._counters.setdefault(_XID, Counter(name=_XID, first=0.0))
            self._gauges = [*_of_card(device, int(xid.last or 0))]
        else:
            self._gauges = [*_of_processor(target.core)]

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
    cores = range(os.cpu_count() or 1) if core is None else [core]
    yield _Gauge("clock", "Hz", partial(clock_hz, *cores))
    yield _Gauge("temperature", "°C", _temperature)
    yield _Gauge("steal", "s", partial(steal_s, core))
    yield _Gauge("machine checks", "", partial(_machine_checks, core))
    yield _Gauge("heat events", "", partial(heat_events, *cores))
    for name in ("corrected", "uncorrected"):
        yield _Gauge(
            f"memory errors, {name}", "", partial(_memory_errors, "ce_count" if name == "corrected" else "ue_count")
        )


def _temperature() -> Reading:
    sensors: dict[str, Any] = getattr(psutil, "sensors_temperatures", dict)()
    values = [
        one.current for name in ("coretemp", "k10temp", "zenpower", "cpu_thermal") for one in sensors.get(name, ())
    ]
    return (max(values), "") if values else (None, "the processor has no sensor here, as in most virtual machines")


def _machine_checks(core: int | None) -> Reading:
    """From the row "MCE: 0 0 Machine check exceptions", which has a column for each processor that is named above."""
    text = text_of(_INTERRUPTS)
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


def _memory_errors(file: str) -> Reading:
    texts = [text_of(path).strip() for path in _MEMORY.glob(f"mc*/{file}")]
    values = [int(text) for text in texts if text.isdecimal()]
    return (sum(values), "") if values else (None, "no memory controller reports here (EDAC)")


# --- a card

_FACTS = {
    "clock": ("Hz", "clock_hz"),
    "temperature": ("°C", "temperature_c"),
    "power": ("W", "power_w"),
    "ECC errors, corrected": ("", "ecc_corrected"),
    "ECC errors, uncorrected": ("", "ecc_uncorrected"),
}


def _of_card(device: Device, xid_errors: int) -> Iterator[_Gauge]:
    nvml = NvmlDevice(device)
    for name, (unit, fact) in _FACTS.items():
        held_by = partial(_held_by, nvml) if name == "clock" else _nothing
        yield _Gauge(name, unit, partial(_fact, nvml, fact), held_by)
    yield _Gauge(_XID, "", _XidErrors(nvml, xid_errors).read)


def _fact(nvml: NvmlDevice, fact: str) -> Reading:
    function, arguments, converted = QUESTIONS[fact]
    answer, reason = nvml.read(function, *arguments)
    return (None, reason) if answer is None else (float(converted(answer)), "")


def _held_by(nvml: NvmlDevice) -> set[str] | None:
    names = names_of(nvml.clock_reasons()[0])
    return None if names is None else set(names)


class _XidErrors:
    """Events of the driver, counted on from `count`: NVML keeps no number of them."""

    def __init__(self, nvml: NvmlDevice, count: int) -> None:
        self._count = count
        self._nvml, self._reason = load_nvml()
        if self._nvml is not None:
            try:
                self._events = self._nvml.nvmlEventSetCreate()
            except (AttributeError, self._nvml.NVMLError) as error:
                self._reason = f"NVML says: {headline(error)}"
            else:
                _, self._reason = nvml.read("nvmlDeviceRegisterEvents", _XID_EVENT, self._events)

    def read(self) -> Reading:
        """How many came so far; waits for none."""
        while not self._reason:
            try:
                self._nvml.nvmlEventSetWait_v2(self._events, 0)
            except (AttributeError, self._nvml.NVMLError):
                return self._count, ""
            self._count += 1
        return None, self._reason
