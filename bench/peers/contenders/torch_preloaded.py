"""PyTorch as a practised user writes it: float tensors preloaded, a permutation an epoch, fused update.

What the performance tuning guide advises and applies here: no `.item()` in the loop, gradients set to None, the data
where it is computed on (docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html); bfloat16 by `torch.autocast`
(docs.pytorch.org/docs/stable/amp.html).
"""

from __future__ import annotations

import torch
from torch import nn

from bench.peers.contenders.torch_network import autocast, load_weights, network_of, optimizer_of, reset_optimizer
from bench.peers.contract import Contender, Digits, as_digits
from bench.peers.workloads import Floats, Job


class Preloaded(Contender):
    """A loop by hand over tensors."""

    def __init__(self, job: Job, variant: str) -> None:  # noqa: ARG002
        self.job = job
        self.inputs, self.labels = torch.from_numpy(job.inputs()), torch.from_numpy(job.data.train.labels)
        self.test = torch.from_numpy(job.data.test.images)
        self.network, self.criterion = network_of(job.workload), nn.CrossEntropyLoss()
        load_weights(self.network, job.weights)
        self.optimizer = optimizer_of(job.workload, self.network)
        self.shuffle = job.shuffle()

    def reset(self) -> None:
        """Start weights, no momentum, the first epoch."""
        load_weights(self.network, self.job.weights)
        reset_optimizer(self.optimizer)
        self.shuffle.restart()

    def train(self, steps: int) -> Floats:
        """Step by step; the losses come to the host at the end."""
        losses = [self._step(index) for index in torch.from_numpy(self.shuffle.take(steps))]
        return torch.stack(losses).numpy()

    def _step(self, index: torch.Tensor) -> torch.Tensor:
        self.optimizer.zero_grad()
        with autocast(self.job):
            loss: torch.Tensor = self.criterion(self.network(self.inputs[index]), self.labels[index])
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        self.optimizer.step()
        return loss.detach()

    @torch.inference_mode()
    def classify(self) -> Digits:
        """One forward pass over all images."""
        with autocast(self.job):
            return as_digits(self.network(self.test.float() / 255).argmax(dim=1).numpy())


CONTENDER = Preloaded
