"""Gradients in 16 bits, held to what roundings explain: right engines are far below the limit, faults above it.

The faults are made: what a right training's steps left is moved by what a fault would do to their gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from accelmnist.core.config import EVERY_STEP, OPTIMIZERS, Optimizer, RunConfig
from accelmnist.data.types import Dataset
from accelmnist.engines import native
from accelmnist.training.reference import rounded
from accelmnist.training.reference.audit import Audit, Window
from accelmnist.training.reference.rounded import ALL, FACTORS, Gradients, Rounding, nearest, rounding_of, unexplained
from accelmnist.training.reference.witness import learning_rate
from tests.training_helpers import CPU, Finished, small_config, train_with

pytestmark = pytest.mark.numeric

LEVELS = native.levels() if native.why_missing() is None else ()
NATIVE = pytest.mark.skipif(not LEVELS, reason=str(native.why_missing()))
FUSED = pytest.param("fused", marks=NATIVE)
HALF = 0.5  # of the limit, which no right engine may reach

Moved = Mapping[str, NDArray[Any]]


def trained(engine: str, data: Dataset, *, precision: str = "bf16", **config: Any) -> Finished:
    return train_with(engine, small_config(**config), data, CPU, precision=precision, windows=EVERY_STEP)


def gradient_check(audit: Audit) -> Any:
    return {check.name: check for check in audit.step_checks()}["audited gradients"]


# --- right engines


@pytest.mark.parametrize("engine", [FUSED, "eager"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    "model",
    [
        {"hidden": ()},
        {"hidden": (1,), "activation": "tanh"},
        {"hidden": (33,), "activation": "gelu", "dropout": 0.3},
        {"hidden": (40, 17), "activation": "sigmoid", "output": "sigmoid"},
        {"hidden": (30, 20, 10), "output": "linear"},
    ],
)
def test_a_right_engine_is_far_below_the_limit(
    engine: str, optimizer: Optimizer, model: dict[str, Any], synthetic: Dataset
) -> None:
    training = {"optimizer": optimizer, "learning_rate": 0.02, "weight_decay": 0.01, "batch_size": 63, "epochs": 1}
    check = gradient_check(trained(engine, synthetic, model=model, training=training).audit)
    assert 0 < check.value < HALF


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_rounds_alike(level: str, synthetic: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.LEVEL_VARIABLE, level)
    assert gradient_check(trained("fused", synthetic, model={"hidden": (50, 20)}).audit).value < HALF / 4


@pytest.mark.parametrize("training", [{"batch_size": 1}, {"batch_size": 2048, "epochs": 8}, {"augment": "affine"}])
@pytest.mark.parametrize("engine", [FUSED, "eager"])
def test_every_batch_is_right(engine: str, training: dict[str, Any], synthetic: Dataset) -> None:
    data = replace(synthetic, train=synthetic.train.part(np.arange(min(40 * training.get("batch_size", 64), 2048))))
    assert gradient_check(trained(engine, data, training=training).audit).value < HALF


@pytest.mark.slow
@pytest.mark.parametrize("model", [{"hidden": (40, 17), "activation": "gelu"}, {"hidden": (64,), "dropout": 0.1}])
def test_compiled_code_that_rounds_some_results_is_right(model: dict[str, Any], synthetic: Dataset) -> None:
    assert gradient_check(trained("compiled", synthetic, model=model).audit).value < HALF


def with_weights_as_they_are(config: RunConfig, before: Mapping[str, Any]) -> Gradients:
    """Those of an engine that rounds all but them."""
    gradients = Gradients(config, before, ALL)
    gradients._weights = [part for name, part in before.items() if name.endswith("weight") and "/" not in name]
    return gradients


def with_factors_alone(config: RunConfig, before: Mapping[str, Any]) -> Gradients:
    return Gradients(config, before, FACTORS)


@pytest.mark.parametrize("own", [with_weights_as_they_are, with_factors_alone])
def test_an_engine_that_rounds_less_than_torch_is_right(own: Any, synthetic: Dataset) -> None:
    audit = trained("eager", synthetic, model={"hidden": (40, 17)}).audit

    def shifted(window: Window) -> Window:
        right, found = gradients_of(audit, window, ALL), own(audit.config, window.before).of(*images_of(audit, window))
        return moved_by(audit, window, {name: found[name] - right[name] for name in right})

    audit._waiting = list(map(shifted, audit._waiting))
    assert 0.01 < gradient_check(audit).value < HALF


# --- faults


def images_of(audit: Audit, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.int64], int]:
    witness = audit.witness
    index, seed, images = witness.batch(window.step // witness.steps, window.step % witness.steps)
    return images, witness.labels[index], seed


def gradients_of(audit: Audit, window: Window, how: Rounding | None, before: Any = None) -> dict[str, Any]:
    return Gradients(audit.config, before or window.before, how).of(*images_of(audit, window))


def moved_by(audit: Audit, window: Window, more: Moved) -> Window:
    """What the step would have left if its gradients had had `more` in them: by momentum, without Nesterov's."""
    training = audit.config.training
    rate = learning_rate(training, window.step, audit.witness.steps * training.epochs)
    slots = {f"momentum_buffer/{name}": part for name, part in more.items()}
    weights = {name: -rate * part for name, part in more.items()}
    after = {name: (part + (slots | weights).get(name, 0)).astype(part.dtype) for name, part in window.after.items()}
    return replace(window, after=after)


def without_the_last_image(audit: Audit, window: Window) -> Moved:
    images, labels, seed = images_of(audit, window)
    last = Gradients(audit.config, window.before, None).of(images[-1:], labels[-1:], seed)
    return {name: -part / len(labels) for name, part in last.items()}


def in_the_pixels_weights(audit: Audit, window: Window) -> Moved:
    return {"layers.0.weight": without_the_last_image(audit, window)["layers.0.weight"]}


def ten_percent_too_large(audit: Audit, window: Window) -> Moved:
    return {name: 0.1 * part for name, part in gradients_of(audit, window, rounding_of(audit.config)).items()}


def without_the_last_input(audit: Audit, window: Window) -> Moved:
    lost = window.before | {"layers.1.weight": window.before["layers.1.weight"].copy()}
    lost["layers.1.weight"][:, -1] = 0
    how = rounding_of(audit.config)
    right, found = gradients_of(audit, window, how), gradients_of(audit, window, how, lost)
    return {name: found[name] - right[name] for name in right}


def cut_off(audit: Audit, window: Window) -> Moved:
    """Bits that don't fit are dropped, where they are to be rounded to nearest."""
    right = gradients_of(audit, window, rounding_of(audit.config))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            rounded._NEAREST, "bf16", lambda values: (np.asarray(values, np.float32).view("u4") & 0xFFFF0000).view("f4")
        )
        found = gradients_of(audit, window, rounding_of(audit.config))
    return {name: found[name] - right[name] for name in right}


Fault = Callable[[Audit, Window], Moved]
FAULTS: list[Fault] = [without_the_last_image, ten_percent_too_large, without_the_last_input, cut_off]


@pytest.mark.parametrize("hidden", [(33,), (65, 33), (49, 33, 17)])
@pytest.mark.parametrize(
    ("engine", "fault"),
    [("eager", each) for each in FAULTS]
    + [pytest.param("fused", each, marks=NATIVE) for each in (*FAULTS, in_the_pixels_weights)],
)
def test_small_faults_behind_hidden_layers_are_found(
    engine: str, hidden: tuple[int, ...], fault: Fault, synthetic: Dataset
) -> None:
    done = trained(engine, synthetic, model={"hidden": hidden}, training={"batch_size": 63})
    done.audit._waiting = [moved_by(done.audit, each, fault(done.audit, each)) for each in done.audit._waiting]
    check = gradient_check(done.audit)
    assert check.value > 1
    assert not check.passed
    assert "the median of" in check.detail


def test_fp16_is_held_to_its_own_roundings(synthetic: Dataset) -> None:
    model = {"hidden": (65, 33), "activation": "gelu", "dropout": 0.1}
    done = trained("eager", synthetic, precision="fp16", model=model)
    waiting = list(done.audit._waiting)
    assert 0 < gradient_check(done.audit).value < HALF
    done.audit._found.gradient_ratios.clear()
    done.audit._waiting = [moved_by(done.audit, each, ten_percent_too_large(done.audit, each)) for each in waiting]
    assert gradient_check(done.audit).value > 1


def test_a_step_that_overflowed_has_no_gradient(synthetic: Dataset) -> None:
    audit = trained("eager", synthetic, precision="fp16").audit
    window = audit._waiting[3]
    halved = window.before | {"scalar/scale": window.before["scalar/scale"] / 2}
    assert unexplained(audit.witness, window.step, window.before, halved, ALL) == {}


@pytest.mark.parametrize("engine", [FUSED, "eager"])
def test_weights_rounded_after_every_update_are_found(engine: str, synthetic: Dataset) -> None:
    done = trained(engine, synthetic, model={"hidden": (64, 32)}, training={"optimizer": "sgd"})
    done.audit._waiting = [
        replace(each, after={name: nearest(part) for name, part in each.after.items()}) for each in done.audit._waiting
    ]
    assert gradient_check(done.audit).value > 1


# --- what is looked at


def test_too_few_steps_have_no_median(synthetic: Dataset) -> None:
    data = replace(synthetic, train=synthetic.train.part(np.arange(7 * 64)))
    names = [check.name for check in trained("eager", data, training={"epochs": 1}).audit.step_checks()]
    assert "audited weights" in names
    assert "audited gradients" not in names


def test_a_quarter_of_the_steps_is_looked_at_and_eight_at_least(synthetic: Dataset) -> None:
    many = Audit(with_execution(), synthetic.train, EVERY_STEP)
    assert len(many._rounded) == 64 / 4
    few = Audit(with_execution(), synthetic.train.part(np.arange(6 * 64)), EVERY_STEP)
    assert len(few._rounded) == 8
    assert {min(many.steps), max(many.steps)} <= many._rounded <= many.steps


def with_execution(**execution: Any) -> RunConfig:
    return small_config(execution={"device": "cpu", "engine": "eager", "precision": "bf16"} | execution)


def test_only_engines_that_round_at_known_places_are_held_to_them() -> None:
    assert rounding_of(with_execution(engine="fused")) == FACTORS
    assert rounding_of(with_execution()) == rounding_of(with_execution(engine="compiled")) == ALL
    for other in ({"precision": "fp32"}, {"device": "cuda"}, {"ranks": 2}, {"engine": "auto"}):
        assert rounding_of(with_execution(**other)) is None
