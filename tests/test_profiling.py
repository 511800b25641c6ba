"""Profiles: counts and tables of real steps on the devices here, and of stand-ins for CUDA's events; the command."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from accelmnist.cli import invoke
from accelmnist.core.config import OPTIMIZERS
from accelmnist.core.records import OperationFigures, ProfileSummary, RunRecord, load_record
from accelmnist.data.types import Dataset
from accelmnist.device import Device, compile_capability, resolve
from accelmnist.engines.choose import engine_class
from accelmnist.engines.contract import Engine
from accelmnist.engines.eager import EagerEngine
from accelmnist.engines.plan import TrainingPlan
from accelmnist.engines.step.device_runner import device_runner
from accelmnist.engines.step.torch_steps import EagerSteps
from accelmnist.show.document import Document
from accelmnist.show.profile import profile_section, whole_profile
from accelmnist.show.render.console import as_text, print_document
from accelmnist.training import profile as profiling
from accelmnist.training import profile_events
from accelmnist.training.checkpoint import weights_of
from accelmnist.training.loop import prepare, train
from accelmnist.training.profile import (
    COUNTED_STEPS,
    profile_calls,
    profile_steps,
    profile_training,
    summarize,
)
from accelmnist.training.profile_events import GRAPH_ROW, HOST_ROW, count_launches, driver_call, tabulate, within
from tests.training_helpers import make_job, small_config

CPU = resolve("cpu")
CUDA = Device("cuda:0", "a card", "asked for")
MPS = Device("mps", "a chip", "asked for")
QUICK = ["run", "--synthetic", "--hidden", "16", "--epochs", "2", "--batch-size", "64", "--device", "cpu"]
QUICK += ["--engine", "eager"]


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # all is loaded here already: a helper would only be waited for


def prepared(config: Any, data: Any, device: Any, engine: type[Engine] | str = "eager") -> Any:
    job = make_job(config, data, device)
    return prepare(engine_class(engine) if isinstance(engine, str) else engine, job), job


# --- counts on the real machine


def tiny_step() -> Any:
    """Five operations: matrix product, linear layer (bias and all), ReLU, sum, comparison. The rest starts nothing."""
    left, right, weight, bias = (torch.ones(*shape) for shape in ((4, 4), (4, 4), (4, 4), (4,)))

    def work() -> Any:
        product = left @ right.t()
        hidden = torch.nn.functional.linear(product.view(4, 4), weight, bias).relu()
        torch.empty_like(hidden)
        return hidden.t()[0].reshape(2, 2).sum() > 0

    return work


@pytest.mark.parametrize("steps", [1, 4])
def test_a_known_number_of_operations(steps: int) -> None:
    found = profile_calls(tiny_step(), CPU, steps=steps).launches
    assert (found.operations, found.host_syncs, found.graph_replays) == (5, 0, 0)


def test_a_number_that_the_host_reads_is_a_sync() -> None:
    work = tiny_step()
    assert profile_calls(lambda: work().item(), CPU).launches.host_syncs == 1
    assert profile_calls(lambda: "yes" if work() else "no", CPU).launches.host_syncs == 1
    assert profile_calls(lambda: work().item(), CPU).launches.operations == 5


def test_the_profiles_own_synchronizing_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in that is seen: on a GPU the profiler sees the real one."""
    calls = []
    monkeypatch.setattr(profiling, "synchronize", lambda device: calls.append(torch.ones(2).sum().item()))
    found = profile_calls(tiny_step(), CPU, steps=3).launches
    assert len(calls) == 3  # after each of the three times that the steps run
    assert (found.operations, found.host_syncs) == (5, 0)


class ReadingSteps(EagerSteps):
    """Wrong on purpose: they wait for the device every time, to look at the loss."""

    def step(self, index: Any, rate: Any, seed: int) -> Any:
        loss = super().step(index, rate, seed)
        assert loss.item() > 0
        return loss


class ReadingEngine(EagerEngine):
    @classmethod
    def prepare(cls, job: Any, sample: Any) -> Any:
        steps = ReadingSteps(job)
        return device_runner(steps.train_epoch, steps.update.kept, job.device)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.slow
def test_eager_training_waits_for_nobody_and_reading_the_loss_is_seen(
    optimizer: str, synthetic: Dataset, device: Device
) -> None:
    config = small_config(training={"optimizer": optimizer})
    assert profile_training(*prepared(config, synthetic, device)).launches.host_syncs == 0
    assert profile_training(*prepared(config, synthetic, device, ReadingEngine)).launches.host_syncs == 1


def test_eager_training_takes_some_thirty_operations_a_step(synthetic: Dataset, device: Device) -> None:
    """By hand: 7 to make inputs and labels and 4 for two layers forward; loss, backward and update are the rest."""
    profile = profile_training(*prepared(small_config(), synthetic, device))
    assert 20 <= profile.launches.operations <= 40
    assert profile.launches.graph_replays == 0
    assert profile.summary.operations == profile.launches.operations


def test_what_is_left_out_is_no_work_and_what_counts_is_no_view(synthetic: Dataset) -> None:
    """By torch's own schemas: a result that aliases an argument, which isn't written to, is a view of it."""
    runner, job = prepared(small_config(training={"optimizer": "adamw"}), synthetic, CPU)
    epoch = runner.upload(TrainingPlan(job.config, len(job.data)).epoch(0))
    names = {event.name for event in profiling._record(lambda: runner.train_epoch(epoch), CPU).function_events}
    views = {name for name in names if name.startswith("aten::") and is_view(name)}
    assert {"aten::t", "aten::select", "aten::as_strided", "aten::expand"} <= views
    assert views - profile_events._NO_WORK == set()
    computing = {"aten::mm", "aten::addmm", "aten::copy_", "aten::fill_", "aten::index_select", "aten::_fused_adamw_"}
    assert not computing & profile_events._NO_WORK


def is_view(name: str) -> bool:
    schemas = torch._C._jit_get_schemas_for_operator(name)
    aliases = [result.alias_info for schema in schemas for result in schema.returns]
    return any(alias is not None and not alias.is_write for alias in aliases)


@pytest.mark.slow
def test_counts_are_a_steps_however_many_are_profiled(synthetic: Dataset, device: Device) -> None:
    runner, job = prepared(small_config(), synthetic, device)
    epoch = runner.upload(TrainingPlan(job.config, len(job.data)).epoch(0))
    few, many = (profile_steps(runner, epoch, device, steps=steps).launches.operations for steps in (2, 30))
    assert many <= few < many + 1  # an epoch's own operations, divided by more steps


def test_an_epoch_may_have_fewer_steps_than_asked_for(synthetic: Dataset) -> None:
    runner, job = prepared(small_config(), synthetic, CPU)
    epoch = runner.upload(TrainingPlan(job.config, len(job.data)).epoch(0))
    assert profile_steps(runner, epoch, CPU, steps=10_000).summary.steps == len(epoch)


@pytest.mark.slow  # a compilation
def test_a_compiled_graph_is_one_operation_and_what_it_calls() -> None:
    """Two products by name; what lies between them is one loop of the graph's own, which nobody sees."""
    if not compile_capability(CPU).available:
        pytest.skip(compile_capability(CPU).reason)
    inputs, first, second = torch.rand(64, 96), torch.rand(96, 80), torch.rand(80, 48)
    compiled = torch.compile(lambda: ((inputs * 2 + 1) @ first).relu().mul(3) @ second, fullgraph=True, dynamic=False)
    profile = profile_calls(compiled, CPU)
    assert profile.launches.operations == 1 + 2
    assert profile.launches.host_syncs == 0
    rows = {row.name: row.calls for row in profile.summary.rows}
    assert (rows[GRAPH_ROW], rows["aten::mm"]) == (1, 2)
    assert any("compiled graph counts once" in note for note in profile.summary.notes)


def test_a_graph_counts_once_whatever_its_loops() -> None:
    """By a stand-in: a graph with two products, one of them with the copy of its bias, and one without any call."""
    products = [FakeEvent("aten::addmm", 1, 5, [FakeEvent("aten::copy_", 2, 3)]), FakeEvent("aten::mm", 6, 9)]
    graph = FakeEvent("## Call CompiledFxGraph fabc123 ##", 0, 10, products)
    wrapper = FakeEvent("Torch-Compiled Region: 0/0", 0, 11, [FakeEvent("Pregraph bytecode", 0, 0), graph])
    alone = FakeEvent("## Call CompiledFxGraph fdef456 ##", 20, 30)
    events = [*wrapper.family(), alone]
    assert count_launches(events, steps=1, on_cpu=True).operations == (1 + 2) + 1
    rows = {row.name: row for row in tabulate(FakeEvent("region", 0, 40, [wrapper, alone]), events, steps=1)}
    assert rows[GRAPH_ROW].calls == 2


def test_work_past_the_operators_is_said_to_be_unseen() -> None:
    profile = profile_calls(lambda: sum(range(10)), CPU)
    assert profile.launches.operations == 0
    assert [row.name for row in profile.summary.rows] == [HOST_ROW]
    assert any("native code" in note for note in profile.summary.notes)


@pytest.mark.parametrize(("busy_us", "unseen"), [(40, True), (60, False)])
def test_time_outside_of_operators_is_said_where_it_is_most(busy_us: int, unseen: bool) -> None:
    region = FakeEvent(profiling._COUNTED, 0, 100, [FakeEvent("aten::mm", 0, busy_us)], is_user_annotation=True)
    notes = summarize(region.family(), CPU, steps=1).summary.notes
    assert any("native code" in note for note in notes) is unseen
    assert notes[0].endswith("60% of the host's time is " + ("between calls" if unseen else "in aten::mm"))


# --- what a profile leaves behind


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weights_and_engine_end_as_they_began(optimizer: str, synthetic: Dataset, device: Device) -> None:
    config = small_config(training={"optimizer": optimizer})
    runner, job = prepared(config, synthetic, device)
    first = next(iter(train(runner, job, probe=None)))
    before = weights_of(job.model) | runner.state()
    profile_training(runner, job)
    after = weights_of(job.model) | runner.state()
    assert len(first.losses) > 0
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_profiled_steps_do_run(synthetic: Dataset) -> None:
    """Else the test above would prove nothing: without the caller's care the weights move."""
    runner, job = prepared(small_config(), synthetic, CPU)
    before = weights_of(job.model)
    profile_steps(runner, runner.upload(TrainingPlan(job.config, len(job.data)).epoch(0)), CPU)
    assert not all(torch.equal(before[name], now) for name, now in weights_of(job.model).items())


def test_weights_come_back_where_the_profile_fails(synthetic: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    runner, job = prepared(small_config(), synthetic, CPU)
    before = weights_of(job.model)
    monkeypatch.setattr(profiling, "summarize", lambda *_args, **_settings: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        profile_training(runner, job)
    assert all(torch.equal(before[name], now) for name, now in weights_of(job.model).items())


# --- the table


def test_the_hosts_times_add_up_to_the_region(synthetic: Dataset) -> None:
    runner, job = prepared(small_config(), synthetic, CPU)
    epoch = runner.upload(TrainingPlan(job.config, len(job.data)).epoch(0))
    events = profiling._record(lambda: runner.train_epoch(epoch), CPU).function_events
    region = next(event for event in events if event.name == profiling._COUNTED)
    rows = summarize(events, CPU, steps=len(epoch)).summary.rows
    assert sum(row.host_s for row in rows) * len(epoch) * 1e6 == pytest.approx(region.time_range.elapsed_us())
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert [row.share for row in rows] == sorted((row.share for row in rows), reverse=True)


def test_the_table_names_the_products_of_a_step(synthetic: Dataset, device: Device) -> None:
    rows = {row.name: row for row in profile_training(*prepared(small_config(), synthetic, device)).summary.rows}
    assert rows["aten::addmm"].calls == 2
    assert rows["aten::mm"].calls == 3
    assert (rows["aten::mm"].device_s is None) == (device.kind != "cuda")


# --- CUDA by stand-ins


@dataclass(eq=False)
class FakeEvent:
    """An event of the profiler; times in microseconds."""

    name: str
    start: float = 0.0
    end: float = 0.0
    cpu_children: list[FakeEvent] = field(default_factory=list)
    device: str = "CPU"
    kernels: list[SimpleNamespace] = field(default_factory=list)
    is_user_annotation: bool = False
    cpu_parent: FakeEvent | None = None

    def __post_init__(self) -> None:
        self.device_type: Any = SimpleNamespace(name=self.device)
        self.time_range: Any = SimpleNamespace(start=self.start, end=self.end)
        self.self_cpu_time_total = self.end - self.start - sum(child.end - child.start for child in self.cpu_children)
        for child in self.cpu_children:
            child.cpu_parent = self

    def family(self) -> Any:
        return [self, *(member for child in self.cpu_children for member in child.family())]


def kernel(name: str, duration: Any) -> Any:
    return SimpleNamespace(name=name, duration=duration)


def cuda_events() -> Any:
    """Two steps as CUDA's profiler gives them: a warm-up before, a synchronize after, the backward's own thread.

    In the region of 100 µs: a product with its launch; the loss read by `item`; a backward product in autograd's
    thread; a Triton kernel that no operator started; a graph of two kernels.
    """
    product = FakeEvent(
        "aten::mm", 10, 30, [FakeEvent("cudaLaunchKernel", 12, 20)], kernels=[kernel("gemm<float>", 40.0)]
    )
    copy = [FakeEvent("cudaMemcpyAsync", 42, 44), FakeEvent("cudaStreamSynchronize", 44, 48)]
    scalar = FakeEvent("aten::_local_scalar_dense", 41, 49, copy, kernels=[kernel("Memcpy DtoH", 2.0)])
    item = FakeEvent("aten::item", 40, 50, [scalar])
    view = FakeEvent("aten::t", 51, 52)
    triton = FakeEvent("cuLaunchKernelEx", 60, 62)
    graph = FakeEvent("cudaGraphLaunch", 70, 75)
    noise = [FakeEvent("cudaStreamIsCapturing", 76, 77), FakeEvent("cudaEventRecordWithFlags", 77, 78)]
    region = FakeEvent(
        profiling._COUNTED, 0, 100, [product, item, view, triton, graph, *noise], is_user_annotation=True
    )
    gradient = FakeEvent(
        "aten::mm", 15, 25, [FakeEvent("cudaLaunchKernelExC", 16, 18)], kernels=[kernel("gemm<float>", 50.0)]
    )
    backward = FakeEvent("autograd::engine::evaluate_function: MmBackward0", 14, 28, [gradient])
    outside = [
        FakeEvent("cudaLaunchKernel", -50, -40),
        FakeEvent("cudaDeviceSynchronize", -30, -10),
        FakeEvent("cudaDeviceSynchronize", 101, 300),
    ]
    gpu = [("warm-up", -45, -35), ("gemm<float>", 20, 60), ("gemm<float>", 60, 110), ("Memcpy DtoH", 110, 112)]
    gpu += [("triton_fused", 112, 120), ("graph kernel", 120, 150), ("gemm<float>", 150, 180)]
    device = [FakeEvent(name, start, end, device="CUDA") for name, start, end in gpu]
    mark = FakeEvent(profiling._COUNTED, 20, 180, device="CUDA", is_user_annotation=True)
    return [*region.family(), *backward.family(), *outside, *device, mark], region


def test_cuda_counts_what_reaches_the_driver() -> None:
    events, region = cuda_events()
    found = count_launches(within(events, region), steps=2, on_cpu=False)
    assert found.operations == (2 + 1 + 1 + 1) / 2  # two products, the copy of `item`, Triton's kernel, the graph
    assert found.host_syncs == 1 / 2  # `item` waits once; the synchronizes around the region are the profile's own
    assert found.graph_replays == 1 / 2


def test_cuda_tables_add_up_and_give_every_kernel_its_place() -> None:
    events, region = cuda_events()
    rows = {row.name: row for row in tabulate(region, within(events, region), steps=2)}
    device_us = {name: row.device_s * 2e6 for name, row in rows.items() if row.device_s}
    graph = {"graph kernel": 30, "gemm<float>": 30}  # a kernel that operators start as well, but this time none did
    assert device_us == pytest.approx({"aten::mm": 90, "aten::_local_scalar_dense": 2, "triton_fused": 8, **graph})
    kernels = {name: row.calls for name, row in rows.items() if row.host_s == 0}
    assert kernels == {"triton_fused": 0.5, "graph kernel": 0.5, "gemm<float>": 0.5}
    assert sum(row.share for row in rows.values()) == pytest.approx(1)
    assert rows["aten::mm"].share == pytest.approx(90 / 160)
    assert (rows["aten::mm"].calls, rows[HOST_ROW].calls) == (1, 0)
    assert rows["aten::mm"].host_s * 2e6 == pytest.approx((20 - 8) + (10 - 2))
    # The region's 100 µs, and the 14 µs of autograd's thread.
    assert sum(row.host_s for row in rows.values()) * 2e6 == pytest.approx(114)


def test_a_cuda_profile_says_what_takes_the_device() -> None:
    events, _ = cuda_events()
    notes = summarize(events, CUDA, steps=2).summary.notes
    assert notes[0] == (
        "2.5 operations, 0.5 graph replays and 0.5 host syncs a step; 56% of the device's time is in aten::mm"
    )
    assert len(notes) == 2


def test_without_the_driver_cuda_counts_operators_and_says_so() -> None:
    """CUPTI may be missing or forbidden: then only the operators' own events are there."""
    product = FakeEvent("aten::mm", 10, 30)
    item = FakeEvent("aten::item", 40, 50, [FakeEvent("aten::_local_scalar_dense", 41, 49)])
    inside = FakeEvent("aten::_fused_sgd_", 60, 90, [FakeEvent("aten::item", 61, 62)])
    region = FakeEvent(profiling._COUNTED, 0, 100, [product, item, inside], is_user_annotation=True)
    profile = summarize(region.family(), CUDA, steps=1)
    assert (profile.launches.operations, profile.launches.host_syncs) == (2, 2)
    assert any("(CUPTI)" in note for note in profile.summary.notes)
    on_mps, on_cpu = (summarize(region.family(), device, steps=1) for device in (MPS, CPU))
    assert (on_mps.launches.host_syncs, on_cpu.launches.host_syncs) == (2, 1)
    assert any("sees the host alone" in note for note in on_mps.summary.notes)


@pytest.mark.parametrize(
    ("name", "starts", "waits"),
    [
        ("cudaLaunchKernel", 1, 0),
        ("cudaLaunchKernelExC", 1, 0),
        ("cudaLaunchCooperativeKernel", 1, 0),
        ("cuLaunchKernel", 1, 0),
        ("cuLaunchKernelEx", 1, 0),
        ("hipExtModuleLaunchKernel", 1, 0),
        ("cudaGraphLaunch", 1, 0),
        ("cudaMemcpyAsync", 1, 0),
        ("cudaMemcpy2DAsync", 1, 0),
        ("cudaMemsetAsync", 1, 0),
        ("cudaMemcpy", 1, 1),
        ("cuMemcpyDtoH_v2", 1, 1),
        ("hipMemcpyWithStream", 1, 1),
        ("cudaDeviceSynchronize", 0, 1),
        ("cudaStreamSynchronize", 0, 1),
        ("cudaEventSynchronize", 0, 1),
        ("cuCtxSynchronize", 0, 1),
        ("hipDeviceSynchronize", 0, 1),
        ("cudaStreamWaitEvent", 0, 0),
        ("cudaEventRecord", 0, 0),
        ("cudaEventQuery", 0, 0),
        ("cudaLaunchHostFunc", 0, 0),
        ("cudaStreamIsCapturing", 0, 0),
        ("cudaMalloc", 0, 0),
    ],
)
def test_every_call_of_the_driver_has_its_kind(name: str, starts: int, waits: int) -> None:
    found = count_launches([FakeEvent(name, 0, 1)], steps=1, on_cpu=False)
    assert (found.operations, found.host_syncs) == (starts, waits)


def test_a_call_that_another_one_makes_counts_once() -> None:
    launch = FakeEvent("cudaLaunchKernel", 0, 10, [FakeEvent("cuLaunchKernel", 2, 8)])
    blocking = FakeEvent("cudaMemcpy", 20, 40, [FakeEvent("cudaStreamSynchronize", 25, 35)])
    found = count_launches([*launch.family(), *blocking.family()], steps=1, on_cpu=False)
    assert (found.operations, found.host_syncs) == (2, 1)


@pytest.mark.parametrize("name", ["custom", "aten::mm", "cudnn", "cub::scan", "cudagraphs"])
def test_other_names_are_no_calls_of_the_driver(name: str) -> None:
    assert driver_call(name) is None


# --- the trace


def trace_of(path: Path) -> tuple[dict[str, object], str]:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    return json.loads(text), text


@pytest.mark.parametrize("name", ["trace.json", "trace.json.gz"])
def test_the_trace_is_json_with_the_steps_and_nothing_of_the_machine(
    name: str, tmp_path: Path, synthetic: Dataset
) -> None:
    profile_training(*prepared(small_config(), synthetic, CPU), trace=tmp_path / name)
    trace, text = trace_of(tmp_path / name)
    found = [event["name"] for event in trace["traceEvents"] if event.get("ph") == "X"]
    assert found.count("aten::mm") == 3 * 2 * profiling.PROFILED_STEPS  # the warm-up is in it, under its own name
    assert {profiling._WARM_UP, profiling._COUNTED} <= set(found)
    assert not {"host_name", "traceName"} & trace.keys()
    assert os.uname().nodename not in text
    assert str(Path.home()) not in text


# --- the command


@pytest.mark.usefixtures("in_empty_folder")
def test_a_profiled_run_is_the_same_run_with_two_files_more(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([*QUICK, "--out", "plain", "--quiet"]) == 0
    capsys.readouterr()
    assert invoke([*QUICK, "--out", "run", "--profile"]) == 0
    captured = capsys.readouterr()
    plain, profiled = load_file("plain/model.safetensors"), load_file("run/model.safetensors")
    assert all(torch.equal(plain[name], profiled[name]) for name in plain)
    before, record = load_record(Path("plain")), load_record(Path("run"))
    assert record.verdict is not None
    assert record.verdict.passed
    assert record.metrics == before.metrics
    assert before.profile is None
    assert record.profile is not None
    assert record.profile.steps == profiling.PROFILED_STEPS
    assert set(record.files) == {str(path.relative_to("run")) for path in Path("run").rglob("*") if path.is_file()}
    assert {"profile.json.gz", "profile.txt"} == set(record.files) - set(before.files)
    assert trace_of(Path("run/profile.json.gz"))[0]["traceEvents"]
    assert captured.err == ""
    table = captured.out.partition(f"Profile of {record.profile.steps} steps ")[2]
    assert f"{record.profile.operations:.3g} operations and 0 host syncs a step" in table
    assert "aten::addmm" in Path("run/profile.txt").read_text()
    assert all(len(line) <= 80 for line in captured.out.splitlines())


@pytest.mark.usefixtures("in_empty_folder")
@pytest.mark.slow
def test_without_a_folder_the_table_is_shown_and_no_trace_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([*QUICK, "--no-save", "--profile"]) == 0
    assert "The trace and the whole table are not saved: they take a folder" in capsys.readouterr().out
    assert list(Path().iterdir()) == []


@pytest.mark.usefixtures("in_empty_folder")
def test_json_has_the_profile_and_standard_error_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([*QUICK, "--no-save", "--profile", "--json"]) == 0
    captured = capsys.readouterr()
    record = msgspec.json.decode(captured.out, type=RunRecord)
    assert record.profile is not None
    assert record.profile.rows
    assert "Profile of" in captured.err


@pytest.mark.usefixtures("in_empty_folder")
def test_a_profile_that_nobody_would_see_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([*QUICK, "--no-save", "--quiet", "--profile"]) == 2
    assert capsys.readouterr().err == (
        "error: --profile has no effect with --quiet and --no-save. Leave one of them out\n"
    )


@pytest.mark.slow
@pytest.mark.usefixtures("in_empty_folder")
def test_a_quiet_profile_is_silent_to_the_last_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own: torch's profiler writes past Python's streams, where it isn't told to be quiet."""
    monkeypatch.delenv(profiling._LOG_LEVEL, raising=False)  # which other tests' profiles have set
    program = [sys.executable, "-m", "accelmnist", *QUICK, "--profile", "--quiet", "--out", "run"]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("PASS ")
    assert (done.stdout.count("\n"), done.stderr) == (1, "")
    assert Path("run/profile.txt").exists()


@pytest.mark.usefixtures("in_empty_folder")
@pytest.mark.slow
def test_a_resumed_run_can_be_profiled(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    original, calls = EagerSteps.train_epoch, []

    def stop_in_the_first_epoch(self: Any, epoch: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, epoch)

    assert invoke([*QUICK, "--out", "whole", "--quiet"]) == 0
    monkeypatch.setattr(EagerSteps, "train_epoch", stop_in_the_first_epoch)
    assert invoke([*QUICK, "--out", "run", "--quiet"]) == 130
    assert invoke(["run", "--resume", "run", "--profile", "--quiet"]) == 0
    whole, resumed = load_file("whole/model.safetensors"), load_file("run/model.safetensors")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert load_record(Path("run")).profile is not None


@pytest.mark.usefixtures("in_empty_folder")
def test_a_trace_that_cannot_be_written_is_one_line_and_loses_no_figure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Any, _content: Any) -> None:
        from accelmnist.core.errors import OutputError

        raise OutputError(f"cannot write {path}: no space left on device", remedy="Make room there")

    monkeypatch.setattr(profiling, "write_atomically", full)
    assert invoke([*QUICK, "--out", "run", "--quiet", "--profile"]) == 2
    assert (
        capsys.readouterr().err == "error: cannot write run/profile.json.gz: no space left on device. Make room there\n"
    )
    record = load_record(Path("run"))
    assert (record.status, len(record.epochs)) == ("failed", 2)
    assert record.metrics is not None
    assert Path("run/model.safetensors").exists()


# --- the console


def sample_profile(*, on_device: bool) -> ProfileSummary:
    template = "void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<float>, 1>(int, float)"
    names = ["aten::addmm", "autograd::engine::evaluate_function: AddmmBackward0", template, HOST_ROW]
    names += [f"aten::an_operator_with_a_rather_long_name_{number}" for number in range(9)]
    rows = tuple(
        OperationFigures(
            name=name,
            calls=1.0,
            host_s=1e-6 * (13 - position),
            device_s=2e-6 * (13 - position) if on_device else None,
            share=(13 - position) / 91,
        )
        for position, name in enumerate(names)
    )
    return ProfileSummary(
        steps=20, operations=30.2, host_syncs=0.0, graph_replays=0.0, rows=rows, notes=("What was found", "A caveat")
    )


def shown(profile: ProfileSummary, width: int = 80) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None, highlight=False)
    print_document(Document((profile_section(profile),)), console)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_the_table_at_80_columns() -> None:
    assert shown(sample_profile(on_device=False)) == [
        "Profile of 20 steps ────────────────────────────────────────────────────────────",
        "What was found",
        "A caveat",
        "",
        "where                         calls a step  on the host    share",
        "────────────────────────────────────────────────────────────────",
        "aten::addmm                              1        13 µs   14.3 %",
        "autograd: AddmmBackward0                 1        12 µs   13.2 %",
        "at::native::vectorized_elem…             1        11 µs   12.1 %",
        "between calls                            1        10 µs   11.0 %",
        "aten::an_operator_with_a_ra…             1         9 µs    9.9 %",
        "aten::an_operator_with_a_ra…             1         8 µs    8.8 %",
        "aten::an_operator_with_a_ra…             1         7 µs    7.7 %",
        "aten::an_operator_with_a_ra…             1         6 µs    6.6 %",
        "aten::an_operator_with_a_ra…             1         5 µs    5.5 %",
        "aten::an_operator_with_a_ra…             1         4 µs    4.4 %",
        "3 more                                   3         6 µs    6.6 %",
        "",
        "all                                     13        91 µs  100.0 %",
        "times of a step, without those of the calls made in turn",
        "",
    ]


def test_the_devices_column_fits_too_and_adds_up() -> None:
    lines = shown(sample_profile(on_device=True))
    assert max(map(len, lines)) <= 80
    assert next(line for line in lines if line.startswith("all ")).split() == [
        "all",
        "13",
        "91",
        "µs",
        "182",
        "µs",
        "100.0",
        "%",
    ]


def test_the_file_has_every_row() -> None:
    text = as_text(whole_profile(sample_profile(on_device=True)), width=120)
    assert all(f"aten::an_operator_with_a_rather_long_name_{number} " in text for number in range(9))
    assert "more" not in text
    assert max(map(len, text.splitlines())) <= 120


def test_a_profile_without_calls_is_shown() -> None:
    empty = replace(sample_profile(on_device=False), rows=sample_profile(on_device=False).rows[3:4])
    assert any(line.startswith("all ") for line in shown(empty))


def test_counts_take_fewer_steps_than_shares() -> None:
    assert 1 < COUNTED_STEPS < profiling.PROFILED_STEPS
