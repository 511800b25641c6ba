"""The whole step in one graph, compiled by Inductor: C++ on the CPU, Triton on CUDA, Metal on MPS.

Gather, scaling, forward, gradient and update are one function without a graph break (`fullgraph=True` makes a break
an error), so that the compiler fuses across what eager mode runs as some thirty operations. Compiling happens in
`prepare`, where it is timed apart: one step is run there and undone, so that it cannot help the result.
"""

from __future__ import annotations

import torch
from torch import Tensor

from accelmnist.config import RunConfig
from accelmnist.device import Device, compile_capability
from accelmnist.errors import DeviceError
from accelmnist.step.contract import Engine, Epoch, Job, State
from accelmnist.step.functional import FunctionalStep


class CompiledEngine(Engine):
    """The whole step as one compiled graph."""

    summary = "the whole step in one compiled graph"
    compiles = True

    @classmethod
    def unsupported(cls, config: RunConfig, device: Device) -> str | None:  # noqa: ARG003 - every step compiles
        """It takes a compiler for the device's code."""
        capability = compile_capability(device)
        return None if capability.available else capability.reason

    def prepare(self, job: Job, sample: Epoch) -> None:
        """Compile the step by running it once; the weights and the state end as they began."""
        torch.compiler.reset()  # counters and caches of an earlier job in this process would hide a recompilation
        self.functional = FunctionalStep(job)
        self.step = torch.compile(self.functional, fullgraph=True, dynamic=False)
        changed = self.functional.tensors()
        before = [tensor.clone() for tensor in changed]
        try:
            self.train_epoch(Epoch(sample.order[:1], sample.learning_rates[:1], sample.dropout_seeds[:1]))
        except torch._dynamo.exc.TorchDynamoException as error:
            cause = (str(error).strip().splitlines() or ["no message"])[0]
            raise DeviceError(
                f"torch.compile failed: {cause}", remedy="Run with --engine eager; TORCH_LOGS=+dynamo shows more"
            ) from error
        torch._foreach_copy_(changed, before)

    def train_epoch(self, epoch: Epoch) -> Tensor:
        """Run all steps; returns their losses (steps,) float32 on the device."""
        step = self.step
        plan = zip(epoch.order, epoch.learning_rates, epoch.dropout_seeds, strict=True)
        return torch.stack([step(index, rate, seed) for index, rate, seed in plan])

    def state(self) -> State:
        """The optimizer's state and the loss scale under their common names, as copies on the host."""
        return self.functional.state()

    def load_state(self, state: State) -> None:
        """Take over a state that `state()` of any engine gave."""
        self.functional.load_state(state)


ENGINE = CompiledEngine
