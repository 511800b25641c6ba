"""No contender but what dense arithmetic allows: the matrix products of a step alone, by `torch.mm` into given tensors.

It is the work of the "workload" limit of `accelmnist.measure.limits`: the same shapes and transpositions as a layer's,
one product after the other, and nothing between them: no images are gathered, nothing is rectified, updated or learned.
Each step reads the same operands, so they lie in cache as well as they can. An engine that multiplies every pixel can't
be faster than the best library at these products; one that skips the zeros can.
"""

from __future__ import annotations

import numpy as np
import torch

from accelmnist.core.config import ModelConfig
from accelmnist.device import is_emulated, resolve
from accelmnist.measure.limits.cost import step_products
from accelmnist.measure.limits.probe import Scratch
from accelmnist.measure.limits.probes import products_workload
from bench.peers.contract import Contender, Digits
from bench.peers.workloads import Floats, Job

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_BUDGET_BYTES = 1 << 30  # inference takes 37 MB


class DenseProducts(Contender):
    """The products of one step, again and again."""

    learns = False

    @classmethod
    def unsupported(cls, job: Job, variant: str) -> str | None:  # noqa: ARG003
        """Emulated products are no limit: who widens them to float32 first is faster."""
        emulated = is_emulated(resolve("cpu"), job.precision)
        return "this processor has no bfloat16 arithmetic" if emulated else None

    def __init__(self, job: Job, variant: str) -> None:  # noqa: ARG002
        task = job.workload
        products = step_products(ModelConfig(hidden=task.hidden), task.batch_size, task.mode)
        workload = products_workload(products, _DTYPES[job.precision])
        scratch = Scratch(resolve("cpu"), [workload], budget_bytes=_BUDGET_BYTES)
        self.flops = workload.amount
        self.operations = workload.operations(*scratch.tensors(workload))

    def reset(self) -> None:
        """Nothing changes, so there is nothing to go back to."""

    def train(self, steps: int) -> Floats:
        """The products of `steps` steps; there are no losses."""
        for _ in range(steps):
            self._step()
        return np.empty(0, np.float32)

    def classify(self) -> Digits:
        """The products of one pass; there are no digits."""
        self._step()
        return np.empty(0, np.int64)

    def _step(self) -> None:
        for operation in self.operations:
            operation()


CONTENDER = DenseProducts
