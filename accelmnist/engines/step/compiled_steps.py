"""Steps and forward passes compiled by Inductor: what `compiled` runs.

Compiling happens before training, where it is timed apart: one step is run and undone, so that it cannot help the
result. Every runner and classifier has compiled code of its own, so that many live side by side.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from accelmnist.core.config import Precision
from accelmnist.core.errors import DeviceError
from accelmnist.device import Device, autocast, matmul_precision
from accelmnist.engines.compilation import compile_apart
from accelmnist.engines.contract import Classifier, Job, Runner
from accelmnist.engines.model import ACTIVATION_FUNCTIONS, MLP, forward, scale_images
from accelmnist.engines.plan import HostEpoch
from accelmnist.engines.step.device_runner import DeviceEpoch, device_runner, upload_epoch
from accelmnist.engines.step.functional import FunctionalStep
from accelmnist.engines.step.functional_loop import StepLoop

EpochFunction = Callable[[DeviceEpoch], Tensor]


def compiled_runner(job: Job, sample: HostEpoch) -> Runner:
    """Compile the step of `job` by running it once; the weights and the state end as they began."""
    step, plan = FunctionalStep(job), upload_epoch(sample, job.device)
    run = epoch_by_loop(step, plan, job.device) if job.device.kind == "cpu" else epoch_by_steps(step, job.device)
    changed = step.tensors()
    before = [tensor.clone() for tensor in changed]
    try:
        run(plan[:1])
    except torch._dynamo.exc.TorchDynamoException as error:
        cause = (str(error).strip().splitlines() or ["no message"])[0]
        raise DeviceError(
            f"torch.compile failed: {cause}", remedy="Run with --engine eager; TORCH_LOGS=+dynamo shows more"
        ) from error
    torch._foreach_copy_(changed, before)
    return device_runner(run, step, job.device)


def epoch_by_loop(step: FunctionalStep, sample: DeviceEpoch, device: Device) -> EpochFunction:
    """Runs epochs as a few calls of a compiled loop."""
    loop = StepLoop(step, sample)
    compiled = compile_apart(loop, name="training_steps", device=device)

    def run(epoch: DeviceEpoch) -> Tensor:
        losses = []
        for start in range(0, len(epoch), loop.room):
            part = epoch[start : start + loop.room]
            loop.plan(part)
            losses.append(compiled()[: len(part)])
        return torch.cat(losses)

    return run


def epoch_by_steps(step: FunctionalStep, device: Device) -> EpochFunction:
    """Runs epochs as one call of a compiled step after the other."""
    compiled = compile_apart(step, name="training_step", device=device)

    def run(epoch: DeviceEpoch) -> Tensor:
        plan = zip(epoch.order, epoch.learning_rates, epoch.dropout_seeds, strict=True)
        return torch.stack([compiled(index, rate, seed) for index, rate, seed in plan])

    return run


class CompiledClassifier:
    """Bytes (n, 784) -> logits (n, 10) float32; see `CompiledEngine.classifier`."""

    _MOST_IMAGES = 1000

    def __init__(self, model: MLP, device: Device, precision: Precision) -> None:
        self._parameters = [parameter.detach() for parameter in model.parameters()]
        self._activation = ACTIVATION_FUNCTIONS[model.config.activation]
        self._device, self._precision = device, precision
        self._compiled: dict[int, Classifier] = {}

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Logits of `images`, in parts whose inputs stay in the processor's cache."""
        with matmul_precision(self._device, self._precision):
            parts = [self._classify(part) for part in torch.split(images, self._MOST_IMAGES)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _classify(self, images: Tensor) -> Tensor:
        compiled = self._compiled.get(len(images))
        if compiled is None:
            compiled = self._compiled[len(images)] = compile_apart(self._logits, name="classify", device=self._device)
        return compiled(images)

    def _logits(self, images: Tensor) -> Tensor:
        with autocast(self._device, self._precision):
            return forward(self._parameters, scale_images(images), activation=self._activation).float()
