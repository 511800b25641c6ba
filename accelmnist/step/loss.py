"""The loss of a batch of scaled inputs, in the run's precision and with dropout: where every engine in torch starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from accelmnist.config import RunConfig
from accelmnist.device import Device, autocast
from accelmnist.model import ACTIVATION_FUNCTIONS, batch_loss, forward
from accelmnist.step.dropout import drop

TrainingLoss = Callable[[Sequence[Tensor], Tensor, Tensor, Tensor], Tensor]


def training_loss(config: RunConfig, device: Device) -> TrainingLoss:
    """The function (parameters, inputs (batch, 784), labels (batch,), dropout seed) -> loss, a scalar.

    What depends on the configuration is chosen here, before the loop.
    """
    activation = ACTIVATION_FUNCTIONS[config.model.activation]
    probability, precision = config.model.dropout, config.execution.precision
    loss_of = batch_loss(
        config.model.output, label_smoothing=config.training.label_smoothing, device=device.torch_device
    )

    def loss(parameters: Sequence[Tensor], inputs: Tensor, labels: Tensor, seed: Tensor) -> Tensor:
        def drop_hidden(values: Tensor, layer: int) -> Tensor:
            return drop(values, probability, seed=seed, layer=layer)

        with autocast(device, precision):
            logits = forward(parameters, inputs, activation=activation, drop=drop_hidden if probability else None)
        return loss_of(logits, labels)

    return loss
