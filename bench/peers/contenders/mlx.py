"""MLX: forward, backward and update in one function under `mx.compile`, evaluated step by step.

Source: ml-explore.github.io/mlx/build/html/usage/compile.html, "Compiling Training Graphs"; where to evaluate,
ml-explore.github.io/mlx/build/html/usage/lazy_evaluation.html. On Linux this is MLX's CPU build, whose wheel
brings the reference BLAS: 3 to 4 GFLOP/s on one core where others reach thirty. In bfloat16 the products are, the
weights stay float32. Its own Adam corrects the first steps in float32, where 1 - 0.999 has lost most of its digits.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import Activation
from accelmnist.engines.plan import Floats
from bench.peers.contract import COUNT, Contender, Job, State
from bench.peers.network import batch_loss, corrections, logits_of, updated

_ACTIVATIONS: dict[Activation, Any] = {
    "relu": nn.relu,
    "leaky-relu": nn.leaky_relu,
    "gelu": nn.gelu,
    "silu": nn.silu,
    "tanh": mx.tanh,
    "sigmoid": mx.sigmoid,
}


class Compiled(Contender):
    """A compiled step."""

    packages = ("mlx",)
    precisions = ("fp32", "bf16")
    compiles = True

    def __init__(self, job: Job) -> None:
        self.job, self.rates = job, job.rates.tolist()
        self.images, self.labels = mx.array(job.data.images), mx.array(job.data.labels.astype(np.int32))
        self.order, self.table = job.order.astype(np.int32), mx.array(job.targets())
        self.dtype = mx.bfloat16 if job.config.execution.precision == "bf16" else mx.float32
        self.activation = _ACTIVATIONS[job.config.model.activation]
        self.loss_of = batch_loss(
            job.config.model.output, log_softmax=partial(nn.log_softmax, axis=1), softplus=nn.softplus
        )
        self.step, self.logits = mx.compile(self._step), mx.compile(self._logits)

    def _logits(self, weights: Any, images: Any) -> Any:
        values = (images.astype(mx.float32) * (1 / 255)).astype(self.dtype)
        return logits_of(weights, values, self.activation, lambda weight: weight.astype(self.dtype)).astype(mx.float32)

    def _step(self, state: Any, index: Any, rate: Any, by: Any) -> Any:
        def loss_of(weights: Any) -> Any:
            return self.loss_of(self._logits(weights, self.images[index]), self.table[self.labels[index]])

        weights = {name: state[name] for name in self.job.names}
        loss, gradients = mx.value_and_grad(loss_of)(weights)
        return updated(self.job.config.training, state, gradients, rate=rate, by=by, sqrt=mx.sqrt), loss

    def load(self, state: State) -> None:
        """As its arrays."""
        self.count = int(state.get(COUNT, 0))
        self.state = {name: mx.array(value) for name, value in state.items() if name != COUNT}

    def save(self) -> State:
        """As NumPy's."""
        state = {name: np.array(value) for name, value in self.state.items()}
        return state | ({COUNT: np.array(self.count)} if self.job.is_adam else {})

    def train(self, steps: slice) -> Floats:
        """Each step is evaluated at once; the next one would only make the graph longer."""
        losses = []
        for index, rate in zip(self.order[steps], self.rates[steps], strict=True):
            self.count += 1
            by = tuple(map(mx.array, corrections(self.count)))
            self.state, loss = self.step(self.state, mx.array(index), mx.array(rate), by)
            mx.eval(loss, self.state)
            losses.append(loss)
        return np.array(mx.stack(losses))

    def upload(self, images: NDArray[np.uint8]) -> Any:
        """As its array."""
        return mx.array(images)

    def classify(self, images: Any) -> NDArray[Any]:
        """One compiled forward pass over all images."""
        return np.array(self.logits({name: self.state[name] for name in self.job.names}, images))


CONTENDER = Compiled
