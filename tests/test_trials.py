"""Many trainings at once: each ends as it would alone, whatever the way, the order and the company."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from accelmnist.core.config import DataConfig, RunConfig
from accelmnist.core.errors import ConfigError
from accelmnist.data.types import Dataset, upload
from accelmnist.device import resolve
from accelmnist.engines import native
from accelmnist.engines.fused import FusedEngine
from accelmnist.engines.native.network import NativeNetwork
from accelmnist.sweep.trials import Trial, TrialResult, train_trials
from accelmnist.sweep.trials import training as training_module
from accelmnist.sweep.trials import trial as trial_module
from accelmnist.training.evaluation import accuracy_of
from tests.training_helpers import ends_of, reference, small_config, train_with

pytestmark = pytest.mark.numeric

CPU = resolve("cpu")
needs_kernels = pytest.mark.skipif(native.why_missing() is not None, reason=str(native.why_missing()))


def trial(key: str, *, engine: str = "fused", seed: int = 0, model: Any = None, **training: Any) -> Trial:
    """A trial of 784-32-10 by momentum unless told otherwise."""
    config = small_config(model=model, training={"seed": seed, **training}, execution={"engine": engine})
    return Trial(key=key, config=config)


def trained(trials: Any, synthetic: Dataset, **options: Any) -> dict[str, TrialResult]:
    return {result.key: result for result in train_trials(trials, synthetic.train, synthetic.test, CPU, **options)}


def alone(config: RunConfig, synthetic: Dataset, engine: Any = None) -> Any:
    """The same training by hand, in this thread."""
    return train_with(engine or config.execution.engine, config, synthetic, CPU)


class OneThread(FusedEngine):
    """The engine with one thread, as a trial of a pool has it."""

    @classmethod
    def prepare(cls, job: Any, sample: Any) -> Any:
        runner = super().prepare(job, sample)
        runner.train_epoch.__self__.threads = 1
        return runner


def assert_same_bits(result: TrialResult, finished: Any) -> None:
    assert result.error is None
    assert torch.equal(result.losses, finished.losses)
    pairs = zip(result.model.parameters(), finished.model.parameters(), strict=True)
    assert all(torch.equal(mine, theirs) for mine, theirs in pairs)


MIXED = [
    trial("wide", model={"hidden": (150,)}, epochs=3),
    trial("dropout", model={"hidden": (40, 24), "dropout": 0.3, "activation": "gelu"}, seed=5),
    trial("adam", optimizer="adamw", learning_rate=0.01, seed=1),
    trial("large batches", batch_size=512, epochs=1),
    trial("seven", seed=7),
    trial("sigmoid", model={"activation": "sigmoid", "output": "linear"}, learning_rate=0.1, seed=2),
    trial("moved images", augment="affine", seed=3),
    trial("averaged weights", averaging=0.5, seed=4, epochs=3),
]


@needs_kernels
@pytest.mark.parametrize("workers", [1, 3, 6])
def test_in_a_pool_each_ends_at_the_bits_that_it_has_alone(workers: int, synthetic: Dataset) -> None:
    results = trained(MIXED, synthetic, workers=workers)
    assert set(results) == {each.key for each in MIXED}
    for each in MIXED:
        assert_same_bits(results[each.key], alone(each.config, synthetic, OneThread))


@needs_kernels
def test_the_order_of_finishing_changes_nothing(synthetic: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first waits for the last, and that one for the second: they end in another order, and as before."""
    trials = [trial(str(seed), seed=seed) for seed in range(3)]
    expected = trained(trials, synthetic, workers=1)
    original, waits_for, ended, order = trial_module.train, {0: 2, 2: 1}, [threading.Event() for _ in range(3)], []

    def gated(engine: Any, job: Any, **options: Any) -> Iterator[None]:
        seed = job.config.training.seed
        assert seed not in waits_for or ended[waits_for[seed]].wait(timeout=20)
        yield from original(engine, job, **options)
        order.append(seed)
        ended[seed].set()

    monkeypatch.setattr(trial_module, "train", gated)
    found = trained(trials, synthetic, workers=3)
    assert order == [1, 2, 0]
    assert all(torch.equal(found[key].losses, expected[key].losses) for key in expected)


@needs_kernels
def test_trials_of_a_pool_run_side_by_side(synthetic: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both wait until the other one is there as well: in turn, the barrier would break."""
    original, meeting = trial_module.train, threading.Barrier(2, timeout=20)

    def meet_first(*arguments: Any, **options: Any) -> Any:
        meeting.wait()
        return original(*arguments, **options)

    monkeypatch.setattr(trial_module, "train", meet_first)
    assert len(trained([trial("a"), trial("b", seed=1)], synthetic, workers=2)) == 2


def test_eager_trials_end_at_the_bits_of_one_thread(synthetic: Dataset) -> None:
    trials = [
        trial("a", engine="eager", model={"hidden": (40, 24), "dropout": 0.3}),
        trial("b", engine="eager", seed=3, learning_rate=0.02),
        trial("c", engine="eager", optimizer="adamw", learning_rate=0.01),
    ]
    results = trained(trials, synthetic, workers=3)
    for each in trials:
        assert_same_bits(results[each.key], alone(each.config, synthetic))


@pytest.fixture
def in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no engine go to the pool, as those that compile don't."""
    monkeypatch.setattr(training_module, "_POOLED", ())
    monkeypatch.setattr(training_module, "train_in_pool", lambda *_, **__: pytest.fail("that is the pool"))


def test_another_engine_trains_in_turn_with_all_threads(
    synthetic: Dataset, in_turn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, threads = trial_module.train, []

    def noted(*arguments: Any, **options: Any) -> Any:
        threads.append((threading.current_thread(), torch.get_num_threads()))
        return original(*arguments, **options)

    monkeypatch.setattr(trial_module, "train", noted)
    trials = [trial("a", engine="eager"), trial("b", engine="eager", seed=3, learning_rate=0.02)]
    torch.set_num_threads(2)
    try:
        results = trained(trials, synthetic, workers=2)
        assert threads == [(threading.main_thread(), 2)] * 2
        for each in trials:
            assert_same_bits(results[each.key], alone(each.config, synthetic))
    finally:
        torch.set_num_threads(1)


def test_a_trial_in_turn_is_told_diverges_and_stops_like_any_other(synthetic: Dataset, in_turn: Any) -> None:
    wild = trial("wild", engine="eager", learning_rate=1e6, schedule="constant")
    trials, told = [wild, *(trial(str(seed), engine="eager", seed=seed) for seed in range(5))], []

    def tell(key: Any, figures: Any) -> None:
        assert threading.current_thread() is threading.main_thread()
        told.append((key, figures.epoch))

    results = trained(trials, synthetic, should_stop=lambda: len(told) >= 3, on_epoch=tell)
    assert told == [("0", 1), ("0", 2), ("1", 1), ("1", 2)]
    assert results["wild"].error.startswith("the loss is ")
    assert set(results) == {"wild", "0", "1"}


@needs_kernels
def test_engines_may_be_mixed(synthetic: Dataset) -> None:
    trials = [trial("eager", engine="eager"), trial("fused")]
    results = trained(trials, synthetic)
    for each in trials:
        reference(trials[0].config, synthetic).hold(*ends_of(results[each.key]))


# --- figures by epoch


@needs_kernels
@pytest.mark.parametrize("engine", ["fused", "eager"])
def test_every_epoch_is_told_in_order_and_in_the_callers_thread(engine: str, synthetic: Dataset) -> None:
    told = defaultdict(list)

    def tell(key: Any, figures: Any) -> None:
        assert threading.current_thread() is threading.main_thread()
        told[key].append(figures)

    trials = [trial(str(seed), engine=engine, seed=seed, epochs=3) for seed in range(3)]
    for result in train_trials(trials, synthetic.train, synthetic.test, CPU, workers=2, on_epoch=tell):
        assert [figures.epoch for figures in result.epochs] == [1, 2, 3]
        assert told[result.key] == list(result.epochs)
        assert result.train_s == pytest.approx(sum(figures.train_s for figures in result.epochs))
        accuracy = accuracy_of(result.model, upload(synthetic.test, CPU), device=CPU, precision="fp32")
        assert result.epochs[-1].accuracy == pytest.approx(accuracy, abs=1e-9)
        assert result.epochs[-1].train_loss == pytest.approx(result.losses[-32:].double().mean().item())


@needs_kernels
def test_without_a_probe_no_accuracy_is_told(synthetic: Dataset) -> None:
    (result,) = train_trials([trial("a")], synthetic.train, None, CPU)
    assert [figures.accuracy for figures in result.epochs] == [None, None]


# --- what can go wrong


@needs_kernels
@pytest.mark.parametrize("engine", ["fused", "eager"])
def test_a_trial_that_diverges_is_a_result_and_the_others_go_on(engine: str, synthetic: Dataset) -> None:
    wild = trial("wild", engine=engine, learning_rate=1e6, schedule="constant")
    results = trained([wild, trial("good", engine=engine)], synthetic, workers=2)
    assert results["good"].error is None
    assert results["wild"].model is None
    assert results["wild"].error.startswith("the loss is ")
    assert "\n" not in results["wild"].error


@needs_kernels
@pytest.mark.parametrize("engine", ["fused", "eager"])
def test_a_network_that_fits_no_memory_is_a_result(engine: str, synthetic: Dataset) -> None:
    vast = trial("vast", engine=engine, model={"hidden": (65536,) * 8})
    results = trained([vast, trial("good", engine=engine)], synthetic)
    assert "GB free" in results["vast"].error
    assert (results["vast"].model, results["vast"].epochs, len(results["vast"].losses)) == (None, (), 0)
    assert results["good"].error is None


@needs_kernels
def test_a_failed_allocation_is_a_result(synthetic: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    original = FusedEngine.prepare

    def prepare(job: Any, sample: Any) -> Any:
        if job.config.training.seed == 1:
            raise MemoryError
        return original(job, sample)

    monkeypatch.setattr(FusedEngine, "prepare", prepare)
    results = trained([trial("small"), trial("large", seed=1)], synthetic)
    assert results["large"].error.startswith("out of memory on cpu")
    assert results["small"].error is None


@needs_kernels
def test_a_bug_keeps_its_traceback_and_ends_the_others(synthetic: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs = []

    def broken(self: Any, epoch: Any) -> None:
        epochs.append(len(epoch))
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(NativeNetwork, "train_epoch", broken)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        trained([trial(str(seed), seed=seed) for seed in range(50)], synthetic, workers=2)
    assert len(epochs) < 10


def test_a_batch_larger_than_the_set_is_refused_at_once(synthetic: Dataset) -> None:
    with pytest.raises(ConfigError, match="4096 is larger than the 2048 training images"):
        trained([trial("a"), trial("b", batch_size=4096)], synthetic)


def test_what_is_held_out_is_not_counted_twice(synthetic: Dataset) -> None:
    """The caller took 500 images out: the configuration says so, and the 2,048 left are enough for a batch of 2,000."""
    config = small_config(training={"batch_size": 2000}, execution={"engine": "eager"})
    config = RunConfig(
        data=DataConfig(dataset="synthetic", validation=500), training=config.training, execution=config.execution
    )
    (result,) = train_trials([Trial(key="a", config=config)], synthetic.train, synthetic.test, CPU)
    assert result.error is None


# --- stopping, threads, memory


@needs_kernels
@pytest.mark.parametrize("engine", ["fused", "eager"])
def test_a_stop_lets_the_trials_under_way_finish(engine: str, synthetic: Dataset) -> None:
    trials = [trial(str(seed), engine=engine, seed=seed) for seed in range(20)]
    told = []

    def tell(key: Any, figures: Any) -> None:
        told.append(figures.epoch)

    finished = trained(trials, synthetic, workers=2, should_stop=lambda: bool(told), on_epoch=tell)
    assert 1 <= len(finished) <= 2
    assert all(len(result.epochs) == 2 for result in finished.values())


@needs_kernels
def test_an_interrupt_ends_the_trials_under_way_with_their_epoch(
    synthetic: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one epoch of one of them, all wait for the interrupt; of a thousand epochs each, few are run then."""
    original, interrupted, first, begun = NativeNetwork.train_epoch, threading.Event(), threading.Lock(), []

    def train_epoch(self: Any, epoch: Any) -> Any:
        begun.append(threading.current_thread())
        assert first.acquire(blocking=False) or interrupted.wait(timeout=20)
        return original(self, epoch)

    def interrupt(*_: Any) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    monkeypatch.setattr(NativeNetwork, "train_epoch", train_epoch)
    trials = [trial(str(seed), seed=seed, epochs=1000) for seed in range(4)]
    with pytest.raises(KeyboardInterrupt):
        trained(trials, synthetic, workers=2, on_epoch=interrupt)
    assert len(begun) < 1000
    assert len(set(begun)) == 2
    assert not [thread for thread in begun if thread.is_alive()]


@needs_kernels
def test_torchs_threads_are_as_before(synthetic: Dataset) -> None:
    """torch's number is of the calling thread and of threads to come: both are as they were."""
    torch.set_num_threads(2)
    try:
        trained([trial("a"), trial("b", seed=1)], synthetic, workers=2)
        assert torch.get_num_threads() == 2
        seen = []
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert seen == [2]
    finally:
        torch.set_num_threads(1)


@needs_kernels
def test_the_bits_do_not_depend_on_torchs_threads(synthetic: Dataset) -> None:
    many = [trial("a", model={"hidden": (64,)})]
    expected = trained(many, synthetic)["a"]
    torch.set_num_threads(4)
    try:
        found = trained(many, synthetic)["a"]
    finally:
        torch.set_num_threads(1)
    assert torch.equal(found.losses, expected.losses)


@pytest.mark.parametrize(("free", "expected"), [(None, 8), (10**12, 8), (1, 1)])
def test_there_are_no_more_workers_than_threads_and_memory_allow(
    free: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(training_module, "free_memory_bytes", lambda _: free)
    assert training_module.useful_workers([trial(str(seed)) for seed in range(20)], CPU) == expected


def test_no_trials_are_no_results(synthetic: Dataset) -> None:
    assert trained([], synthetic) == {}
