"""The limits of the hardware that a benchmark's cases run into (`Limit` lists them), as probes of the same rounds.

The precisions mean what they mean to the engines: fp32 is IEEE float32 on CUDA, tf32 float32 on tensor cores, bf16 and
fp16 have operands of their own type. Cases that share a limit share its probe.

A probe takes its memory, and shows how long it runs, before any round: what it takes to begin must not fall into one.
So much of it makes a slice that all slices of a round take some `PROBE_S`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from accelmnist.core.config import ModelConfig, Precision
from accelmnist.core.errors import DeviceError
from accelmnist.device import Device, is_emulated, operand_dtype, set_threads, total_memory_bytes
from accelmnist.measure.limit_keys import LimitKey
from accelmnist.measure.limits.bound import working_set_key, workload_key
from accelmnist.measure.limits.cost import Product, ProductKind, step_products
from accelmnist.measure.limits.probe import Operation, Probe, ProbeWorkload, Scratch, Shape
from accelmnist.measure.plan import Case
from accelmnist.measure.record import RecordWriter, Sampled
from accelmnist.measure.timed_case import SLICES, Sampler

HOST_BUDGET_BYTES = 400_000_000  # of all probes of the CPU
_LARGEST_SHARE = 10  # of a GPU's memory: a tenth
PROBE_S = 0.04  # of a limit a round

# Sides of the square products: large enough for the full rate, small enough for a sample of some 20 ms at most.
_SMALL_CPU, _LARGE_CPU, _LARGE_CPU_THREADS = 1024, 2048, 9
_HALVES_AND_DOUBLES = (0.5, 1, 2)  # of the side, on a CPU in 16 bits
_CUDA_SIDES: dict[Precision, int] = {"fp32": 4096, "tf32": 8192, "bf16": 8192, "fp16": 8192}
_MPS_SIDE = 2048
_COPY_BYTES = {"cpu": 1 << 28, "cuda": 1 << 30, "mps": 1 << 30}  # read and written

_OPERATIONS = 1000  # of a pass of a dispatch probe
_FORK_JOINS = 50  # of a pass of a fork-join probe
_PART = 1 << 15  # elements: torch gives no thread fewer (at::internal::GRAIN_SIZE)
_UNROLL, _UNROLL_BELOW = 20, 1 << 28  # passes a graph, if a pass has fewer flops or bytes: a few µs of a GPU

# The two factors of a product, and whether a layer transposes them: a transposed factor may be slower to read.
_FACTORS: dict[ProductKind, tuple[tuple[str, bool], tuple[str, bool]]] = {
    "forward": (("inputs", False), ("weights", True)),
    "weight gradient": (("gradients", True), ("inputs", False)),
    "input gradient": (("gradients", False), ("weights", False)),
}


def limit_samplers(
    cases: Sequence[Case], devices: Mapping[str, Device], writer: RecordWriter, *, threads: int
) -> dict[Sampled, Sampler]:
    """A sampler for every limit that `cases` depend on; `devices` has theirs by name.

    The limits go into the `writer`; one that can't be measured becomes a note there. `threads` are set for a sample
    whose limit names none.
    """
    samplers: dict[Sampled, Sampler] = {}
    for probe in probes_for(cases, devices):
        try:
            samplers[probe.limit] = probe_sampler(probe, threads=threads)
        except DeviceError as error:
            writer.failed(probe.limit, str(error))
        else:
            writer.add_limit(probe.limit)
    return samplers


def probe_sampler(probe: Probe, *, threads: int) -> Sampler:
    """The probe, ready; raises DeviceError with the reason if it can't be measured."""

    def sample() -> float:
        set_threads(probe.limit.threads or threads)
        return probe.sample()

    probe.prepare()
    started = time.perf_counter()
    sample()
    slices = round(PROBE_S / (time.perf_counter() - started))
    return Sampler(sample, slices=min(max(slices, 1), SLICES), apart=lambda: probe.apart)


def probes_for(cases: Sequence[Case], devices: Mapping[str, Device]) -> tuple[Probe, ...]:
    """A probe for every limit that one of `cases` depends on, once; `devices` has those of the cases by name.

    The size of the square product depends on the threads in force if a case names none. Nothing runs and no memory is
    taken before a probe's first sample. One that can't be measured raises a DeviceError with the reason then.
    """
    probes: list[Probe] = []
    for name, device in devices.items():
        work = dict(pair for case in cases if case.device == name for pair in _work_of(case, device))
        scratch = Scratch(device, tuple(work.values()), budget_bytes=_budget_bytes(device))
        probes += [Probe(limit, device, workload, scratch) for limit, workload in work.items()]
    return tuple(probes)


def _budget_bytes(device: Device) -> int:
    """The most memory that the probes of `device` may take together."""
    total = total_memory_bytes(device)
    return HOST_BUDGET_BYTES if total is None else total // _LARGEST_SHARE


def _work_of(case: Case, device: Device) -> Iterator[tuple[LimitKey, ProbeWorkload]]:
    """The limits that `case` depends on, each with the work that measures it."""
    limit = partial(LimitKey, device=case.device, threads=case.threads)
    yield from _squares(case, device)
    products = step_products(ModelConfig(hidden=case.hidden), case.batch_size, case.mode)
    yield workload_key(case), products_workload(products, operand_dtype(case.precision))
    largest, working_set = _fitting(_COPY_BYTES[device.kind], device, bytes_each=0.5), working_set_key(case)
    yield limit(kind="memory", shape=(largest,)), _copy(largest)
    if working_set.shape < (largest,):
        yield working_set, _copy(*working_set.shape)
    yield limit(kind="dispatch"), _TINY
    if device.kind == "cuda":
        yield limit(kind="graph dispatch"), _TINY
    threads = case.threads or torch.get_num_threads()
    if device.kind == "cpu" and threads > 1:
        yield limit(kind="meeting", shape=(threads,)), _fork_join(threads)


def _squares(case: Case, device: Device) -> Iterator[tuple[LimitKey, ProbeWorkload]]:
    """The square products, of which the fastest is the limit.

    One will do but on a CPU that multiplies 16 bits: what its units do depends on how much they find in the caches, and
    the library lays out one operand anew for them, so the side that suits them is another on every processor.

    A CPU that has no instructions for 16 bits is held to its float32 rate: that is what a program gets that widens the
    operands first. The library's own emulation is no limit: 0.5 to 20 GFLOP/s for one product, by which operands are
    transposed, where float32 had 120.
    """
    side, emulated = _square_side(case, device), is_emulated(device, case.precision)
    dtype = torch.float32 if emulated else operand_dtype(case.precision)
    multiplies_16_bits = device.kind == "cpu" and dtype.itemsize == 2
    limit = partial(LimitKey, kind="matmul", device=case.device, precision=case.precision, threads=case.threads)
    for factor in _HALVES_AND_DOUBLES if multiplies_16_bits else (1,):
        own = int(factor * side)
        key = limit(shape=(own,), computed_in="fp32" if emulated else None)
        yield key, _square(own, dtype)


def _square(side: int, dtype: torch.dtype) -> ProbeWorkload:
    shape = (side, side)
    return ProbeWorkload(
        dtype=dtype,
        sources=(shape, shape),
        sinks=(shape,),
        operations=lambda sources, sinks: [partial(torch.mm, *sources, out=sinks[0])],
        amount=2 * side**3,
    )


def _square_side(case: Case, device: Device) -> int:
    """It depends on what the device is and never on a timing: a benchmark that goes on finds the same limit again."""
    if device.kind == "cpu":
        threads = case.threads or torch.get_num_threads()
        return _LARGE_CPU if threads >= _LARGE_CPU_THREADS else _SMALL_CPU
    side = _CUDA_SIDES[case.precision] if device.kind == "cuda" else _MPS_SIDE
    return _fitting(side, device, bytes_each=2 * operand_dtype(case.precision).itemsize, power=2)


def _fitting(size: int, device: Device, *, bytes_each: float, power: int = 1) -> int:
    """`size`, halved until two buffers of `bytes_each` times its `power` fit."""
    while 2 * bytes_each * size**power > _budget_bytes(device):
        size //= 2
    return size


def products_workload(products: Sequence[Product], dtype: torch.dtype) -> ProbeWorkload:
    """The matrix products of a step one after the other, their operands transposed as a layer transposes them."""
    shapes = {name: shape for product in products for name, shape, _ in _operands(product)}
    flops = sum(product.flops for product in products)

    def operations(sources: Sequence[Tensor], sinks: Sequence[Tensor]) -> list[Operation]:
        tensors = dict(zip(shapes, sources, strict=True))
        factors = [[tensors[name].t() if flips else tensors[name] for name, _, flips in _operands(p)] for p in products]
        return [partial(torch.mm, *pair, out=sink) for pair, sink in zip(factors, sinks, strict=True)]

    return ProbeWorkload(
        dtype=dtype,
        sources=tuple(shapes.values()),
        sinks=tuple((product.rows, product.columns) for product in products),
        operations=operations,
        amount=flops,
        unroll=_unroll(flops),
    )


def _operands(product: Product) -> Iterator[tuple[tuple[str, int], Shape, bool]]:
    """The two tensors that a product reads: name and layer, the shape as it lies in memory, whether it is transposed.

    Of a layer: its inputs (batch, inputs), weights (units, inputs), and the gradients of its outputs (batch, units).
    """
    shapes = ((product.rows, product.inner), (product.inner, product.columns))
    for (name, transposed), shape in zip(_FACTORS[product.kind], shapes, strict=True):
        yield (name, product.layer), shape[::-1] if transposed else shape, transposed


def _unroll(amount: int) -> int:
    return _UNROLL if amount < _UNROLL_BELOW else 1


def _copy(size: int) -> ProbeWorkload:
    """A copy that touches `size` bytes: half are read and half written."""
    shape = (size // 2 // torch.float32.itemsize,)
    return ProbeWorkload(
        dtype=torch.float32,
        sources=(shape,),
        sinks=(shape,),
        operations=lambda sources, sinks: [partial(sinks[0].copy_, sources[0])],
        amount=size,
        unroll=_unroll(size),
    )


# Additions in place of one element; the sum can't overflow, since it stops growing at 2^24.
_TINY = ProbeWorkload(
    dtype=torch.float32,
    sources=((1,),),
    sinks=((1,),),
    operations=lambda sources, sinks: [partial(sinks[0].add_, sources[0])] * _OPERATIONS,
    amount=_OPERATIONS,
)


def _fork_join(threads: int) -> ProbeWorkload:
    """Additions just large enough that every thread gets a part: the cost is that of the fork and the join."""
    shape = (threads * _PART,)
    return ProbeWorkload(
        dtype=torch.float32,
        sources=(shape, shape),
        sinks=(shape,),
        operations=lambda sources, sinks: [partial(torch.add, *sources, out=sinks[0])] * _FORK_JOINS,
        amount=_FORK_JOINS,
    )
