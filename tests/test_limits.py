"""Probes: what they run is what they say, their arithmetic by a made-up clock, and real rates in a plausible band."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from accelmnist.core.errors import DeviceError
from accelmnist.data.types import Dataset
from accelmnist.device import Device, capture_graph, is_emulated, precision_capability, resolve
from accelmnist.engines.choose import engine_class
from accelmnist.engines.plan import TrainingPlan
from accelmnist.measure import timed_case as sampling
from accelmnist.measure.limit_keys import LimitKey, LimitKind, new_limit
from accelmnist.measure.limits import probe as module
from accelmnist.measure.limits import probes as limits
from accelmnist.measure.limits.bound import rates_of, working_set_key
from accelmnist.measure.limits.cost import product_flops
from accelmnist.measure.limits.probe import Probe, ProbeWorkload, Scratch
from accelmnist.measure.limits.probes import HOST_BUDGET_BYTES, limit_samplers, probes_for
from accelmnist.measure.plan import BenchConfig, Case, expand
from accelmnist.measure.record import BenchRecord, RecordWriter
from accelmnist.measure.statistics.summary import summarize
from tests.rounding import SUM_ERROR, UNIT
from tests.training_helpers import make_job, run_epoch, small_config

CPU = resolve("cpu")
TRAINING = Case(
    mode="training",
    device="cpu",
    engine="eager",
    precision="fp32",
    batch_size=64,
    hidden=(32, 16),
    optimizer="adamw",
)
INFERENCE = replace(TRAINING, mode="inference", optimizer=None)


def probe_of(kind: LimitKind, case: Case = TRAINING, device: Device = CPU) -> Probe:
    return next(probe for probe in probes_for([case], {case.device: device}) if probe.limit.kind == kind)


def run_once(probe: Probe) -> None:
    """All operations of one pass."""
    for operation in operations_of(probe):
        operation()


def operations_of(probe: Probe) -> list[Callable[[], object]]:
    return list(probe.workload.operations(*probe._scratch.tensors(probe.workload)))


class ProductShapes(TorchDispatchMode):
    """(rows, inner, columns) of every matrix product, and which of its operands are transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Any, ...]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        operands = {"mm": args[:2], "addmm": args[1:3]}.get(func.overloadpacket.__name__)
        if operands:
            left, right = operands
            transposed = [not operand.is_contiguous() for operand in operands]
            self.seen.append((left.shape[0], left.shape[1], right.shape[1], *transposed))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("hidden", [(), (32,), (32, 16)])
def test_the_workload_is_the_products_of_a_real_step(hidden: tuple[int, ...], synthetic: Dataset) -> None:
    config = small_config(model={"hidden": hidden})
    epoch = TrainingPlan(config, len(synthetic.train)).epoch(0)
    runner = engine_class("eager").prepare(make_job(config, synthetic, CPU), epoch)
    with ProductShapes() as step:
        run_epoch(runner, epoch[:1])
    with ProductShapes() as probe:
        run_once(probe_of("workload", replace(TRAINING, hidden=hidden)))
    assert len(probe.seen) == max(3 * len(hidden) + 2, 2)
    assert sorted(shape[:3] for shape in probe.seen) == sorted(shape[:3] for shape in step.seen)
    # Autograd may make the transposed gradient as the transpose of a product: the order within it is the same.
    assert probe.seen[0] == step.seen[0]


@pytest.mark.parametrize("case", [TRAINING, INFERENCE, replace(TRAINING, batch_size=1), replace(TRAINING, hidden=())])
def test_the_flops_of_a_product_probe_are_those_that_torch_counts(case: Case) -> None:
    for kind in ("matmul", "workload"):
        probe = probe_of(kind, case)
        with FlopCounterMode(display=False) as counter:
            run_once(probe)
        assert counter.get_total_flops() == probe.amount


def test_the_products_are_right_ones() -> None:
    """Operands lie in memory as the layers have them: (units, inputs) for weights."""
    probe = probe_of("workload", INFERENCE)
    sources, sinks = probe._scratch.tensors(probe.workload)
    run_once(probe)
    assert [tuple(source.shape) for source in sources] == [
        (64, 784),
        (32, 784),
        (64, 32),
        (16, 32),
        (64, 16),
        (10, 16),
    ]
    for layer, sink in enumerate(sinks):
        left, right = (source.double() for source in sources[2 * layer : 2 * layer + 2])
        assert ((sink - left @ right.T).abs() <= SUM_ERROR * (left.abs() @ right.abs().T)).all()


@pytest.mark.parametrize("kind", ["memory", "working set"])
def test_a_copy_copies_and_counts_both_ways(kind: str) -> None:
    probe = probe_of(kind)
    sources, sinks = probe._scratch.tensors(probe.workload)
    run_once(probe)
    assert torch.equal(sources[0], sinks[0])
    assert sources[0].data_ptr() != sinks[0].data_ptr()
    assert probe.amount == sources[0].nbytes + sinks[0].nbytes
    assert probe.limit.shape == (probe.amount,)


def test_the_dispatch_probe_starts_what_it_counts() -> None:
    probe = probe_of("dispatch")
    operations = operations_of(probe)
    assert len(operations) == probe.amount == 1000
    sources, sinks = probe._scratch.tensors(probe.workload)
    sinks[0].zero_()
    for operation in operations:
        operation()
    assert sinks[0].item() == pytest.approx(1000 * sources[0].item(), rel=1000 * UNIT)
    assert sinks[0].numel() == 1


@pytest.mark.parametrize("threads", [2, 3])
def test_an_addition_of_the_fork_join_probe_gives_every_thread_a_part(threads: int) -> None:
    probe = probe_of("meeting", replace(TRAINING, threads=threads))
    operations = operations_of(probe)
    assert len(operations) == probe.amount == 50
    sources, sinks = probe._scratch.tensors(probe.workload)
    assert {tensor.numel() for tensor in (*sources, *sinks)} == {threads * 32_768}
    operations[0]()
    assert torch.equal(sinks[0], sources[0] + sources[1])


def test_a_thread_alone_meets_nobody() -> None:
    kinds = {probe.limit.kind for probe in probes_for([replace(TRAINING, threads=1)], {"cpu": CPU})}
    assert "meeting" not in kinds


class Clock:
    """A clock that says how long every run of the work takes: `run_s` each, whatever else."""

    def __init__(self, probe: Probe, run_s: float) -> None:
        self.run_s, self.runs, self.calls = run_s, 0, list[int]()
        probe.workload = replace(probe.workload, operations=lambda sources, sinks: [self.count])

    def count(self) -> None:
        self.runs += 1

    def timed(self, work: Callable[[], object], device: Device) -> float:
        self.runs = 0
        work()
        self.calls.append(self.runs)
        return self.runs * self.run_s


@pytest.mark.parametrize(
    ("run_s", "repeats"), [(0.005, 1), (0.001, 5), (0.0001, 50), (0.0025, 2), (0.1, 1), (3.0, 1), (1e-6, 5_000)]
)
def test_a_sample_takes_some_5_ms_and_is_the_rate_to_the_digit(
    run_s: float, repeats: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = probe_of("matmul")
    clock = Clock(probe, run_s)
    monkeypatch.setattr(module, "seconds_of", clock.timed)
    assert probe.sample() == pytest.approx(2 * 1024**3 / run_s, rel=1e-12)
    assert clock.calls[-1] == pytest.approx(repeats, rel=0.01)
    prepared = len(clock.calls)
    assert probe.sample() == pytest.approx(2 * 1024**3 / run_s, rel=1e-12)
    assert clock.calls[prepared:] == [clock.calls[-1]], "it is prepared once"


def test_the_first_cold_run_does_not_say_how_often_to_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = probe_of("matmul")
    clock = Clock(probe, 0.001)
    seconds = iter([0.4])
    monkeypatch.setattr(module, "seconds_of", lambda work, device: next(seconds, clock.timed(work, device)))
    probe.prepare()
    probe.sample()
    assert clock.calls[-1] == 5


BANDS = {
    "matmul": (1e8, 1e14),
    "workload": (1e7, 1e14),
    "memory": (1e8, 1e14),
    "working set": (1e7, 1e15),
    "dispatch": (1e3, 1e9),
}


@pytest.mark.parametrize("kind", BANDS)
def test_rates_of_a_real_device_are_plausible(kind: str, device: Device) -> None:
    case = replace(TRAINING, device=str(device))
    probe = probe_of(kind, case, device)
    rates = [probe.sample() for _ in range(3)]
    low, high = BANDS[kind]
    assert all(low < rate < high for rate in rates), rates


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_sixteen_bit_operands_have_their_own_type(precision: str) -> None:
    probe = probe_of("workload", replace(TRAINING, precision=precision))
    assert probe.workload.dtype.itemsize == 2
    sources, sinks = probe._scratch.tensors(probe.workload)
    assert {tensor.dtype for tensor in (*sources, *sinks)} == {probe.workload.dtype}
    assert math.isfinite(probe.sample())


IN_BF16 = replace(TRAINING, precision="bf16", threads=1)


def bf16_by(monkeypatch: pytest.MonkeyPatch, *, mkldnn: bool, **instructions: bool) -> None:
    """Let the processor seem to have these alone."""
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: mkldnn)
    for name in ("avx512", "avx512_bf16", "amx_tile"):
        has = instructions.get(name, False)
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda has=has: has)


@pytest.mark.parametrize(
    ("native", "details"),
    [
        (True, ["512 x 512 x 512", "1024 x 1024 x 1024", "2048 x 2048 x 2048"]),
        (False, ["1024 x 1024 x 1024 in fp32"]),
    ],
)
def test_a_cpu_without_sixteen_bits_is_held_to_its_float32_rate(
    native: bool, details: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bf16_by(monkeypatch, mkldnn=native, avx512_bf16=native)
    squares = [probe for probe in probes_for([IN_BF16], {"cpu": CPU}) if probe.limit.kind == "matmul"]
    assert [probe.limit.detail for probe in squares] == details
    assert {probe.limit.precision for probe in squares} == {"bf16"}
    assert {probe.workload.dtype for probe in squares} == {torch.bfloat16 if native else torch.float32}


@pytest.mark.parametrize(
    ("has", "emulated"),
    [
        ({"mkldnn": False}, True),  # AVX2 alone
        ({"mkldnn": True, "avx512": True}, True),  # AVX-512 from before bf16, where oneDNN widens the operands
        ({"mkldnn": True, "avx512": True, "avx512_bf16": True}, False),
        ({"mkldnn": True, "avx512": True, "amx_tile": True}, False),
        ({"mkldnn": True}, False),  # Arm
    ],
)
def test_bf16_is_emulated_where_no_instruction_multiplies_it(
    has: dict[str, bool], emulated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bf16_by(monkeypatch, **has)
    assert is_emulated(CPU, "bf16") == emulated
    assert precision_capability(CPU, "bf16").reason.startswith("emulated" if emulated else "native")


def test_the_fastest_of_several_square_products_is_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    bf16_by(monkeypatch, mkldnn=True, avx512_bf16=True)
    squares = [probe.limit for probe in probes_for([IN_BF16], {"cpu": CPU}) if probe.limit.kind == "matmul"]
    for fastest in range(len(squares)):
        measured = [
            replace(new_limit(square), rate=summarize([2.0 if number == fastest else 1.0]))
            for number, square in enumerate(squares)
        ]
        assert rates_of(IN_BF16, measured)["matmul"] == 2.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_operands_are_sane_numbers_in_every_type(dtype: torch.dtype) -> None:
    workload = ProbeWorkload(dtype=dtype, sources=((999, 333),), sinks=(), operations=lambda *_: [], amount=1)
    (values,), _ = Scratch(CPU, [workload], budget_bytes=10**7).tensors(workload)
    sizes = values.double().abs()
    assert sizes.min() >= 0.5
    assert sizes.max() <= 2
    assert 0.4 < (values > 0).double().mean() < 0.6
    assert not torch.equal(values[0], values[1])


def test_what_is_read_is_never_written() -> None:
    probes = {probe.limit.kind: probe for probe in probes_for([TRAINING], {"cpu": CPU})}
    source, sink = probes["matmul"]._scratch.tensors(probes["memory"].workload)
    before = source[0].clone()
    for probe in probes.values():
        sink[0].fill_(7.0)
        run_once(probe)
        assert torch.equal(source[0], before)
        assert sink[0][0] != 7.0, "the probe writes where all probes write"


def test_probes_share_memory_within_the_budget() -> None:
    cases = [*expand(BenchConfig(effort="full", hidden=((256,), (512, 512))), ("cpu",))]
    probes = probes_for(cases, {"cpu": CPU})
    assert len({id(probe._scratch) for probe in probes}) == 1
    assert all(probe._scratch.refusal(probe.workload) is None for probe in probes)
    needs = [probe.workload.source_bytes + probe.workload.sink_bytes for probe in probes]
    assert max(needs) <= probes[0]._scratch.bytes <= HOST_BUDGET_BYTES == 400_000_000


def test_a_probe_that_does_not_fit_says_so_and_takes_nothing() -> None:
    huge = replace(TRAINING, hidden=(65_536, 65_536))
    probes = {probe.limit.kind: probe for probe in probes_for([huge, TRAINING], {"cpu": CPU})}
    workloads = [probe for probe in probes_for([huge], {"cpu": CPU}) if probe.limit.kind == "workload"]
    with pytest.raises(DeviceError, match=r"it takes a buffer of [\d,]+ MB, and a limit may take 200 MB"):
        workloads[0].sample()
    assert probes["matmul"]._scratch.bytes <= HOST_BUDGET_BYTES


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("\"addmm_impl_cpu_\" not implemented for 'Half'\nmore"), "not implemented for 'Half'$"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), "^out of memory on cpu$"),
        (MemoryError(), "out of memory on cpu"),
        (NotImplementedError(), "NotImplementedError"),
    ],
)
def test_a_probe_that_fails_gives_the_reason(error: Exception, reason: str) -> None:
    def fail() -> None:
        raise error

    probe = probe_of("matmul")
    probe.workload = replace(probe.workload, operations=lambda sources, sinks: [fail])
    with pytest.raises(DeviceError, match=reason):
        probe.sample()


def test_keys_say_what_is_measured() -> None:
    cases = [
        replace(TRAINING, threads=2, hidden=(256,)),
        replace(INFERENCE, threads=2, hidden=(256,), batch_size=10_000),
    ]
    assert [probe.limit.name for probe in probes_for(cases, {"cpu": CPU})] == [
        "cpu/fp32/2 threads/matmul 1024x1024x1024",
        "cpu/fp32/2 threads/workload training 784-256-10 batch 64",
        "cpu/2 threads/memory 256 MiB",
        "cpu/2 threads/working set 4 MiB",
        "cpu/2 threads/dispatch one element",
        "cpu/2 threads/meeting of 2 threads",
        "cpu/fp32/2 threads/workload inference 784-256-10 batch 10000",
        "cpu/2 threads/working set 16 MiB",
    ]


def test_cases_that_share_a_limit_share_its_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    one = probes_for([TRAINING], {"cpu": CPU})
    alike = [TRAINING, replace(TRAINING, engine="compiled"), replace(TRAINING, optimizer="adam")]
    assert [probe.limit for probe in probes_for(alike, {"cpu": CPU})] == [probe.limit for probe in one]
    more = probes_for([TRAINING, replace(TRAINING, threads=1), replace(TRAINING, threads=2)], {"cpu": CPU})
    assert len(more) == 3 * len(one) + 1, "two threads can meet"
    assert {probe.limit.threads for probe in more} == {None, 1, 2}
    assert len({probe.limit.name for probe in more}) == len(more)


def test_cases_of_a_device_that_is_not_there_have_no_probes() -> None:
    probes = probes_for([TRAINING, replace(TRAINING, device="cuda:0")], {"cpu": CPU})
    assert {probe.limit.device for probe in probes} == {"cpu"}


@pytest.mark.parametrize("case", [TRAINING, INFERENCE, replace(TRAINING, threads=2, precision="bf16")])
def test_a_case_finds_its_limits_in_the_record(case: Case) -> None:
    others = [replace(case, batch_size=128), replace(case, threads=1), replace(case, precision="fp16", hidden=(9,))]
    limits = [probe.limit for probe in probes_for([*others, case], {"cpu": CPU})]
    rates = {limit: float(number) for number, limit in enumerate(limits, start=1)}
    measured = [replace(new_limit(limit), rate=summarize([rate])) for limit, rate in rates.items()]
    own = [probe.limit for probe in probes_for([case], {"cpu": CPU})]
    assert {"matmul", "workload", "memory", "working set", "dispatch"} <= {limit.kind for limit in own}
    assert rates_of(case, measured) == {
        kind: max(rates[limit] for limit in own if limit.kind == kind) for kind in {limit.kind for limit in own}
    }
    assert rates_of(case, map(new_limit, limits)) == {}, "one without a rate is none"


def test_working_sets_are_rounded_so_that_few_result(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {working_set_key(replace(TRAINING, batch_size=size, hidden=(256,))).shape for size in range(16, 1025)}
    assert sizes == {(1 << 22,), (1 << 23,)}
    assert working_set_key(replace(INFERENCE, batch_size=1, hidden=())).shape == (1 << 20,)
    assert working_set_key(replace(INFERENCE, device="cuda:0", batch_size=1)).shape == (1 << 24,)


class CudaLike(Device):
    """A device that says it is CUDA and computes on the CPU."""

    @property
    def kind(self) -> str:
        return "cuda"


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Device:
    """A made-up card of 8 GB; what is captured is kept in `captured`."""
    monkeypatch.setattr(limits, "total_memory_bytes", lambda device: 8_000_000_000)
    monkeypatch.setattr(sampling, "synchronize", lambda device: None)
    return CudaLike("cpu", "a card", "asked for")


def on_card(kind: LimitKind, device: Device, **fields: Any) -> Probe:
    return probe_of(kind, replace(TRAINING, device="cuda:0", **fields), device)


def test_a_card_has_a_probe_of_every_kind_and_takes_a_tenth_of_its_memory(cuda: Device) -> None:
    cases = [replace(TRAINING, device="cuda:0", precision=precision) for precision in ("fp32", "tf32", "bf16", "fp16")]
    probes = probes_for(cases, {"cuda:0": cuda})
    assert {probe.limit.kind for probe in probes} == set(get_args(LimitKind)) - {"meeting"}
    assert probes[0]._scratch.bytes <= 800_000_000
    assert all(probe._scratch.refusal(probe.workload) is None for probe in probes)
    sides = {probe.limit.precision: probe.limit.detail for probe in probes if probe.limit.kind == "matmul"}
    assert sides == {
        "fp32": "4096 x 4096 x 4096",
        "tf32": "4096 x 4096 x 4096",
        "bf16": "8192 x 8192 x 8192",
        "fp16": "8192 x 8192 x 8192",
    }


@pytest.mark.parametrize("kind", ["workload", "working set", "graph dispatch"])
def test_on_cuda_a_replayed_graph_is_measured(kind: str, cuda: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    captured: list[int] = []
    arithmetic: list[str] = []
    probe = on_card(kind, cuda, precision="tf32")
    ran: list[int] = []
    operations = probe.workload.operations
    probe.workload = replace(probe.workload, operations=lambda *both: [*operations(*both), lambda: ran.append(1)])

    def capture(device: Device, work: Callable[[], object]) -> Callable[[], None]:
        assert device is cuda
        arithmetic.append(torch.backends.cuda.matmul.fp32_precision)
        ran.clear()
        work()
        captured.append(len(ran))
        return lambda: ran.append(1)

    monkeypatch.setattr(module, "capture_graph", capture)
    monkeypatch.setattr(module, "seconds_of", lambda work, device: (ran.clear(), work(), 0.01 * len(ran))[2])
    passes = 1 if kind == "graph dispatch" else 20
    assert probe.sample() == pytest.approx(probe.workload.amount * passes / 0.01)
    assert captured == [passes]
    assert arithmetic == ["tf32" if kind == "workload" else "ieee"]


def test_on_cuda_the_host_starts_what_dispatch_counts(cuda: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "capture_graph", lambda *_: pytest.fail("it must not be captured"))
    assert on_card("dispatch", cuda).sample() > 0


class FakeCuda:
    """What `capture_graph` takes of torch.cuda, which writes down what happens."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def stream_named(self, name: str) -> Any:
        log = self.log

        class Stream:
            def __repr__(self) -> str:
                return name

            def wait_stream(self, other: object) -> None:
                log.append(f"{name} waits for {other}")

        return Stream()

    @contextlib.contextmanager
    def entered(self, what: str) -> Iterator[None]:
        self.log.append(f"enter {what}")
        yield
        self.log.append(f"leave {what}")

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        side, current, fake = self.stream_named("side"), self.stream_named("current"), self

        class Graph:
            def replay(self) -> None:
                fake.log.append("replay")

        monkeypatch.setattr(torch.cuda, "device", lambda device: fake.entered(str(device)))
        monkeypatch.setattr(torch.cuda, "Stream", lambda: side)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: current)
        monkeypatch.setattr(torch.cuda, "stream", lambda stream: fake.entered(f"{stream}"))
        monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
        monkeypatch.setattr(torch.cuda, "graph", lambda graph, pool, stream: fake.entered(f"capture on {stream}"))
        monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 1))


def test_work_is_warmed_up_on_the_side_before_it_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeCuda()
    fake.install(monkeypatch)
    replay = capture_graph(Device("cuda:1", "a card", "asked for"), lambda: fake.log.append("work"))
    warm_up = ["side waits for current", "enter side", "work", "leave side", "current waits for side"]
    capture = ["enter capture on side", "work", "leave capture on side"]
    assert fake.log == ["enter cuda:1", *warm_up, *capture, "leave cuda:1"]
    replay()
    assert fake.log[-1] == "replay"


def test_a_captured_graph_does_the_work_anew_at_every_replay(device: Device) -> None:
    if device.kind != "cuda":
        pytest.skip("only CUDA has graphs")
    count = torch.zeros(1, device=device.torch_device)
    replay = capture_graph(device, lambda: count.add_(1))
    before = count.item()
    for _ in range(3):
        replay()
    assert count.item() == before + 3


def test_the_amounts_of_workloads_are_the_counted_products() -> None:
    for case in (TRAINING, INFERENCE):
        model = small_config(model={"hidden": case.hidden}).model
        assert probe_of("workload", case).amount == product_flops(model, 64, case.mode)


def test_limits_say_their_unit() -> None:
    case = replace(TRAINING, threads=2)
    units = {probe.limit.kind: probe.limit.unit for probe in probes_for([case], {"cpu": CPU})}
    assert units == {
        "matmul": "flop/s",
        "workload": "flop/s",
        "memory": "bytes/s",
        "working set": "bytes/s",
        "dispatch": "operations/s",
        "meeting": "operations/s",
    }
    assert all(isinstance(probe.limit, LimitKey) for probe in probes_for([TRAINING], {"cpu": CPU}))


# --- ready to be sampled


def test_limits_are_ready_with_their_threads_and_one_that_fails_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """The samples are those of the probe; the threads those of the limit, or the ones in force where it names none."""
    threads: list[int] = []
    monkeypatch.setattr(limits, "set_threads", threads.append)
    monkeypatch.setattr(Probe, "prepare", prepare_but_not_copies)
    monkeypatch.setattr(Probe, "sample", lambda probe: 5.0)
    writer = RecordWriter(BenchRecord(), None)
    made = limit_samplers([replace(TRAINING, threads=2), INFERENCE], {"cpu": CPU}, writer, threads=3)
    assert threads == [limit.threads or 3 for limit in writer.record.limits]
    assert set(threads) == {2, 3}
    assert [limit.what for limit in writer.record.limits] == list(made)
    assert {sampler.take() for sampler in made.values()} == {5.0}
    assert writer.record.notes[0] == "The limit cpu/2 threads/memory 256 MiB was not measured: no room"
    assert not any(key.kind == "memory" for key in made)


def prepare_but_not_copies(probe: Probe) -> None:
    if probe.limit.kind == "memory":
        raise DeviceError("no room")


@pytest.mark.parametrize(("sample_s", "slices"), [(0.001, 8), (0.01, 4), (1.0, 1)])
def test_a_limit_takes_so_many_slices_as_fill_its_share_of_a_round(
    monkeypatch: pytest.MonkeyPatch, sample_s: float, slices: int
) -> None:
    now = iter([0.0, sample_s])
    monkeypatch.setattr(limits.time, "perf_counter", lambda: next(now))
    monkeypatch.setattr(Probe, "prepare", lambda probe: None)
    monkeypatch.setattr(Probe, "sample", lambda probe: 5.0)
    assert limits.probe_sampler(probe_of("matmul"), threads=1).slices == slices
