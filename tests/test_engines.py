"""Every engine against the contract: from the same start and order it follows the float64 replay and the reference.

Generating code takes a quarter of a minute, so an engine that compiles runs a few configurations that cover every
feature between them, here and in test_compiled.py, whose code torch keeps, and is marked slow; the function that it
compiles runs all of them as it is.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from accelmnist.core.config import ENGINES, OPTIMIZERS, ExecutionConfig, RunConfig
from accelmnist.core.errors import CheckpointError, DeviceError
from accelmnist.data.types import Dataset
from accelmnist.device import Device, resolve
from accelmnist.engines.choose import choose_engine, engine_class
from accelmnist.engines.contract import Engine
from accelmnist.engines.eager import EagerEngine
from accelmnist.engines.plan import TrainingPlan
from accelmnist.engines.step.device_runner import upload_epoch
from accelmnist.engines.step.functional import FunctionalStep
from accelmnist.training.loop import prepare
from tests.rounding import Followed, replayed
from tests.training_helpers import ends_of, make_job, reference, run_epoch, small_config, train_with

pytestmark = pytest.mark.numeric

STEPS = 16
CONFIGURATIONS = {
    **{name: {"training": {"optimizer": name, "learning_rate": 0.01}} for name in OPTIMIZERS},
    "nesterov and decay": {"training": {"nesterov": True, "weight_decay": 0.05}},
    "adam with decay in the gradient": {
        "training": {"optimizer": "adam", "weight_decay": 0.05, "learning_rate": 0.01},
    },
    "sigmoid output, two tanh layers": {"model": {"output": "sigmoid", "hidden": (24, 16), "activation": "tanh"}},
    "linear output, gelu, smoothing 0": {
        "model": {"output": "linear", "activation": "gelu"},
        "training": {"label_smoothing": 0.0},
    },
    "softmax regression, cosine": {"model": {"hidden": ()}, "training": {"schedule": "cosine"}},
    "dropout": {"model": {"dropout": 0.3}},
    "two tanh layers, dropout": {
        "model": {"output": "sigmoid", "hidden": (24, 16), "activation": "tanh", "dropout": 0.3},
    },
    "a batch that divides nothing": {"training": {"batch_size": 37, "schedule": "constant"}},
}


def runs_here(engine: str, device: Device, config: RunConfig | None = None) -> str:
    reason = engine_class(engine).unsupported(config or small_config(), device)
    if reason is not None:
        pytest.skip(f"{engine} on {device}: {reason}")
    return engine


COMPILING = ("compiled",)
SLOW = dict.fromkeys(COMPILING, pytest.mark.slow)
EVERY = [pytest.param(engine, marks=SLOW.get(engine, ())) for engine in ENGINES]
COVERING = (NESTEROV, ADAM, DROPOUT) = (
    "nesterov and decay",
    "adam with decay in the gradient",
    "two tanh layers, dropout",
)
CASES = [
    pytest.param(engine, name, marks=SLOW.get(engine, ()))
    for engine in ENGINES
    for name in CONFIGURATIONS
    if engine not in COMPILING or name in COVERING
]


@pytest.mark.parametrize(("engine", "name"), CASES)
def test_first_steps_follow_float64(engine: str, name: str, device: Device, synthetic: Dataset) -> None:
    config = small_config(**CONFIGURATIONS[name])
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, epochs=1))
    done = train_with(runs_here(engine, device, config), config, synthetic, device)
    replayed(config, synthetic.train, steps=STEPS).hold(done.losses[:STEPS])


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_functional_step_follows_float64(name: str, device: Device, synthetic: Dataset) -> None:
    """What `compiled` compiles, run as it is: every rule, output and option."""
    config = small_config(**CONFIGURATIONS[name])
    step = FunctionalStep(make_job(config, synthetic, device))
    plan = upload_epoch(TrainingPlan(config, len(synthetic.train)).epoch(0), device)
    losses = [step(plan.order[i], plan.learning_rates[i], plan.dropout_seeds[i]) for i in range(STEPS)]
    replayed(config, synthetic.train, steps=STEPS).hold(torch.stack(losses))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_the_functional_step_follows_float64_in_sixteen_bits(
    precision: str, device: Device, synthetic: Dataset
) -> None:
    config = small_config(execution={"precision": precision})
    step = FunctionalStep(make_job(config, synthetic, device))
    plan = upload_epoch(TrainingPlan(config, len(synthetic.train)).epoch(0), device)
    losses = [step(plan.order[i], plan.learning_rates[i], plan.dropout_seeds[i]) for i in range(STEPS)]
    replayed(config, synthetic.train, steps=STEPS).hold(torch.stack(losses))


@pytest.mark.parametrize(
    ("engine", "precision"),
    [pytest.param(engine, "fp16", marks=SLOW.get(engine, ())) for engine in ENGINES]
    + [(engine, "bf16") for engine in ENGINES if engine not in COMPILING],
)
def test_sixteen_bits_follow_float64(engine: str, precision: str, device: Device, synthetic: Dataset) -> None:
    config = small_config(training={"epochs": 1}, execution={"precision": precision})
    done = train_with(runs_here(engine, device, config), config, synthetic, device, precision=precision)
    replayed(done.config, synthetic.train, steps=STEPS).hold(done.losses[:STEPS])
    assert all(parameter.dtype == torch.float32 for parameter in done.model.parameters())


@pytest.mark.parametrize("engine", EVERY)
def test_a_whole_training_ends_where_the_reference_does(engine: str, device: Device, synthetic: Dataset) -> None:
    config = small_config(training={"nesterov": True, "weight_decay": 0.05, "learning_rate": 0.02})
    done = train_with(runs_here(engine, device), config, synthetic, device)
    reference(config, synthetic).hold(*ends_of(done))


@pytest.mark.parametrize("engine", EVERY)
def test_preparing_leaves_the_weights_as_they_were(engine: str, device: Device, synthetic: Dataset) -> None:
    config = small_config(**CONFIGURATIONS[ADAM])
    job = make_job(config, synthetic, device)
    before = [parameter.detach().clone() for parameter in job.model.parameters()]
    runner = prepare(engine_class(runs_here(engine, device)), job)
    assert all(torch.equal(old, new) for old, new in zip(before, job.model.parameters(), strict=True))
    assert all(tensor.abs().sum() == 0 for name, tensor in runner.state().items() if "/layers" in name)


@pytest.mark.parametrize(
    ("engine", "name"),
    [(engine, name) for engine in ENGINES for name in OPTIMIZERS if engine not in COMPILING]
    + [pytest.param(engine, ADAM, marks=pytest.mark.slow) for engine in COMPILING],
)
def test_a_state_moves_between_engines(engine: str, name: str, device: Device, synthetic: Dataset) -> None:
    """An epoch by eager, the next by `engine` from its state: as if eager had done it all."""
    config = small_config(**CONFIGURATIONS[name])
    plan = TrainingPlan(config, len(synthetic.train))
    first, second = (plan.epoch(number) for number in (0, 1))

    def by_eager(nudge: Any) -> Any:
        job = make_job(config, synthetic, device)
        nudge(job.model.parameters())
        alone = prepare(EagerEngine, job)
        run_epoch(alone, first)
        return [run_epoch(alone, second)]

    shared = make_job(config, synthetic, device)
    starter = prepare(EagerEngine, shared)
    run_epoch(starter, first)
    finisher = prepare(engine_class(runs_here(engine, device)), shared)
    finisher.load_state(starter.state())
    Followed.by(by_eager).hold(run_epoch(finisher, second))


@pytest.mark.parametrize("engine", EVERY)
def test_a_state_of_another_network_is_refused(engine: str, device: Device, synthetic: Dataset) -> None:
    config = small_config(**CONFIGURATIONS[NESTEROV])
    runner = prepare(engine_class(runs_here(engine, device)), make_job(config, synthetic, device))
    other = prepare(EagerEngine, make_job(small_config(model={"hidden": (8,)}), synthetic, device))
    with pytest.raises(CheckpointError, match=r"momentum_buffer/layers\.0\.weight has shape \(8, 784\)"):
        runner.load_state(other.state())


def test_every_file_of_the_folder_is_an_engine() -> None:
    assert {"eager", "compiled"} <= set(ENGINES)
    for name in ENGINES:
        engine = engine_class(name)
        assert issubclass(engine, Engine)
        assert engine.summary


def test_an_engine_that_cannot_run_says_why_and_names_those_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accelmnist.device.capabilities.cpp_compiler", lambda: None)
    config = small_config(execution={"engine": "compiled"})
    assert config.execution == ExecutionConfig(engine="compiled")
    with pytest.raises(DeviceError, match=r"--engine compiled can't run this on cpu: no C\+\+ compiler.*eager"):
        choose_engine(config, resolve("cpu"))
