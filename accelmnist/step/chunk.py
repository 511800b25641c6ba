"""Several steps as one function of buffers that never move: what a CUDA graph captures.

A graph repeats the kernels that were started while it was captured, on the same addresses. So everything that differs
from step to step, the order, the learning rates, the dropout seeds, is read from a window in the device's memory that
is filled before each replay, and the losses are left in a buffer. Nothing here asks the host, and nothing is kept in
Python from one call to the next.

Each kernel costs a small network about as much as its work does, so what doesn't depend on the weights is done for all
steps of the chunk at once: the images are gathered and scaled before the first step, and the losses, which only people
read, are made after the last one. The gradient at the logits is written down, (output - target) / batch for all three
outputs (see `model`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from accelmnist.device import AMP_DTYPES
from accelmnist.model import image_losses, scale_images, scores, target_table
from accelmnist.step.contract import Epoch, Job
from accelmnist.step.loss import training_network
from accelmnist.step.scaled_update import ScaledUpdate


class StepChunk:
    """Up to `room` steps of `job`, a call of any number of them; it owns the optimizer's state.

    `losses` (room,) float32 are those of the last call. `sample` has the batch shape of all that follow.
    """

    def __init__(self, job: Job, sample: Epoch, *, room: int) -> None:
        self.data = job.data
        self.update = ScaledUpdate(job)
        self.output = job.config.model.output
        self.window = _blank(sample, room)
        self.losses = torch.zeros_like(self.window.learning_rates)
        self._batch = sample.order.shape[1]
        self._network = training_network(job.config, job.device)
        self._targets = target_table(job.config.training.label_smoothing, job.device.torch_device)
        self._input_type = AMP_DTYPES.get(job.config.execution.precision, torch.float32)

    def plan(self, part: Epoch) -> None:
        """Set the steps of the next call, `room` at most; on the device this is three copies."""
        steps = len(part)
        assert part.order.shape[1:] == self.window.order.shape[1:], "the batch of an epoch is the sample's"
        self.window.order[:steps] = part.order
        self.window.learning_rates[:steps] = part.learning_rates
        self.window.dropout_seeds[:steps] = part.dropout_seeds

    def __call__(self, steps: int) -> None:
        """Run the first `steps` planned steps, in place."""
        order = self.window.order[:steps].view(-1)
        shape = steps, self._batch, -1
        inputs = scale_images(self.data.images.index_select(0, order)).to(self._input_type).view(shape)
        targets = self._targets.index_select(0, self.data.labels.index_select(0, order)).view(shape)
        rates, seeds = self.window.learning_rates, self.window.dropout_seeds
        logits = [self._step(inputs[i], targets[i], rates[i], seeds[i]) for i in range(steps)]
        every = torch.stack(logits).float().flatten(0, 1)
        losses = image_losses(every, targets.flatten(0, 1), self.output)
        self.losses[:steps] = losses.view(steps, self._batch).mean(dim=1)

    def _step(self, inputs: Tensor, targets: Tensor, rate: Tensor, seed: Tensor) -> Tensor:
        """One step on inputs (batch, 784) and targets (batch, 10); returns the logits."""
        parameters = self.update.parameters
        with torch.enable_grad():
            logits = self._network(parameters, inputs, seed)
        said = scores(logits.detach().float(), self.output)
        gradient = self.update.scaled((said - targets) * (1 / self._batch))
        self.update.update(torch.autograd.grad(logits, parameters, gradient.to(logits.dtype)), rate)
        return logits.detach()


def _blank(sample: Epoch, room: int) -> Epoch:
    """A plan of `room` steps of the sample's shape: its own first step throughout, which is safe to run."""
    return Epoch(
        sample.order[:1].repeat(room, 1), sample.learning_rates[:1].repeat(room), sample.dropout_seeds[:1].repeat(room)
    )
