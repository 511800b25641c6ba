"""What is timed: the same work in every region, from the same start, and nothing that helps the result."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from accelmnist.core.errors import DeviceError
from accelmnist.data.types import Dataset, DeviceSet, upload
from accelmnist.device import resolve
from accelmnist.engines.eager import EagerEngine
from accelmnist.engines.model import MLP
from accelmnist.measure import timed_case as module
from accelmnist.measure.plan import BenchConfig, Case, run_config
from accelmnist.measure.timed_case import REGION_S, SLICES, TimedInference, TimedTraining

CPU = resolve("cpu")


def case(**fields: Any) -> Case:
    usual = {
        "mode": "training",
        "device": "cpu",
        "engine": "eager",
        "precision": "fp32",
        "batch_size": 32,
        "hidden": (16,),
        "optimizer": "adamw",
    }
    return Case(**{**usual, **fields})


@pytest.fixture
def data(synthetic: Dataset) -> DeviceSet:
    return upload(synthetic.train, CPU)


@pytest.fixture
def training(data: Any) -> TimedTraining:
    return TimedTraining(case(), CPU, run_config(case(), BenchConfig()), data)


@pytest.fixture
def inference(data: Any) -> TimedInference:
    asked = case(mode="inference", optimizer=None, batch_size=100)
    return TimedInference(asked, CPU, MLP(run_config(asked, BenchConfig()).model, seed=0), data.images)


def weights(timed: TimedTraining) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in timed.job.model.parameters()])


def test_every_region_does_the_same_work_from_the_same_start(training: TimedTraining) -> None:
    training.restore()
    start = weights(training)
    after = []
    for _ in range(3):
        training.time(20)
        after.append(weights(training))
    assert not torch.equal(start, after[0])
    assert torch.equal(after[0], after[1])
    assert torch.equal(after[0], after[2])  # the optimizer's state is set back too: AdamW would drift
    training.restore()
    assert torch.equal(start, weights(training))


def test_warm_up_leaves_no_trace(training: TimedTraining) -> None:
    start = weights(training)
    training.warm_up()
    training.restore()
    assert torch.equal(start, weights(training))


def test_a_region_of_more_steps_than_an_epoch_goes_round(
    training: TimedTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    counting = replace(training.runner, train_epoch=lambda epoch: seen.append(len(epoch)) or torch.zeros(len(epoch)))
    monkeypatch.setattr(training, "runner", counting)
    steps = len(training.first_steps(10**9))
    training.run(2 * steps + 3)
    assert seen == [steps, steps, 3]


def test_a_region_takes_a_tenth_of_a_second_or_more(training: TimedTraining, inference: TimedInference) -> None:
    for timed in (training, inference):
        timed.warm_up()
        assert timed.steps > 1
        slices = [timed.slice_steps * timed.case.batch_size / timed.sample() for _ in range(3 * timed.slices)]
        assert sum(slices) / 3 > REGION_S / 4  # no bar on the machine: a region that is far too short would be a fault


@pytest.mark.parametrize("seconds_a_step", [1e-6, 1e-3, 0.4])
def test_the_steps_of_a_region_follow_from_what_a_step_takes(
    training: TimedTraining, monkeypatch: pytest.MonkeyPatch, seconds_a_step: float
) -> None:
    monkeypatch.setattr(module, "seconds_of", lambda _work, _device: 0.0)
    monkeypatch.setattr(training, "time", lambda steps: steps * seconds_a_step)
    training.warm_up()
    assert training.region_s >= REGION_S
    assert training.region_s <= max(1.5 * REGION_S, seconds_a_step)


@pytest.mark.parametrize(("seconds_a_step", "slices"), [(1e-6, SLICES), (1e-3, SLICES), (0.03, 5), (0.4, 1)])
def test_a_region_has_as_many_slices_as_its_steps_allow(
    training: TimedTraining, monkeypatch: pytest.MonkeyPatch, seconds_a_step: float, slices: int
) -> None:
    monkeypatch.setattr(training, "time", lambda steps: steps * seconds_a_step)
    training.warm_up()
    assert training.slices == slices
    assert training.steps == slices * training.slice_steps


def test_a_slice_of_many_steps_is_timed_after_one_that_warms_the_caches(
    training: TimedTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: list[int] = []
    monkeypatch.setattr(training, "run", run.append)
    training.time(3)
    training.time(20)
    assert run == [3, 1, 20]


def test_a_sample_is_images_over_seconds(training: TimedTraining, monkeypatch: pytest.MonkeyPatch) -> None:
    training.slice_steps = 50
    monkeypatch.setattr(training, "time", lambda steps: steps * 0.004)
    assert training.sample() == pytest.approx(32 / 0.004)


def test_a_compiling_engine_tells_what_compiling_took_and_eager_has_none(
    training: TimedTraining, inference: TimedInference
) -> None:
    assert training.compile_s is None
    assert inference.compile_s is None


def test_classifying_goes_round_all_images_in_batches(data: DeviceSet, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    listing = lambda batch: seen.append(batch) or torch.zeros(len(batch), 10)  # noqa: E731
    monkeypatch.setattr(EagerEngine, "classifier", classmethod(lambda *_: listing))
    asked = case(mode="inference", optimizer=None, batch_size=100)
    timed = TimedInference(asked, CPU, MLP(run_config(asked, BenchConfig()).model, seed=0), data.images)
    seen.clear()
    timed.run(len(data) // 100)
    assert {len(batch) for batch in seen} == {100}
    assert len({batch.data_ptr() for batch in seen}) == len(data) // 100
    assert timed.given == 100 * (2 + len(data) // 100)  # making it ready takes two calls


def test_single_calls_are_timed_one_by_one(inference: TimedInference) -> None:
    found = list(inference.latencies(20))
    assert len(found) == 20
    assert all(seconds > 0 for seconds in found)


def test_a_batch_larger_than_the_set_is_refused(data: DeviceSet) -> None:
    asked = case(mode="inference", optimizer=None, batch_size=10**6)
    with pytest.raises(DeviceError, match="a batch of 1000000 is larger than the"):
        TimedInference(asked, CPU, MLP(run_config(asked, BenchConfig()).model, seed=0), data.images)


def test_an_engine_without_a_classifier_only_trains(data: DeviceSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EagerEngine, "classifier", classmethod(lambda *_: None))
    asked = case(mode="inference", optimizer=None)
    with pytest.raises(DeviceError, match="engine eager has no way of its own to classify"):
        TimedInference(asked, CPU, MLP(run_config(asked, BenchConfig()).model, seed=0), data.images)


def test_the_loop_of_a_region_costs_little(inference: TimedInference) -> None:
    """Its own time is a share of the region that is told; here only that it can be told."""
    inference.warm_up()
    assert 0 < inference.overhead_s() < inference.region_s
