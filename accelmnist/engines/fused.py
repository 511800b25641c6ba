"""Our own kernels, made for this network: native code for an epoch on the CPU, a few Triton kernels a step on CUDA.

The device decides on the form: `native/network.py` leaves out what is zero, in float32 or bf16, and keeps weights
with the core that owns them; `triton/chunk.py` makes a step of three launches, and three more for every further
hidden layer, which are captured in a CUDA graph and replayed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from accelmnist.core.config import Precision, RunConfig
from accelmnist.core.errors import DeviceError, headline
from accelmnist.device import Device, compile_capability
from accelmnist.engines import native
from accelmnist.engines.contract import Classifier, Engine, Job, Runner
from accelmnist.engines.plan import HostEpoch

if TYPE_CHECKING:
    from accelmnist.engines.model import MLP


_CPU_PRECISIONS = ("fp32", "bf16")


class FusedEngine(Engine):
    """One native call an epoch on the CPU; replayed Triton kernels on CUDA."""

    summary = "kernels of our own: native code on the CPU, zeros skipped; Triton on CUDA, replayed"
    kinds = ("cpu", "cuda")
    compiles_on = ("cuda",)  # Triton does; the native kernels were compiled with the package
    runs_python = False

    @classmethod
    def unsupported(cls, config: RunConfig, device: Device) -> str | None:
        """It runs every network and optimizer: on the CPU in fp32 and bf16, with its kernels built; on CUDA in all.

        bf16 runs on every processor: one without instructions for it emulates it, as torch does.
        """
        if device.kind == "cuda":
            from accelmnist.engines.triton.chunk import why_too_large

            capability = compile_capability(device)
            return why_too_large(config) if capability.available else capability.reason
        if device.kind != "cpu":
            return f"its kernels are for the CPU and for CUDA, and this is {device.kind}"
        if config.execution.precision not in _CPU_PRECISIONS:
            return f"its kernels for the CPU compute in fp32 and bf16, not in {config.execution.precision}"
        return native.why_missing()

    @classmethod
    def prepare(cls, job: Job, sample: HostEpoch) -> Runner:
        """Make the optimizer's state; on CUDA also compile and capture. The weights end as they began."""
        if job.device.kind == "cuda":
            return _replayed(job, sample)
        from accelmnist.engines.native.network import NativeNetwork

        network = NativeNetwork(job)
        return Runner(
            network.train_epoch,
            network.state,
            network.load_state,
            classify=network.logits,
            look=network.look,
            put_back=network.put_back,
            choices=network.choices,
        )

    @classmethod
    def prepare_shared(cls, job: Job, sample: HostEpoch) -> Runner:
        """The kernels' gradients; on CUDA captured together with the ranks' sum and torch's update."""
        from accelmnist.engines.step.shared_steps import replayed_shared_runner, shared_runner
        from accelmnist.engines.step.torch_update import ScaledUpdate

        update = ScaledUpdate(job, is_scaled=False)
        if job.device.kind == "cuda":
            from accelmnist.engines.triton.chunk import TritonGradients

            return replayed_shared_runner(job, TritonGradients(job), update, sample)
        from accelmnist.engines.native.network import NativeGradients

        gradients = NativeGradients(job)
        return replace(shared_runner(job, gradients, update), choices=gradients.choices)

    @classmethod
    def classifier(cls, model: MLP, device: Device, precision: Precision) -> Classifier | None:
        """On CUDA a launch a layer, replayed; on the CPU native inference with a copy of the weights, where it runs."""
        if device.kind == "cuda":
            from accelmnist.engines.triton.launches import replayed_classifier

            return replayed_classifier(model, device, precision)
        if device.kind != "cpu" or precision not in _CPU_PRECISIONS or native.why_missing():
            return None
        from accelmnist.engines.native.network import native_classifier

        return native_classifier(model, precision)


def _replayed(job: Job, sample: HostEpoch) -> Runner:
    from triton.errors import TritonError

    from accelmnist.engines.step.device_runner import upload_epoch
    from accelmnist.engines.step.replay import replaying_runner
    from accelmnist.engines.triton.chunk import TritonChunk

    try:
        return replaying_runner(TritonChunk(job, upload_epoch(sample, job.device)), job.device)
    except TritonError as error:
        raise DeviceError(f"Triton failed: {headline(error)}", remedy="Run with --engine cuda_graph") from error


ENGINE = FusedEngine
