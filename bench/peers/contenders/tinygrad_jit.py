"""tinygrad on its CPU device, the whole step under TinyJit: gather, forward, backward and update.

Source: docs.tinygrad.org/mnist, its MNIST tutorial. The device is chosen by DEV=CPU, whose default renderer writes C
and compiles it by the program that CC names, `clang` if none does; other compilers lack the vector types of its C. The
kernels are its default ones: a search for better ones (BEAM) takes many minutes.
"""

from __future__ import annotations

import os
import shutil

import numpy as np
from tinygrad import Tensor, TinyJit, dtypes, nn
from tinygrad.helpers import Context

from bench.peers.contract import Contender, Digits, as_digits, no_bf16
from bench.peers.workloads import BETA1, BETA2, EPSILON, Floats, Job, Weights, Workload


class Network:
    """Linear layers with rectifiers between them."""

    def __init__(self, workload: Workload) -> None:
        shapes = zip(workload.sizes, workload.sizes[1:], strict=False)
        self.layers = [nn.Linear(inputs, units) for inputs, units in shapes]

    def __call__(self, images: Tensor) -> Tensor:
        """Logits of bytes."""
        values = images.cast(dtypes.float32) * (1 / 255)
        for layer in self.layers[:-1]:
            values = layer(values).relu()
        return self.layers[-1](values)

    def load(self, weights: Weights) -> None:
        """Write the weights into the tensors that the compiled step holds on to."""
        for layer, (weight, bias) in zip(self.layers, weights, strict=True):
            layer.weight.assign(Tensor(weight.T.copy())).realize()
            layer.bias.assign(Tensor(bias)).realize()


def optimizer_of(workload: Workload, network: Network) -> nn.optim.Optimizer:
    """tinygrad's own SGD or Adam."""
    parameters = nn.state.get_parameters(network)
    if workload.rule == "adam":
        return nn.optim.Adam(parameters, lr=workload.learning_rate, b1=BETA1, b2=BETA2, eps=EPSILON)
    return nn.optim.SGD(parameters, lr=workload.learning_rate, momentum=workload.momentum)


class Jitted(Contender):
    """A step under TinyJit."""

    @classmethod
    def unsupported(cls, job: Job, variant: str) -> str | None:  # noqa: ARG003
        """It takes a C compiler that is clang."""
        compiler = os.environ.get("CC", "clang")
        if shutil.which(compiler) is None:
            return f"it compiles its kernels by {compiler}, which is not installed"
        return no_bf16(job)

    def __init__(self, job: Job, variant: str) -> None:  # noqa: ARG002
        self.job, workload = job, job.workload
        self.images = Tensor(job.data.train.images).realize()
        self.labels = Tensor(job.data.train.labels.astype(np.int32)).realize()
        self.test = Tensor(job.data.test.images).realize()
        self.network = Network(workload)
        self.network.load(job.weights)
        self.optimizer = optimizer_of(workload, self.network)
        self.state = [tensor for tensor in nn.state.get_parameters(self.optimizer) if not _is_weight(self, tensor)]
        self.fresh = [tensor.numpy().copy() for tensor in self.state]
        self.shuffle = job.shuffle()
        self.step, self.digits = TinyJit(self._step), TinyJit(self._digits)

    def _step(self, index: Tensor) -> Tensor:
        with Context(TRAINING=1):
            self.optimizer.zero_grad()
            logits = self.network(self.images[index])
            loss = logits.sparse_categorical_crossentropy(self.labels[index]).backward()
            return loss.realize(*self.optimizer.schedule_step())

    def _digits(self, images: Tensor) -> Tensor:
        return self.network(images).argmax(axis=1).realize()

    def reset(self) -> None:
        """Start weights, the optimizer's state as it was made, the first epoch."""
        self.network.load(self.job.weights)
        for tensor, value in zip(self.state, self.fresh, strict=True):
            tensor.assign(Tensor(value)).realize()
        self.shuffle.restart()

    def train(self, steps: int) -> Floats:
        """Step by step; a loss is copied out, since the next step writes over it."""
        losses = [self.step(Tensor(index)).item() for index in self.shuffle.take(steps).astype(np.int32)]
        return np.array(losses, np.float32)

    def classify(self) -> Digits:
        """One compiled forward pass over all images."""
        return as_digits(self.digits(self.test).numpy())


def _is_weight(contender: Jitted, tensor: Tensor) -> bool:
    return any(tensor is weight for weight in nn.state.get_parameters(contender.network))


CONTENDER = Jitted
