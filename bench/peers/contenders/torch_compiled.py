"""PyTorch by hand with torch.compile: gather, network and loss in one graph, and their backward in another.

Source: docs.pytorch.org/tutorials/intermediate/torch_compile_tutorial.html; `dynamic=False`, since the shape is fixed.
The other forms that the documentation has, the whole training step in one compiled function and a compiled update
(docs.pytorch.org/tutorials/recipes/compiling_optimizer.html), were measured as well, and images kept as bytes: with one
thread on AVX2 none was faster than this one with the fused update.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.peers.contenders.torch_network import autocast
from bench.peers.contenders.torch_preloaded import Preloaded
from bench.peers.contract import Digits, as_digits
from bench.peers.workloads import Job


class Compiled(Preloaded):
    """The loop by hand, its step compiled."""

    def __init__(self, job: Job, variant: str) -> None:
        super().__init__(job, variant)
        self.loss = torch.compile(self._loss, dynamic=False, fullgraph=True)
        self.digits = torch.compile(self._digits, dynamic=False, fullgraph=True)

    def _loss(self, index: Tensor) -> Tensor:
        with autocast(self.job):
            logits = self.network(self.inputs.index_select(0, index))
        return torch.nn.functional.cross_entropy(logits.float(), self.labels.index_select(0, index))

    def _step(self, index: Tensor) -> Tensor:
        self.optimizer.zero_grad()
        loss: Tensor = self.loss(index)
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        self.optimizer.step()
        return loss.detach()

    def _digits(self, images: Tensor) -> Tensor:
        with autocast(self.job):
            digits: Tensor = self.network(images.float() / 255).argmax(dim=1)
        return digits

    @torch.inference_mode()
    def classify(self) -> Digits:
        """One compiled forward pass over all images."""
        return as_digits(self.digits(self.test).numpy())


CONTENDER = Compiled
