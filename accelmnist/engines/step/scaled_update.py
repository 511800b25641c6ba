"""torch's fused update together with fp16's loss scale, and their state under the common names.

The engine chooses what it multiplies by the scale, the loss or its gradient at the logits, so that small gradients
don't vanish in 16 bits; `update` divides the gradients by it again (Micikevicius et al. 2018). If a gradient overflows,
the step is left out and the scale halved; after `_GROWTH_INTERVAL` good steps in a row it is doubled. The scale is kept
on the device, so that no step waits for the host. torch's GradScaler does the same but works with torch's optimizer
classes alone.

The scale starts at 2^13 and not at GradScaler's 2^16: the first gradients of these networks then stay within fp16's
range (65,504), so that the first steps can be compared with float64 step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from accelmnist.engines.contract import Job, State
from accelmnist.engines.step.state import export_state, import_state
from accelmnist.engines.step.torch_update import TorchUpdate

_INITIAL_SCALE = 2.0**13
_GROWTH_INTERVAL = 2000


class LossScale:
    """`scale` and `good_steps`, float32 scalars on `device`."""

    def __init__(self, device: torch.device) -> None:
        self.scale = torch.full((), _INITIAL_SCALE, device=device)
        self.good_steps = torch.zeros((), device=device)

    @property
    def scalars(self) -> dict[str, Tensor]:
        """The state, by the names that a checkpoint uses."""
        return {"scale": self.scale, "good_steps": self.good_steps}

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
    """

    def __init__(self, job: Job) -> None:
        self.names = [name for name, _ in job.model.named_parameters()]
        self.parameters = list(job.model.parameters())
        self.torch_update = TorchUpdate(self.parameters, job.config.training, fused=True)
        is_scaled = job.config.execution.precision == "fp16"
        self.loss_scale = LossScale(job.device.torch_device) if is_scaled else None
        self.update: Callable[[Sequence[Tensor], Tensor], None] = (
            self._unscale_and_update if is_scaled else self.torch_update
        )

    def scaled(self, value: Tensor) -> Tensor:
        """`value` times the loss scale; the same tensor if there is none."""
        return value if self.loss_scale is None else value * self.loss_scale.scale

    def _unscale_and_update(self, gradients: Sequence[Tensor], rate: Tensor) -> None:
        assert self.loss_scale is not None
        finite = self.loss_scale.are_finite(gradients)
        self.torch_update(gradients, rate, scale=self.loss_scale.scale, overflowed=(~finite).float())
        self.loss_scale.update(finite)

    def tensors(self) -> list[Tensor]:
        """Everything that an update changes, so that a warm-up can be undone."""
        slots = (tensor for row in self.torch_update.slots.values() for tensor in row)
        return [*(p.detach() for p in self.parameters), *slots, *self.torch_update.counts, *self._scale().values()]

    def state(self) -> State:
        """The optimizer's state and the loss scale under their common names, as copies on the host."""
        counts = self.torch_update.counts
        return export_state(
            self.names, self.torch_update.slots, ({"count": counts[0]} if counts else {}) | self._scale()
        )

    @torch.no_grad()
    def load_state(self, state: State) -> None:
        """Copy in a state that `state()` of any engine returned."""
        import_state(state, self.names, self.torch_update.slots, self._scale())
        for count in self.torch_update.counts:
            import_state(state, [], {}, {"count": count})

    def _scale(self) -> dict[str, Tensor]:
        return self.loss_scale.scalars if self.loss_scale else {}
