"""The average of the weights: by hand, seen by whoever evaluates, and the same to the bit after a stop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from accelmnist.cli import invoke
from accelmnist.core.errors import CheckpointError
from accelmnist.data.types import Dataset, upload
from accelmnist.device import Device, resolve
from accelmnist.engines.choose import engine_class
from accelmnist.engines.step.rules import training_bytes
from accelmnist.training.checkpoint import load_checkpoint
from accelmnist.training.evaluation import accuracy_of
from accelmnist.training.loop import WeightAverage, prepare, train
from tests.rounding import UNIT
from tests.test_resume import same_to_the_bit, stop_after
from tests.training_helpers import make_job, small_config

pytestmark = pytest.mark.numeric

RUN = ["run", "--synthetic", "--hidden", "24", "--epochs", "5", "--batch-size", "64", "--device", "cpu"]
RUN += ["--engine", "eager", "--threads", "1", "--no-reference", "--augment", "affine", "--averaging", "0.7"]


def weights_by_epoch(data: Any, device: Any, *, averaging: Any, engine: str = "eager") -> Any:
    """Weights between the epochs, accuracies that were told, and losses, of three epochs."""
    config = small_config(training={"epochs": 3, "averaging": averaging})
    job = make_job(config, data, device)
    probe = upload(data.test, device)
    runner = prepare(engine_class(engine), job)
    weights, told, losses = [], [], []
    for result in train(runner, job, probe=probe):
        weights.append([weight.detach().clone().double() for weight in job.model.parameters()])
        told.append((result.figures.accuracy, accuracy_of(job.model, probe, device=device, precision="fp32")))
        losses.append(result.losses)
    return weights, told, torch.from_numpy(np.concatenate(losses))


def test_the_average_by_hand(device: Device, synthetic: Dataset) -> None:
    """After three epochs the weights count d^2, d and 1 times; training itself goes on as if there were no average."""
    d = 0.6
    plain, _, plain_losses = weights_by_epoch(synthetic, device, averaging=0.0)
    averaged, told, losses = weights_by_epoch(synthetic, device, averaging=d)
    assert torch.equal(losses, plain_losses)
    for number in range(3):
        shares = [d ** (number - epoch) for epoch in range(number + 1)]
        for position, found in enumerate(averaged[number]):
            terms = [share * plain[epoch][position] for epoch, share in enumerate(shares)]
            expected, largest = sum(terms) / sum(shares), max(term.abs().max().item() for term in terms)
            torch.testing.assert_close(found, expected, rtol=0, atol=8 * UNIT * largest)  # a few roundings of float32
    assert all(first == second for first, second in told)


def test_no_average_keeps_no_weights(synthetic: Dataset) -> None:
    job = make_job(small_config(), synthetic, resolve("cpu"))
    average = WeightAverage(job.model, 0.0)
    average.take_in(1)
    assert average.state() == {}


def test_memory_counts_the_average() -> None:
    without, with_it = (training_bytes(small_config(training={"averaging": d})) for d in (0.0, 0.5))
    assert with_it - without == 2 * 4 * small_config().model.parameters


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # all is loaded here already: a helper would only be waited for


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.slow
def test_a_resumed_run_ends_with_the_same_average(
    epochs: int, in_empty_folder: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke([*RUN, "--out", "whole", "--quiet"]) == 0
    with monkeypatch.context() as patch:
        stop_after(patch, epochs)
        assert invoke([*RUN, "--out", "run", "--quiet"]) == 130
    assert invoke(["run", "--resume", "run", "--quiet"]) == 0
    assert same_to_the_bit(Path("run"), load_file("whole/model.safetensors"))


def test_a_checkpoint_without_the_weights_to_train_on_is_refused(
    in_empty_folder: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stop_after(monkeypatch, 1)
    assert invoke([*RUN, "--out", "run", "--quiet"]) == 130
    file = Path("run/checkpoint.safetensors")
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    tensors = {name: tensor for name, tensor in load_file(file).items() if "/trained/" not in name}
    assert len(tensors) < len(load_file(file))
    save_file(tensors, file, metadata)
    assert invoke(["run", "--resume", "run", "--quiet"]) == 2
    assert "the saved training state: trained/layers.0.weight is missing" in capsys.readouterr().err


def test_an_older_checkpoint_still_loads(
    in_empty_folder: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that knows nothing of augmentation, averages and recipes."""
    stop_after(monkeypatch, 1)
    arguments = [part for part in RUN if part not in ("--augment", "affine", "--averaging", "0.7")]
    assert invoke([*arguments, "--out", "run", "--quiet"]) == 130
    file = Path("run/checkpoint.safetensors")
    with safe_open(file, framework="pt") as opened:
        header = json.loads(opened.metadata()["accelmnist"])
    for name in ("augment", "averaging"):
        del header["config"]["training"][name]
    del header["config"]["recipe"]
    before = load_checkpoint(file)
    save_file(load_file(file), file, {"accelmnist": json.dumps(header)})
    assert load_checkpoint(file).config == before.config


def test_a_state_of_another_shape_is_refused(synthetic: Dataset) -> None:
    job = make_job(small_config(training={"averaging": 0.5}), synthetic, resolve("cpu"))
    state = {f"trained/{name}": torch.zeros(3) for name, _ in job.model.named_parameters()}
    with pytest.raises(CheckpointError, match="of another shape"):
        WeightAverage(job.model, 0.5).load_state(state)
