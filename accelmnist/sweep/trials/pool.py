"""Trials over the cores of a CPU: a pool of threads, each with one trial and one thread of arithmetic.

One thread of arithmetic a trial, whatever the number of trials and workers: so a trial's weights depend on nothing but
the trial, to the bit, and no trial waits for another one's threads. Where there are fewer trials than cores, some cores
have nothing to do.

Workers only send messages; what the caller gave is called in the caller's own thread, and so needs no lock. torch's
number of threads belongs to a thread, but a thread that starts takes the number that was set last anywhere: it is set
back at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event

import torch

from accelmnist.core.records import EpochFigures
from accelmnist.device import Device, free_memory_bytes
from accelmnist.engines.step.memory import training_bytes
from accelmnist.sweep.trials.alone import AbandonedError, train_alone
from accelmnist.sweep.trials.contract import DeviceData, OnEpoch, Trial, TrialResult

Message = tuple[str, EpochFigures] | TrialResult | BaseException


def train_in_pool(
    trials: Sequence[Trial],
    data: DeviceData,
    device: Device,
    *,
    workers: int | None,
    should_stop: Callable[[], bool],
    on_epoch: OnEpoch,
) -> Iterator[TrialResult]:
    """Train `trials` side by side and yield their results as they finish.

    A trial starts when another has finished, so that there are never more than two networks a worker in memory. When
    this generator is closed, or interrupted, what is under way ends with its epoch.
    """
    count = min(len(trials), workers or useful_workers(trials, device))
    waiting, told, running = iter(trials), SimpleQueue[Message](), 0
    with _threads_of_one(count) as (pool, given_up):

        def start_next() -> int:
            trial = None if should_stop() else next(waiting, None)
            if trial is not None:
                pool.submit(_work, trial, data, device, told, given_up)
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
                on_epoch(*message)


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


def _work(trial: Trial, data: DeviceData, device: Device, told: SimpleQueue[Message], given_up: Event) -> None:
    def tell_epoch(key: str, figures: EpochFigures) -> None:
        told.put((key, figures))

    try:
        told.put(train_alone(trial, data, device, on_epoch=tell_epoch, is_abandoned=given_up.is_set))
    except AbandonedError:
        pass
    except BaseException as error:
        told.put(error)
