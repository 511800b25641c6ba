"""A benchmark that audits itself: what is timed is watched from outside, and faults of measurement are seen.

Each fault is a small wrong line in what measures, planted once the case is ready; a right case passes every check.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from accelmnist.data.types import Dataset, upload
from accelmnist.device import resolve
from accelmnist.engines.eager import EagerEngine
from accelmnist.engines.model import MLP, logits_of
from accelmnist.measure import timed_case as module
from accelmnist.measure.anchors import anchor_inference, anchor_training
from accelmnist.measure.audit import Anchor, Region, Told, audit, check_latency, observe
from accelmnist.measure.plan import BenchConfig, Case, run_config
from accelmnist.measure.record import Latency
from accelmnist.measure.timed_case import Sampler, TimedCase, TimedInference, TimedTraining, WarmCase, sample_round

CPU = resolve("cpu")
TRAINING = Case(
    mode="training", device="cpu", engine="eager", precision="fp32", batch_size=32, hidden=(16,), optimizer="adamw"
)
INFERENCE = replace(TRAINING, mode="inference", optimizer=None, batch_size=64)
ANOTHER = "deviation of a timed result"
TOLD = Told(
    is_own=True,
    images=64,
    slices=1,
    samples=[6400.0] * 9,
    threads=1,
    prepared_threads=1,
    watches_processor=True,
    has_queue=True,
)
Patch = pytest.MonkeyPatch


def ready(timed: TimedCase) -> None:
    """As `warm_up` leaves it, whatever the machine's speed."""
    timed.slices, timed.slice_steps = 4, 6


def training(dataset: Dataset, told: Case = TRAINING, made: Case = TRAINING) -> TimedTraining:
    """A case that is warm, with its anchor; what is `made` may be another one than what is `told`."""
    timed = TimedTraining(made, CPU, run_config(made, BenchConfig()), upload(dataset.train, CPU))
    ready(timed)
    timed.case = told
    timed.anchor = anchor_training(timed, run_config(told, BenchConfig()), dataset.train, None)
    return timed


def inference(dataset: Dataset) -> TimedInference:
    model, images = MLP(run_config(INFERENCE, BenchConfig()).model, seed=0), upload(dataset.test, CPU).images
    timed = TimedInference(INFERENCE, CPU, model, images)
    ready(timed)
    expected = logits_of(model, images, device=CPU, precision="fp32").numpy()
    timed.anchor = anchor_inference(timed, list(model.parameters()), expected)
    return timed


def failures(timed: TimedCase, change: Callable[[list[float]], list[float]] = list) -> list[str]:
    """The names of the checks that fail after three rounds, of which the samples are told with a `change`."""
    warm = WarmCase(timed, torch.get_num_threads())
    rounds = [sample_round({0: Sampler(warm.sample, slices=timed.slices)}, Random(seed))[0] for seed in range(3)]
    samples = [speed for speed in rounds if isinstance(speed, float)]
    return [check.name for check in warm.audit(timed.case, change(samples)) if not check.passed]


def test_an_engine_that_should_be_compiled_and_runs_in_python_is_found(
    synthetic: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EagerEngine, "runs_python", False)
    for timed in (training(synthetic), inference(synthetic)):
        assert failures(timed) == ["no Python"]


def test_what_is_measured_rightly_passes(synthetic: Dataset) -> None:
    for timed in (training(synthetic), inference(synthetic)):
        assert failures(timed) == []
        assert len(timed.regions) == 3 * timed.slices
        assert timed.anchor is not None
        assert timed.anchor.is_exact is isinstance(timed, TimedTraining)


def half_of_the_steps(timed: Any, patch: Patch) -> None:
    run = timed.run
    patch.setattr(timed, "run", lambda steps: run(max(steps // 2, 1)))


def half_of_the_batch(timed: Any, patch: Patch) -> None:
    epoch = timed._epochs[0]
    patch.setattr(timed, "_epochs", [replace(epoch, order=epoch.order[:, ::2].contiguous())])


def the_same_images_over_and_over(timed: Any, patch: Patch) -> None:
    """As a graph that replays the inputs of its capture."""
    epoch = timed._epochs[0]
    patch.setattr(timed, "_epochs", [replace(epoch, order=epoch.order[:1].expand_as(epoch.order))])


def nothing_but_losses(timed: Any, patch: Patch) -> None:
    known: list[Any] = []
    train_epoch = timed.runner.train_epoch

    def remember(epoch: Any) -> Any:
        timed._given += epoch.order.numel()
        return next((losses for losses in known if len(losses) == len(epoch)), None)

    known += [train_epoch(timed._epochs[0][:steps]) for steps in (1, timed.slice_steps)]
    patch.setattr(timed, "runner", replace(timed.runner, train_epoch=remember))


def the_last_update_left_out(timed: Any, patch: Patch) -> None:
    run = timed.run

    def all_but_the_last(steps: int) -> None:
        run(steps - 1)
        before = [weight.clone() for weight in timed.weights]
        losses = timed._losses
        run(1)
        timed._losses = losses + timed._losses
        torch._foreach_copy_(timed.weights, before)

    patch.setattr(timed, "run", all_but_the_last)


def no_losses(timed: Any, patch: Patch) -> None:
    train_epoch = timed.runner.train_epoch
    patch.setattr(timed, "runner", replace(timed.runner, train_epoch=lambda epoch: 0 * train_epoch(epoch)))


def weights_not_set_back(timed: Any, patch: Patch) -> None:
    patch.setattr(timed, "restore", lambda: setattr(timed, "_at", 0))


def state_not_set_back(timed: Any, patch: Patch) -> None:
    patch.setattr(timed, "runner", replace(timed.runner, load_state=lambda _state: None))


def narrower_when_timed(timed: Any, patch: Patch) -> None:
    """Products of 16 bits: what is off is rounding alone, far below the length of a step."""
    run = timed.run

    def narrow(steps: int) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            run(steps)

    patch.setattr(timed, "run", narrow)


def warm_up_on_the_clock(timed: Any, patch: Patch) -> None:
    def time(steps: int) -> float:
        timed.restore()
        return timed._observed(lambda: module.seconds_of(lambda: (timed.run(1), timed.run(steps)), CPU))

    patch.setattr(timed, "time", time)


def slow_clock(timed: Any, patch: Patch) -> None:
    seconds_of = module.seconds_of
    patch.setattr(module, "seconds_of", lambda work, device: 0.6 * seconds_of(work, device))  # regions are short here


def every_other_slice_cut_short(timed: Any, patch: Patch) -> None:
    seconds_of, calls = module.seconds_of, iter(range(10**6))
    patch.setattr(
        module, "seconds_of", lambda work, device: (0.5 if next(calls) % 2 == 0 else 1) * seconds_of(work, device)
    )


def threads_not_set(timed: Any, patch: Patch) -> None:
    patch.setattr(module, "set_threads", lambda _threads: None)
    patch.setattr(timed, "case", replace(timed.case, threads=torch.get_num_threads() + 1))


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (half_of_the_steps, {"images miscounted", ANOTHER}),
        (half_of_the_batch, {"images miscounted", ANOTHER}),
        (the_same_images_over_and_over, {ANOTHER}),
        (nothing_but_losses, {ANOTHER}),
        (the_last_update_left_out, {ANOTHER}),
        (no_losses, {ANOTHER}),
        (weights_not_set_back, {ANOTHER}),
        (state_not_set_back, {ANOTHER}),
        (narrower_when_timed, {"share of timed results in other bits"}),
        (warm_up_on_the_clock, {"images miscounted", "samples not of these regions"}),
        (slow_clock, {"error of the clock"}),
        (every_other_slice_cut_short, {"error of the clock"}),
        (threads_not_set, {"threads off those asked for"}),
    ],
)
def test_a_fault_of_measuring_a_training_is_found(
    fault: Callable[[Any, Patch], None], found: set[str], synthetic: Dataset, monkeypatch: Patch
) -> None:
    timed = training(synthetic)
    fault(timed, monkeypatch)
    assert found <= set(failures(timed))


def every_second_batch(timed: Any, patch: Patch) -> None:
    patch.setattr(module, "islice", lambda answers, steps: iter([[*answers_of(answers, steps)][-1]]))


def answers_of(answers: Iterator[Any], steps: int) -> Iterator[Any]:
    for _ in range(max(steps // 2, 1)):
        yield next(answers)


def always_the_first_answer(timed: Any, patch: Patch) -> None:
    first = timed.classify(timed.first_batch)
    patch.setattr(timed, "_answers", ((first, call) for _, call in timed._answers))


def half_of_each_batch(timed: Any, patch: Patch) -> None:
    patch.setattr(timed, "_answers", ((logits[::2], call) for logits, call in timed._answers))


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (every_second_batch, "images miscounted"),
        (always_the_first_answer, ANOTHER),
        (half_of_each_batch, "images miscounted"),
        (slow_clock, "error of the clock"),
    ],
)
def test_a_fault_of_measuring_a_classification_is_found(
    fault: Callable[[Any, Patch], None], found: str, synthetic: Dataset, monkeypatch: Patch
) -> None:
    timed = inference(synthetic)
    fault(timed, monkeypatch)
    assert found in failures(timed)


@pytest.mark.parametrize(
    "made", [{"batch_size": 16}, {"hidden": (8,)}, {"optimizer": "sgd"}], ids=["batch", "units", "optimizer"]
)
def test_another_case_under_this_ones_name_is_found(made: dict[str, Any], synthetic: Dataset) -> None:
    assert "timed case" in failures(training(synthetic, made=replace(TRAINING, **made)))


@pytest.mark.parametrize(
    "change",
    [
        lambda samples: samples[::-1],
        lambda samples: [max(samples)] * len(samples),
        lambda samples: samples[1:],
        lambda samples: [1.001 * speed for speed in samples],
    ],
    ids=["another order", "the best", "one dropped", "a thousandth more"],
)
def test_samples_are_those_of_the_cases_own_regions(change: Any, synthetic: Dataset) -> None:
    assert failures(training(synthetic), change) == ["samples not of these regions"]


def test_an_anchor_begins_as_the_judged_training_and_as_float64(synthetic: Dataset) -> None:
    timed, config = training(synthetic), run_config(TRAINING, BenchConfig())
    timed.restore()
    judged = timed.runner.download(timed.runner.train_epoch(timed.first_steps(9)))
    good = anchor_training(timed, config, synthetic.train, judged)
    assert [check.name for check in good.checks if not check.passed] == []
    other = anchor_training(timed, config, synthetic.train, judged[::-1])
    assert [check.name for check in other.checks if not check.passed] == ["losses of timed steps, judged training"]
    images = replace(synthetic.train, images=synthetic.train.images[::-1])
    other = anchor_training(timed, config, images, judged)
    assert "audited losses, timed" in [check.name for check in other.checks if not check.passed]


@pytest.mark.parametrize("laps", [0, 2])
def test_the_last_step_of_a_region_is_replayed(laps: int, synthetic: Dataset) -> None:
    """A fault of this step alone, which every way of running it has; the first two are right."""
    timed, config = training(synthetic), run_config(TRAINING, BenchConfig())
    timed.slice_steps += laps * len(timed._epochs[0])
    last, train_epoch = timed._epochs[0].order[6], timed.runner.train_epoch

    def twice_as_fast(epoch: Any) -> Any:
        share = 1 + (epoch.order == last).all(dim=1).float()
        return train_epoch(replace(epoch, learning_rates=share * epoch.learning_rates))

    def failed() -> list[str]:
        return [
            check.name for check in anchor_training(timed, config, synthetic.train, None).checks if not check.passed
        ]

    assert failed() == []
    timed.runner = replace(timed.runner, train_epoch=twice_as_fast)
    assert failed() == ["audited weights, timed"]


class LazyDevice:
    """A device that queues work in no time and does it when a result is read; its own clock is all clocks."""

    def __init__(self, *, is_synchronized: bool) -> None:
        self.now, self.queued_s, self.is_synchronized = 0.0, 0.0, is_synchronized

    def clock(self) -> float:
        started = self.now
        self.queued_s += 0.015
        self.now += 0.001
        if self.is_synchronized:
            self.read()
        return self.now - started

    def read(self) -> None:
        self.now, self.queued_s = self.now + self.queued_s, 0.0


@pytest.mark.parametrize(("is_synchronized", "found"), [(True, []), (False, ["share of work after the clock"])])
def test_a_clock_that_does_not_wait_for_the_device_is_found(
    is_synchronized: bool, found: list[str], monkeypatch: Patch
) -> None:
    device = LazyDevice(is_synchronized=is_synchronized)
    for name in ("perf_counter", "time", "process_time"):
        monkeypatch.setattr(f"time.{name}", lambda: device.now)
    monkeypatch.setattr("time.clock_gettime", lambda _clock: device.now)
    regions: list[Region] = []
    for _ in range(8):
        seen = observe(
            device.clock, given=lambda: 64 * len(regions), read=device.read, threads=lambda: 1, deviation=lambda: 0.0
        )
        regions.append(replace(seen, images=64))
    told = replace(TOLD, samples=[64 / region.seconds for region in regions], watches_processor=False)
    anchor = Anchor(deviation=lambda: 0.0, limit=0.0, reason="")
    monkeypatch.undo()
    assert [check.name for check in audit(regions, anchor, told) if not check.passed] == found


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="the kernel doesn't tell how long threads ran")
def test_threads_that_work_until_the_ranks_have_met_are_not_counted() -> None:
    def work(seconds: float) -> None:
        ends = time.thread_time() + seconds
        while time.thread_time() < ends:
            pass

    def meet() -> None:
        helper.submit(work, 0.05).result()

    def clock(others: float) -> float:
        started = time.perf_counter()
        waits = helper.submit(work, others)
        work(0.02)
        waits.result()
        return time.perf_counter() - started

    with ThreadPoolExecutor(1) as helper:
        meet()
        seen = [
            observe(
                lambda others=others: clock(others),
                given=lambda: 0,
                read=lambda: None,
                threads=lambda: 1,
                deviation=lambda: 0.0,
                counts_workers=True,
                begin=meet,
            ).workers
            for others in (0.0, 0.05)
        ]
    assert seen == [1, 2]


def test_more_threads_than_asked_for_and_a_clock_that_is_being_set() -> None:
    """The processor tells of threads that torch knows nothing of; a step of the time of day is no fault."""
    region = Region(images=64, seconds=0.01, raw_s=0.01, day_s=0.01, cpu_s=0.01, threads=1, settle_s=0.0, deviation=0.0)
    anchor = Anchor(deviation=lambda: 0.0, limit=0.0, reason="")

    def found(**seen: float) -> list[str]:
        return [check.name for check in audit([replace(region, **seen)] * 9, anchor, TOLD) if not check.passed]

    assert found() == found(day_s=3600.0) == found(raw_s=0.0102) == []
    assert found(cpu_s=0.0199) == ["busy threads"]
    assert found(workers=2) == ["threads at work"]
    assert found(workers=1) == []
    assert found(day_s=0.0102, raw_s=0.0102) == ["error of the clock"]
    disturbed = replace(region, raw_s=1.0, day_s=1.0)
    for regions in ([disturbed] * 4, [disturbed] * 4 + [region] * 5, [disturbed] * 10 + [region] * 30):
        assert "error of the clock" not in [check.name for check in audit(regions, anchor, TOLD) if not check.passed]


def test_samples_told_of_another_case_are_found(synthetic: Dataset) -> None:
    warm = WarmCase(training(synthetic), torch.get_num_threads())
    samples = [warm.sample()] * 4
    assert not warm.audit(INFERENCE, samples)[-1].passed


def test_quantiles_of_latencies_are_counted() -> None:
    seconds = [float(second) for second in Random(0).sample(range(1, 2000), 900)]
    latency = Latency(
        calls=900,
        **dict(zip(("p50_s", "p90_s", "p99_s"), np.quantile(seconds, [0.5, 0.9, 0.99]), strict=True)),
        worst_s=max(seconds),
    )

    def found(latency: Latency, seconds: list[float], seen: dict[int, tuple[float, float]]) -> list[str]:
        return [check.name for check in check_latency(latency, seconds, seen) if not check.passed]

    seen = {7: (seconds[7], seconds[7])}
    assert found(latency, seconds, seen) == []
    ties = replace(latency, p50_s=5.0, p90_s=5.0, p99_s=5.0, worst_s=5.0)
    assert found(ties, [5.0] * 900, {0: (4.9, 5.1)}) == []
    for other in ({}, {7: (seconds[7] * 1.01, seconds[7] * 1.02)}, {7: (0.0, seconds[7] * 0.99)}):
        assert found(latency, seconds, other) == ["clock of single calls"]
    for wrong in (
        {"p99_s": latency.p90_s},
        {"p50_s": sum(seconds) / 900 * 1.05},
        {"worst_s": sorted(seconds)[-3]},
        {"calls": 899},
    ):
        assert found(replace(latency, **wrong), seconds, seen) == ["calls off their quantile"]


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_single_calls_whose_time_is_scaled_are_found(share: float, synthetic: Dataset, monkeypatch: Patch) -> None:
    timed, seconds_of = inference(synthetic), module.seconds_of
    monkeypatch.setattr(module, "seconds_of", lambda work, device: share * seconds_of(work, device))
    told = list(timed.latencies(16))
    assert len(timed.seen_s) == 1
    assert [check.passed for check in check_latency(Latency.of(told), told, timed.seen_s)] == [True, False]
