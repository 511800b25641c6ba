"""tinygrad on its CPU device, the whole step under TinyJit: gather, forward, backward and update.

Source: docs.tinygrad.org/mnist, its MNIST tutorial. The device is chosen by DEV=CPU, whose default renderer writes C
and compiles it by the program that CC names, `clang` if none does; other compilers lack the vector types of its C. The
kernels are its default ones: a search for better ones (BEAM) takes many minutes. Its own Adam corrects the first steps
in float32, where 1 - 0.999 has lost most of its digits.
"""

from __future__ import annotations

import os
import shutil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tinygrad import Tensor, TinyJit, dtypes
from tinygrad.helpers import Context

from accelmnist.core.config import Activation
from accelmnist.engines.plan import Floats
from bench.peers.contract import COUNT, Contender, Job, State
from bench.peers.network import batch_loss, corrections, logits_of, updated

_ACTIVATIONS: dict[Activation, Any] = {
    "relu": Tensor.relu,
    "leaky-relu": Tensor.leaky_relu,
    "silu": Tensor.silu,
    "tanh": Tensor.tanh,
    "sigmoid": Tensor.sigmoid,
}


class Jitted(Contender):
    """A step under TinyJit, which records the second one and replays it from the third on."""

    packages = ("tinygrad",)
    compiles = True
    first_steps = 3

    @classmethod
    def unsupported(cls, job: Job) -> str | None:
        """It takes a C compiler that is clang."""
        compiler = os.environ.get("CC", "clang")
        if shutil.which(compiler) is None:
            return f"it compiles its kernels by {compiler}, which is not installed"
        return None if job.config.model.activation in _ACTIVATIONS else "its gelu is an approximation"

    def __init__(self, job: Job) -> None:
        self.job, self.rates = job, job.rates.tolist()
        self.images = Tensor(job.data.images).realize()
        self.labels = Tensor(job.data.labels.astype(np.int32)).realize()
        self.order, self.table = job.order.astype(np.int32), Tensor(job.targets()).realize()
        self.activation = _ACTIVATIONS[job.config.model.activation]
        self.loss_of = batch_loss(job.config.model.output, log_softmax=Tensor.log_softmax, softplus=Tensor.softplus)
        self.state = {
            name: Tensor(value).contiguous().realize() for name, value in job.fresh().items() if name != COUNT
        }
        for name in job.names:
            self.state[name].requires_grad = True
        self.step, self.jitted = TinyJit(self._step), dict[int, Any]()

    def _logits(self, images: Tensor) -> Tensor:
        weights = {name: self.state[name] for name in self.job.names}
        return logits_of(weights, images.cast(dtypes.float32) * (1 / 255), self.activation)

    def _step(self, index: Tensor, numbers: Tensor) -> Tensor:
        with Context(TRAINING=1):
            loss = self.loss_of(self._logits(self.images[index]), self.table[self.labels[index]])
            weights = [self.state[name] for name in self.job.names]
            gradients = dict(zip(self.job.names, loss.gradient(*weights), strict=True))
            rate, by = numbers[0], (numbers[1], numbers[2])
            after = updated(self.job.config.training, self.state, gradients, rate=rate, by=by, sqrt=Tensor.sqrt)
            return loss.realize(*(self.state[name].assign(value) for name, value in after.items()))

    def load(self, state: State) -> None:
        """Into the tensors that the compiled step holds on to."""
        self.count = int(state.get(COUNT, 0))
        for name, tensor in self.state.items():
            tensor.assign(Tensor(state[name])).realize()

    def save(self) -> State:
        """As NumPy's."""
        state = {name: tensor.numpy().copy() for name, tensor in self.state.items()}
        return state | ({COUNT: np.array(self.count)} if self.job.is_adam else {})

    def train(self, steps: slice) -> Floats:
        """Step by step; a loss is copied out, since the next step writes over it."""
        losses = []
        for index, rate in zip(self.order[steps], self.rates[steps], strict=True):
            self.count += 1
            numbers = Tensor(np.array([rate, *corrections(self.count)], np.float32))
            losses.append(self.step(Tensor(index), numbers).item())
        return np.array(losses, np.float32)

    def upload(self, images: NDArray[np.uint8]) -> Any:
        """As its tensor."""
        return Tensor(images).realize()

    def classify(self, images: Any) -> NDArray[Any]:
        """One compiled forward pass over all images; other shapes are other functions."""
        classify = self.jitted.setdefault(images.shape[0], TinyJit(lambda given: self._logits(given).realize()))
        return np.array(classify(images).numpy())


CONTENDER = Jitted
