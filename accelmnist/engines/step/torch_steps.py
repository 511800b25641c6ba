"""Steps by torch's own kernels: one by one for `eager`, several as one function for `cuda_graph` to capture.

Eager steps save only what a loop written by hand wastes: they gather bytes, not floats, ask autograd for the gradients
instead of storing and resetting them, and the losses are read once an epoch.

For a small network the start of a kernel costs about as much as its work, so in a chunk all that doesn't depend on the
weights is done for all its steps at once: the images are gathered and scaled before the first step, and the losses,
which no step reads, are computed after the last one. The gradient at the logits is written down there, (output -
target) / batch for all three outputs (see `model`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from accelmnist.core.config import INPUTS
from accelmnist.device import operand_dtype
from accelmnist.engines.contract import Job
from accelmnist.engines.model import apply_output, image_losses, scale_images, target_table
from accelmnist.engines.step.device_runner import DeviceEpoch
from accelmnist.engines.step.loss import training_loss, training_network
from accelmnist.engines.step.replay import MOST_STEPS, GraphChunk
from accelmnist.engines.step.torch_update import ScaledUpdate

_MOST_INPUT_BYTES = 2**26  # of the float32 inputs of a chunk, which are all made before its first step


class EagerSteps:
    """The steps of `job`, one after the other; `update` owns the optimizer's state."""

    def __init__(self, job: Job) -> None:
        self.data = job.data
        self.loss = training_loss(job.config, job.device)
        self.parameters = list(job.model.parameters())
        self.update = ScaledUpdate(job)

    def train_epoch(self, epoch: DeviceEpoch) -> Tensor:
        """Run all steps; returns their losses (steps,) float32 on the device."""
        return torch.stack([self.step(*step) for step in epoch.steps()])

    def step(self, index: Tensor, rate: Tensor, seed: Tensor) -> Tensor:
        """One step on the images at `index` (batch,); returns the loss, a float32 scalar on the device."""
        loss, gradients = self.gradients(index, seed)
        self.update.update(gradients, rate)
        return loss

    def gradients(self, index: Tensor, seed: Tensor, first: int = 0) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The loss of the images at `index`, which are a batch from row `first` on, and its gradients, scaled."""
        inputs = scale_images(self.data.images.index_select(0, index))
        with torch.enable_grad():
            loss = self.loss(self.parameters, inputs, self.data.labels.index_select(0, index), seed, first)
            scaled = self.update.scaled(loss)
        return loss.detach(), torch.autograd.grad(scaled, self.parameters)


class WrittenGradients:
    """Gradients whose start, at the logits, is written down."""

    def __init__(self, job: Job, update: ScaledUpdate) -> None:
        self.output = job.config.model.output
        self._data, self._update = job.data, update
        self._network = training_network(job.config, job.device)
        self._targets = target_table(job.config.training.label_smoothing, job.device.torch_device)

    def __call__(self, index: Tensor, seed: Tensor, first: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The loss of the images at `index`, which are a batch from row `first` on, and its gradients, scaled."""
        inputs = scale_images(self._data.images.index_select(0, index))
        targets = self._targets.index_select(0, self._data.labels.index_select(0, index))
        logits, gradients = self.of(inputs, targets, seed, first)
        return image_losses(logits.float(), targets, self.output).mean(), gradients

    def of(self, inputs: Tensor, targets: Tensor, seed: Tensor, first: int = 0) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The logits of inputs (rows, 784), and the gradients of their mean loss at targets (rows, 10), scaled."""
        parameters = self._update.parameters
        with torch.enable_grad():
            logits = self._network(parameters, inputs, seed, first)
        outputs = apply_output(logits.detach().float(), self.output)
        gradient = self._update.scaled((outputs - targets) * (1 / len(inputs)))
        return logits.detach(), torch.autograd.grad(logits, parameters, gradient.to(logits.dtype))


class TorchChunk(GraphChunk):
    """Several steps of `job`; its `update` owns the optimizer's state, which graphs read in place."""

    def __init__(self, job: Job, sample: DeviceEpoch) -> None:
        self.update = ScaledUpdate(job)
        super().__init__(self.update.kept, sample, capacity_of(sample))
        self._data = job.data
        self._batch = sample.order.shape[1]
        self._gradients = WrittenGradients(job, self.update)
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
        losses = image_losses(all_logits, targets.flatten(0, 1), self._gradients.output)
        self.losses[:steps] = losses.view(steps, self._batch).mean(dim=1)

    def _step(self, inputs: Tensor, targets: Tensor, rate: Tensor, seed: Tensor) -> Tensor:
        """One step on inputs (batch, 784) and targets (batch, 10); returns the logits."""
        logits, gradients = self._gradients.of(inputs, targets, seed)
        self.update.update(gradients, rate)
        return logits


def capacity_of(sample: DeviceEpoch) -> int:
    """The most steps of a chunk: at most an epoch's, and at most as many as memory should hold inputs of."""
    step_bytes = sample.order.shape[1] * INPUTS * torch.float32.itemsize
    return max(1, min(MOST_STEPS, len(sample), _MOST_INPUT_BYTES // step_bytes))
