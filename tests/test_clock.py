"""The clock reads what the device did, not what the host queued: shown on a device that works only when it must."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from accelmnist.core.config import RunConfig
from accelmnist.core.records import RunRecord
from accelmnist.data.augment import Augmentation
from accelmnist.data.types import Dataset
from accelmnist.device import Device, resolve
from accelmnist.engines.contract import Job
from accelmnist.engines.eager import EagerEngine
from accelmnist.engines.plan import Floats, TrainingPlan
from accelmnist.measure import timed_case as sampling
from accelmnist.measure.timed_case import seconds_of
from accelmnist.training import loop
from accelmnist.training.loop import EpochResult, EpochSteps, WeightAverage, prepare, train
from accelmnist.training.reference.chain import check_epochs

GPU = Device("cuda:0", "a GPU that only exists here", "for the test")
QUEUE_S, STEP_S = 1e-6, 1e-3


class LazyDevice:
    """A clock of its own, on which queueing a step takes a microsecond, and working it off a millisecond."""

    def __init__(self) -> None:
        self.now = 0.0
        self.queued = 0

    def queue(self, steps: int) -> None:
        self.queued += steps
        self.now += steps * QUEUE_S

    def synchronize(self, _device: Device) -> None:
        self.now += self.queued * STEP_S
        self.queued = 0


@pytest.fixture
def lazy(monkeypatch: pytest.MonkeyPatch) -> LazyDevice:
    device = LazyDevice()
    monkeypatch.setattr(sampling, "synchronize", device.synchronize)
    monkeypatch.setattr(sampling.time, "perf_counter", lambda: device.now)
    return device


def test_all_the_work_is_timed(lazy: LazyDevice) -> None:
    assert seconds_of(lambda: lazy.queue(100), GPU) == pytest.approx(100 * (QUEUE_S + STEP_S))


def test_work_that_was_queued_before_is_not_timed(lazy: LazyDevice) -> None:
    lazy.queue(1000)
    assert seconds_of(lambda: lazy.queue(100), GPU) == pytest.approx(100 * (QUEUE_S + STEP_S))


def test_a_missing_synchronize_is_seen(lazy: LazyDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the clock reads the queueing alone, a thousandth, whichever device it is."""
    monkeypatch.setattr(sampling, "synchronize", lambda _device: None)
    assert seconds_of(lambda: lazy.queue(100), GPU) == pytest.approx(100 * QUEUE_S)


@pytest.mark.parametrize(("kind", "calls"), [("cuda", "cuda"), ("mps", "mps"), ("cpu", None)])
def test_each_kind_of_device_is_synchronized_by_its_own_call_at_both_ends(
    monkeypatch: pytest.MonkeyPatch, kind: str, calls: str | None
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _device: seen.append("cuda"))
    monkeypatch.setattr(torch.mps, "synchronize", lambda: seen.append("mps"))
    seconds_of(lambda: seen.append("work"), Device(kind, kind, "for the test"))
    assert seen == (["work"] if calls is None else [calls, "work", calls])


def epochs_of(dataset: Dataset) -> list[EpochResult]:
    """Two epochs of a training that has every part."""
    config = RunConfig()
    training = replace(config.training, epochs=2, batch_size=512, augment="affine", averaging=0.5)
    config = replace(config, training=training, model=replace(config.model, hidden=(16,)))
    job = Job(config, resolve("cpu"), dataset.train)
    return list(train(prepare(EagerEngine, job), job, probe=None))


def test_an_epoch_takes_all_of_its_parts(synthetic: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part lets a clock of its own go on by another power of two: their sum says which of them were timed."""
    now = [0.0]

    def part(owner: Any, name: str, seconds: int) -> None:
        work: Callable[..., Any] = getattr(owner, name)

        def timed(*arguments: Any, **settings: Any) -> Any:
            now[0] += seconds
            return work(*arguments, **settings)

        monkeypatch.setattr(owner, name, timed)

    part(WeightAverage, "resume_training", 1)
    part(WeightAverage, "take_in", 2)
    part(TrainingPlan, "epoch", 4)
    part(loop, "check_finite", 1024)
    original = loop.prepare

    def prepare_parts(engine: Any, job: Any) -> Any:
        runner = original(engine, job)
        part(job.augmentation, "write", 8)
        parts = {"upload": 16, "train_epoch": 32, "download": 2048}
        holder = type("Holder", (), {name: staticmethod(getattr(runner, name)) for name in parts})
        for name, seconds in parts.items():
            part(holder, name, seconds)
        return replace(runner, **{name: getattr(holder, name) for name in parts})

    monkeypatch.setitem(globals(), "prepare", prepare_parts)
    monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])
    assert [result.figures.train_s for result in epochs_of(synthetic)] == [63, 63]


@pytest.mark.parametrize(
    ("owner", "name", "stamp", "part"),
    [
        (TrainingPlan, "epoch", "made_at", "its order"),
        (Augmentation, "write", "written_at", "its images"),
        (WeightAverage, "take_in", "taken_at", "its average"),
    ],
)
def test_a_part_that_is_made_off_the_clock_is_found(
    owner: Any, name: str, stamp: str, part: str, synthetic: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was made long before its lap of the clock."""
    work = getattr(owner, name)

    def early(self: Any, *arguments: Any) -> Any:
        given = work(self, *arguments)
        setattr(self, stamp, getattr(self, stamp) - 1000)
        return given

    monkeypatch.setattr(owner, name, early)
    results = epochs_of(synthetic)
    assert [result.faults for result in results] == [
        (f"epoch {number}: {part} was made off the clock",) for number in (1, 2)
    ]
    counts = [check_epochs(RunRecord(), np.zeros(0, np.float32), (), off).value for off in ((), results[0].faults)]
    assert counts[1] == counts[0] + 1


def test_steps_that_run_off_the_clock_are_found(synthetic: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the work is done before the clock starts: the speed would be twice as high."""

    def run(self: EpochSteps, part: slice) -> Floats:
        steps = self.epoch[part]
        half = len(steps) // 2
        before = self.runner.download(self.runner.train_epoch(steps[:half]))
        with self.clock:
            losses = self.runner.train_epoch(steps[half:])
        return np.concatenate([before, self.runner.download(losses)])

    monkeypatch.setattr(EpochSteps, "run", run)
    whole = len(synthetic.train) // 512
    fault = f"{whole - whole // 2} of its {whole} steps were run by the clock"
    assert [result.faults for result in epochs_of(synthetic)] == [(f"epoch 1: {fault}",), (f"epoch 2: {fault}",)]
