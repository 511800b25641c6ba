"""A whole training step as one function of tensors: gather, scale, forward, gradient, update.

Nothing in it depends on a value, allocates state or waits for the host, so that a compiler sees one graph and a CUDA
graph can capture it. `advance` is pure, for a loop inside compiled code; a call changes the weights and the optimizer's
state in place.

The gradient at the logits is written down, (output - target) / batch for all three outputs (see `model`); from there
on autograd's rules carry it back. Eager training leaves all of it to autograd, so the two check each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from accelmnist.engines.contract import Job, State
from accelmnist.engines.model import scale_images
from accelmnist.engines.step.functional_update import FunctionalUpdate
from accelmnist.engines.step.loss import loss_with_gradient, training_network
from accelmnist.engines.step.scaled_update import LossScale, next_scale
from accelmnist.engines.step.state import export_state, import_state


class FunctionalStep:
    """The step of one job; an instance is called once a step. It owns the optimizer's state and the loss scale."""

    def __init__(self, job: Job) -> None:
        self.data = job.data
        self.network = training_network(job.config, job.device)
        self.loss = loss_with_gradient(job.config, job.device)
        self.names = [name for name, _ in job.model.named_parameters()]
        self.parameters = [parameter.detach() for parameter in job.model.parameters()]
        self.update = FunctionalUpdate(self.parameters, job.config.training)
        is_scaled = job.config.execution.precision == "fp16"
        self.loss_scale = LossScale(job.device.torch_device) if is_scaled else None

    def __call__(self, index: Tensor, learning_rate: Tensor, dropout_seed: Tensor) -> Tensor:
        """One step in place on the images at `index` (batch,); returns the loss, a float32 scalar on the device."""
        tensors = self.tensors()
        loss, after = self.advance(tensors, self.corrections(tensors), index, learning_rate, dropout_seed)
        for stored, value in zip(tensors, after, strict=True):
            stored.copy_(value)
        return loss

    def corrections(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The bias corrections of the update from `tensors`: see `functional_update`."""
        return self.update.corrections(tensors[len(self.update.tensors()) - 1])

    def advance(
        self,
        tensors: Sequence[Tensor],
        corrections: Sequence[Tensor],
        index: Tensor,
        learning_rate: Tensor,
        dropout_seed: Tensor,
        *,
        weight_decay: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """The loss of a step from `tensors`, which are in the order of `tensors()`, and their new values.

        `weight_decay` replaces the configuration's: a number of its own for each of many networks.
        """
        updated = tensors[: len(self.update.tensors())]
        if self.loss_scale is None:
            loss, gradients = self._gradients(tensors, index, dropout_seed, None)
            return loss, self.update.advance(updated, gradients, learning_rate, corrections, weight_decay=weight_decay)
        scale, good_steps = tensors[len(updated) :]
        loss, scaled = self._gradients(tensors, index, dropout_seed, scale)
        gradients = [gradient / scale for gradient in scaled]
        finite = self.loss_scale.are_finite(gradients)
        after = self.update.advance(
            updated, gradients, learning_rate, corrections, keep=finite, weight_decay=weight_decay
        )
        return loss, [*after, *next_scale(scale, good_steps, finite)]

    def _gradients(
        self, tensors: Sequence[Tensor], index: Tensor, seed: Tensor, scale: Tensor | None
    ) -> tuple[Tensor, Sequence[Tensor]]:
        inputs, labels = scale_images(self.data.images.index_select(0, index)), self.data.labels.index_select(0, index)
        logits, carry_back = torch.func.vjp(  # type: ignore[misc]  # a third value comes with has_aux alone
            lambda *parameters: self.network(parameters, inputs, seed), *tensors[: len(self.parameters)]
        )
        loss, gradient = self.loss(logits, labels)
        if scale is not None:
            gradient = gradient * scale  # before it is narrowed to 16 bits: that is what the scale is for
        return loss, carry_back(gradient.to(logits.dtype))

    def _scalars(self) -> dict[str, Tensor]:
        return {"count": self.update.count, **(self.loss_scale.scalars if self.loss_scale else {})}

    def tensors(self) -> list[Tensor]:
        """Everything that a step changes, so that a warm-up can be undone."""
        return [*self.update.tensors(), *(self.loss_scale.scalars.values() if self.loss_scale else ())]

    def state(self) -> State:
        """The optimizer's state and the loss scale under their common names, as copies on the host."""
        return export_state(self.names, self.update.slots, self._scalars())

    def load_state(self, state: State) -> None:
        """Copy in a state that `state()` of any engine returned."""
        import_state(state, self.names, self.update.slots, self._scalars())
