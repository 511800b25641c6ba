"""The whole step in one graph, compiled by Inductor: C++ on the CPU, Triton on CUDA, Metal on MPS.

Gather, scaling, forward, gradient and update are one function without a graph break (`fullgraph=True` makes a break
an error), so that the compiler fuses the some thirty operations of eager mode. On the CPU the loop over
the steps is compiled as well; elsewhere its condition would make the device wait for the host, so a call is a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from accelmnist.core.config import Precision, RunConfig
from accelmnist.device import KINDS, Device, compile_capability
from accelmnist.engines.contract import Classifier, Engine, Job, Runner
from accelmnist.engines.plan import HostEpoch

if TYPE_CHECKING:
    from accelmnist.engines.model import MLP


class CompiledEngine(Engine):
    """The whole step as one compiled graph."""

    summary = "the whole step in one compiled graph"
    compiles_on = KINDS
    runs_python = False

    @classmethod
    def unsupported(cls, config: RunConfig, device: Device) -> str | None:  # noqa: ARG003 - every step compiles
        """None if there is a compiler for the device's code."""
        capability = compile_capability(device)
        return None if capability.available else capability.reason

    @classmethod
    def prepare(cls, job: Job, sample: HostEpoch) -> Runner:
        """Compile the step by running it once; the weights and the state end as they began."""
        from accelmnist.engines.step.compiled_steps import compiled_runner

        return compiled_runner(job, sample)

    @classmethod
    def prepare_shared(cls, job: Job, sample: HostEpoch) -> Runner:
        """Compile the gradients; the ranks' sum and the update are torch's own."""
        from accelmnist.engines.step.compiled_steps import compiled_gradients
        from accelmnist.engines.step.shared_steps import shared_runner
        from accelmnist.engines.step.torch_update import ScaledUpdate

        update = ScaledUpdate(job)
        return shared_runner(job, compiled_gradients(job, sample, update), update)

    @classmethod
    def classifier(cls, model: MLP, device: Device, precision: Precision) -> Classifier:
        """The compiled forward pass; every number of images has a graph of its own, made at its first call.

        It reads the model's weights where they lie: a change in place counts from the next call on.
        """
        from accelmnist.engines.step.compiled_steps import CompiledClassifier

        return CompiledClassifier(model, device, precision)


ENGINE = CompiledEngine
