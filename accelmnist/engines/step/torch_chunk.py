"""Several steps by torch's own kernels as one function, which a CUDA graph captures.

For a small network the start of a kernel costs about as much as its work, so all that doesn't depend on the weights is
done for all steps of the chunk at once: the images are gathered and scaled before the first step, and the losses, which
no step reads, are computed after the last one. The gradient at the logits is written down, (output - target) / batch
for all three outputs (see `model`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from accelmnist.core.config import INPUTS
from accelmnist.device import operand_dtype
from accelmnist.engines.contract import Job
from accelmnist.engines.model import apply_output, image_losses, scale_images, target_table
from accelmnist.engines.step.device_runner import DeviceEpoch
from accelmnist.engines.step.loss import training_network
from accelmnist.engines.step.replay import MOST_STEPS, GraphChunk, StepInputs
from accelmnist.engines.step.scaled_update import ScaledUpdate

_MOST_INPUT_BYTES = 2**26  # of the float32 inputs of a chunk, which are all made before its first step


class TorchChunk(GraphChunk):
    """The steps of `job`; its `update` owns the optimizer's state, which graphs read in place."""

    def __init__(self, job: Job, sample: DeviceEpoch) -> None:
        self.step_inputs = StepInputs(sample, capacity_of(sample))
        self.losses = torch.zeros_like(self.step_inputs.learning_rates)
        self._data = job.data
        self.update = ScaledUpdate(job)
        self._output = job.config.model.output
        self._batch = sample.order.shape[1]
        self._network = training_network(job.config, job.device)
        self._targets = target_table(job.config.training.label_smoothing, job.device.torch_device)
        self._input_type = operand_dtype(job.config.execution.precision)

    def __call__(self, steps: int) -> None:
        """Run the first `steps` of the step inputs, in place."""
        order = self.step_inputs.order[:steps].view(-1)
        shape = steps, self._batch, -1
        inputs = scale_images(self._data.images.index_select(0, order)).to(self._input_type).view(shape)
        targets = self._targets.index_select(0, self._data.labels.index_select(0, order)).view(shape)
        rates, seeds = self.step_inputs.learning_rates, self.step_inputs.dropout_seeds
        logits = [self._step(inputs[i], targets[i], rates[i], seeds[i]) for i in range(steps)]
        all_logits = torch.stack(logits).float().flatten(0, 1)
        losses = image_losses(all_logits, targets.flatten(0, 1), self._output)
        self.losses[:steps] = losses.view(steps, self._batch).mean(dim=1)

    def _step(self, inputs: Tensor, targets: Tensor, rate: Tensor, seed: Tensor) -> Tensor:
        """One step on inputs (batch, 784) and targets (batch, 10); returns the logits."""
        parameters = self.update.parameters
        with torch.enable_grad():
            logits = self._network(parameters, inputs, seed)
        outputs = apply_output(logits.detach().float(), self._output)
        gradient = self.update.scaled((outputs - targets) * (1 / self._batch))
        self.update.update(torch.autograd.grad(logits, parameters, gradient.to(logits.dtype)), rate)
        return logits.detach()

    def tensors(self) -> list[Tensor]:
        """Weights, optimizer's state and loss scale."""
        return self.update.tensors()


def capacity_of(sample: DeviceEpoch) -> int:
    """The most steps of a chunk: at most an epoch's, and at most as many as memory should hold inputs of."""
    step_bytes = sample.order.shape[1] * INPUTS * torch.float32.itemsize
    return max(1, min(MOST_STEPS, len(sample), _MOST_INPUT_BYTES // step_bytes))
