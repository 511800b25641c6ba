"""The update as a pure function of tensors: our own form of torch's rules, for engines that compile or capture a step.

The state is kept under the same names as torch's, so that a checkpoint of one engine resumes in another, and a test
compares the two forms. The learning rate is a tensor: a Python float would be a constant of compiled
code and recompile it every step.

Adam's bias corrections, 1 / (1 - beta1^t) and 1 / sqrt(1 - beta2^t), are arguments, so that a compiled loop can compute
them one step ahead. If they are computed at their use, the compiler puts the two powers into its loop over the weights,
once for every eight of them: a sixth of a step of 784-256-10 on a CPU with AVX2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from accelmnist.core.config import TrainingConfig
from accelmnist.engines.step.rules import BETA1, BETA2, EPSILON, SLOTS

Row = tuple[Tensor, ...]  # a parameter, then one tensor a slot
Decay = float | Tensor


class FunctionalUpdate:
    """The optimizer of `config`, without a branch that depends on a tensor's value.

    `slots` maps a slot's name to one tensor a parameter; `count` is the number of updates made, a scalar float32
    tensor on the device. `advance` returns new tensors, a call changes those that are kept here.
    """

    def __init__(self, parameters: Sequence[Tensor], config: TrainingConfig) -> None:
        self.parameters = parameters
        self.config = config
        self.slots = {name: [torch.zeros_like(p) for p in parameters] for name in SLOTS[config.optimizer]}
        self.count = torch.zeros((), device=parameters[0].device)
        self._is_adam = "exp_avg" in self.slots
        self._rule = self._adam if self._is_adam else self._sgd

    def tensors(self) -> list[Tensor]:
        """Everything that an update changes: the parameters, the slots one after the other, the count."""
        return [*self.parameters, *(tensor for slot in self.slots.values() for tensor in slot), self.count]

    def corrections(self, count: Tensor) -> tuple[Tensor, ...]:
        """Adam's factors of the mean and of the square's root in the update after `count` others; empty for SGD."""
        return bias_corrections(count) if self._is_adam else ()

    def __call__(self, gradients: Sequence[Tensor], learning_rate: Tensor, *, keep: Tensor | None = None) -> None:
        """One update in place; if `keep` (scalar bool) is false nothing changes: a step that fp16 leaves out."""
        tensors = self.tensors()
        after = self.advance(tensors, gradients, learning_rate, self.corrections(self.count), keep=keep)
        for stored, value in zip(tensors, after, strict=True):
            stored.copy_(value)

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
        """The values after one update of `tensors`, in the order of `tensors()`; `weight_decay` as a tensor is data."""
        decay = self.config.weight_decay if weight_decay is None else weight_decay
        size = len(self.parameters)
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
