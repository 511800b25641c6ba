"""A right training passes the audit, however ill-conditioned: every step is within what rounding may make of it.

More of them, drawn by chance: `bench/studies/right_runs.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accelmnist.core.config import EVERY_STEP
from accelmnist.data.types import Dataset
from bench.studies.right_runs import ENGINES, draw
from tests.training_helpers import CPU, small_config, train_with

WILD: dict[str, Any] = {"optimizer": "adamw", "learning_rate": 0.2, "batch_size": 1, "augment": "shift"}


@pytest.mark.parametrize(
    ("engine", "precision", "model", "training"),
    [
        # torch leaves the slot of a momentum of 0 as it is, and our kernels do not
        ("eager", "bf16", {"hidden": (1,)}, {"momentum": 0.0, "weight_decay": 0.5}),
        ("fused", "fp32", {"hidden": (1,)}, {"momentum": 0.0, "nesterov": True}),
        # of all gradients, those of the weights alone exceed fp16's range
        ("eager", "fp16", {"hidden": (128,)}, WILD),
        ("eager", "fp16", {"hidden": (40, 30), "output": "linear"}, {"optimizer": "sgd", "learning_rate": 0.01}),
        # dropout's scale makes them overflow, and before it are derivatives of 0
        (
            "eager",
            "fp16",
            {"hidden": (17,), "dropout": 0.9},
            {"optimizer": "sgd", "learning_rate": 1.0, "batch_size": 1},
        ),
        # saturated outputs: a thousand gradients that are all the same are added one by one
        ("fused", "fp32", {"hidden": (17,), "output": "sigmoid"}, WILD | {"batch_size": 1000, "epochs": 3}),
        ("fused", "fp32", {"hidden": ()}, WILD | {"batch_size": 2048, "learning_rate": 5.0, "epochs": 6}),
        ("fused", "bf16", {"hidden": (17,), "output": "sigmoid"}, WILD | {"batch_size": 1000, "epochs": 3}),
        ("fused", "bf16", {"hidden": ()}, WILD | {"batch_size": 2048, "learning_rate": 5.0, "epochs": 6}),
        ("fused", "bf16", {"hidden": (40, 30), "activation": "gelu"}, WILD | {"learning_rate": 0.05}),
        ("eager", "fp32", {"hidden": (20,) * 5, "dropout": 0.9, "activation": "gelu"}, WILD | {"batch_size": 2}),
        ("fused", "fp32", {"hidden": (3,), "activation": "tanh"}, {"label_smoothing": 0.9, "learning_rate": 3.0}),
        ("eager", "bf16", {"hidden": (17,), "activation": "silu"}, {"nesterov": True, "schedule": "one-cycle"}),
    ],
)
def test_a_right_step_is_within_its_bounds(
    engine: str, precision: str, model: dict[str, Any], training: dict[str, Any], synthetic: Dataset
) -> None:
    steps = 100 // (training.get("epochs", 1)) * training.get("batch_size", 64)
    part = synthetic.train.part(np.arange(min(steps, len(synthetic.train))))
    config = small_config(model=model, training={"epochs": 1, "seed": 2} | training)
    data = Dataset(synthetic.name, synthetic.source, part, synthetic.test, synthetic.class_names)
    done = train_with(engine, config, data, CPU, precision=precision, windows=EVERY_STEP)
    checks = done.audit.step_checks()
    assert done.audit.replayed == len(done.losses)
    assert [(check.name, check.value, check.detail) for check in checks if not check.passed] == []


def test_the_study_draws_what_each_engine_can_run() -> None:
    for engine, (name, stand_in, count) in ENGINES.items():
        drawn = [draw(number, engine)[0] for number in range(count)]
        assert all(config.execution.engine == name for config in drawn)
        assert (stand_in == "persistent") <= all(len(config.model.hidden) == 1 for config in drawn)
        assert len({config.training for config in drawn}) == count
