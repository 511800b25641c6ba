"""torch's fused update together with fp16's loss scale, and their state under the common names.

The engine chooses what it multiplies by the scale, the loss or its gradient at the logits; `update` divides by it
again, and leaves a step out if a gradient overflowed. No step waits for the host.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from accelmnist.engines.contract import Job, State
from accelmnist.engines.step.loss_scale import LossScale
from accelmnist.engines.step.state import export_state, import_state
from accelmnist.engines.step.torch_update import TorchUpdate


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
