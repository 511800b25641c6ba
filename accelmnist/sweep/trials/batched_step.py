"""The step of many networks of one shape, as one graph: every tensor has a first dimension that counts the networks.

It is the step of one network (`step.functional`) mapped over that dimension, so that the mathematics is written once:
torch's `vmap` makes batched products of the products, and a learning rate, a weight decay, an order and a dropout seed
are each one a network. The epoch's plan lies on the device and a counter there says which step is next, so that a CUDA
graph captures a step once and replays it: a small network's step costs more in launches than in arithmetic, and the
launches of N networks are those of one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from accelmnist.device import Device, capture_graph
from accelmnist.engines.contract import Job
from accelmnist.engines.model import MLP
from accelmnist.engines.step.device_runner import DeviceEpoch
from accelmnist.engines.step.functional import FunctionalStep


class BatchedStep:
    """One step of all of `jobs` at once, in place; their networks' weights become views of the stacked ones.

    The jobs differ in nothing but seeds, learning rates and weight decays.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._one = FunctionalStep(jobs[0])
        self.tensors = [torch.stack([tensor] * len(jobs)) for tensor in self._one.tensors()]
        _share_weights([job.model for job in jobs], self.tensors)
        decays = [job.config.training.weight_decay for job in jobs]
        self._decays = torch.tensor(decays, device=jobs[0].device.torch_device)
        self._advance = torch.vmap(self._advance_one)

    def __call__(self, index: Tensor, rates: Tensor, seeds: Tensor) -> Tensor:
        """One step on the images at `index` (networks, batch); rates, seeds and the returned losses (networks,)."""
        losses, after = self._advance(self.tensors, index, rates, seeds, self._decays)
        for stored, value in zip(self.tensors, after, strict=True):
            stored.copy_(value)
        losses_of_all: Tensor = losses
        return losses_of_all

    def _advance_one(
        self, tensors: list[Tensor], index: Tensor, rate: Tensor, seed: Tensor, decay: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        corrections = self._one.corrections(tensors)
        return self._one.advance(tensors, corrections, index, rate, seed, weight_decay=decay)


@torch.no_grad()
def _share_weights(models: Sequence[MLP], stacked: Sequence[Tensor]) -> None:
    for place, model in enumerate(models):
        for parameter, stack in zip(model.parameters(), stacked, strict=False):
            stack[place].copy_(parameter)
            parameter.data = stack[place]


class BatchedEpochs:
    """Epochs of a batched step, by a captured graph on CUDA and by plain calls elsewhere.

    The plan of an epoch is an `Epoch` whose tensors have the networks as their second dimension: order (steps,
    networks, batch), rates and seeds (steps, networks). `sample` has the shape of all plans that follow.
    """

    def __init__(self, step: BatchedStep, sample: DeviceEpoch, device: Device) -> None:
        self._step = step
        self._plan = sample.map(torch.clone)
        self._losses = torch.zeros_like(sample.learning_rates)
        self._position = torch.zeros(1, dtype=torch.int64, device=sample.order.device)
        self._run = self._captured(device) if device.kind == "cuda" else self._next_step

    def train_epoch(self, plan: DeviceEpoch) -> Tensor:
        """Run all steps; returns their losses (steps, networks) float32 on the device, without a host sync."""
        self._plan.order.copy_(plan.order)
        self._plan.learning_rates.copy_(plan.learning_rates)
        self._plan.dropout_seeds.copy_(plan.dropout_seeds)
        self._position.zero_()
        for _ in range(len(plan)):
            self._run()
        return self._losses.clone()

    def _next_step(self) -> None:
        here = self._position
        step = self._plan.map(lambda tensor: tensor.index_select(0, here).squeeze(0))
        losses = self._step(step.order, step.learning_rates, step.dropout_seeds)
        self._losses.index_copy_(0, here, losses.unsqueeze(0))
        self._position += 1

    def _captured(self, device: Device) -> Callable[[], None]:
        """The step as a graph; what its warm-up changed is set back."""
        before = [tensor.clone() for tensor in self._step.tensors]
        replay = capture_graph(device, self._next_step)
        for tensor, value in zip(self._step.tensors, before, strict=True):
            tensor.copy_(value)
        return replay
