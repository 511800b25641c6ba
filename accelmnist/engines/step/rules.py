"""Constants of the update rules, the state that each keeps for every parameter, and the memory that training takes.

Rules: SGD with momentum and Nesterov (Sutskever et al. 2013, in torch's form), Adam (Kingma and Ba 2015), AdamW
(Loshchilov and Hutter 2019). Weight decay is L2 in the gradient except in AdamW, where it is decoupled.

Memory is checked before a network is made: on most systems an allocation on the CPU never fails, since memory is
promised, and the process is killed when it is used. So the need is estimated from the shapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from accelmnist.core.config import Optimizer, RunConfig
from accelmnist.core.errors import DeviceError

if TYPE_CHECKING:
    from accelmnist.device import Device

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

SLOTS: dict[Optimizer, tuple[str, ...]] = {
    "sgd": (),
    "sgd-momentum": ("momentum_buffer",),
    "adam": ("exp_avg", "exp_avg_sq"),
    "adamw": ("exp_avg", "exp_avg_sq"),
}

_FLOAT32, _FLOAT64 = 4, 8
_PROGRAM_BYTES = 400_000_000  # a run of any network ends with 0.6 GB, images and libraries; a third is there before it


def training_bytes(config: RunConfig, *, element: int = _FLOAT32) -> int:
    """The least bytes that training needs: weights, gradients, optimizer's state, and a batch's activations twice."""
    average = 2 if config.training.averaging else 0  # the average itself, and the weights that it stands in for
    copies = 2 + len(SLOTS[config.training.optimizer]) + average
    activations = 2 * config.training.batch_size * sum(config.model.sizes)
    return element * (config.model.parameters * copies + activations)


def require_memory(config: RunConfig, device: Device, *, checked: bool = True) -> None:
    """Raise DeviceError if `config` can't be trained on `device`, or if `checked`, can't be verified on the host."""
    from accelmnist.device import free_memory_bytes  # here: a record is read without torch

    training = training_bytes(config)
    checking = training_bytes(config, element=_FLOAT64) + _PROGRAM_BYTES if checked else 0
    work = f"{config.model} takes about {{:.1f}} GB to train" + (" and check" if checked else "")
    if device.kind == "cpu":
        _require(training + checking, free_memory_bytes(device), work, "this machine")
    else:
        _require(training, free_memory_bytes(device), work, str(device))
        _require(checking, free_memory_bytes(None), work, "this machine")


def _require(need: int, free: int | None, work: str, owner: str) -> None:
    if free is not None and need > free:
        raise DeviceError(
            f"{work.format(need / 1e9)}; {owner} has {free / 1e9:.1f} GB free",
            remedy="Try a smaller --hidden or --batch-size",
        )
