"""A training step and a training epoch by engine: 784-128-10, batches of 128, SGD, float32, on every device here.

Compiling and capturing come before and are told apart, as `compile_s`. The step is one of twenty that run in a row, as
in training: a device that works behind the host would spend most of a single one on the two synchronizations.
"""

from __future__ import annotations

from typing import Any

import pytest

from accelmnist.core.config import ENGINES
from accelmnist.data.types import DeviceSet
from accelmnist.device import Device
from accelmnist.engines.choose import engine_class
from bench.loops import OwnLoop, workload
from bench.pairs import synchronized

_ROUNDS = 7
_STEPS = 20


@pytest.fixture(params=ENGINES)
def loop(request: pytest.FixtureRequest, training_set: DeviceSet, device: Device) -> OwnLoop:
    """An engine that is prepared, on every device that it can run on."""
    engine = request.param
    refusal = engine_class(engine).unsupported(workload(device=device, engine=engine), device)
    if refusal is not None:
        pytest.skip(f"{engine} on {device}: {refusal}")
    return OwnLoop(training_set, device, engine=engine)


@pytest.mark.benchmark(group="20 training steps")
def test_training_steps(benchmark: Any, loop: OwnLoop, device: Device) -> None:
    few = loop.runner.upload(loop.plan.epoch(0)[:_STEPS])
    steps = synchronized(lambda: loop.runner.train_epoch(few), device)
    first = steps()
    last = benchmark.pedantic(steps, rounds=50, iterations=1, warmup_rounds=2)
    benchmark.extra_info["step_s"] = benchmark.stats["median"] / _STEPS
    assert last.isfinite().all()
    assert last.mean() < first.mean()


@pytest.mark.benchmark(group="epoch")
def test_epoch(benchmark: Any, loop: OwnLoop, device: Device) -> None:
    epoch = synchronized(loop, device)
    first = epoch()
    last = benchmark.pedantic(epoch, rounds=_ROUNDS, iterations=1, warmup_rounds=1)
    benchmark.extra_info["images_per_s"] = loop.images / benchmark.stats["median"]
    benchmark.extra_info["compile_s"] = loop.runner.prepare_s
    assert last.isfinite().all()
    assert last.mean() < first.mean()
