"""The update by torch's own functions, for eager training and the float64 replay.

It calls the functions behind torch.optim's classes. The classes import torch's compiler when the first one is made,
which takes two seconds, a fifth of a whole run, and their `step` costs more host time than the fused kernel that it
starts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from accelmnist.core.config import TrainingConfig
from accelmnist.engines.step.rules import BETA1, BETA2, EPSILON, SLOTS


class TorchUpdate:
    """The optimizer of `config` over `parameters`: `slots` is its state, one tensor a parameter.

    `counts` are the numbers of updates, float32 scalars, one a parameter as torch keeps them; only Adam has them.
    `fused` chooses torch's one-kernel form over the plain one.
    """

    def __init__(self, parameters: Sequence[Tensor], config: TrainingConfig, *, fused: bool) -> None:
        self.parameters = list(parameters)
        self.config = config
        self.fused = fused
        names = SLOTS[config.optimizer]
        self.slots = {name: [torch.zeros_like(p, requires_grad=False) for p in parameters] for name in names}
        is_adam = "exp_avg" in names
        self.counts = [torch.zeros((), device=p.device) for p in parameters] if is_adam else []
        self._update = self._adam if is_adam else self._sgd

    @torch.no_grad()
    def __call__(
        self,
        gradients: Sequence[Tensor],
        learning_rate: Tensor,
        *,
        scale: Tensor | None = None,
        overflowed: Tensor | None = None,
    ) -> None:
        """One update in place; `scale` divides the gradients; if `overflowed` is 1, nothing changes (fused)."""
        self._update(list(gradients), learning_rate, scale, overflowed)

    def _sgd(self, gradients: list[Tensor], rate: Tensor, scale: Tensor | None, overflowed: Tensor | None) -> None:
        has_momentum = "momentum_buffer" in self.slots
        sgd(
            self.parameters,
            gradients,
            list(self.slots["momentum_buffer"]) if has_momentum else [None] * len(gradients),
            weight_decay=self.config.weight_decay,
            momentum=self.config.momentum if has_momentum else 0.0,
            lr=rate,
            dampening=0.0,
            nesterov=self.config.nesterov,
            maximize=False,
            has_sparse_grad=False,
            foreach=False,
            fused=self.fused,
            grad_scale=scale,
            found_inf=overflowed,
        )

    def _adam(self, gradients: list[Tensor], rate: Tensor, scale: Tensor | None, overflowed: Tensor | None) -> None:
        adam(
            self.parameters,
            gradients,
            self.slots["exp_avg"],
            self.slots["exp_avg_sq"],
            [],
            self.counts,
            amsgrad=False,
            beta1=BETA1,
            beta2=BETA2,
            lr=rate,
            weight_decay=self.config.weight_decay,
            eps=EPSILON,
            maximize=False,
            foreach=False,
            fused=self.fused,
            grad_scale=scale,
            found_inf=overflowed,
            decoupled_weight_decay=self.config.optimizer == "adamw",
        )
