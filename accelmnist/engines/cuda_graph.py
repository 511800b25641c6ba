"""The framework's own kernels, captured once and replayed, so that a step costs the host almost nothing.

In eager training the host starts some thirty kernels a step, one by one, and a GPU waits for it most of the time. Here
the kernels of a chunk of steps are recorded as a CUDA graph, and one call of the host starts them all: see
`step/replay.py`. Capturing happens in `prepare`, where it is timed apart.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from accelmnist.core.config import Precision, RunConfig
from accelmnist.device import Device
from accelmnist.engines.contract import Classifier, Engine, Job, Runner
from accelmnist.engines.plan import HostEpoch

if TYPE_CHECKING:
    from accelmnist.engines.model import MLP


class CudaGraphEngine(Engine):
    """Chunks of eager steps, replayed."""

    summary = "torch's kernels, captured once and replayed many steps at a time"
    kinds = ("cuda",)
    compiles_on = kinds
    runs_python = False

    @classmethod
    def unsupported(cls, config: RunConfig, device: Device) -> str | None:  # noqa: ARG003 - every step can be captured
        """None on CUDA, where it runs everything."""
        return None if device.kind == "cuda" else f"graphs are CUDA's alone, and this is {device.kind}"

    @classmethod
    def prepare(cls, job: Job, sample: HostEpoch) -> Runner:
        """Capture a graph a size of chunk; the weights and the state end as they began."""
        from accelmnist.engines.step.device_runner import upload_epoch
        from accelmnist.engines.step.replay import replaying_runner
        from accelmnist.engines.step.torch_steps import TorchChunk

        return replaying_runner(TorchChunk(job, upload_epoch(sample, job.device)), job.device)

    @classmethod
    def prepare_shared(cls, job: Job, sample: HostEpoch) -> Runner:
        """As `prepare`, the ranks' sum captured with the step."""
        from accelmnist.engines.step.shared_steps import replayed_shared_runner
        from accelmnist.engines.step.torch_steps import WrittenGradients
        from accelmnist.engines.step.torch_update import ScaledUpdate

        update = ScaledUpdate(job)
        return replayed_shared_runner(job, WrittenGradients(job, update), update, sample)

    @classmethod
    def classifier(cls, model: MLP, device: Device, precision: Precision) -> Classifier | None:
        """The forward pass, replayed; every number of images has a graph of its own, captured at its first call.

        It reads the model's weights where they lie: a change in place counts from the next call on.
        """
        if device.kind != "cuda":
            return None
        from accelmnist.engines.model import logits_of
        from accelmnist.engines.step.replay import ReplayedClassifier

        return ReplayedClassifier(partial(logits_of, model, device=device, precision=precision), device)


ENGINE = CudaGraphEngine
