"""Trainings that ranks share: the same as by one process, a fault in one rank is named, a lost rank is done without.

Two ranks of one process meet here, each in a thread with a store of its own connection; two processes at the end.
"""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.distributed as dist

from accelmnist.core.errors import AccelmnistError, ConfigError, DataError, DivergedError, StoppedError
from accelmnist.device import Device, resolve
from accelmnist.device.ranks import _ENDED, Place, Ranks
from accelmnist.sweep import session
from accelmnist.sweep.plan import SweepConfig
from accelmnist.sweep.proof import TrainingsProof
from accelmnist.sweep.record import SweepRecord
from accelmnist.sweep.recount import load_sweep
from accelmnist.sweep.schedule import SweepObserver, trainings_done
from accelmnist.sweep.session import SweepRequest, _Session
from accelmnist.sweep.trials import dealt
from accelmnist.sweep.trials.dealt import Part, serve
from accelmnist.sweep.trials.run import execute_trials
from accelmnist.sweep.trials.training import train_part, way_of
from accelmnist.sweep.trials.trial import Shared, Trial, TrialResult
from accelmnist.training.run import RunRequest, choose_setup
from tests.sweep_samples import sweep_config

CPU = resolve("cpu")


@pytest.fixture
def pair() -> tuple[Ranks, Ranks]:
    """Rank 0 and rank 1, with nobody who watches over them."""
    first, second = (Ranks(Place(rank, 2, rank, 2)) for rank in range(2))
    first._store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    second._store = dist.TCPStore("127.0.0.1", first._store.port)
    return first, second


@pytest.fixture(scope="module")
def config() -> SweepConfig:
    """Two networks, two rates to choose from, three seeds: ten trainings in two deals."""
    base = sweep_config(hidden=((16,), (24,)), activations=("relu",), outputs=("softmax",), optimizers=("adamw",))
    training = replace(base.training, epochs=2, batch_size=64)
    data = replace(base.data, dataset="synthetic", validation=0)
    execution = replace(base.execution, device="cpu", engine="fused", threads=1)
    changes = {"data": data, "training": training, "execution": execution}
    return replace(base, **changes, tune_rates=True, learning_rates=(0.003, 0.01), seeds=3)


class OnlyTrainings(SweepObserver):
    """Ends the sweep before its winner is trained."""

    def stage(self, what: str) -> None:
        if "winner" in what:
            raise StoppedError("enough")


def swept(config: SweepConfig, ranks: Ranks | None = None, **options: Any) -> tuple[SweepRecord, list[str]]:
    """The record of the trainings of a sweep, and what is wrong with them."""
    sweep = _Session(SweepRequest(config=config, ranks=ranks, **options), OnlyTrainings())
    with suppress(StoppedError):
        sweep.execute()
    return sweep.record, sweep.proof.faults + (sweep.dealer.faults if sweep.dealer else [])


class Helping(threading.Thread):
    """Rank 1, which does its `part`; `error` is what ended it."""

    def __init__(self, ranks: Ranks, part: Part = train_part) -> None:
        super().__init__(daemon=True)
        self.ranks, self.part, self.error = ranks, part, None
        self.start()

    def run(self) -> None:
        try:
            serve(self.ranks, lambda _config: CPU, self.part)
        except AccelmnistError as error:
            self.error = error

    def end(self, first: Ranks) -> None:
        """As rank 0 does at its end."""
        first.store.set(_ENDED, "0")
        self.join(30)
        assert not self.is_alive()


def trainings_of(record: SweepRecord) -> set[tuple[Any, ...]]:
    return {
        (result.hidden, trial.purpose, trial.seed, trial.learning_rate, trial.accuracy_by_epoch, trial.train_loss)
        for result in record.candidates
        for trial in result.trials
    }


@pytest.fixture(scope="module")
def alone(config: SweepConfig) -> SweepRecord:
    return swept(config)[0]


def idle(*_: Any) -> Iterator[TrialResult]:
    """Rank 0's part where rank 1 does everything."""
    return iter(())


def two_of_each_deal(monkeypatch: pytest.MonkeyPatch) -> Part:
    """Rank 1's part: the first two trainings; rank 0 takes all others."""
    taken_there = threading.Semaphore(0)

    def two(taken: Iterator[Trial]) -> Iterator[Trial]:
        yield next(taken)
        second = next(taken)
        taken_there.release()
        yield second

    def others(*given: Any) -> Iterator[TrialResult]:
        assert taken_there.acquire(timeout=30)
        return train_part(*given)

    monkeypatch.setattr("accelmnist.sweep.trials.training.train_part", others)
    return lambda trials, taken, shared, workers: train_part(trials, two(taken), shared, workers)


def test_two_ranks_train_what_one_does_to_the_bit(
    pair: tuple[Ranks, Ranks], config: SweepConfig, alone: SweepRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    helping = Helping(pair[1], two_of_each_deal(monkeypatch))
    record, faults = swept(config, pair[0])
    helping.end(pair[0])
    assert not faults
    assert helping.error is None
    assert trainings_of(record) == trainings_of(alone)
    assert [(one.rank, one.trainings, one.threads) for one in record.ranks] == [(0, 6, 1), (1, 4, 1)]
    assert all(one.images_per_s for one in record.ranks)


# --- faults in rank 1


def on_trials(change: Callable[[Trial], Trial]) -> Part:
    return lambda trials, taken, shared, workers: train_part(trials, map(change, taken), shared, workers)


def on_results(change: Callable[[TrialResult], TrialResult]) -> Part:
    return lambda *given: map(change, train_part(*given))


def of_training(**changes: Any) -> Part:
    def change(trial: Trial) -> Trial:
        training = replace(trial.config.training, **changes)
        return replace(trial, config=replace(trial.config, training=training))

    return on_trials(change)


def nudged(result: TrialResult) -> TrialResult:
    assert result.model is not None
    next(result.model.parameters()).data[0, 400] += 0.5
    return result


def later_seed(trials: Sequence[Trial], taken: Iterator[Trial], shared: Shared, workers: int | None) -> Any:
    """All but the first, which is audited, train from another seed than their key says."""
    first = True
    for trial in taken:
        own = replace(trial.config, training=replace(trial.config.training, seed=8))
        yield from train_part(trials, iter([trial if first else replace(trial, config=own)]), shared, workers)
        first = False


def under_one_key(trials: Sequence[Trial], taken: Iterator[Trial], shared: Shared, workers: int | None) -> Any:
    """All results under the first one's key."""
    key = None
    for result in train_part(trials, taken, shared, workers):
        key = key or result.key
        yield replace(result, key=key)


def on_all_images(trials: Sequence[Trial], taken: Iterator[Trial], shared: Shared, workers: int | None) -> Any:
    """Those that are held out train too."""
    assert shared.probe is not None
    return train_part(trials, taken, replace(shared, training=shared.probe), workers)


FAULTS: dict[str, tuple[Part, str]] = {
    "other seed": (of_training(seed=17), "another training was audited"),
    "other rate": (of_training(learning_rate=0.02), "another training was audited"),
    "other images": (on_all_images, "audited losses"),
    "later seed": (later_seed, "its first loss is not that of its seed"),
    "under one key": (under_one_key, "was trained twice"),
    "weights after the last epoch": (on_results(nudged), "unbroken training"),
    "times": (on_results(lambda result: replace(result, train_s=result.train_s + 99)), "s are not those of its epochs"),
    "accuracies": (
        on_results(lambda one: replace(one, epochs=tuple(replace(each, accuracy=0.99) for each in one.epochs))),
        "accuracy by epoch",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_one_rank_is_named(
    fault: str, pair: tuple[Ranks, Ranks], config: SweepConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, expected = FAULTS[fault]
    monkeypatch.setattr("accelmnist.sweep.trials.training.train_part", idle)
    # The first one is audited anyway.
    monkeypatch.setattr(TrainingsProof, "draw", lambda proof, keys: setattr(proof, "_drawn", list(keys)[-1]))
    helping = Helping(pair[1], part)
    _, faults = swept(replace(config, tune_rates=False, learning_rates=(0.01,), seeds=2), pair[0])
    helping.end(pair[0])
    assert any(expected in one for one in faults), faults


def test_times_longer_than_a_rank_was_at_work_are_a_fault(
    pair: tuple[Ranks, Ranks], config: SweepConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slower(result: TrialResult) -> TrialResult:
        epochs = tuple(replace(epoch, train_s=epoch.train_s + 60) for epoch in result.epochs)
        return replace(result, epochs=epochs, train_s=sum(epoch.train_s for epoch in epochs))

    monkeypatch.setattr("accelmnist.sweep.trials.training.train_part", idle)
    helping = Helping(pair[1], on_results(slower))
    _, faults = swept(config, pair[0])
    helping.end(pair[0])
    assert any("rank 1 was at work for" in one for one in faults)


def test_other_images_than_those_of_rank_0_are_refused(
    pair: tuple[Ranks, Ranks], config: SweepConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = dealt.hashes_of

    def hashes(*given: Any) -> tuple[str, str]:
        return ("other", "images") if threading.current_thread() is helping else right(*given)

    monkeypatch.setattr(dealt, "hashes_of", hashes)
    helping = Helping(pair[1])
    monkeypatch.setattr(
        pair[0], "require_all", lambda: None if helping.error is None else pair[0].without.update({1: ""})
    )
    swept(config, pair[0])
    assert isinstance(helping.error, DataError)
    assert "are not those of rank 0" in str(helping.error)


# --- lost, and stopped


def test_what_a_lost_rank_had_taken_is_done_by_another(
    pair: tuple[Ranks, Ranks], config: SweepConfig, alone: SweepRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_there = threading.Event()

    def hangs(_trials: Any, taken: Iterator[Trial], *_: Any) -> Any:
        next(taken)
        taken_there.set()
        threading.Event().wait()

    def after_that(*given: Any) -> Any:
        taken_there.wait(10)
        pair[0].without[1] = "rank 1 of 2 (here) has ended"
        return train_part(*given)

    monkeypatch.setattr("accelmnist.sweep.trials.training.train_part", after_that)
    Helping(pair[1], hangs)
    record, faults = swept(config, pair[0])
    assert not faults
    assert trainings_of(record) == trainings_of(alone)
    assert record.notes == ("rank 1 of 2 (here) has ended",)
    assert [(one.rank, one.trainings) for one in record.ranks] == [(0, 10), (1, 0)]


def test_a_stop_lets_what_is_under_way_end_on_every_rank(
    pair: tuple[Ranks, Ranks], config: SweepConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    helping, kept = Helping(pair[1], two_of_each_deal(monkeypatch)), list[SweepRecord]()
    original = session.conclude
    monkeypatch.setattr(session, "conclude", lambda record: kept.append(record) or original(record))
    stopped, _ = swept(config, pair[0], should_stop=lambda: trainings_done(kept[-1]) >= 1)
    helping.end(pair[0])
    assert stopped.status == "interrupted"
    assert 1 <= trainings_done(stopped) <= 4


@pytest.mark.slow
def test_seeds_are_shared_out_too(pair: tuple[Ranks, Ranks], config: SweepConfig) -> None:
    from accelmnist.show.observer import SilentObserver

    class Observer(SilentObserver):
        def trial_done(self, figures: Any) -> None:
            """It is in the record."""

    run = config.run_config(session.candidates(config)[0], learning_rate=0.01, seed=3, engine="fused")
    request, setup = RunRequest(config=run, repeat_on_reference=False), choose_setup(run)
    helping = Helping(pair[1])
    shared = execute_trials(request, setup, Observer, count=4, ranks=pair[0]).record
    helping.end(pair[0])
    one = execute_trials(request, setup, Observer, count=4).record
    assert shared.verdict is not None
    assert shared.verdict.passed, shared.verdict.failures
    assert [replace(trial, train_s=0.0) for trial in shared.trials.trials] == [
        replace(trial, train_s=0.0) for trial in one.trials.trials
    ]
    assert sum(rank.trainings or 0 for rank in shared.ranks) == 4
    assert shared.choices[-1].reason == "one after the other on each of 2 ranks, with one thread"


# --- what goes through the store


def test_what_is_larger_than_the_store_takes_goes_in_parts(pair: tuple[Ranks, Ranks]) -> None:
    numbers = np.random.default_rng(0).random(1_500_000)  # 12 MB
    pair[1].post("here", numbers)
    assert pair[1].store.get("here") == b"3"
    assert pair[0].posted("there") == []
    (found,) = pair[0].posted("here", keep=True)
    assert np.array_equal(found, numbers)
    assert len(pair[0].posted("here")) == 1
    assert pair[0].posted("here") == []


def test_an_error_comes_as_it_went() -> None:
    error = DivergedError("the loss is nan", step=7, remedy="Try a smaller rate")
    found = pickle.loads(pickle.dumps(error))
    assert (type(found), str(found), found.step) == (DivergedError, str(error), 7)
    assert str(pickle.loads(pickle.dumps(ConfigError("no")))) == "no"


def test_a_gpu_of_each_rank_is_for_one_training_at_a_time(config: SweepConfig) -> None:
    run = config.run_config(session.candidates(config)[0], learning_rate=0.01, seed=3, engine="fused")
    cuda = Device("cuda:0", "a card", "asked for")
    assert way_of(run, cuda, count=8).startswith("as one graph")
    assert way_of(run, cuda, count=8, ranks=2) == "one after the other on each of 2 ranks: each takes its device"


# --- two processes


LINE = "sweep --synthetic --epochs 3 --hidden 256 --hidden 128 --seeds 8 --batch-size 32 --engine fused --device cpu"


def started(rank: int, port: int, folder: Path) -> subprocess.Popen[str]:
    variables = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "accelmnist", *LINE.split(), "--out", str(folder), "--quiet"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=os.environ | variables, text=True, **pipes)  # type: ignore[call-overload]


@pytest.mark.slow
def test_a_killed_rank_s_training_is_done_by_the_other_and_all_are_the_same(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    first, second = (started(rank, port, tmp_path / "ranks") for rank in range(2))
    while first.poll() is None:
        with suppress(AccelmnistError):
            if any(one.rank == 1 and one.trainings for one in load_sweep(tmp_path / "ranks").ranks):
                break
        time.sleep(0.05)
    second.kill()
    out, err = first.communicate(timeout=240)
    second.communicate()
    assert first.returncode == 0, err
    assert out.startswith("PASS")
    record = load_sweep(tmp_path / "ranks")
    assert [note for note in record.notes if note.startswith("rank 1 of 2") and "has ended" in note]
    assert trainings_done(record) == 16
    assert trainings_of(record) == trainings_of(swept(record.config)[0])
