"""What a recording of torch's profiler says of a step: how much it starts, how often the host waits, where time goes.

    operations      on CUDA, what reaches the driver: launches of kernels and graphs, copies, fills. Elsewhere,
                    operators that compute: the leaves of the trees of calls, once the calls that only make views,
                    reserve memory or read a number are cut off. So a linear layer is one, as it is one kernel on a GPU
    host syncs      on CUDA, calls that synchronize and copies that block. Elsewhere, tensors read as Python numbers; on
                    the CPU only by the program itself, since an operator that reads one waits for nobody
    graph replays   launches of a CUDA graph

Where one counted call makes another, the outer one counts. What can't be seen isn't counted, so on the CPU the count is
a lower bound: a compiled graph is one operation with those that it calls by name, since its own loops raise no event
(they would if it were compiled anew with `cpp.enable_kernel_profile`), and native code that is called past torch's
operators raises none at all.

The time goes into a table. A row is what the host called by one name: the host's time in it, and the device's time that
it started, both without those of the calls that it made in turn. Kernels that no known call started (those of a CUDA
graph, of Triton) have rows of their own. The host's times add up to the time of the region where one thread does all,
since what passes between the calls has a row as well; the device's always add up to the device's time.

Nothing here takes a device, a clock or torch. What the host did forms trees of calls; what the device did has no
relations. Times are in microseconds.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from accelmnist.core.records import Launches, OperationFigures

HOST_ROW = "between calls"  # the host: Python, and the waits that no event covers
GRAPH_ROW = "compiled graph"  # its real name is a hash

_MICRO = 1e-6
_COMPILED_GRAPH = re.compile(r"## Call CompiledFxGraph \w+ ##")
_DRIVER = re.compile(r"(?:cuda|cu|hip)([A-Z]\w*?)(?:_v\d+|_ptsz|_ptds)*")
_OPERATOR = re.compile(r"\w+::\w+")
_STARTS = re.compile(r"\w*Launch\w*Kernel\w*|GraphLaunch|Mem(?:cpy|set)\w*")
_WAITS = re.compile(r"(?:Device|Ctx|Stream|Event)Synchronize|Memcpy(?!\w*Async)\w*")
_READS = frozenset({"aten::is_nonzero", "aten::item", "aten::_local_scalar_dense"})

# Views, reservations and questions: they take the host's time, which the table shows, and start no work.
_FREE = """
    alias _conj conj detach detach_ lift_fresh resolve_conj resolve_neg real imag view_as_real view_as_complex
    as_strided view view_as _unsafe_view reshape reshape_as _reshape_alias ravel flatten unflatten contiguous
    expand expand_as broadcast_to broadcast_tensors t numpy_T mT transpose transpose_ permute movedim swapaxes
    select slice narrow unbind split split_with_sizes chunk tensor_split unfold diagonal
    squeeze squeeze_ unsqueeze unsqueeze_ to type_as
    empty empty_like empty_strided new_empty new_empty_strided resize_ set_ result_type
"""
_NO_WORK = _READS | {f"aten::{name}" for name in _FREE.split()}


class Event(Protocol):
    """An operator, a driver's call, a named region or a kernel: torch's `FunctionEvent`, or a stand-in."""

    name: str
    device_type: Any  # an enumeration's member, named CPU for what the host did
    time_range: Any  # with `start` and `end`
    cpu_parent: Any  # the Event of the call that made this one, or None
    cpu_children: Any  # Events: the calls that this one made
    kernels: Any  # work of the device that it started itself, each with `name` and `duration`
    is_user_annotation: Any  # whether it is a named region and no call
    self_cpu_time_total: float  # the host's time without that of the children


def is_host(event: Event) -> bool:
    """Whether the host did it."""
    return str(event.device_type.name) == "CPU"


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


def count_launches(events: Sequence[Event], *, steps: int, on_cpu: bool) -> Launches:
    """Counts a step, of all the `events` of `steps` steps; `on_cpu` where the host is itself the device."""
    host = [event for event in events if is_host(event)]
    if has_driver_calls(host):
        operations = len(_outermost(host, lambda name: _matches(_STARTS, name)))
        syncs = len(_outermost(host, lambda name: _matches(_WAITS, name)))
    else:
        operations = sum(_computing(root) for root in roots(host))
        reads = _outermost(host, _READS.__contains__)
        syncs = sum(not (on_cpu and any(map(_is_operator, ancestors(read)))) for read in reads)
    replays = sum(driver_call(event.name) == "GraphLaunch" for event in host)
    return Launches(operations=operations / steps, host_syncs=syncs / steps, graph_replays=replays / steps)


def has_driver_calls(events: Iterable[Event]) -> bool:
    """Whether the calls of a GPU's driver were seen, by which launches are counted best."""
    return any(is_host(event) and driver_call(event.name) for event in events)


def _matches(pattern: re.Pattern[str], name: str) -> bool:
    return pattern.fullmatch(driver_call(name) or "") is not None


def _outermost(host: Sequence[Event], counts: Callable[[str], bool]) -> list[Event]:
    """The events that have a name that `counts` and were not made by another one that does."""
    named = (event for event in host if counts(event.name))
    return [event for event in named if not any(counts(above.name) for above in ancestors(event))]


def _is_operator(event: Event) -> bool:
    return _OPERATOR.fullmatch(event.name) is not None and not event.is_user_annotation


def _computing(event: Event) -> int:
    """Operators that compute, and compiled graphs, at and below `event`."""
    below = sum(_computing(child) for child in event.cpu_children)
    if is_compiled_graph(event.name):
        return below + 1
    computes_itself = _is_operator(event) and event.name not in _NO_WORK
    return below or int(computes_itself)


def tabulate(region: Event, events: Sequence[Event], *, steps: int) -> tuple[OperationFigures, ...]:
    """The rows of the region's `events`, a step, the largest share first.

    Shares are of the device's time where it was seen, else of the host's.
    """
    tally = _Tally()
    tally.host_us[HOST_ROW] = region.self_cpu_time_total
    for event in events:
        (tally.add_host if is_host(event) else tally.add_device)(event)
    return tally.rows(steps)


class _Tally:
    """Calls and microseconds by name; `stray` are kernels, less those that a call of the host claims as its own."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.host_us: defaultdict[str, float] = defaultdict(float)
        self.device_us: defaultdict[str, float] = defaultdict(float)
        self.stray: Counter[str] = Counter()
        self.stray_us: defaultdict[str, float] = defaultdict(float)

    def add_host(self, event: Event) -> None:
        name = GRAPH_ROW if is_compiled_graph(event.name) else event.name
        self.calls[name] += 1
        self.host_us[name] += event.self_cpu_time_total
        for kernel in event.kernels:
            self.device_us[name] += kernel.duration
            self.stray[kernel.name] -= 1
            self.stray_us[kernel.name] -= kernel.duration

    def add_device(self, event: Event) -> None:
        self.stray[event.name] += 1
        self.stray_us[event.name] += event.time_range.end - event.time_range.start

    def rows(self, steps: int) -> tuple[OperationFigures, ...]:
        """The figures of every operation, a step, of `steps` that were watched."""
        unclaimed = {name: number for name, number in self.stray.items() if number > 0}
        calls = self.calls + Counter(unclaimed)
        device_us = self.device_us | {name: self.stray_us[name] for name in unclaimed}
        shared = device_us or self.host_us
        total = sum(shared.values())
        made = [
            OperationFigures(
                name=name,
                calls=calls[name] / steps,
                host_s=self.host_us.get(name, 0.0) * _MICRO / steps,
                device_s=device_us.get(name, 0.0) * _MICRO / steps if device_us else None,
                share=shared.get(name, 0.0) / total if total else 0.0,
            )
            for name in calls.keys() | self.host_us.keys()
        ]
        return tuple(sorted(made, key=lambda row: (-row.share, -row.host_s, row.name)))
