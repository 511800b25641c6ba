"""Where the time of a step goes, by name: a table of profiler events whose times add up.

A row is what the host called by one name: the host's time in it, and the device's time that it started, both without
those of the calls that it made in turn. Kernels that no known call started (those of a CUDA graph, of Triton) have rows
of their own. The host's times add up to the time of the region where one thread does all, since what passes between
the calls has a row as well; the device's always add up to the device's time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from accelmnist.core.records import OperationFigures
from accelmnist.training.profiling.events import Event, is_compiled_graph, is_host

HOST_ROW = "between calls"  # the host: Python, and the waits that no event covers
GRAPH_ROW = "compiled graph"  # its real name is a hash

_MICRO = 1e-6


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
