"""A whole training step as one function of tensors: gather, scale, forward, gradient, update.

Nothing in it depends on a value, allocates state or speaks to the host, so that a compiler sees one graph and a CUDA
graph can capture it. It changes the weights and the optimizer's state in place and returns the loss.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from accelmnist.model import scale_images
from accelmnist.step.contract import Job, State
from accelmnist.step.functional_update import FunctionalUpdate
from accelmnist.step.loss import training_loss
from accelmnist.step.loss_scale import LossScale
from accelmnist.step.state import export_state, import_state


class FunctionalStep:
    """The step of one job; an instance is called once a step. It owns the optimizer's state and the loss scale."""

    def __init__(self, job: Job) -> None:
        self.data = job.data
        self.loss = training_loss(job.config, job.device)
        self.names = [name for name, _ in job.model.named_parameters()]
        self.parameters = [parameter.detach() for parameter in job.model.parameters()]
        self.update = FunctionalUpdate(self.parameters, job.config.training)
        is_scaled = job.config.execution.precision == "fp16"
        self.loss_scale = LossScale(job.device.torch_device) if is_scaled else None

    def __call__(self, index: Tensor, learning_rate: Tensor, dropout_seed: Tensor) -> Tensor:
        """One step on the images at `index` (batch,); returns the loss, a float32 scalar on the device."""
        inputs, labels = scale_images(self.data.images[index]), self.data.labels[index]
        gradients, loss = self._gradients(inputs, labels, dropout_seed)
        if self.loss_scale is None:
            self.update(gradients, learning_rate)
            return loss
        gradients = [gradient / self.loss_scale.scale for gradient in gradients]
        finite = self.loss_scale.are_finite(gradients)
        self.update(gradients, learning_rate, keep=finite)
        self.loss_scale.update(finite)
        return loss

    def _gradients(self, inputs: Tensor, labels: Tensor, seed: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        def scaled_loss(parameters: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
            loss = self.loss(parameters, inputs, labels, seed)
            return (loss if self.loss_scale is None else loss * self.loss_scale.scale), loss

        gradients, loss = torch.func.grad(scaled_loss, has_aux=True)(tuple(self.parameters))
        return gradients, loss

    def _scalars(self) -> dict[str, Tensor]:
        return {"count": self.update.count, **(self.loss_scale.scalars if self.loss_scale else {})}

    def tensors(self) -> list[Tensor]:
        """Everything that a step changes, so that a warm-up can be undone."""
        slots = [tensor for slot in self.update.slots.values() for tensor in slot]
        return [*self.parameters, *slots, *self._scalars().values()]

    def state(self) -> State:
        """The optimizer's state and the loss scale under their common names, as copies on the host."""
        return export_state(self.names, self.update.slots, self._scalars())

    def load_state(self, state: State) -> None:
        """Take over a state that `state()` of any engine gave."""
        import_state(state, self.names, self.update.slots, self._scalars())
