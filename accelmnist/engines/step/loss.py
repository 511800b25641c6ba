"""Logits and loss of a batch in the run's precision and with dropout, for every engine in torch.

A device's own generator would make other dropout masks on every device, and no run could be compared with the CPU
reference. Here the mask is a hash of (seed of the step, layer, position): integer arithmetic, exact everywhere, and a
compiler fuses it into the layer. The hash is the two-round xor-multiply mixer "lowbias32" (C. Wellons, hash-prospector,
2018), in int64 cut to 32 bits because torch has no full set of operations on unsigned integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from accelmnist.core.config import RunConfig
from accelmnist.device import Device, autocast
from accelmnist.engines.model import ACTIVATION_FUNCTIONS, apply_output, batch_loss, forward, image_losses, target_table

_LOW_32 = 0xFFFFFFFF


def _mix(values: Tensor) -> Tensor:
    values = ((values ^ (values >> 16)) * 0x7FEB352D) & _LOW_32
    values = ((values ^ (values >> 15)) * 0x846CA68B) & _LOW_32
    return values ^ (values >> 16)


def drop(values: Tensor, probability: float, *, seed: Tensor, layer: int, first: int = 0) -> Tensor:
    """`values` (rows, units) with each element zeroed with `probability` and the rest scaled up to keep the mean.

    `seed` is the step's, a scalar int64 tensor on the device of `values`; `first` is the row of the batch that these
    begin with.
    """
    start = first * values.shape[-1]
    positions = torch.arange(start, start + values.numel(), device=values.device).view_as(values)
    stream = _mix((seed + layer * 0x9E3779B9) & _LOW_32)
    keep = _mix((positions ^ stream) & _LOW_32) >= int(probability * 2**32)
    return values * keep * (1 / (1 - probability))


TrainingNetwork = Callable[..., Tensor]
TrainingLoss = Callable[..., Tensor]
LossWithGradient = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def training_network(config: RunConfig, device: Device) -> TrainingNetwork:
    """The function (parameters, inputs (rows, 784), dropout seed, first row of the batch = 0) -> logits (rows, 10).

    All that depends on the configuration is chosen here, before the loop.
    """
    activation = ACTIVATION_FUNCTIONS[config.model.activation]
    probability, precision = config.model.dropout, config.execution.precision

    def logits(parameters: Sequence[Tensor], inputs: Tensor, seed: Tensor, first: int = 0) -> Tensor:
        def drop_hidden(values: Tensor, layer: int) -> Tensor:
            return drop(values, probability, seed=seed, layer=layer, first=first)

        with autocast(device, precision):
            return forward(parameters, inputs, activation=activation, drop=drop_hidden if probability else None)

    return logits


def training_loss(config: RunConfig, device: Device) -> TrainingLoss:
    """The function (parameters, inputs (rows, 784), labels (rows,), dropout seed, first row = 0) -> loss, a scalar."""
    network = training_network(config, device)
    loss_of = batch_loss(
        config.model.output, label_smoothing=config.training.label_smoothing, device=device.torch_device
    )

    def loss(parameters: Sequence[Tensor], inputs: Tensor, labels: Tensor, seed: Tensor, first: int = 0) -> Tensor:
        return loss_of(network(parameters, inputs, seed, first), labels)

    return loss


def loss_with_gradient(config: RunConfig, device: Device) -> LossWithGradient:
    """The function (logits (batch, 10), labels (batch,)) -> loss, a scalar, and its gradient at the logits (batch, 10).

    Both are float32, or float64 if the logits are.
    """
    output = config.model.output
    table = target_table(config.training.label_smoothing, device.torch_device)

    def loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        targets = table.to(wide.dtype).index_select(0, labels)
        gradient = (apply_output(wide, output) - targets) * (1 / len(labels))
        return image_losses(wide, targets, output).mean(), gradient

    return loss
