"""The update as a pure function of tensors: our own form of torch's rules, for engines that compile or capture a step.

The state is kept under the same names as torch's, so that a checkpoint of one engine resumes in another, and a test
holds the two forms against each other. The learning rate is a tensor: a Python float would be a constant of compiled
code and recompile it every step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from accelmnist.config import TrainingConfig
from accelmnist.step.rules import BETA1, BETA2, EPSILON, SLOTS


class FunctionalUpdate:
    """The optimizer of `config`, in place, without a branch that depends on a tensor's value.

    `slots` maps a slot's name to one tensor a parameter; `count` is the number of updates made, a scalar float32
    tensor on the device, since Adam's bias correction takes it.
    """

    def __init__(self, parameters: Sequence[Tensor], config: TrainingConfig) -> None:
        self.parameters = parameters
        self.config = config
        self.slots = {name: [torch.zeros_like(p) for p in parameters] for name in SLOTS[config.optimizer]}
        self.count = torch.zeros((), device=parameters[0].device)
        self._update_one = self._adam if "exp_avg" in self.slots else self._sgd

    def __call__(self, gradients: Sequence[Tensor], learning_rate: Tensor, *, keep: Tensor | None = None) -> None:
        """One update; where `keep` (a scalar bool tensor) is false nothing changes: a step left out by fp16."""
        self._store(self.count, self.count + 1, keep)
        for position, gradient in enumerate(gradients):
            self._update_one(position, gradient, learning_rate, keep)

    def _sgd(self, position: int, gradient: Tensor, rate: Tensor, keep: Tensor | None) -> None:
        weight = self.parameters[position]
        gradient = gradient + self.config.weight_decay * weight if self.config.weight_decay else gradient
        if "momentum_buffer" in self.slots:
            stored = self.slots["momentum_buffer"][position]
            velocity = self.config.momentum * stored + gradient
            self._store(stored, velocity, keep)
            gradient = gradient + self.config.momentum * velocity if self.config.nesterov else velocity
        self._store(weight, weight - rate * gradient, keep)

    def _adam(self, position: int, gradient: Tensor, rate: Tensor, keep: Tensor | None) -> None:
        weight = self.parameters[position]
        decay = self.config.weight_decay
        decayed = weight
        if decay and self.config.optimizer == "adam":
            gradient = gradient + decay * weight
        elif decay:
            decayed = weight * (1 - rate * decay)
        stored_mean, stored_square = self.slots["exp_avg"][position], self.slots["exp_avg_sq"][position]
        mean = torch.lerp(stored_mean, gradient, 1 - BETA1)
        square = BETA2 * stored_square + (1 - BETA2) * gradient * gradient
        mean_correction = 1 - BETA1**self.count
        root_correction = (1 - BETA2**self.count).sqrt()
        change = (rate / mean_correction) * mean / (square.sqrt() / root_correction + EPSILON)
        self._store(stored_mean, mean, keep)
        self._store(stored_square, square, keep)
        self._store(weight, decayed - change, keep)

    @staticmethod
    def _store(target: Tensor, value: Tensor, keep: Tensor | None) -> None:
        target.copy_(value if keep is None else torch.where(keep, value, target))
