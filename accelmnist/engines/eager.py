"""The framework's own way: operations one by one, autograd, torch's fused update.

It is the baseline of every speed-up, and in float32 on the CPU the reference of every verdict, so it stays plain.
What it saves against a loop written by hand is only what such a loop wastes: it gathers bytes, not floats, asks
autograd for the gradients instead of storing and resetting them, and reads the losses once an epoch.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from accelmnist.core.config import Precision, RunConfig
from accelmnist.device import Device
from accelmnist.engines.contract import Classifier, Engine, Job, Runner
from accelmnist.engines.model import MLP, logits_of, scale_images
from accelmnist.engines.plan import HostEpoch
from accelmnist.engines.step.device_runner import DeviceEpoch, device_runner
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


class EagerEngine(Engine):
    """Operations one by one, torch's autograd and fused update."""

    summary = "operations one by one, fused update"

    @classmethod
    def unsupported(cls, config: RunConfig, device: Device) -> str | None:  # noqa: ARG003 - it runs all that torch runs
        """It runs everything that the device can."""
        return None

    @classmethod
    def prepare(cls, job: Job, sample: HostEpoch) -> Runner:  # noqa: ARG003 - nothing here depends on the shapes
        """Make the optimizer's state; nothing is compiled."""
        steps = EagerSteps(job)
        return device_runner(steps.train_epoch, steps.update, job.device)

    @classmethod
    def classifier(cls, model: MLP, device: Device, precision: Precision) -> Classifier:
        """The forward pass of every evaluation."""
        return partial(logits_of, model, device=device, precision=precision)


ENGINE = EagerEngine
