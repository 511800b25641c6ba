"""A run's chain from file to figure: faults are planted in the program, which is then run and judged as always."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from accelmnist.core.config import DataConfig
from accelmnist.core.records import Check, RunRecord
from accelmnist.engines.plan import TrainingPlan
from accelmnist.show.observer import SilentObserver
from accelmnist.training import checkpoint, proof
from accelmnist.training.execute import execute
from accelmnist.training.run import Run, RunRequest, choose_setup
from tests.training_helpers import small_config

pytestmark = pytest.mark.numeric

Patch = pytest.MonkeyPatch
CONFIG = dataclasses.replace(
    small_config(model={"hidden": (16,)}, execution={"engine": "eager", "device": "cpu"}),
    data=DataConfig(dataset="synthetic"),
)


def judged(folder: Path, **settings: Any) -> RunRecord:
    """A small run from its images to its verdict, without the reference."""
    request = RunRequest(config=CONFIG, folder=folder, repeat_on_reference=False, **settings)
    return execute(request, choose_setup(CONFIG), SilentObserver).record


def failures(record: RunRecord) -> tuple[Check, ...]:
    assert record.verdict is not None
    return record.verdict.failures


def wrap(patch: Patch, owner: Any, name: str, change: Callable[..., Any]) -> None:
    """Let what a function of the program returns go through `change`."""
    right = getattr(owner, name)
    patch.setattr(owner, name, lambda *arguments, **settings: change(right(*arguments, **settings)))


def save_in_bf16(patch: Patch) -> None:
    wrap(patch, checkpoint, "weights_of", lambda state: {name: w.bfloat16().float() for name, w in state.items()})


def save_weights_swapped(patch: Patch) -> None:
    wrap(patch, checkpoint, "weights_of", lambda state: state | {"layers.0.bias": state["layers.0.bias"].flip(0)})


def load_without_bias(patch: Patch) -> None:
    def broken(*arguments: Any, **settings: Any) -> Any:
        model = right(*arguments, **settings)
        torch.nn.init.zeros_(model.layers[1].bias)
        return model

    right = checkpoint.MLP
    patch.setattr(checkpoint, "MLP", broken)


def save_other_names(patch: Patch) -> None:
    right = proof.save_model
    swapped = tuple("0123456798")
    patch.setattr(proof, "save_model", lambda *a, **s: right(*a, **(s | {"class_names": swapped})))


def figures(**wrong: Callable[[Any], Any]) -> Callable[[Patch], None]:
    """Figures of the second epoch, each changed by its function."""

    def change(figures: Any) -> Any:
        second = figures.epoch == 2
        return dataclasses.replace(figures, **{k: f(getattr(figures, k)) for k, f in wrong.items() if second})

    return lambda patch: wrap(patch, TrainingPlan, "figures", change)


def sum_without_last(patch: Patch) -> None:
    right = Run.keep_epochs
    patch.setattr(Run, "keep_epochs", lambda run, epochs: (right(run, epochs[:-1]), run.change(epochs=epochs)))


FAULTS: dict[str, tuple[Callable[[Patch], None], str, str]] = {
    "a model saved in bf16": (save_in_bf16, "saved model", "numbers of layers"),
    "a bias saved upside down": (save_weights_swapped, "saved model", "16 numbers of layers.0.bias"),
    "a bias lost on loading": (load_without_bias, "saved model", "loaded, 10 numbers of layers.1.bias"),
    "two names of classes swapped": (save_other_names, "saved model", "its class names is another"),
    "a loss of all but one step": (figures(train_loss=lambda x: 0.98 * x), "figures by epoch", "epoch 2: its loss"),
    "half of the images counted": (figures(images_per_s=lambda x: x / 2), "figures by epoch", "epoch 2: its speed"),
    "the last epoch not in the sum": (sum_without_last, "figures by epoch", "all epochs took"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_its_check(fault: str, tmp_path: Path, monkeypatch: Patch) -> None:
    plant, name, said = FAULTS[fault]
    plant(monkeypatch)
    found = failures(judged(tmp_path / "run"))
    assert [check.name for check in found] == [name]
    assert said in found[0].detail


def test_a_right_run_passes(tmp_path: Path) -> None:
    assert failures(judged(tmp_path / "run")) == ()
