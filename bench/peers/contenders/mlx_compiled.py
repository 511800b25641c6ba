"""MLX: forward, backward and update in one function under `mx.compile`, evaluated step by step.

Source: ml-explore.github.io/mlx/build/html/usage/compile.html, "Compiling Training Graphs"; where to evaluate,
ml-explore.github.io/mlx/build/html/usage/lazy_evaluation.html. On Linux this is MLX's CPU build, whose wheel
brings the reference BLAS: 3 to 4 GFLOP/s on one core where others reach thirty. In bfloat16 the products are, the
weights stay float32.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_flatten, tree_map

from bench.peers.contract import Contender, Digits, as_digits
from bench.peers.workloads import BETA1, BETA2, EPSILON, Floats, Job, Weights, Workload


class Network(nn.Module):  # type: ignore[misc, unused-ignore]
    """Linear layers with rectifiers between them."""

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        shapes = zip(workload.sizes, workload.sizes[1:], strict=False)
        self.layers = [nn.Linear(inputs, units) for inputs, units in shapes]

    def __call__(self, values: Any) -> Any:
        """Logits of images from 0 to 1."""
        for layer in self.layers[:-1]:
            values = nn.relu(layer(values))
        return self.layers[-1](values)


def optimizer_of(workload: Workload) -> Any:
    """MLX's own SGD or Adam, the latter with the correction of its first steps that others make."""
    if workload.rule == "adam":
        return optim.Adam(workload.learning_rate, betas=[BETA1, BETA2], eps=EPSILON, bias_correction=True)
    return optim.SGD(workload.learning_rate, momentum=workload.momentum)


def load_weights(network: Any, weights: Weights) -> None:
    """MLX's layers keep (units, inputs)."""
    for layer, (weight, bias) in zip(network.layers, weights, strict=True):
        layer.weight, layer.bias = mx.array(weight.T.copy()), mx.array(bias)


class Compiled(Contender):
    """A compiled step."""

    def __init__(self, job: Job, variant: str) -> None:  # noqa: ARG002
        self.job = job
        self.images = mx.array(job.data.train.images)
        self.labels = mx.array(job.data.train.labels.astype(np.int32))
        self.test = mx.array(job.data.test.images)
        self.dtype = mx.bfloat16 if job.precision == "bf16" else mx.float32
        self.network, self.optimizer = Network(job.workload), optimizer_of(job.workload)
        load_weights(self.network, job.weights)
        self.optimizer.init(self.network.trainable_parameters())
        self.state = [self.network.state, self.optimizer.state]
        mx.eval(self.state, self.images, self.labels, self.test)
        self.fresh = [np.array(value) for _, value in tree_flatten(self.optimizer.state)]
        self.shuffle = job.shuffle()
        self.step, self.digits = self._compiled_step(), mx.compile(self._digits, inputs=self.state)

    def _compiled_step(self) -> Any:
        @partial(mx.compile, inputs=self.state, outputs=self.state)
        def step(index: Any) -> Any:
            loss, gradients = nn.value_and_grad(self.network, self._loss)(self.images[index], self.labels[index])
            self.optimizer.update(self.network, gradients)
            return loss

        return step

    def _logits(self, images: Any) -> Any:
        values = images.astype(self.dtype) * (1 / 255)
        if self.dtype == mx.float32:
            return self.network(values)
        master = self.network.parameters()
        self.network.update(tree_map(lambda value: value.astype(self.dtype), master))
        logits = self.network(values).astype(mx.float32)
        self.network.update(master)
        return logits

    def _loss(self, images: Any, labels: Any) -> Any:
        return nn.losses.cross_entropy(self._logits(images), labels, reduction="mean")

    def _digits(self, images: Any) -> Any:
        return self._logits(images).argmax(axis=1)

    def reset(self) -> None:
        """Start weights, the optimizer's state as it was made, the first epoch."""
        load_weights(self.network, self.job.weights)
        names = [name for name, _ in tree_flatten(self.optimizer.state)]
        for name, value in zip(names, self.fresh, strict=True):
            _put(self.optimizer.state, name, mx.array(value))
        mx.eval(self.state)
        self.shuffle.restart()

    def train(self, steps: int) -> Floats:
        """Each step is evaluated at once; the next one would only make the graph longer."""
        losses = []
        for index in self.shuffle.take(steps).astype(np.int32):
            loss = self.step(mx.array(index))
            mx.eval(loss, self.state)
            losses.append(loss)
        return np.array(mx.stack(losses))

    def classify(self) -> Digits:
        """One compiled forward pass over all images."""
        return as_digits(self.digits(self.test))


def _put(tree: Any, name: str, value: Any) -> None:
    """Put a value into nested dictionaries and lists, by the dotted name that `tree_flatten` gave it."""
    *path, last = name.split(".")
    for part in path:
        tree = tree[int(part)] if isinstance(tree, list) else tree[part]
    tree[last] = value


CONTENDER = Compiled
