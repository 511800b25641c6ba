"""Which trials train in which way: over the cores of the CPU where the engine allows it, else one after the other.

A pool of threads pays where an epoch is one call without Python's lock. Any other engine runs its trials in turn, each
with all of torch's threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from accelmnist.config import check_fits
from accelmnist.device import Device
from accelmnist.trials.alone import train_alone
from accelmnist.trials.contract import DeviceData, OnEpoch, Trial, TrialData, TrialResult, upload_trial_data
from accelmnist.trials.pool import train_in_pool

_POOLED = "fused"  # the engine whose epoch is one native call, without Python's lock


def train_trials(
    trials: Sequence[Trial],
    data: TrialData,
    device: Device,
    *,
    workers: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_epoch: OnEpoch = lambda *_: None,
) -> Iterator[TrialResult]:
    """Train all `trials` on `device` and yield their results as they finish; each is as it would be alone.

    A trial that diverges or lacks memory is a result with an error. `workers` trials train side by side in the pool,
    where None takes as many as torch has threads. When `should_stop` says so, the trials under way are the last ones.
    `on_epoch` is told the key and the figures of every epoch, in the thread that asks for the results.

    Raises ConfigError for a batch larger than the set, and DeviceError where the images don't fit on the device.
    """
    _check(trials, len(data.training))
    on_device = upload_trial_data(data, device)
    pooled = [trial for trial in trials if _fits_pool(trial, device)]
    others = [trial for trial in trials if not _fits_pool(trial, device)]
    if pooled:
        yield from train_in_pool(pooled, on_device, device, workers=workers, should_stop=should_stop, on_epoch=on_epoch)
    yield from _in_turn(others, on_device, device, should_stop=should_stop, on_epoch=on_epoch)


def _fits_pool(trial: Trial, device: Device) -> bool:
    return device.kind == "cpu" and trial.config.execution.engine == _POOLED


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
