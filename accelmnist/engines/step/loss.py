"""Logits and loss of a batch in the run's precision and with dropout, for every engine in torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from accelmnist.core.config import RunConfig
from accelmnist.device import Device, autocast
from accelmnist.engines.model import ACTIVATION_FUNCTIONS, apply_output, batch_loss, forward, image_losses, target_table
from accelmnist.engines.step.dropout import drop

TrainingNetwork = Callable[[Sequence[Tensor], Tensor, Tensor], Tensor]
TrainingLoss = Callable[[Sequence[Tensor], Tensor, Tensor, Tensor], Tensor]
LossWithGradient = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def training_network(config: RunConfig, device: Device) -> TrainingNetwork:
    """The function (parameters, inputs (batch, 784), dropout seed) -> logits (batch, 10).

    All that depends on the configuration is chosen here, before the loop.
    """
    activation = ACTIVATION_FUNCTIONS[config.model.activation]
    probability, precision = config.model.dropout, config.execution.precision

    def logits(parameters: Sequence[Tensor], inputs: Tensor, seed: Tensor) -> Tensor:
        def drop_hidden(values: Tensor, layer: int) -> Tensor:
            return drop(values, probability, seed=seed, layer=layer)

        with autocast(device, precision):
            return forward(parameters, inputs, activation=activation, drop=drop_hidden if probability else None)

    return logits


def training_loss(config: RunConfig, device: Device) -> TrainingLoss:
    """The function (parameters, inputs (batch, 784), labels (batch,), dropout seed) -> loss, a scalar."""
    network = training_network(config, device)
    loss_of = batch_loss(
        config.model.output, label_smoothing=config.training.label_smoothing, device=device.torch_device
    )

    def loss(parameters: Sequence[Tensor], inputs: Tensor, labels: Tensor, seed: Tensor) -> Tensor:
        return loss_of(network(parameters, inputs, seed), labels)

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
