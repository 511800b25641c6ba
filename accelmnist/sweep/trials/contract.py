"""What is trained, on which images, and what comes of it: the same whether trials run in a pool, a batch or in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from accelmnist.core.config import RunConfig
from accelmnist.core.errors import AccelmnistError
from accelmnist.core.records import EpochFigures
from accelmnist.data.on_device import DeviceSet, upload
from accelmnist.data.types import ImageSet
from accelmnist.device import Device
from accelmnist.engines.model import MLP

OnEpoch = Callable[[str, EpochFigures], None]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training. `key` names it among the others; `config` tells its device and engine by name, never `auto`."""

    key: str
    config: RunConfig


@dataclass(frozen=True)
class TrialData:
    """The images that train every trial, and those whose accuracy each epoch tells, if any; both on the host."""

    training: ImageSet
    probe: ImageSet | None


@dataclass(frozen=True)
class DeviceData:
    """`TrialData` on the device: one copy for all trials, which only read it."""

    training: DeviceSet
    probe: DeviceSet | None


def upload_trial_data(data: TrialData, device: Device) -> DeviceData:
    """Copy both sets to `device`, once; raises DeviceError where they don't fit."""
    return DeviceData(upload(data.training, device), None if data.probe is None else upload(data.probe, device))


@dataclass(frozen=True)
class TrialResult:
    """What a trial gave: the trained network on its device, and the loss of every step (steps,) float32 on the host.

    `train_s` is the time of its epochs, which trials beside it share. With an `error`, one line that says why the
    trial ended early, there is no model, and the rest is what was there before.
    """

    key: str
    model: MLP | None
    epochs: tuple[EpochFigures, ...]
    losses: Tensor
    train_s: float
    error: str | None
    cause: AccelmnistError | None = None  # the exception behind `error`, with its remedy
