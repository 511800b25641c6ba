"""The images on the device: one copy, uint8, uploaded once; a batch is an index into it.

Bytes are kept because they are a quarter of the float32 size (47 MB for the training set) and a gather of bytes costs a
quarter of the traffic; a step scales its batch itself. Labels are int64, the type that torch's losses take.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accelmnist.data.types import ImageSet
from accelmnist.device import Device, memory_errors

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class DeviceSet:
    """Images (n, 784) uint8 and labels (n,) int64 on one device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


def upload(images: ImageSet, device: Device) -> DeviceSet:
    """Copy a host set to `device`; raises DeviceError when it doesn't fit. On the CPU they share the host's memory."""
    import torch

    with memory_errors(device, "Free memory there, or choose another --device"):
        return DeviceSet(
            images=torch.from_numpy(images.images).to(device.torch_device),
            labels=torch.from_numpy(images.labels).to(device.torch_device),
        )
