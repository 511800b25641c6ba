"""Steps by the framework's own operations, one by one: what `eager` runs.

They save only what a loop written by hand wastes: they gather bytes, not floats, ask
autograd for the gradients instead of storing and resetting them, and the losses are read once an epoch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from accelmnist.engines.contract import Job
from accelmnist.engines.model import scale_images
from accelmnist.engines.step.device_runner import DeviceEpoch
from accelmnist.engines.step.loss import training_loss
from accelmnist.engines.step.scaled_update import ScaledUpdate


class EagerSteps:
    """The steps of `job`, one after the other; `update` owns the optimizer's state."""

    def __init__(self, job: Job) -> None:
        self.data = job.data
        self.loss = training_loss(job.config, job.device)
        self.parameters = list(job.model.parameters())
        self.update = ScaledUpdate(job)

    def train_epoch(self, epoch: DeviceEpoch) -> Tensor:
        """Run all steps; returns their losses (steps,) float32 on the device."""
        plan = zip(epoch.order, epoch.learning_rates, epoch.dropout_seeds, strict=True)
        return torch.stack([self.step(index, rate, seed) for index, rate, seed in plan])

    def step(self, index: Tensor, rate: Tensor, seed: Tensor) -> Tensor:
        """One step on the images at `index` (batch,); returns the loss, a float32 scalar on the device."""
        inputs = scale_images(self.data.images.index_select(0, index))
        loss = self.loss(self.parameters, inputs, self.data.labels.index_select(0, index), seed)
        self.update.update(torch.autograd.grad(self.update.scaled(loss), self.parameters), rate)
        return loss.detach()
