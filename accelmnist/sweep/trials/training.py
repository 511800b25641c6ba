"""Which trials train in which way, by the device: as one graph on a GPU, on a CPU over its cores or in turn.

A pool of threads pays where an epoch is one call without Python's lock, and for operations one by one as well: each
leaves the lock while it computes, and a small one gains little by a second thread, or on a busy machine loses by it.
What compiles runs its trials in turn, each with all of torch's threads: torch's compiler is no place for many threads.
The graph of a GPU stands in for every engine; what it can't do, augmenting and averaging, trains in turn there too.
Ranks, if there are several, do the same each on its own device, but for the graph: see `dealt`.

A trial of the pool has one thread of arithmetic, whatever the number of trials and workers: so a trial's weights depend
on nothing but the trial, to the bit, and no trial waits for another one's threads. Where there are fewer trials than
cores, some cores have nothing to do. Workers only send messages; what the caller gave is called in the caller's own
thread, and so needs no lock. torch's number of threads belongs to a thread, but a thread that starts takes the number
that was set last anywhere: it is set back at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from queue import SimpleQueue
from threading import Event

import torch

from accelmnist.core.config import RunConfig, check_fits
from accelmnist.core.engine_file import label_of
from accelmnist.core.records import EpochFigures
from accelmnist.data.types import ImageSet, upload
from accelmnist.device import Device, free_memory_bytes
from accelmnist.device.ranks import Ranks
from accelmnist.engines.step.rules import training_bytes
from accelmnist.sweep.trials.batched import train_in_batches
from accelmnist.sweep.trials.dealt import Dealer, hashes_of, serve
from accelmnist.sweep.trials.trial import Shared, Trial, TrialResult, train_alone
from accelmnist.training.reference.audit import Audit

Message = tuple[str, EpochFigures] | TrialResult | BaseException

_POOLED = ("eager", "fused")


def train_trials(
    trials: Sequence[Trial],
    training: ImageSet,
    probe: ImageSet | None,
    device: Device,
    *,
    workers: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_epoch: Callable[[str, EpochFigures], None] = lambda *_: None,
    audit: Callable[[Trial], Audit | None] = lambda _trial: None,
    dealer: Dealer | None = None,
) -> Iterator[TrialResult]:
    """Train all `trials` on the images of `training` and yield their results as they finish; see `Shared`.

    Each is as it would be alone: to the bit on the CPU (with one thread, where trials run side by side), within
    rounding as part of a GPU's graph.

    A trial that diverges or lacks memory is a result with an error. `workers` trials train side by side in the pool,
    where None takes as many as torch has threads. `on_epoch` is called in the thread that asks for the results. A
    `dealer` shares them out to several ranks, of which this is the first.

    Raises ConfigError for a batch larger than the set, and DeviceError where the images don't fit on the device.
    """
    assert len({trial.key for trial in trials}) == len(trials), "every trial has a key of its own"
    for trial in trials:
        check_fits(trial.config, training_images=len(training) + trial.config.data.validation)
    shared = Shared(
        device=device,
        training=upload(training, device),
        probe=None if probe is None else upload(probe, device),
        should_stop=should_stop,
        on_epoch=on_epoch,
        audit=audit,
    )
    together, others = list[Trial](), list[Trial]()
    for trial in trials:
        is_one = is_together(trial.config, device, is_shared=dealer is not None)
        (together if is_one else others).append(trial)
    for same in filter(None, (together, others)):
        if dealer is not None:
            assert probe is not None, "each rank has one"
            yield from dealer.train(same, shared, hashes_of(training, probe), train_part, workers=workers)
        elif same is others:
            yield from train_in_turn(same, shared)
        elif device.kind == "cpu":
            yield from train_in_pool(same, iter(same), shared, workers=workers)
        else:
            yield from train_in_batches(same, shared)


def train_part(
    trials: Sequence[Trial], taken: Iterator[Trial], shared: Shared, workers: int | None
) -> Iterator[TrialResult]:
    """Train what this rank has `taken` of `trials`, which all train in one way, and yield the results."""
    if is_together(trials[0].config, shared.device, is_shared=True):
        return train_in_pool(trials, taken, shared, workers=workers)
    return train_in_turn(taken, shared)


def serve_trainings(ranks: Ranks, device_of: Callable[[RunConfig], Device]) -> None:
    """Do, as a rank that is not the first, what that deals out until it has ended; see `dealt.serve`."""
    serve(ranks, device_of, train_part)


def way_of(config: RunConfig, device: Device, *, count: int, ranks: int = 1) -> str:
    """How `count` trials of `config` on `device` are trained together, in words."""
    each = f" on each of {ranks} ranks" if ranks > 1 else ""
    if not is_together(config, device, is_shared=ranks > 1):
        why = "each takes its device" if ranks > 1 else "each has images of its own"
        why = f"{label_of(config.execution.engine)} takes all threads" if device.kind == "cpu" else why
        return f"one after the other{each}: {why}"
    if device.kind != "cpu":
        return "as one graph: batched products, rates and orders of their own"
    workers = at_once([Trial(key="", config=config)] * count, device)
    if workers > 1:
        return f"{workers} at a time{each}, with one thread each"
    return f"one after the other{each}, with one thread"


def is_together(config: RunConfig, device: Device, *, is_shared: bool = False) -> bool:
    """Whether trials of `config` train side by side on `device`, and not one after the other by their engine.

    Where ranks share them, each has its device for itself.
    """
    if device.kind == "cpu":
        return config.execution.engine in _POOLED
    return not is_shared and config.training.augment == "none" and config.training.averaging == 0.0


def train_in_turn(taken: Iterable[Trial], shared: Shared) -> Iterator[TrialResult]:
    """One after the other, each by its own engine with all threads; the one that is under way ends."""
    for trial in taken:
        if shared.should_stop():
            return
        yield train_alone(trial, shared)


def at_once(trials: Sequence[Trial], device: Device, *, is_shared: bool = False) -> int:
    """How many of `trials`, of one kind, train at the same time on `device`; those of a GPU's graph all do."""
    if not is_together(trials[0].config, device, is_shared=is_shared):
        return 1
    return useful_workers(trials, device) if device.kind == "cpu" else len(trials)


# --- the pool


def train_in_pool(
    trials: Sequence[Trial], waiting: Iterator[Trial], shared: Shared, *, workers: int | None
) -> Iterator[TrialResult]:
    """Train those of `trials` that are `waiting` side by side and yield their results as they finish.

    A trial starts when another has finished, so that there are never more than two networks a worker in memory. When
    this generator is closed, or interrupted, what is under way ends with its epoch.
    """
    count = min(len(trials), workers or useful_workers(trials, shared.device))
    told = SimpleQueue[Message]()
    with _threads_of_one(count) as (pool, given_up):

        def start_next() -> int:
            trial = None if shared.should_stop() else next(waiting, None)
            if trial is not None:
                pool.submit(_work, _on_one_thread(trial), shared, told, given_up)
            return 0 if trial is None else 1

        running = sum(start_next() for _ in range(count))
        while running:
            message = told.get()
            if isinstance(message, BaseException):
                raise message
            if isinstance(message, TrialResult):
                running += start_next() - 1
                yield message
            else:
                shared.on_epoch(*message)


def useful_workers(trials: Sequence[Trial], device: Device) -> int:
    """As many as torch has threads, and as fit into half of the memory: a worker's last network may still be there."""
    largest = max(training_bytes(trial.config) for trial in trials)
    free = free_memory_bytes(device)
    fitting = torch.get_num_threads() if free is None else free // 2 // largest
    return max(1, min(len(trials), torch.get_num_threads(), fitting))


@contextmanager
def _threads_of_one(count: int) -> Iterator[tuple[ThreadPoolExecutor, Event]]:
    """`count` threads for which torch has one thread each, and the event that has them end with their epoch."""
    threads, given_up = torch.get_num_threads(), Event()
    pool = ThreadPoolExecutor(count, "trial", initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool, given_up
    finally:
        given_up.set()
        pool.shutdown()
        torch.set_num_threads(threads)


def _on_one_thread(trial: Trial) -> Trial:
    return replace(trial, config=replace(trial.config, execution=replace(trial.config.execution, threads=1)))


def _work(trial: Trial, shared: Shared, told: SimpleQueue[Message], given_up: Event) -> None:
    def tell_epoch(key: str, figures: EpochFigures) -> None:
        told.put((key, figures))
        if given_up.is_set():
            raise CancelledError  # nobody waits for the trial any more

    try:
        told.put(train_alone(trial, replace(shared, on_epoch=tell_epoch)))
    except BaseException as error:
        told.put(error)
