"""A whole training step as one function of tensors: gather, scale, forward, gradient, update.

Nothing in it depends on a value, allocates state or waits for the host, so that a compiler sees one graph and a CUDA
graph can capture it. `advance` is pure, for a loop inside compiled code; a call changes the weights and the optimizer's
state in place.

The gradient at the logits is written down, (output - target) / batch for all three outputs (see `model`); from there
on autograd's rules carry it back. Eager training leaves all of it to autograd, so the two check each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from accelmnist.core.config import TrainingConfig
from accelmnist.engines.contract import Job
from accelmnist.engines.model import scale_images
from accelmnist.engines.step.device_runner import StepState
from accelmnist.engines.step.loss import loss_with_gradient, training_network
from accelmnist.engines.step.rules import BETA1, BETA2, EPSILON, SLOTS
from accelmnist.engines.step.torch_update import LossScale, next_scale

Row = tuple[Tensor, ...]  # a parameter, then one tensor a slot
Decay = float | Tensor


class FunctionalStep:
    """The step of one job; an instance is called once a step. `kept` is what it changes."""

    def __init__(self, job: Job) -> None:
        self.data = job.data
        self.network = training_network(job.config, job.device)
        self.loss = loss_with_gradient(job.config, job.device)
        self.update = FunctionalUpdate(job.config.training)
        self.loss_scale = LossScale.of_job(job)
        self.kept = StepState.fresh(job, **(self.loss_scale.scalars if self.loss_scale else {}))
        self.parameters = self.kept.parameters
        self._updated = len(self.parameters) * (1 + len(self.kept.slots)) + 1  # tensors, up to the count

    def __call__(self, index: Tensor, learning_rate: Tensor, dropout_seed: Tensor) -> Tensor:
        """One step in place on the images at `index` (batch,); returns the loss, a float32 scalar on the device."""
        tensors = self.tensors()
        loss, after = self.advance(tensors, self.corrections(tensors), index, learning_rate, dropout_seed)
        for stored, value in zip(tensors, after, strict=True):
            stored.copy_(value)
        return loss

    def corrections(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The bias corrections of the update from `tensors`: see `FunctionalUpdate`."""
        return self.update.corrections(tensors[self._updated - 1])

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
        updated = tensors[: self._updated]
        if self.loss_scale is None:
            loss, gradients = self.gradients(tensors, index, dropout_seed, None)
            return loss, self.update.advance(updated, gradients, learning_rate, corrections, weight_decay=weight_decay)
        scale, good_steps = tensors[len(updated) :]
        loss, scaled = self.gradients(tensors, index, dropout_seed, scale)
        gradients = [gradient / scale for gradient in scaled]
        finite = self.loss_scale.are_finite(gradients)
        after = self.update.advance(
            updated, gradients, learning_rate, corrections, keep=finite, weight_decay=weight_decay
        )
        return loss, [*after, *next_scale(scale, good_steps, finite)]

    def gradients(
        self, tensors: Sequence[Tensor], index: Tensor, seed: Tensor, scale: Tensor | None, first: int = 0
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """The loss of the images at `index`, a batch from row `first` on, and its gradients times `scale`."""
        inputs, labels = scale_images(self.data.images.index_select(0, index)), self.data.labels.index_select(0, index)
        logits, carry_back = torch.func.vjp(  # type: ignore[misc]  # a third value comes with has_aux alone
            lambda *parameters: self.network(parameters, inputs, seed, first), *tensors[: len(self.parameters)]
        )
        loss, gradient = self.loss(logits, labels)
        if scale is not None:
            gradient = gradient * scale  # before it is narrowed to 16 bits: that is what the scale is for
        return loss, carry_back(gradient.to(logits.dtype))

    def tensors(self) -> list[Tensor]:
        """Everything that a step changes, in order."""
        return self.kept.tensors()


class FunctionalUpdate:
    """The optimizer of `config` as a pure function of tensors, without a branch that depends on a tensor's value.

    It is our own form of torch's rules: a test compares the two, and a checkpoint of one resumes in the other. The
    learning rate is a tensor: a Python float would be a constant of compiled code and recompile it every step.

    Adam's bias corrections, 1 / (1 - beta1^t) and 1 / sqrt(1 - beta2^t), are arguments, so that a compiled loop can
    compute them one step ahead. If they are computed at their use, the compiler puts the two powers into its loop over
    the weights, once for every eight of them: a sixth of a step of 784-256-10 on a CPU with AVX2.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self._is_adam = "exp_avg" in SLOTS[config.optimizer]
        self._rule = self._adam if self._is_adam else self._sgd

    def corrections(self, count: Tensor) -> tuple[Tensor, ...]:
        """Adam's factors of the mean and of the square's root in the update after `count` others; empty for SGD."""
        return bias_corrections(count) if self._is_adam else ()

    def advance(
        self,
        tensors: Sequence[Tensor],
        gradients: Sequence[Tensor],
        learning_rate: Tensor,
        corrections: Sequence[Tensor],
        *,
        keep: Tensor | None = None,
        weight_decay: Tensor | None = None,
    ) -> list[Tensor]:
        """The values after one update of `tensors`: the parameters, the slots one after the other, and the count.

        `count` is a float32 scalar on the device. If `keep` (scalar bool) is false nothing changes: a step that fp16
        leaves out. `weight_decay` as a tensor is data.
        """
        decay = self.config.weight_decay if weight_decay is None else weight_decay
        size = len(gradients)
        columns = [tensors[start : start + size] for start in range(0, len(tensors) - 1, size)]
        rows = [
            self._rule(row, gradient, learning_rate, corrections, decay)
            for row, gradient in zip(zip(*columns, strict=True), gradients, strict=True)
        ]
        after = [tensor for column in zip(*rows, strict=True) for tensor in column] + [tensors[-1] + 1]
        if keep is None:
            return after
        return [torch.where(keep, new, old) for new, old in zip(after, tensors, strict=True)]

    def _sgd(self, row: Row, gradient: Tensor, rate: Tensor, corrections: Sequence[Tensor], decay: Decay) -> Row:  # noqa: ARG002
        weight, *stored = row
        gradient = gradient + decay * weight if _is_decayed(decay) else gradient
        if not stored:
            return (weight - rate * gradient,)
        velocity = self.config.momentum * stored[0] + gradient
        change = gradient + self.config.momentum * velocity if self.config.nesterov else velocity
        return weight - rate * change, velocity

    def _adam(self, row: Row, gradient: Tensor, rate: Tensor, corrections: Sequence[Tensor], decay: Decay) -> Row:
        weight, stored_mean, stored_square = row
        if _is_decayed(decay) and self.config.optimizer == "adam":
            gradient = gradient + decay * weight
        elif _is_decayed(decay):
            weight = weight * (1 - rate * decay)
        mean = torch.lerp(stored_mean, gradient, 1 - BETA1)
        square = BETA2 * stored_square + (1 - BETA2) * gradient * gradient
        mean_correction, root_correction = corrections
        change = (rate * mean_correction) * mean / (square.sqrt() * root_correction + EPSILON)
        return weight - change, mean, square


def _is_decayed(decay: Decay) -> bool:
    """Whether weights decay: a number 0 is left out; a tensor is never read."""
    return isinstance(decay, Tensor) or decay != 0


def bias_corrections(count: Tensor) -> tuple[Tensor, Tensor]:
    """1 / (1 - beta1^t) and 1 / sqrt(1 - beta2^t) of the update t that follows `count` others; scalars."""
    following = count + 1
    # expm1 keeps the digits that 1 - beta^t loses in float32 while t is small
    return -1 / torch.expm1(following * math.log(BETA1)), torch.rsqrt(-torch.expm1(following * math.log(BETA2)))
