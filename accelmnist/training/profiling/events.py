"""The events of torch's profiler, as far as they are read here, and what can be asked of any of them.

They are `torch.autograd.profiler_util.FunctionEvent`, or stand-ins: nothing here takes a device, a clock or torch. What
the host did forms trees of calls; what the device did has no relations. Times are in microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

_COMPILED_GRAPH = re.compile(r"## Call CompiledFxGraph \w+ ##")
_DRIVER = re.compile(r"(?:cuda|cu|hip)([A-Z]\w*?)(?:_v\d+|_ptsz|_ptds)*")


class Named(Protocol):
    """A member of an enumeration."""

    @property
    def name(self) -> str:
        """Such as CPU or CUDA."""


class Interval(Protocol):
    """From when to when."""

    @property
    def start(self) -> float:
        """Where it begins."""

    @property
    def end(self) -> float:
        """Where it ends."""


class Kernel(Protocol):
    """Work of the device, as the call that started it knows it."""

    @property
    def name(self) -> str:
        """The kernel's name."""

    @property
    def duration(self) -> float:
        """Its time on the device."""


class Event(Protocol):
    """An operator, a driver's call, a named region or a kernel; `kernels` are those that it started itself."""

    @property
    def name(self) -> str:
        """What was called."""

    @property
    def device_type(self) -> Named:
        """CPU for what the host did."""

    @property
    def time_range(self) -> Interval:
        """When it ran."""

    @property
    def cpu_parent(self) -> Event | None:
        """The call that made this one."""

    @property
    def cpu_children(self) -> Sequence[Event]:
        """The calls that this one made."""

    @property
    def kernels(self) -> Sequence[Kernel]:
        """Work of the device that it started itself."""

    @property
    def is_user_annotation(self) -> bool | None:
        """Whether it is a named region and no call."""

    @property
    def self_cpu_time_total(self) -> float:
        """The host's time without that of the children."""


def is_host(event: Event) -> bool:
    """Whether the host did it."""
    return event.device_type.name == "CPU"


def within(events: Iterable[Event], region: Event) -> list[Event]:
    """The events of a region: what the host did in its time, on any thread, and what the device did from then on.

    The device has to be idle when the region begins, and the recording has to end with the region. Named regions leave
    copies on the device that are no work; they are left out.
    """
    start, end = region.time_range.start, region.time_range.end
    host = [e for e in events if is_host(e) and e is not region and start <= e.time_range.start <= end]
    device = [e for e in events if not is_host(e) and not e.is_user_annotation and e.time_range.start >= start]
    return host + device


def roots(host: Sequence[Event]) -> list[Event]:
    """The events that no other of them called."""
    inside = {id(event) for event in host}
    return [event for event in host if id(event.cpu_parent) not in inside]


def ancestors(event: Event) -> Iterator[Event]:
    """The call that made it, the one that made that, and so on."""
    above = event.cpu_parent
    while above is not None:
        yield above
        above = above.cpu_parent


def driver_call(name: str) -> str | None:
    """A call of CUDA's or HIP's runtime or driver without prefix and version, as in LaunchKernel; None for others."""
    found = _DRIVER.fullmatch(name)
    return found.group(1) if found else None


def is_compiled_graph(name: str) -> bool:
    """Whether it is the call of a graph that torch.compile made."""
    return _COMPILED_GRAPH.fullmatch(name) is not None
