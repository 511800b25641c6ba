"""The update by torch's own functions, for eager training, for CUDA graphs and for the float64 replay; fp16's scale.

They are the functions behind torch.optim's classes. The classes import torch's compiler when the first one is made,
which takes two seconds, a fifth of a whole run, and their `step` costs more host time than the fused kernel that it
starts.

An engine chooses what it multiplies by the loss scale, the loss or its gradient at the logits, so that small gradients
don't vanish in 16 bits; the update divides the gradients by it again (Micikevicius et al. 2018). If a gradient
overflows, the step is left out and the scale halved; after `_GROWTH_INTERVAL` good steps in a row it is doubled. The
scale is kept on the device, so that no step waits for the host. torch's GradScaler does the same but works with torch's
optimizer classes alone.

The scale starts at 2^13 and not at GradScaler's 2^16: the first gradients of these networks then stay within fp16's
range (65,504), so that the first steps can be compared with float64 step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from accelmnist.core.config import TrainingConfig
from accelmnist.engines.contract import Job
from accelmnist.engines.step.device_runner import StepState, zero_slots
from accelmnist.engines.step.rules import BETA1, BETA2, EPSILON

_INITIAL_SCALE = 2.0**13
_GROWTH_INTERVAL = 2000


class TorchUpdate:
    """The optimizer of `config` over `parameters`: `slots` is its state, one tensor a parameter.

    `counts` are the numbers of updates, float32 scalars, one a parameter as torch keeps them; only Adam has them.
    `fused` chooses torch's one-kernel form over the plain one.
    """

    def __init__(self, parameters: Sequence[Tensor], config: TrainingConfig, *, fused: bool) -> None:
        self.parameters = list(parameters)
        self.config = config
        self.fused = fused
        self.slots = zero_slots(parameters, config.optimizer)
        is_adam = "exp_avg" in self.slots
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
        self._update(
            list(gradients),
            lr=learning_rate,
            weight_decay=self.config.weight_decay,
            maximize=False,
            foreach=False,
            fused=self.fused,
            grad_scale=scale,
            found_inf=overflowed,
        )

    def _sgd(self, gradients: list[Tensor], **common: Any) -> None:
        velocities = self.slots.get("momentum_buffer")
        sgd(
            self.parameters,
            gradients,
            [None] * len(gradients) if velocities is None else list(velocities),
            momentum=0.0 if velocities is None else self.config.momentum,
            dampening=0.0,
            nesterov=self.config.nesterov,
            has_sparse_grad=False,
            **common,
        )

    def _adam(self, gradients: list[Tensor], **common: Any) -> None:
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
            eps=EPSILON,
            decoupled_weight_decay=self.config.optimizer == "adamw",
            **common,
        )


class LossScale:
    """`scale` and `good_steps`, float32 scalars on `device`."""

    def __init__(self, device: torch.device) -> None:
        self.scale = torch.full((), _INITIAL_SCALE, device=device)
        self.good_steps = torch.zeros((), device=device)

    @property
    def scalars(self) -> dict[str, list[Tensor]]:
        """Both, by the names that a checkpoint uses."""
        return {"scale": [self.scale], "good_steps": [self.good_steps]}

    @classmethod
    def of_job(cls, job: Job) -> LossScale | None:
        """What `job` begins with; only fp16 needs a scale."""
        return cls(job.device.torch_device) if job.config.execution.precision == "fp16" else None

    def are_finite(self, gradients: Sequence[Tensor]) -> Tensor:
        """Whether no gradient overflowed: a scalar bool on the device."""
        return torch.stack([gradient.isfinite().all() for gradient in gradients]).all()

    @torch.no_grad()
    def update(self, finite: Tensor) -> None:
        """Move the scale after a step whose gradients were `finite` (a scalar bool on the device) or not."""
        scale, good_steps = next_scale(self.scale, self.good_steps, finite)
        self.scale.copy_(scale)
        self.good_steps.copy_(good_steps)


def next_scale(scale: Tensor, good_steps: Tensor, finite: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and good steps after a step whose gradients were `finite` or not; scalars on the device."""
    grows = good_steps + 1 >= _GROWTH_INTERVAL
    good = torch.where(finite & ~grows, good_steps + 1, torch.zeros_like(good_steps))
    grown = torch.where(grows, scale * 2, scale)
    return torch.where(finite, grown, scale / 2), good


class ScaledUpdate:
    """The optimizer of a job over its model's parameters.

    `update` takes the gradients, scaled if `scaled` scales, and the learning rate, and changes the parameters in place.
    Gradients that need no scale, as those of our own kernels, are not `is_scaled` in any precision.
    """

    def __init__(self, job: Job, *, is_scaled: bool = True) -> None:
        self.parameters = list(job.model.parameters())
        self.torch_update = TorchUpdate(self.parameters, job.config.training, fused=True)
        self.loss_scale = LossScale.of_job(job) if is_scaled else None
        self.update: Callable[[Sequence[Tensor], Tensor], None] = (
            self._unscale_and_update if self.loss_scale else self.torch_update
        )
        scalars = {"count": self.torch_update.counts} | (self.loss_scale.scalars if self.loss_scale else {})
        self.kept = StepState.of_job(job, self.torch_update.slots, scalars)

    def scaled(self, value: Tensor) -> Tensor:
        """`value` times the loss scale; the same tensor if there is none."""
        return value if self.loss_scale is None else value * self.loss_scale.scale

    def _unscale_and_update(self, gradients: Sequence[Tensor], rate: Tensor) -> None:
        assert self.loss_scale is not None
        finite = self.loss_scale.are_finite(gradients)
        self.torch_update(gradients, rate, scale=self.loss_scale.scale, overflowed=(~finite).float())
        self.loss_scale.update(finite)
