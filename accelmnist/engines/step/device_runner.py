"""A runner whose steps are torch's work: here alone the plan of an epoch goes to the device, in tensors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from accelmnist.device import Device
from accelmnist.engines.contract import Runner, State
from accelmnist.engines.plan import Epoch, HostEpoch

DeviceEpoch = Epoch[Tensor]


class StateKeeper(Protocol):
    """Who owns the optimizer's state under its common names; see `Runner`."""

    def state(self) -> State:
        """The state, as copies on the host."""

    def load_state(self, state: State) -> None:
        """Copy in a state that any engine returned."""


def device_runner(train_epoch: Callable[[DeviceEpoch], Tensor], keeper: StateKeeper, device: Device) -> Runner:
    """The runner whose epochs are `train_epoch`'s, of plans on `device`, and whose state is the `keeper`'s."""
    upload = partial(upload_epoch, device=device)
    return Runner(train_epoch, keeper.state, keeper.load_state, upload, download=lambda losses: losses.cpu().numpy())


def upload_epoch(epoch: HostEpoch, device: Device) -> DeviceEpoch:
    """The plan in torch's tensors on `device`; on the CPU they share the arrays' memory."""
    return epoch.map(lambda part: torch.from_numpy(part).to(device.torch_device))
