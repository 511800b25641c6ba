"""Whether a network fits into memory, asked before it is made.

On most systems an allocation on the CPU never fails: memory is promised, and the process is killed when it is used. So
the need is estimated from the shapes and held against what is free.
"""

from __future__ import annotations

from accelmnist.config import RunConfig
from accelmnist.device import Device, free_memory_bytes
from accelmnist.errors import DeviceError
from accelmnist.step.rules import SLOTS

_FLOAT32, _FLOAT64 = 4, 8


def training_bytes(config: RunConfig, *, element: int = _FLOAT32) -> int:
    """Bytes that training takes at least: weights, gradients, optimizer's state, and a batch's activations twice."""
    copies = 2 + len(SLOTS[config.training.optimizer])
    activations = 2 * config.training.batch_size * sum(config.model.sizes)
    return element * (config.model.parameters * copies + activations)


def require_memory(config: RunConfig, device: Device, *, checked: bool = True) -> None:
    """Raise DeviceError where `config` can't be trained on `device`, or where `checked`, judged on the host."""
    training, checking = training_bytes(config), training_bytes(config, element=_FLOAT64) if checked else 0
    if device.kind == "cpu":
        _require(config, training + checking, free_memory_bytes(device), "this machine")
    else:
        _require(config, training, free_memory_bytes(device), str(device))
        _require(config, checking, free_memory_bytes(None), "this machine")


def _require(config: RunConfig, need: int, free: int | None, place: str) -> None:
    if free is not None and need > free:
        raise DeviceError(
            f"{config.model} takes about {need / 1e9:.1f} GB to train and check; {place} has {free / 1e9:.1f} GB free",
            remedy="Try a smaller --hidden or --batch-size",
        )
