"""The limits of the hardware that a benchmark's cases run into, as probes to be sampled in the same rounds.

    matmul          a large square matrix product in the case's precision: as fast as arithmetic gets here
    workload        the matrix products of one step alone, one after the other, at the case's own shapes
    memory          a copy between buffers that no cache holds (on a CPU with more than 256 MB of it: partly)
    working set     a copy that touches as much as the case's step does
    dispatch        a tiny operation after the other, started from Python: what a launch costs while the queue is full
    graph dispatch  the same operations in a replayed CUDA graph
    meeting         on a CPU, small operations that all threads share: what a fork of the threads and their join cost

The precisions mean what they mean to the engines: fp32 is IEEE float32 on CUDA, tf32 float32 on tensor cores, bf16 and
fp16 have operands of their own type. Cases that share a limit share its probe.

A probe takes its memory, and shows how long it runs, before any round: what it takes to begin must not fall into one.
So much of it makes a slice that all slices of a round take some `PROBE_S`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import torch

from accelmnist.core.config import ModelConfig, Precision
from accelmnist.core.errors import DeviceError
from accelmnist.device import Device, is_emulated, operand_dtype, set_threads, total_memory_bytes
from accelmnist.measure.limit_keys import LimitKey
from accelmnist.measure.limits.bound import working_set_key, workload_key
from accelmnist.measure.limits.cost import step_products
from accelmnist.measure.limits.probe import Probe, ProbeWorkload, Scratch
from accelmnist.measure.limits.workloads import (
    copy_workload,
    fork_join_workload,
    products_workload,
    square_workload,
    tiny_workload,
)
from accelmnist.measure.plan import Case
from accelmnist.measure.record_writer import RecordWriter
from accelmnist.measure.sampling import SLICES, Sampled, Sampler

__all__ = ["Probe", "probes_for"]

HOST_BUDGET_BYTES = 400_000_000  # of all probes of the CPU
_LARGEST_SHARE = 10  # of a GPU's memory: a tenth

# Sides of the square products: large enough for the full rate, small enough for a sample of some 20 ms at most.
_SMALL_CPU, _LARGE_CPU, _LARGE_CPU_THREADS = 1024, 2048, 9
_CUDA_SIDES: dict[Precision, int] = {"fp32": 4096, "tf32": 8192, "bf16": 8192, "fp16": 8192}
_MPS_SIDE = 2048
_COPY_BYTES = {"cpu": 1 << 28, "cuda": 1 << 30, "mps": 1 << 30}  # read and written


def probes_for(cases: Sequence[Case], devices: Mapping[str, Device]) -> tuple[Probe, ...]:
    """A probe for every limit that one of `cases` depends on, once; `devices` has those of the cases by name.

    The size of the square product depends on the threads in force if a case names none. Nothing runs and no memory is
    taken before a probe's first sample. One that can't be measured raises a DeviceError with the reason then.
    """
    probes: list[Probe] = []
    for name, device in devices.items():
        own = [case for case in cases if case.device == name]
        work = dict(pair for case in own for pair in _work_of(case, device))
        scratch = Scratch(device, tuple(work.values()), budget_bytes=budget_bytes(device))
        probes += [Probe(limit, device, workload, scratch) for limit, workload in work.items()]
    return tuple(probes)


def budget_bytes(device: Device) -> int:
    """The most memory that the probes of `device` may take together."""
    total = total_memory_bytes(device)
    return HOST_BUDGET_BYTES if total is None else total // _LARGEST_SHARE


def _work_of(case: Case, device: Device) -> Iterator[tuple[LimitKey, ProbeWorkload]]:
    """The limits that `case` depends on, each with the work that measures it."""
    limit = partial(LimitKey, device=case.device, threads=case.threads)
    yield _square(case, device)
    products = step_products(ModelConfig(hidden=case.hidden), case.batch_size, case.mode)
    yield workload_key(case), products_workload(products, operand_dtype(case.precision))
    largest, working_set = _copy_bytes(device), working_set_key(case)
    yield limit(kind="memory", shape=(largest,)), copy_workload(largest)
    if working_set.shape < (largest,):
        yield working_set, copy_workload(*working_set.shape)
    yield limit(kind="dispatch"), tiny_workload()
    if device.kind == "cuda":
        yield limit(kind="graph dispatch"), tiny_workload()
    threads = case.threads or torch.get_num_threads()
    if device.kind == "cpu" and threads > 1:
        yield limit(kind="meeting", shape=(threads,)), fork_join_workload(threads)


def _square_side(case: Case, device: Device) -> int:
    """It depends on what the device is and never on a timing: a benchmark that goes on finds the same limit again."""
    if device.kind == "cuda":
        return _fitting(_CUDA_SIDES[case.precision], device, bytes_of=partial(_square_bytes, case.precision))
    if device.kind == "mps":
        return _fitting(_MPS_SIDE, device, bytes_of=partial(_square_bytes, case.precision))
    threads = case.threads or torch.get_num_threads()
    return _LARGE_CPU if threads >= _LARGE_CPU_THREADS else _SMALL_CPU


def _square_bytes(precision: Precision, side: int) -> int:
    return 2 * side * side * operand_dtype(precision).itemsize


def _copy_bytes(device: Device) -> int:
    return _fitting(_COPY_BYTES[device.kind], device, bytes_of=lambda size: size // 2)


def _fitting(size: int, device: Device, *, bytes_of: Callable[[int], int]) -> int:
    """`size`, halved until the larger of its two buffers fits."""
    while 2 * bytes_of(size) > budget_bytes(device):
        size //= 2
    return size


def _square(case: Case, device: Device) -> tuple[LimitKey, ProbeWorkload]:
    """The square product.

    A CPU that has no instructions for 16 bits is held to its float32 rate: that is what a program gets that widens the
    operands first. The library's own emulation is no limit: 0.5 to 20 GFLOP/s for one product, by which operands are
    transposed, where float32 had 120.
    """
    side, emulated = _square_side(case, device), is_emulated(device, case.precision)
    limit = LimitKey(
        kind="matmul",
        device=case.device,
        precision=case.precision,
        threads=case.threads,
        shape=(side,),
        computed_in="fp32" if emulated else None,
    )
    return limit, square_workload(side, torch.float32 if emulated else operand_dtype(case.precision))


PROBE_S = 0.04  # of a limit a round


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
    return Sampler(sample, slices=min(max(slices, 1), SLICES))
