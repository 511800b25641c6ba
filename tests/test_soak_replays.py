"""Replays held to the first one to the bit: what was planted is named, whatever is equal passes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from accelmnist.core.config import ExecutionConfig, ModelConfig, RunConfig, TrainingConfig
from accelmnist.data.types import Dataset
from accelmnist.device import Device, resolve
from accelmnist.engines.choose import engine_class
from accelmnist.engines.contract import Job
from accelmnist.engines.model import MLP
from accelmnist.measure.soak.marks import digests_of
from accelmnist.measure.soak.record import Fault
from accelmnist.measure.soak.replays import Replays
from accelmnist.training.loop import prepare
from tests.soak_engines import Faults

EPOCHS, STEPS = 2, 16
SHAPES = {"layers.0.weight": (16, 784), "layers.0.bias": (16,), "layers.1.weight": (10, 16), "layers.1.bias": (10,)}
CONFIG = RunConfig(
    model=ModelConfig(hidden=(16,)),
    training=TrainingConfig(epochs=EPOCHS, batch_size=128),
    execution=ExecutionConfig(device="cpu", engine="eager", threads=1),
)


def faulty(synthetic: Dataset, *, every: int = 4, engine: str = "eager", **plan: Any) -> tuple[Replays, Faults]:
    """Replays by an engine that goes wrong by `plan`, in segments of `every` steps."""
    job = Job(replace(CONFIG, execution=replace(CONFIG.execution, engine=engine)), resolve("cpu"), synthetic.train)
    faults = Faults(job, prepare(engine_class(engine), job), plan)
    replays = Replays(job, faults.runner)
    replays.every = every
    return replays, faults


def replays_of(synthetic: Dataset, **plan: Any) -> Replays:
    return faulty(synthetic, **plan)[0]


def faults_of(replays: Replays, count: int) -> list[Fault | None]:
    return [replays.replay().fault for _ in range(count)]


FLIPS = [
    (1, 1, "layers.0.weight", (3, 400), 30),
    (1, 7, "layers.1.weight", (9, 15), 22),
    (2, 6, "layers.0.bias", (5,), 15),
    (2, STEPS, "layers.1.bias", (0,), 12),
    (2, 12, "layers.0.weight", (0, 0), 31),
]


@pytest.mark.parametrize("every", [1, 4, STEPS])
@pytest.mark.parametrize("engine", ["eager", "fused", pytest.param("compiled", marks=pytest.mark.slow)])
def test_a_flipped_bit_is_named(synthetic: Dataset, engine: str, every: int) -> None:
    """With its replay, epoch, step, tensor, place and bit, however many steps lie between two marks."""
    if engine_class(engine).unsupported(CONFIG, resolve("cpu")) is not None:
        pytest.skip(f"{engine} can't run here")
    replays, faults = faulty(synthetic, every=every, engine=engine, replays=[])
    assert faults_of(replays, 2) == [None, None]
    for epoch, step, tensor, index, bit in FLIPS:
        flat = int(np.ravel_multi_index(index, SHAPES[tensor]))
        flip = {"kind": "flip", "step": (epoch - 1) * STEPS + step, "tensor": tensor, "index": flat, "bit": bit}
        faults.plan, faults.replay = flip | {"replays": [1]}, 0
        fault = replays.replay().fault
        assert fault is not None
        assert (fault.replay, fault.kind) == (replays.count, "wrong")
        assert (fault.epoch, fault.step, fault.after_step) == (epoch, step, step - 1)
        assert (fault.tensor, fault.index, fault.bit, fault.elements) == (tensor, index, bit, 1)
        assert int(fault.expected_bits or "", 16) ^ int(fault.found_bits or "", 16) == 1 << bit


def test_flips_that_end_alike_make_the_step_a_range(synthetic: Dataset) -> None:
    """The sign of a weight whose pixel is always 0: it ends alike whenever it was flipped."""
    images = synthetic.train.images.copy()
    images[:, 0] = 0
    dark = replace(synthetic, train=replace(synthetic.train, images=images))
    replays = replays_of(
        dark, every=STEPS, kind="flip", replays=[2], step=9, tensor="layers.0.weight", index=784, bit=31
    )
    _, fault = faults_of(replays, 2)
    assert fault is not None
    assert (fault.tensor, fault.index, fault.bit) == ("layers.0.weight", (1, 0), 31)
    assert (fault.after_step, fault.step) == (0, STEPS)


def test_what_no_single_bit_explains_is_told_by_what_differs_most(synthetic: Dataset) -> None:
    two = [("layers.0.weight", 3000, 24), ("layers.1.weight", 7, 23)]
    replays = replays_of(synthetic, every=STEPS, kind="flips", flips=two, replays=[2], step=9)
    _, fault = faults_of(replays, 2)
    assert fault is not None
    assert fault.bit is None
    assert (fault.elements or 0) > 2
    assert fault.after_step < 9 <= fault.step
    assert replays.replay().fault is None


def test_a_bit_flipped_where_no_step_follows_is_known_alone(synthetic: Dataset) -> None:
    plan = {"kind": "flip", "replays": [2], "step": 9, "tensor": "layers.0.weight", "index": 1000, "bit": 3}
    replays = replays_of(synthetic, every=1, **plan)
    _, fault = faults_of(replays, 2)
    assert fault is not None
    assert (fault.epoch, fault.step, fault.after_step, fault.elements) == (1, 9, 8, 1)
    assert (fault.index, fault.bit) == ((1, 216), 3)
    assert int(fault.expected_bits or "", 16) ^ int(fault.found_bits or "", 16) == 1 << 3


def test_a_first_replay_that_is_wrong_itself_is_found_by_the_third(synthetic: Dataset) -> None:
    replays = replays_of(synthetic, kind="flip", replays=[1], step=5, tensor="layers.1.weight", index=7, bit=20)
    faults = faults_of(replays, 4)
    assert [fault and (fault.replay, fault.kind) for fault in faults] == [None, (1, "first wrong"), None, None]
    assert replays.deterministic is True


def test_a_device_that_rounds_by_chance_is_told_and_not_failed(synthetic: Dataset) -> None:
    replays = replays_of(synthetic, kind="roundings")
    assert faults_of(replays, 4) == [None] * 4
    assert replays.deterministic is False


def test_a_device_that_never_computes_the_same_is_wrong(synthetic: Dataset) -> None:
    """Another bit in each: here by a replay number in the fault, so that none agrees."""
    replays = replays_of(synthetic)
    job = replays.job
    own = replays.runner.train_epoch

    def changed(part: Any) -> torch.Tensor:
        losses = own(part)
        with torch.no_grad():
            job.model.get_parameter("layers.1.bias").add_(0.1 * torch.rand(10))
        return losses

    replays.runner = replace(replays.runner, train_epoch=changed)
    _, fault = faults_of(replays, 2)
    assert fault is not None
    assert fault.kind == "never alike"


def test_every_engine_replays_to_the_bit(synthetic: Dataset, device: Device) -> None:
    for name in ("eager", "fused"):
        config = replace(CONFIG, execution=replace(CONFIG.execution, device=str(device), engine=name))
        if engine_class(name).unsupported(config, device) is not None:
            continue
        job = Job(config, device, synthetic.train)
        replays = Replays(job, prepare(engine_class(name), job))
        played = [replays.replay() for _ in range(3)]
        assert all(one.fault is None and one.images_per_s for one in played)
        assert replays.deterministic in ((True,) if device.kind == "cpu" else (True, False))


@pytest.mark.parametrize("size", [1, 2, 15, 784])
def test_every_flipped_bit_changes_its_digest(size: int) -> None:
    config = replace(CONFIG, model=ModelConfig(hidden=(size,)))
    model = MLP(config.model, seed=0)
    job = Job(config, resolve("cpu"), None, model)
    before = digests_of(job)
    chance = np.random.default_rng(0)
    for number, weight in enumerate(model.parameters()):
        bits = weight.detach().view(torch.int32).view(-1)
        for _ in range(64):
            place, bit = int(chance.integers(len(bits))), int(chance.integers(32))
            mask = 1 << bit if bit < 31 else -(1 << 31)
            bits[place] ^= mask
            after = digests_of(job)
            assert [one != other for one, other in zip(before, after, strict=True)] == [
                at == number for at in range(len(before))
            ]
            bits[place] ^= mask
    assert digests_of(job) == before
