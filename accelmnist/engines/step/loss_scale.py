"""The loss scale of fp16 training, kept on the device so that no step asks the host.

The loss is multiplied by the scale, so that small gradients don't vanish in 16 bits, and the gradients are divided by
it (Micikevicius et al. 2018). If a gradient overflows, the step is left out and the scale halved; after
`_GROWTH_INTERVAL` good steps in a row it is doubled. torch's GradScaler does the same but works with torch's
optimizer classes alone.

It starts at 2^13 and not at GradScaler's 2^16: the first gradients of these networks then stay within fp16's range
(65,504), so that the first steps can be compared with float64 step by step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

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
