"""Several steps by our own Triton kernels as one function, which a CUDA graph captures.

`launches` defines the kernels of a step. Their tensors are made here once; Adam's corrections are computed before the
first step of a chunk, and the losses added up after its last.

16-bit training needs no loss scale: the kernels keep gradients as many times as large as the batch has images, which
has the same effect, and add up in float32. A gradient that overflows all the same makes the loss infinite, which a run
reports.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from accelmnist.core.config import CLASSES, RunConfig
from accelmnist.device import operand_dtype
from accelmnist.engines.contract import Job, State
from accelmnist.engines.step.device_runner import DeviceEpoch
from accelmnist.engines.step.functional_update import bias_corrections
from accelmnist.engines.step.replay import MOST_STEPS, GraphChunk, StepInputs
from accelmnist.engines.step.rules import SLOTS
from accelmnist.engines.step.state import export_state, import_state
from accelmnist.engines.triton.launches import Memory, StepLaunches, head_tile

_MOST_NUMBERS = 2**31  # of a matrix: the kernels count in 32 bits, since 64 take twice the instructions


class TritonChunk(GraphChunk):
    """The steps of `job`; it owns the optimizer's state. `launches` are those of one step, in order."""

    def __init__(self, job: Job, sample: DeviceEpoch) -> None:
        capacity, device = max(1, min(MOST_STEPS, len(sample))), job.device.torch_device
        self.step_inputs = StepInputs(sample, capacity)
        self.losses = torch.zeros(capacity, device=device)
        self._names = [name for name, _ in job.model.named_parameters()]
        self._parameters = [parameter.detach() for parameter in job.model.parameters()]
        slots = SLOTS[job.config.training.optimizer]
        self._slots = {name: [torch.zeros_like(parameter) for parameter in self._parameters] for name in slots}
        self._count = torch.zeros((), device=device)
        self._memory = self._make_memory(job)
        self.launches = StepLaunches(job.config, self._memory).all()

    def _make_memory(self, job: Job) -> Memory:
        config, capacity, device = job.config, len(self.step_inputs), job.device.torch_device
        batch, hidden = config.training.batch_size, config.model.hidden
        operand = operand_dtype(config.execution.precision)

        def blank(units: int, dtype: torch.dtype) -> Tensor:
            return torch.zeros(batch, units, dtype=dtype, device=device)

        return Memory(
            data=job.data,
            step_inputs=self.step_inputs,
            parameters=self._parameters,
            slots=list(self._slots.values()),
            values=[blank(units, operand) for units in hidden],
            activation_grads=[blank(units, torch.float32) for units in hidden],
            gradients=[blank(units, operand) for units in (*hidden, CLASSES)],
            loss_parts=torch.zeros(capacity, head_tile(config).grid(batch, CLASSES)[0], device=device),
            corrections=torch.zeros(2, capacity, device=device),
        )

    def __call__(self, steps: int) -> None:
        """Run the first `steps` of the step inputs, in place."""
        if "exp_avg" in self._slots:
            before = self._count + torch.arange(steps, device=self._count.device)
            self._memory.corrections[:, :steps] = torch.stack(bias_corrections(before))
        for step in range(steps):
            for launch in self.launches:
                launch(step)
        self.losses[:steps] = self._memory.loss_parts[:steps].sum(dim=1)
        self._count += steps

    def tensors(self) -> list[Tensor]:
        """Weights, slots and the number of updates."""
        return [*self._parameters, *(tensor for slot in self._slots.values() for tensor in slot), self._count]

    def state(self) -> State:
        """The optimizer's state under its common names, as copies on the host."""
        return export_state(self._names, self._slots, {"count": self._count})

    def load_state(self, state: State) -> None:
        """Copy in a state that `state()` of any engine returned; graphs read it in place."""
        import_state(state, self._names, self._slots, {"count": self._count})


def why_too_large(config: RunConfig) -> str | None:
    """Why the kernels can't address the matrices of `config`, or None if they can."""
    sizes, batch = config.model.sizes, config.training.batch_size
    largest = max(max(rows * columns for rows, columns in pairwise(sizes)), batch * max(sizes))
    return None if largest < _MOST_NUMBERS else "its kernels take matrices of fewer than 2^31 numbers"
