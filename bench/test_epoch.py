"""A training epoch by engine: 784-128-10, batches of 128, SGD, float32, on every device that is here.

Compiling and capturing come before and are told apart, as `compile_s`.
"""

from __future__ import annotations

from typing import Any

import pytest

from accelmnist.config import ENGINES
from accelmnist.data.on_device import DeviceSet
from accelmnist.device import Device
from accelmnist.step.selection import engine_class
from bench.loops import OwnLoop, workload
from bench.pairs import synchronized

_ROUNDS = 7


@pytest.mark.benchmark(group="epoch")
@pytest.mark.parametrize("engine", ENGINES)
def test_epoch(benchmark: Any, training_set: DeviceSet, device: Device, engine: str) -> None:
    refusal = engine_class(engine).unsupported(workload(device=device, engine=engine), device)
    if refusal is not None:
        pytest.skip(f"{engine} on {device}: {refusal}")
    loop = OwnLoop(training_set, device, engine=engine)
    epoch = synchronized(loop, device)
    first = epoch()
    last = benchmark.pedantic(epoch, rounds=_ROUNDS, iterations=1, warmup_rounds=1)
    benchmark.extra_info["images_per_s"] = loop.images / benchmark.stats["median"]
    benchmark.extra_info["compile_s"] = loop.compile_s
    assert last.isfinite().all()
    assert last.mean() < first.mean()
