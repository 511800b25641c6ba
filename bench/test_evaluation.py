"""After training: the 10,000 test images, the answer to a single one, and a checkpoint's way to the disk and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from accelmnist.core.config import ENGINES, ExecutionConfig, RunConfig, steps_per_epoch
from accelmnist.data.types import Dataset, DeviceSet
from accelmnist.device import Device, resolve
from accelmnist.engines.choose import engine_class
from accelmnist.engines.contract import Job
from accelmnist.engines.eager import EagerEngine
from accelmnist.engines.model import MLP, logits_of
from accelmnist.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, weights_of
from accelmnist.training.evaluation import evaluate
from accelmnist.training.loop import prepare
from bench.pairs import synchronized
from tests.rounding import assert_logits


@pytest.fixture
def model(device: Device) -> MLP:
    """The default network, untrained: the time doesn't depend on the weights."""
    return MLP(RunConfig().model, seed=0).to(device.torch_device)


@pytest.mark.benchmark(group="evaluation")
def test_evaluate_test_set(benchmark: Any, model: MLP, test_set: DeviceSet, device: Device) -> None:
    work = synchronized(lambda: evaluate(model, test_set, device=device, precision="fp32"), device)
    evaluation = benchmark.pedantic(work, rounds=15, iterations=1, warmup_rounds=2)
    hits = (evaluation.predictions == evaluation.labels).sum()
    assert evaluation.metrics.accuracy == hits / len(test_set)


@pytest.mark.benchmark(group="inference")
@pytest.mark.parametrize("engine", ENGINES)
def test_classify_test_set(benchmark: Any, model: MLP, test_set: DeviceSet, device: Device, engine: str) -> None:
    """From the bytes on the device to logits there, by every engine that has a way of its own."""
    config = RunConfig(execution=ExecutionConfig(device=str(device), engine=engine))
    refusal = engine_class(engine).unsupported(config, device)
    classify = None if refusal else engine_class(engine).classifier(model, device, "fp32")
    if classify is None:
        pytest.skip(f"{engine} on {device}: {refusal or 'it only trains'}")
    work = synchronized(lambda: classify(test_set.images), device)
    work()  # what compiles for this number of images does it here
    logits = benchmark.pedantic(work, rounds=15, iterations=1, warmup_rounds=2)
    assert_logits(logits, model, test_set.images)


@pytest.mark.benchmark(group="latency of one image")
def test_latency(benchmark: Any, model: MLP, test_set: DeviceSet, device: Device) -> None:
    """From the bytes on the device to logits on the host."""

    def answer() -> Tensor:
        return logits_of(model, test_set.images[:1], device=device, precision="fp32").cpu()

    alone = benchmark.pedantic(synchronized(answer, device), rounds=300, iterations=1, warmup_rounds=20)
    assert_logits(alone, model, test_set.images[:1])


@pytest.fixture(scope="module")
def checkpoint(dataset: Dataset) -> Checkpoint:
    """A checkpoint of the default run: the weights, and the state that its optimizer keeps."""
    config, cpu = RunConfig(), resolve("cpu")
    job = Job(config, cpu, dataset.train)
    runner = prepare(EagerEngine, job)
    losses = torch.zeros(steps_per_epoch(len(job), config.training.batch_size))
    return Checkpoint(config, weights_of(job.model), runner.state(), losses=losses, epochs=())


@pytest.mark.benchmark(group="checkpoint")
def test_save_checkpoint(benchmark: Any, checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Flushing to the disk included: that is what makes it safe."""
    file = tmp_path / "checkpoint.safetensors"
    benchmark.pedantic(save_checkpoint, (checkpoint, file), rounds=15, iterations=1, warmup_rounds=1)
    benchmark.extra_info["bytes"] = file.stat().st_size
    assert file.stat().st_size > sum(tensor.nbytes for tensor in checkpoint.weights.values())


@pytest.mark.benchmark(group="checkpoint")
def test_load_checkpoint(benchmark: Any, checkpoint: Checkpoint, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.safetensors"
    save_checkpoint(checkpoint, file)
    loaded = benchmark.pedantic(load_checkpoint, (file,), rounds=15, iterations=1, warmup_rounds=1)
    assert loaded.config == checkpoint.config
    assert all(torch.equal(loaded.weights[name], tensor) for name, tensor in checkpoint.weights.items())
