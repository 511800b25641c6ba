"""PyTorch as a practised user writes it: float tensors preloaded, a permutation an epoch, fused update.

What the performance tuning guide advises and applies here: no `.item()` in the loop, gradients set to None, the data
where it is computed on (docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html).
"""

from __future__ import annotations

import torch

from accelmnist.engines.plan import Floats
from bench.peers.contract import Job
from bench.peers.torch_network import TorchContender


class Preloaded(TorchContender):
    """A loop by hand over tensors."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.order, self.labels = torch.from_numpy(job.order), torch.from_numpy(job.data.labels)
        if job.mode == "training":
            self.inputs = torch.from_numpy(job.data.inputs)

    def train(self, steps: slice) -> Floats:
        """Step by step; the losses come to the host at the end."""
        parts = zip(self.order[steps], self.rates[steps], strict=True)
        return torch.stack([self.update(self.loss(index), rate) for index, rate in parts]).numpy()

    def loss(self, index: torch.Tensor) -> torch.Tensor:
        """The loss of a batch."""
        with self.autocast():
            logits = self.network(self.inputs[index])
        return self.criterion(logits.float(), self.labels[index])


CONTENDER = Preloaded
