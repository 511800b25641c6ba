"""The framework's own way: operations one by one, autograd, torch's fused update.

It is the baseline of every speed-up, and in float32 on the CPU the reference of every verdict, so it stays plain.
What it saves against a loop written by hand is only what such a loop wastes: it gathers bytes, not floats, asks
autograd for the gradients instead of storing and resetting them, and reads the losses once an epoch.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from accelmnist.config import Precision, RunConfig
from accelmnist.device import Device
from accelmnist.evaluation import logits_of
from accelmnist.model import MLP, scale_images
from accelmnist.step.contract import Classifier, Engine, Epoch, Job, State
from accelmnist.step.loss import training_loss
from accelmnist.step.loss_scale import LossScale
from accelmnist.step.state import export_state, import_state
from accelmnist.step.torch_update import TorchUpdate


class EagerEngine(Engine):
    """Operations one by one, torch's autograd and fused update."""

    summary = "operations one by one, fused update"

    @classmethod
    def unsupported(cls, config: RunConfig, device: Device) -> str | None:  # noqa: ARG003 - it runs all that torch runs
        """It runs everything that the device can."""
        return None

    def prepare(self, job: Job, sample: Epoch) -> None:  # noqa: ARG002 - nothing here depends on the shapes
        """Make the optimizer's state; nothing is compiled."""
        self.data = job.data
        self.loss = training_loss(job.config, job.device)
        self.names = [name for name, _ in job.model.named_parameters()]
        self.parameters = list(job.model.parameters())
        self.update = TorchUpdate(self.parameters, job.config.training, fused=True)
        is_scaled = job.config.execution.precision == "fp16"
        self.loss_scale = LossScale(job.device.torch_device) if is_scaled else None
        self.step = self._scaled_step if is_scaled else self._plain_step

    def train_epoch(self, epoch: Epoch) -> Tensor:
        """Run all steps; returns their losses (steps,) float32 on the device."""
        plan = zip(epoch.order, epoch.learning_rates, epoch.dropout_seeds, strict=True)
        return torch.stack([self.step(index, rate, seed) for index, rate, seed in plan])

    def _batch_loss(self, index: Tensor, seed: Tensor) -> Tensor:
        inputs = scale_images(self.data.images.index_select(0, index))
        return self.loss(self.parameters, inputs, self.data.labels.index_select(0, index), seed)

    def _plain_step(self, index: Tensor, rate: Tensor, seed: Tensor) -> Tensor:
        loss = self._batch_loss(index, seed)
        self.update(torch.autograd.grad(loss, self.parameters), rate)
        return loss.detach()

    def _scaled_step(self, index: Tensor, rate: Tensor, seed: Tensor) -> Tensor:
        assert self.loss_scale is not None
        loss = self._batch_loss(index, seed)
        gradients = torch.autograd.grad(loss * self.loss_scale.scale, self.parameters)
        finite = self.loss_scale.are_finite(gradients)
        self.update(gradients, rate, scale=self.loss_scale.scale, overflowed=(~finite).float())
        self.loss_scale.update(finite)
        return loss.detach()

    def state(self) -> State:
        """The optimizer's state and the loss scale under their common names, as copies on the host."""
        counts = {"count": self.update.counts[0]} if self.update.counts else {}
        return export_state(self.names, self.update.slots, counts | self._scale_scalars())

    def load_state(self, state: State) -> None:
        """Take over a state that `state()` of any engine gave."""
        import_state(state, self.names, self.update.slots, self._scale_scalars())
        for count in self.update.counts:
            import_state(state, [], {}, {"count": count})

    def _scale_scalars(self) -> dict[str, Tensor]:
        return self.loss_scale.scalars if self.loss_scale else {}

    @classmethod
    def classifier(cls, model: MLP, device: Device, precision: Precision) -> Classifier:
        """The forward pass of every evaluation."""
        return partial(logits_of, model, device=device, precision=precision)


ENGINE = EagerEngine
