"""One rate of the hardware, sampled: work of a known amount is done for some 5 ms between two synchronizations.

On CUDA the work is captured once and replayed, so that its rate is the device's; all but "dispatch", which is what the
host takes to start an operation. The probes of one device share their memory: one buffer that is only read, so that
every round sees the same operands, and one that is only written. What isn't timed: operands, warm-up, the capture, and
finding how often to repeat; it happens before the first sample.

A probe audits itself, as a case does: the work is counted once more, from the tensors and the passes that ran, and held
with another clock against the rate that is told.

Rates are in flop/s, bytes/s (read and written together) or operations/s.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, repeat
from operator import itemgetter

import numpy as np
import torch
from torch import Tensor

from accelmnist.core.errors import DeviceError, headline
from accelmnist.device import Device, capture_graph, is_out_of_memory, matmul_precision
from accelmnist.measure.limit_keys import LimitKey
from accelmnist.measure.timed_case import seconds_of

Shape = tuple[int, ...]
Operation = Callable[[], object]

SAMPLE_S = 0.005
_SLOW_S = 0.5
_ALIGNMENT = 256  # bytes
_PATTERN = 65_521  # a prime, so that no two rows of a matrix are alike
_MOST_REPEATS = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ProbeWorkload:
    """The work of a probe: `operations` makes it from tensors of the shapes in `sources` (read) and `sinks` (written).

    `amount` is what all operations of one pass are worth, in the unit of the rate without its "/s". `unroll` passes
    make one replayed graph on CUDA: a replay takes the host some 5 µs, which must not be what is measured.
    """

    dtype: torch.dtype
    sources: tuple[Shape, ...]
    sinks: tuple[Shape, ...]
    operations: Callable[[Sequence[Tensor], Sequence[Tensor]], Sequence[Operation]]
    amount: int
    unroll: int = 1

    @property
    def source_bytes(self) -> int:
        """Bytes of all tensors that are read."""
        return _end(self.sources, self.dtype)

    @property
    def sink_bytes(self) -> int:
        """Bytes of all tensors that are written."""
        return _end(self.sinks, self.dtype)


class Scratch:
    """The memory that the probes of one device share, taken when a probe first needs it.

    `budget_bytes` is the most it may be. The half that is read and the half that is written are as large as the
    largest of the workloads that fit takes.
    """

    def __init__(self, device: Device, workloads: Sequence[ProbeWorkload], *, budget_bytes: int) -> None:
        self._device, self._budget = device, budget_bytes
        fitting = [workload for workload in workloads if self.refusal(workload) is None]
        self._source_bytes = max((workload.source_bytes for workload in fitting), default=0)
        self._sink_bytes = max((workload.sink_bytes for workload in fitting), default=0)
        self._buffers: tuple[Tensor, Tensor] | None = None

    @property
    def bytes(self) -> int:
        """What it takes."""
        return self._source_bytes + self._sink_bytes

    def refusal(self, workload: ProbeWorkload) -> str | None:
        """Why `workload` doesn't fit, or None."""
        half = self._budget // 2
        need = max(workload.source_bytes, workload.sink_bytes)
        if need <= half:
            return None
        return f"it takes a buffer of {need / 1e6:,.0f} MB, and a limit may take {half / 1e6:,.0f} MB"

    def tensors(self, workload: ProbeWorkload) -> tuple[list[Tensor], list[Tensor]]:
        """The sources and the sinks of `workload`: views, which other workloads' views overlap."""
        if self._buffers is None:
            device = self._device.torch_device
            sink = torch.empty(self._sink_bytes, dtype=torch.uint8, device=device)
            self._buffers = _operands(self._source_bytes, device), sink
        source, sink = self._buffers
        return _views(source, workload.sources, workload.dtype), _views(sink, workload.sinks, workload.dtype)


def _operands(size: int, device: torch.device) -> Tensor:
    """Bytes that are sane numbers in every type: zeros would let a GPU draw less power and clock higher.

    They are bfloat16 from 0.5 to 1 of either sign. Two of them, read as one float32, are such a number too, since the
    upper half of a float32 is the bfloat16 next to it (on little-endian machines, as all are that torch supports); and
    as float16 their bits mean 1.75 to 2.
    """
    random = np.random.default_rng(0)
    numbers = random.uniform(0.5, 0.996, _PATTERN) * random.choice([-1.0, 1.0], _PATTERN)  # 0.998 would round to 1
    pattern = torch.from_numpy(numbers).to(torch.bfloat16).to(device)
    whole = torch.empty(math.ceil(size / 2 / _PATTERN), _PATTERN, dtype=torch.bfloat16, device=device)
    return whole.copy_(pattern).view(-1).view(torch.uint8)[:size]


def _padded(shape: Shape, dtype: torch.dtype) -> int:
    return math.ceil(math.prod(shape) * dtype.itemsize / _ALIGNMENT) * _ALIGNMENT


def _end(shapes: Sequence[Shape], dtype: torch.dtype) -> int:
    return sum(_padded(shape, dtype) for shape in shapes)


def _views(buffer: Tensor, shapes: Sequence[Shape], dtype: torch.dtype) -> list[Tensor]:
    parts = torch.split(buffer[: _end(shapes, dtype)], [_padded(shape, dtype) for shape in shapes])
    whole = zip(shapes, parts, strict=True)
    return [part[: math.prod(shape) * dtype.itemsize].view(dtype).view(shape) for shape, part in whole]


class Probe:
    """Samples the rate of `limit` on `device`.

    It runs with as many threads as are set: set those of `limit.threads` before every sample, and take the samples of
    two probes of one device one after the other, since they share memory.
    """

    def __init__(self, limit: LimitKey, device: Device, workload: ProbeWorkload, scratch: Scratch) -> None:
        self.limit, self.workload = limit, workload
        self._device, self._scratch = device, scratch
        self._run: Operation | None = None
        self._repeats = 1
        self._seen_amount = 0  # of a pass
        self._passes = count()
        self._apart: list[float] = []

    @property
    def apart(self) -> float:
        """By what share every rate so far is apart from the work that was seen, at least."""
        return min(self._apart, default=0.0)

    @property
    def amount(self) -> int:
        """What one run of the work is worth: flops, bytes or operations."""
        return self.workload.amount * self._unroll

    @property
    def _unroll(self) -> int:
        return self.workload.unroll if self._is_captured else 1

    @property
    def _is_captured(self) -> bool:
        return self._device.kind == "cuda" and self.limit.kind != "dispatch"

    def prepare(self) -> None:
        """Make the operands, warm up, and find how often to repeat; DeviceError with the reason if that fails."""
        refusal = self._scratch.refusal(self.workload)
        if refusal is not None:
            raise DeviceError(refusal)
        with self._failures(), matmul_precision(self._device, self.limit.precision or "fp32"):
            operations = self.workload.operations(*self._scratch.tensors(self.workload))
            work: Operation = partial(_run_all, operations)
            if self._is_captured:
                work = capture_graph(self._device, partial(_run_all, [*operations] * self._unroll))
            self._seen_amount = self._unroll * sum(map(_amount_of, operations))
            self._repeats = self._repeats_of(work)
            self._run = work

    def sample(self) -> float:
        """The rate, once; DeviceError with the reason if it fails."""
        if self._run is None:
            self.prepare()
        assert self._run is not None
        before, started = next(self._passes) + 1, time.monotonic()
        rate = self._repeats * self.amount / self._time(self._run, self._repeats)
        seconds, passes = time.monotonic() - started, next(self._passes) - before
        self._apart.append(abs(rate * seconds / (passes * self._seen_amount) - 1) if passes else math.inf)
        return rate

    def _repeats_of(self, work: Operation) -> int:
        """So many that a sample takes `SAMPLE_S`; the first run is cold and doesn't count, unless it was slow."""
        repeats, seconds = 1, self._time(work, 1)
        if seconds < _SLOW_S:
            seconds = self._time(work, 1)
        while seconds < SAMPLE_S / 4 and repeats < _MOST_REPEATS:
            repeats *= 2
            seconds = self._time(work, repeats)
        return max(1, round(repeats * SAMPLE_S / seconds))

    def _time(self, work: Operation, repeats: int) -> float:
        with self._failures(), matmul_precision(self._device, self.limit.precision or "fp32"):
            # Counted in C: as dear as nothing.
            passes = map(itemgetter(0), zip(repeat(work, repeats), self._passes, strict=False))
            return seconds_of(lambda: _run_all(passes), self._device)

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Within: what torch refuses becomes a DeviceError with the reason in one line."""
        try:
            yield
        except (RuntimeError, TypeError, MemoryError) as error:
            reason = f"out of memory on {self._device}" if is_out_of_memory(error) else headline(error)
            raise DeviceError(reason) from error


def _amount_of(operation: Operation) -> int:
    """What one operation is worth, by its tensors: a product its flops, a copy its bytes, another one is one."""
    if not isinstance(operation, partial):
        return 1
    if operation.func is torch.mm:
        left, right = operation.args
        return 2 * int(left.numel() * right.shape[1])
    if operation.func.__name__ == "copy_":
        return 2 * int(operation.args[0].nbytes)
    return 1


def _run_all(operations: Iterable[Operation]) -> None:
    for operation in operations:
        operation()
