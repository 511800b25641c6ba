"""One Triton kernel for a whole epoch on CUDA: its programs stay on the multiprocessors and wait at barriers.

What `fused` pays at every step, the start of three kernels and the weights' way through memory, is paid once. It is for
small networks, whose steps are bound by latency: one hidden layer whose weights fit in the registers of the GPU. It has
not run on a GPU yet: its numbers are tested by Triton's interpreter, and its code by the compiler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from accelmnist.core.config import Precision, RunConfig
from accelmnist.core.errors import DeviceError, headline
from accelmnist.device import Device, compile_capability, is_out_of_memory, multiprocessors
from accelmnist.engines.contract import Classifier, Engine, Job, Runner
from accelmnist.engines.plan import HostEpoch

if TYPE_CHECKING:
    from accelmnist.engines.model import MLP


class PersistentEngine(Engine):
    """One cooperative launch an epoch."""

    summary = "one Triton kernel of our own for all steps of an epoch"
    kinds = ("cuda",)
    compiles_on = kinds
    runs_python = False

    @classmethod
    def unsupported(cls, config: RunConfig, device: Device) -> str | None:
        """It takes CUDA and one hidden layer that fits; every optimizer, output, activation, precision and batch."""
        if device.kind != "cuda":
            return f"its kernel is for CUDA, and this is {device.kind}"
        capability = compile_capability(device)
        if not capability.available:
            return capability.reason
        layers = len(config.model.hidden)
        if layers != 1:
            return f"its kernel is for one hidden layer, and this network has {layers or 'none'}"
        from accelmnist.engines.triton.persistent_epochs import partition_of

        count = multiprocessors(device)
        if partition_of(config, count) is None:
            return f"{config.model} at batch {config.training.batch_size} is too large for its {count} multiprocessors"
        return None

    @classmethod
    def why_alone(cls, device: Device) -> str:  # noqa: ARG003 - on none
        """Its steps never leave the device."""
        return "its one kernel runs a whole epoch, and between two steps nothing could be summed over ranks"

    @classmethod
    def prepare(cls, job: Job, sample: HostEpoch) -> Runner:
        """Make the optimizer's state and compile: a launch of no steps."""
        from triton.errors import TritonError

        from accelmnist.engines.step.device_runner import device_runner, upload_epoch
        from accelmnist.engines.triton.persistent_epochs import PersistentEpochs, partition_of

        cut = partition_of(job.config, multiprocessors(job.device))
        assert cut is not None, "unsupported() refused it"
        epochs = PersistentEpochs(job, cut)
        try:
            epochs(upload_epoch(sample[:0], job.device))
        except (TritonError, RuntimeError) as error:  # a cooperative grid that the driver refuses is the latter
            if is_out_of_memory(error):
                raise
            raise DeviceError(f"Triton failed: {headline(error)}", remedy="Run with --engine fused") from error
        return device_runner(epochs, epochs.kept, job.device)

    @classmethod
    def classifier(cls, model: MLP, device: Device, precision: Precision) -> Classifier | None:
        """As `fused` does on CUDA: a forward pass has no steps that could stay on the device."""
        if device.kind != "cuda":
            return None
        from accelmnist.engines.triton.launches import replayed_classifier

        return replayed_classifier(model, device, precision)


ENGINE = PersistentEngine
