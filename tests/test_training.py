"""Training: what is timed and told of an epoch, divergence, and checkpoints of other networks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from accelmnist.core.config import ModelConfig
from accelmnist.core.errors import CheckpointError, DivergedError
from accelmnist.data.types import Dataset, upload
from accelmnist.device import Device, resolve
from accelmnist.engines.choose import engine_class
from accelmnist.engines.model import MLP
from accelmnist.training import loop as module
from accelmnist.training.checkpoint import load_model, save_model
from accelmnist.training.loop import prepare, train
from tests.training_helpers import make_job, small_config


def start(config: Any, data: Any, device: Any) -> Any:
    job = make_job(config, data, device)
    return prepare(engine_class("eager"), job), job


def test_an_epochs_figures(device: Device, synthetic: Dataset) -> None:
    runner, job = start(small_config(), synthetic, device)
    results = list(train(runner, job, probe=upload(synthetic.test, device)))
    assert [result.figures.epoch for result in results] == [1, 2]
    first, last = results[0].figures, results[-1].figures
    assert first.train_loss == pytest.approx(results[0].losses.mean(dtype=np.float64))
    assert last.train_loss < first.train_loss
    assert last.accuracy > 0.8
    assert last.images_per_s == pytest.approx(32 * 64 / last.train_s)
    assert last.learning_rate == pytest.approx(0.05 / 10_000, rel=1e-3)
    assert isinstance(results[0].losses, np.ndarray)


def test_the_clock_stops_only_when_the_device_is_done(synthetic: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in clock that a device's queue drives: work is done at the synchronize, not when it is queued."""
    now, queued = [0.0], [0.0]

    def synchronize(_device: Any) -> None:
        now[0] += queued[0]
        queued[0] = 0.0

    monkeypatch.setattr(module, "synchronize", synchronize)
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    runner, job = start(small_config(), synthetic, resolve("cpu"))

    def queue_two_seconds(epoch: Any) -> Any:
        queued[0] += 2.0
        return runner.train_epoch(epoch)

    queueing = dataclasses.replace(runner, train_epoch=queue_two_seconds)
    assert [result.figures.train_s for result in train(queueing, job, probe=None)] == [2.0, 2.0]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_loss_that_is_not_finite_stops_with_step_and_cause(bad: float, synthetic: Dataset) -> None:
    runner, job = start(small_config(), synthetic, resolve("cpu"))
    calls = []

    def broken(epoch: Any) -> Any:
        losses = runner.train_epoch(epoch)
        calls.append(1)
        if len(calls) == 2:
            losses[5:] = bad
        return losses

    with pytest.raises(
        DivergedError, match=r"at step 6 of epoch 2, before it 0\.\d+\. Likely the learning rate"
    ) as caught:
        list(train(dataclasses.replace(runner, train_epoch=broken), job, probe=None))
    assert caught.value.step == 32 + 6
    assert "--lr 0.005" in caught.value.remedy


def test_fp16_is_named_as_a_cause(synthetic: Dataset) -> None:
    config = small_config(execution={"precision": "fp16"})
    runner, job = start(config, synthetic, resolve("cpu"))
    lost = dataclasses.replace(runner, train_epoch=lambda epoch: torch.full((len(epoch),), torch.nan))
    with pytest.raises(DivergedError, match="try --amp bf16"):
        list(train(lost, job, probe=None))


def test_a_saved_model_answers_as_before(tmp_path: Path) -> None:
    model = MLP(ModelConfig(hidden=(12, 7), activation="tanh", output="sigmoid"), seed=4)
    save_model(model, tmp_path / "model.safetensors", class_names=tuple("abcdefghij"), dataset="letters")
    found = load_model(tmp_path)
    assert (found.class_names, found.dataset) == (tuple("abcdefghij"), "letters")
    inputs = torch.rand(3, 784)
    assert torch.equal(found.model(inputs), model(inputs))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    small, large = MLP(ModelConfig(hidden=(8,)), seed=0), MLP(ModelConfig(hidden=(16,)), seed=0)
    small.config = dataclasses.replace(small.config, hidden=(16,))
    save_model(small, tmp_path / "model.safetensors", class_names=tuple("0123456789"), dataset="mnist")
    assert large.config == small.config
    with pytest.raises(CheckpointError, match=r"holds another network than 784-16-10: layers\.0\.bias \(8,\)"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"accelmnist": "zzz"},
        {"accelmnist": "[]"},
        {"accelmnist": '{"format": 3}'},
        {"accelmnist": '{"format": "x"}'},
    ],
)
def test_a_foreign_safetensors_file_is_one_line(metadata: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"layers.0.weight": torch.zeros(10, 784)}, file, metadata=metadata)
    with pytest.raises(CheckpointError) as caught:
        load_model(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_equal_networks_make_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        model = MLP(ModelConfig(hidden=(8,)), seed=0)
        save_model(model, tmp_path / name, class_names=tuple("0123456789"), dataset="mnist")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
