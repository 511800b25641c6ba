"""Which trials train in which way, by the device: as one graph on a GPU, on a CPU over its cores or in turn.

A pool of threads pays where an epoch is one call without Python's lock, and for operations one by one as well: each
leaves the lock while it computes, and a small one gains little by a second thread, or on a busy machine loses by it.
What compiles runs its trials in turn, each with all of torch's threads: torch's compiler is no place for many threads.
The graph of a GPU stands in for every engine; what it can't do, augmenting and averaging, trains in turn there too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from accelmnist.core.config import RunConfig, check_fits
from accelmnist.device import Device
from accelmnist.sweep.trials.alone import train_alone
from accelmnist.sweep.trials.batched import train_in_batches
from accelmnist.sweep.trials.contract import DeviceData, OnEpoch, Trial, TrialData, TrialResult, upload_trial_data
from accelmnist.sweep.trials.pool import train_in_pool, useful_workers

_POOLED = ("eager", "fused")


def train_trials(
    trials: Sequence[Trial],
    data: TrialData,
    device: Device,
    *,
    workers: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_epoch: OnEpoch = lambda *_: None,
) -> Iterator[TrialResult]:
    """Train all `trials` on `device` and yield their results as they finish.

    Each is as it would be alone: to the bit on the CPU (with one thread, where trials run side by side), within
    rounding as part of a GPU's graph.

    A trial that diverges or lacks memory is a result with an error. `workers` trials train side by side in the pool,
    where None takes as many as torch has threads. When `should_stop` says so, the trials under way are the last ones.
    `on_epoch` is told the key and the figures of every epoch, in the thread that asks for the results.

    Raises ConfigError for a batch larger than the set, and DeviceError where the images don't fit on the device.
    """
    _check(trials, len(data.training))
    on_device = upload_trial_data(data, device)
    together = [trial for trial in trials if is_together(trial.config, device)]
    others = [trial for trial in trials if not is_together(trial.config, device)]
    if together and device.kind == "cpu":
        yield from train_in_pool(
            together, on_device, device, workers=workers, should_stop=should_stop, on_epoch=on_epoch
        )
    elif together:
        yield from train_in_batches(together, on_device, device, should_stop=should_stop, on_epoch=on_epoch)
    yield from _in_turn(others, on_device, device, should_stop=should_stop, on_epoch=on_epoch)


def way_of(config: RunConfig, device: Device, *, count: int) -> str:
    """How `count` trials of `config` on `device` are trained together, in words."""
    if not is_together(config, device):
        why = f"{config.execution.engine} takes all threads" if device.kind == "cpu" else "each has images of its own"
        return f"one after the other: {why}"
    if device.kind != "cpu":
        return "as one graph: batched products, rates and orders of their own"
    trial = Trial(key="", config=config)
    workers = useful_workers([trial] * count, device)
    return f"{workers} at a time, with one thread each" if workers > 1 else "one after the other, with one thread"


def is_together(config: RunConfig, device: Device) -> bool:
    """Whether trials of `config` train side by side on `device`, and not one after the other by their engine."""
    if device.kind == "cpu":
        return config.execution.engine in _POOLED
    return config.training.augment == "none" and config.training.averaging == 0.0


def _check(trials: Sequence[Trial], images: int) -> None:
    assert len({trial.key for trial in trials}) == len(trials), "every trial has a key of its own"
    for trial in trials:
        check_fits(trial.config, training_images=images + trial.config.data.validation)


def _in_turn(
    trials: Sequence[Trial],
    data: DeviceData,
    device: Device,
    *,
    should_stop: Callable[[], bool],
    on_epoch: OnEpoch,
) -> Iterator[TrialResult]:
    for trial in trials:
        if should_stop():
            return
        yield train_alone(trial, data, device, on_epoch=on_epoch, is_abandoned=lambda: False)
