"""What a limit is the rate of, as data, and the words made from it. No torch: a record is read without a device.

Limits with equal keys were measured in the same way, in one record or in two: by its key a case finds its limits, and a
comparison finds the same limit in both records. No text is looked up, so any text here may be put better.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, assert_never

from accelmnist.core.config import Precision
from accelmnist.measure.plan import Mode
from accelmnist.measure.statistics.summary import Summary

LimitKind = Literal["matmul", "workload", "memory", "working set", "dispatch", "graph dispatch", "meeting"]
Unit = Literal["flop/s", "bytes/s", "operations/s"]

_UNITS: dict[LimitKind, Unit] = {
    "matmul": "flop/s",
    "workload": "flop/s",
    "memory": "bytes/s",
    "working set": "bytes/s",
    "dispatch": "operations/s",
    "graph dispatch": "operations/s",
    "meeting": "operations/s",
}

# What a record says of a limit in words, from before it held the `shape`.
_DETAIL = re.compile(
    r"(?P<side>\d{1,9}) x (?P=side) x (?P=side)(?: in (?P<computed_in>fp32))?"
    r"|(?P<mode>training|inference) (?P<sizes>\d{1,9}(?:-\d{1,9})+) batch (?P<batch>\d{1,9})"
    r"|(?P<mebibytes>\d{1,9}) MiB"
    r"|of (?P<threads>\d{1,9}) threads"
    r"|one element"
)


@dataclass(frozen=True, kw_only=True)
class LimitKey:
    """`precision` is None if the kind has none, `threads` None for torch's own number of them.

    `shape` is (side,) of a matmul; (batch size, inputs, units of every layer) of a workload, which has a `mode` too;
    (bytes,) of a copy; (threads,) of a thread fork-join; and empty for a dispatch. `computed_in` names the precision
    that a matmul was computed in if the device has no instructions for its own.

    Raises ValueError for a shape that its kind can't have, which a record that was changed may hold.
    """

    kind: LimitKind
    device: str
    precision: Precision | None = None
    threads: int | None = None
    shape: tuple[int, ...] = ()
    mode: Mode | None = None
    computed_in: Precision | None = None

    def __post_init__(self) -> None:
        sizes = len(self.shape)
        fits = {"workload": sizes > 1, "dispatch": sizes == 0, "graph dispatch": sizes == 0}.get(self.kind, sizes == 1)
        if not fits or min(self.shape, default=1) < 1:
            raise ValueError(f"a limit of kind {self.kind!r} has no shape {list(self.shape)}")

    @property
    def unit(self) -> Unit:
        """The unit of the rate."""
        return _UNITS[self.kind]

    @property
    def detail(self) -> str:
        """What ran: "1024 x 1024 x 1024", "training 784-256-10 batch 64", "4 MiB"."""
        match self.kind:
            case "matmul":
                product = " x ".join(map(str, self.shape * 3))
                return product if self.computed_in is None else f"{product} in {self.computed_in}"
            case "workload":
                batch_size, *sizes = self.shape
                return f"{self.mode} {'-'.join(map(str, sizes))} batch {batch_size}"
            case "memory" | "working set":
                return f"{self.shape[0] >> 20} MiB"
            case "dispatch" | "graph dispatch":
                return "one element"
            case "meeting":
                return f"of {self.shape[0]} threads"
            case _:
                assert_never(self.kind)

    @property
    def name(self) -> str:
        """What no other limit is called: "cpu/fp32/2 threads/matmul 1024x1024x1024"."""
        threads = None if self.threads is None else f"{self.threads} threads"
        parts = (self.device, self.precision, threads, f"{self.kind} {self.detail.replace(' x ', 'x')}")
        return "/".join(filter(None, parts))


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A rate of the hardware, measured in the same rounds as the cases; its fields are those of a `LimitKey`, and more.

    matmul          flop/s of a large square matrix product: the arithmetic limit
    workload        flop/s of the matrix products of a case's step alone, at their own shapes
    memory          bytes/s of a copy between buffers too large for any cache, read and written
    working set     bytes/s of a copy as large as what a case's step touches: from the cache if it fits
    dispatch        operations/s of one small operation after the other: what a launch costs, inverted
    graph dispatch  the same inside a replayed CUDA graph
    meeting         thread fork-join: operations/s of one that is just large enough for all threads

    By `key` the rounds of the same record name it. `detail` says in words what ran, and nothing is looked up by it.
    """

    key: str
    kind: LimitKind
    device: str
    precision: Precision | None
    threads: int | None
    unit: Unit
    detail: str  # such as "1024 x 1024 x 1024"
    rate: Summary | None = None
    shape: tuple[int, ...] | None = None  # unknown in the record of another program
    mode: Mode | None = None
    computed_in: Precision | None = None

    def __post_init__(self) -> None:
        _ = self.what  # a key raises ValueError for a shape that can't be

    @cached_property
    def what(self) -> LimitKey | None:
        """What the rate is of; None if that is unknown."""
        own = {part.name: getattr(self, part.name) for part in fields(LimitKey)}
        return None if self.shape is None else LimitKey(**own)


def new_limit(what: LimitKey) -> Limit:
    """The limit, not measured yet."""
    return Limit(key=what.name, unit=what.unit, detail=what.detail, **asdict(what))


def with_shape(limit: Limit) -> Limit:
    """A limit whose record is older than `Limit.shape` and says in words alone what ran, which may be unknown ones."""
    match = _DETAIL.fullmatch(limit.detail)
    if limit.shape is not None or match is None:
        return limit
    parts: dict[str, Any] = match.groupdict()
    sizes = [*filter(None, (parts["side"], parts["batch"], parts["threads"])), *(parts["sizes"] or "").split("-")]
    shape = tuple(map(int, filter(None, sizes)))
    if parts["mebibytes"]:
        shape = (int(parts["mebibytes"]) << 20,)
    try:
        return replace(limit, shape=shape, mode=parts["mode"], computed_in=parts["computed_in"])
    except ValueError:  # words of another kind
        return limit
