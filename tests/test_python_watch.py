"""An engine that compiles or captures its steps runs none of the network's Python in them; one that does is found."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from accelmnist.core.config import RunConfig
from accelmnist.data.types import Dataset
from accelmnist.device import resolve
from accelmnist.engines import native
from accelmnist.engines.choose import engine_class
from accelmnist.engines.eager import EagerEngine
from accelmnist.engines.model import MLP
from accelmnist.engines.python_watch import PythonWatch
from accelmnist.sweep.trials import Trial, train_trials
from accelmnist.training.loop import prepare, train
from accelmnist.training.reference.audit import Audit
from tests.training_helpers import make_job, small_config

CPU = resolve("cpu")
CONFIG = small_config(training={"epochs": 1, "batch_size": 64}, execution={"engine": "eager"})
FAULT = (
    "epoch 1: its steps ran in Python (_widened, by_targets, forward, image_losses, scale_images):"
    " they were not compiled"
)


def faults_of(dataset: Dataset, config: RunConfig = CONFIG) -> tuple[str, ...]:
    """What is found of the one epoch of a training, some of whose steps the audit has run again."""
    job = make_job(config, dataset, CPU)
    runner = prepare(engine_class(config.execution.engine), job)
    (result,) = train(runner, job, probe=None, audit=Audit(config, dataset.train))
    return result.faults


def test_an_engine_that_is_eager_in_truth_is_found(synthetic: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    assert faults_of(synthetic) == ()
    monkeypatch.setattr(EagerEngine, "runs_python", False)
    assert faults_of(synthetic) == (FAULT,)
    (result,) = train_trials(
        [Trial(key="a", config=CONFIG)],
        synthetic.train,
        None,
        CPU,
        audit=lambda trial: Audit(trial.config, synthetic.train),
    )
    assert result.faults == (FAULT,)


@pytest.mark.skipif(bool(native.why_missing()), reason="the native kernels are not built")
def test_the_native_kernels_run_none(synthetic: Dataset) -> None:
    config = small_config(training={"epochs": 1, "batch_size": 64}, execution={"engine": "fused"})
    assert faults_of(synthetic, config) == ()


@pytest.mark.slow
def test_compiled_code_runs_none_and_a_graph_without_code_is_found(
    synthetic: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(training={"epochs": 1, "batch_size": 64}, execution={"engine": "compiled"})
    assert faults_of(synthetic, config) == ()
    real, model, images = torch.compile, MLP(config.model), torch.from_numpy(synthetic.test.images[:64])
    others: dict[str, Any] = {
        "scale_images": lambda function, **_: function,
        "a graph of operators": lambda function, **_: real(function, backend="eager"),
    }
    for seen, other in others.items():
        monkeypatch.setattr(torch, "compile", other)
        classify = engine_class("compiled").classifier(model, CPU, "fp32")
        classify(images)
        with PythonWatch() as watch:
            classify(images)
        assert seen in watch.ran


def test_who_profiles_already_keeps_the_thread() -> None:
    import sys

    def other(*_: Any) -> None:
        """Somebody else's hook."""

    sys.setprofile(other)
    try:
        with PythonWatch() as watch:
            assert sys.getprofile() is other
    finally:
        sys.setprofile(None)
    assert watch.ran == set()
