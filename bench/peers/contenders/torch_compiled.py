"""PyTorch by hand with torch.compile: gather, network and loss in one graph, and their backward in another.

Source: docs.pytorch.org/tutorials/intermediate/torch_compile_tutorial.html; `dynamic=False`, since the shape is fixed.
The other forms that the documentation has, the whole training step in one compiled function and a compiled update
(docs.pytorch.org/tutorials/recipes/compiling_optimizer.html), were measured as well, and images kept as bytes: with one
thread on AVX2 none was faster than this one with the fused update.
"""

from __future__ import annotations

from typing import Any

import torch
import torch._dynamo
from numpy.typing import NDArray
from torch import Tensor

from bench.peers.contenders.torch_preloaded import Preloaded
from bench.peers.contract import Job

# A job is a recompilation of the same functions, and in its process there may be many.
torch._dynamo.config.recompile_limit = 1000


class Compiled(Preloaded):
    """The loop by hand, its step compiled."""

    compiles = True

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.loss = torch.compile(self._loss, dynamic=False, fullgraph=True)  # type: ignore[method-assign]
        self.logits = torch.compile(self._logits, dynamic=False, fullgraph=True)

    def _loss(self, index: Tensor) -> Tensor:
        with self.autocast():
            logits = self.network(self.inputs.index_select(0, index))
        return self.criterion(logits.float(), self.labels.index_select(0, index))

    def _logits(self, images: Tensor) -> Tensor:
        with self.autocast():
            logits: Tensor = self.network(images.float() / 255)
        return logits.float()

    @torch.inference_mode()
    def classify(self, images: Any) -> NDArray[Any]:
        """One compiled forward pass over all images."""
        return self.logits(images).numpy()


CONTENDER = Compiled
