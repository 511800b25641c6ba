"""The engine `cuda_graph`: on a GPU as it is, elsewhere by a stand-in that freezes what a graph would freeze.

The contract that all engines share is in test_engines.py, which runs it where there is CUDA.
"""

from __future__ import annotations

import dataclasses
import itertools
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from accelmnist.core.config import OPTIMIZERS
from accelmnist.core.errors import DeviceError
from accelmnist.data.types import Dataset, upload
from accelmnist.device import Device, resolve
from accelmnist.engines.contract import Runner
from accelmnist.engines.cuda_graph import CudaGraphEngine
from accelmnist.engines.eager import EagerEngine
from accelmnist.engines.model import MLP, logits_of
from accelmnist.engines.plan import Epoch, TrainingPlan
from accelmnist.engines.step import replay
from accelmnist.engines.step.replay import ReplayedClassifier, ReplayedEpochs, chunk_sizes, split_steps
from accelmnist.engines.step.torch_steps import capacity_of
from accelmnist.training.loop import prepare, train
from accelmnist.training.profile import profile_training
from tests.graph_stand_in import FakeGraphs
from tests.rounding import Followed, assert_logits, leave, replayed
from tests.test_engines import CONFIGURATIONS, STEPS
from tests.training_helpers import ends_of, make_job, reference, run_epoch, small_config, train_with

pytestmark = pytest.mark.numeric

CPU = resolve("cpu")


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> FakeGraphs:
    fake = FakeGraphs()
    monkeypatch.setattr(replay, "capture_graphs", fake)
    monkeypatch.setattr(replay, "capture_graph", fake.one)
    return fake


def prepared(config: Any, data: Any) -> Runner:
    return prepare(CudaGraphEngine, make_job(config, data, CPU))


# --- the steps


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_replayed_steps_follow_float64(name: str, synthetic: Dataset, graphs: FakeGraphs) -> None:
    config = small_config(**CONFIGURATIONS[name])
    plan, runner = TrainingPlan(config, len(synthetic.train)).epoch(0), prepared(config, synthetic)
    replayed(config, synthetic.train, steps=STEPS).hold(run_epoch(runner, plan[:STEPS]))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_replayed_sixteen_bits_follow_float64(precision: str, synthetic: Dataset, graphs: FakeGraphs) -> None:
    done = train_with(CudaGraphEngine, small_config(training={"epochs": 1}), synthetic, CPU, precision=precision)
    replayed(done.config, synthetic.train, steps=STEPS).hold(done.losses[:STEPS])
    assert all(parameter.dtype == torch.float32 for parameter in done.model.parameters())


@pytest.mark.parametrize(
    ("optimizer", "schedule"), list(zip(OPTIMIZERS, itertools.cycle(["one-cycle", "cosine"]), strict=False))
)
def test_epochs_end_where_eager_does(optimizer: str, schedule: str, synthetic: Dataset, graphs: FakeGraphs) -> None:
    """Rates, order and dropout seeds of the second epoch are not those that were captured."""
    training = {"optimizer": optimizer, "schedule": schedule, "learning_rate": 0.01}
    config = small_config(model={"dropout": 0.2, "hidden": (24, 16)}, training=training)
    reference(config, synthetic).hold(*ends_of(train_with(CudaGraphEngine, config, synthetic, CPU)))


def test_an_overflow_leaves_the_step_out_and_halves_the_scale(synthetic: Dataset, graphs: FakeGraphs) -> None:
    """fp16's scale is decided on the device: the captured steps know of no overflow."""
    config = small_config(execution={"precision": "fp16"}, training={"optimizer": "adamw", "learning_rate": 0.01})
    plan, states = TrainingPlan(config, len(synthetic.train)).epoch(0), []

    def losses_by(engine: Any, nudge: Any = leave) -> Any:
        job = make_job(config, synthetic, CPU)
        nudge(job.model.parameters())
        runner = prepare(engine, job)
        runner.load_state(runner.state() | {"scalar/scale": torch.tensor(2.0**24)})
        losses = run_epoch(runner, plan)
        states.append(runner.state())
        assert states[-1]["scalar/scale"].item() < 2.0**24
        assert states[-1]["scalar/count"].item() < len(plan)
        return [losses]

    eager = Followed.by(lambda nudge: losses_by(EagerEngine, nudge), "fp16")
    eager.hold(*losses_by(CudaGraphEngine))
    assert states[0]["scalar/scale"] == states[-1]["scalar/scale"]
    assert states[0]["scalar/count"] == states[-1]["scalar/count"]


def test_preparing_leaves_weights_state_and_scale_as_they_were(synthetic: Dataset, graphs: FakeGraphs) -> None:
    config = small_config(training={"optimizer": "adamw", "learning_rate": 0.5}, execution={"precision": "fp16"})
    job = make_job(config, synthetic, CPU)
    before = [parameter.detach().clone() for parameter in job.model.parameters()]
    runner = prepare(CudaGraphEngine, job)
    assert all(torch.equal(old, new) for old, new in zip(before, job.model.parameters(), strict=True))
    state = runner.state()
    assert all(tensor.abs().sum() == 0 for name, tensor in state.items() if name != "scalar/scale")
    assert state["scalar/scale"].item() == 2.0**13


def test_a_training_that_goes_on_ends_with_the_same_bits(synthetic: Dataset, graphs: FakeGraphs) -> None:
    config = small_config(training={"optimizer": "adamw", "learning_rate": 0.01})
    whole = train_with(CudaGraphEngine, config, synthetic, CPU)
    job, plan = make_job(config, synthetic, CPU), TrainingPlan(config, len(synthetic.train))
    first = prepare(CudaGraphEngine, job)
    losses = [run_epoch(first, plan.epoch(0))]
    second = prepare(CudaGraphEngine, job)
    second.load_state(first.state())
    losses.append(run_epoch(second, plan.epoch(1)))
    assert torch.equal(torch.cat(losses), whole.losses)
    assert all(torch.equal(a, b) for a, b in zip(job.model.parameters(), whole.model.parameters(), strict=True))


# --- chunks


@pytest.mark.parametrize(("room", "sizes"), [(1, [1]), (2, [2, 1]), (31, [16, 8, 4, 2, 1]), (32, [32, 16, 8, 4, 2, 1])])
def test_chunks_are_powers_of_two(room: int, sizes: list[int]) -> None:
    assert chunk_sizes(room) == sizes


@pytest.mark.parametrize("steps", [0, 1, 7, 8, 9, 100])
def test_chunks_add_up_to_any_number_of_steps(steps: int) -> None:
    parts = list(split_steps(steps, [8, 4, 2, 1]))
    assert sum(parts) == steps
    assert len(parts) == steps // 8 + (steps % 8).bit_count()


@pytest.mark.parametrize(("steps", "replays"), [(0, 0), (1, 1), (13, 3), (40, 2), (63, 6)])
def test_an_epoch_is_a_few_replays_and_the_steps_are_all_done(
    steps: int, replays: int, synthetic: Dataset, graphs: FakeGraphs
) -> None:
    config = small_config(training={"batch_size": 32, "optimizer": "adamw", "learning_rate": 0.01})
    plan, runner = TrainingPlan(config, len(synthetic.train)).epoch(0), prepared(config, synthetic)
    losses = run_epoch(runner, plan[:steps])
    assert (losses.shape, graphs.replays) == ((steps,), replays)
    assert runner.state()["scalar/count"].item() == steps


@pytest.mark.parametrize(("batch_size", "largest"), [(64, 32), (700, 2), (2048, 1)])
def test_a_chunk_is_no_longer_than_the_epoch(
    batch_size: int, largest: int, synthetic: Dataset, graphs: FakeGraphs
) -> None:
    runner = prepared(small_config(training={"batch_size": batch_size}), synthetic)
    assert isinstance(runner.train_epoch, ReplayedEpochs)
    assert max(runner.train_epoch._replays) == largest


def test_large_batches_come_in_shorter_chunks(synthetic: Dataset) -> None:
    sample = Epoch(torch.zeros(100, 8192, dtype=torch.int64), torch.zeros(100), torch.zeros(100, dtype=torch.int64))
    assert capacity_of(sample) * 8192 * 784 * 4 <= 2**26
    assert capacity_of(dataclasses.replace(sample, order=sample.order.repeat(1, 8))) == 1


def test_a_batch_of_another_size_is_refused(synthetic: Dataset, graphs: FakeGraphs) -> None:
    config = small_config()
    runner, plan = prepared(config, synthetic), TrainingPlan(config, len(synthetic.train)).epoch(0)
    with pytest.raises(AssertionError, match="the batch of an epoch is the sample's"):
        run_epoch(runner, dataclasses.replace(plan, order=plan.order[:, :1]))


@pytest.mark.parametrize("hidden", [(), (32, 16)])
def test_what_needs_no_weights_is_done_once_a_chunk(
    hidden: tuple[int, ...], synthetic: Dataset, graphs: FakeGraphs
) -> None:
    """However many steps: one gather of images, labels and targets each, and one loss."""
    prepared(small_config(model={"hidden": hidden}), synthetic)
    for captured, steps in zip(graphs.operators, (32, 16, 8, 4, 2, 1), strict=True):
        assert captured.count("aten.index_select.default") == 3
        assert captured.count("aten._log_softmax.default") == 1
        assert captured.count("aten._fused_sgd_.tensor_lr") == steps


# --- inference


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_classifies_as_the_model_does(precision: str, synthetic: Dataset, graphs: FakeGraphs) -> None:
    model, images = MLP(small_config().model, seed=0), upload(synthetic.test, CPU).images
    classify = ReplayedClassifier(partial(logits_of, model, device=CPU, precision=precision), CPU)
    for part in (images[:100], images[100:200], images[:1], images[5:6]):
        assert_logits(classify(part), model, part, precision=precision)
    assert (graphs.replays, len(graphs.operators)) == (4, 2)


def test_a_classifier_reads_the_weights_that_the_model_has_now(synthetic: Dataset, graphs: FakeGraphs) -> None:
    model, images = MLP(small_config().model, seed=0), upload(synthetic.test, CPU).images[:10]
    classify = ReplayedClassifier(partial(logits_of, model, device=CPU, precision="fp32"), CPU)
    before = classify(images).clone()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    assert not torch.equal(classify(images), before)


# --- what it can't do


def test_it_takes_cuda() -> None:
    card = Device("cuda:0", "a card", "asked for")
    assert CudaGraphEngine.unsupported(small_config(), card) is None
    assert CudaGraphEngine.unsupported(small_config(), CPU) == "graphs are CUDA's alone, and this is cpu"
    assert CudaGraphEngine.classifier(MLP(small_config().model, seed=0), CPU, "fp32") is None


def test_a_capture_that_fails_is_told_and_leaves_the_weights(
    synthetic: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(device: Any, works: Any) -> None:
        works[0]()
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")

    monkeypatch.setattr(replay, "capture_graphs", fail)
    job = make_job(small_config(), synthetic, CPU)
    before = [parameter.detach().clone() for parameter in job.model.parameters()]
    with pytest.raises(
        DeviceError, match=r"can't be captured: operation not permitted .* capturing\. Run with --engine"
    ):
        prepare(CudaGraphEngine, job)
    assert all(torch.equal(old, new) for old, new in zip(before, job.model.parameters(), strict=True))


def test_running_out_of_memory_stays_what_it_is(synthetic: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(device: Any, works: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(replay, "capture_graphs", fail)
    with pytest.raises(torch.OutOfMemoryError):
        prepared(small_config(), synthetic)


# --- on a GPU


def test_the_driver_counts_replays_and_no_wait(device: Device, synthetic: Dataset) -> None:
    """The profiler's count of the driver's calls: 16 steps are one graph, and few other calls."""
    if device.kind != "cuda":
        pytest.skip("it takes CUDA")
    job = make_job(small_config(), synthetic, device)
    launches = profile_training(prepare(CudaGraphEngine, job), job, steps=16).launches
    assert launches.graph_replays == 1 / 16
    assert launches.host_syncs == 0
    assert launches.operations < 1


@pytest.mark.parametrize("precision", ["tf32", "bf16", "fp16"])
def test_every_precision_trains_on_a_gpu(precision: str, device: Device, synthetic: Dataset) -> None:
    if device.kind != "cuda":
        pytest.skip("it takes CUDA")
    config = small_config(execution={"precision": precision})

    def run(nudge: Any, engine: str = "eager") -> Any:
        return ends_of(train_with(engine, config, synthetic, device, precision=precision, nudge=nudge))

    Followed.by(run, precision).hold(*run(leave, "cuda_graph"))


def test_two_engines_side_by_side_do_not_disturb_each_other(device: Device, synthetic: Dataset) -> None:
    """Each has a pool of its own: replays that take turns end where each would alone."""
    if device.kind != "cuda":
        pytest.skip("it takes CUDA")
    configs = [small_config(model={"hidden": (size,)}) for size in (24, 40)]
    alone = [
        Followed.by(lambda nudge, one=one: [train_with("cuda_graph", one, synthetic, device, nudge=nudge).losses])
        for one in configs
    ]
    jobs = [make_job(config, synthetic, device) for config in configs]
    runners = [prepare(CudaGraphEngine, job) for job in jobs]
    runs = [train(runner, job, probe=None) for runner, job in zip(runners, jobs, strict=True)]
    turns = [[result.losses for result in pair] for pair in zip(*runs, strict=True)]
    for number, expected in enumerate(alone):
        expected.hold(torch.from_numpy(np.concatenate([turn[number] for turn in turns])))
