"""NumPy by hand: the gradient written out, every array made once, matrix products left to its BLAS.

What NumPy's documentation offers for speed: `out=` everywhere, so that no step allocates, and `take` with a `mode`, as
with its default the output is buffered (numpy.org/doc/stable/reference/generated/numpy.take.html). All weights are
views of one flat array, and so are the gradients: the update is a few calls whatever the number of layers.

The rules are SGD with momentum (v = momentum v + g, w = w - rate v, as torch has it) and Adam (Kingma and Ba, 2015).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.peers.contract import Contender, Digits, as_digits, no_bf16
from bench.peers.workloads import BETA1, BETA2, EPSILON, SCALE, Floats, Job, Weights, Workload

Array = NDArray[Any]


class Network:
    """Weights, gradients and buffers for a fixed batch; `dtype` is float32, or float64 to test the gradient."""

    def __init__(self, weights: Weights, batch_size: int, dtype: type = np.float32) -> None:
        shapes = [array.shape for layer in weights for array in layer]
        self.flat, self.parameters = _flat_views(shapes, dtype)
        self.flat_gradient, self.gradients = _flat_views(shapes, dtype)
        self.outputs: list[Array] = [np.empty((batch_size, bias.size), dtype) for _, bias in weights]
        self.deltas = [np.empty_like(output) for output in self.outputs]
        self.rows, self.batch_size = np.arange(batch_size), batch_size
        self.load(weights)

    def load(self, weights: Weights) -> None:
        """Copy the weights in."""
        np.concatenate([array.ravel() for layer in weights for array in layer], out=self.flat, casting="same_kind")

    def weights(self) -> Weights:
        """A copy of the weights as they are now."""
        layers = zip(self.parameters[::2], self.parameters[1::2], strict=True)
        return [(weight.copy(), bias.copy()) for weight, bias in layers]

    def forward(self, inputs: Array) -> Array:
        """Logits (batch, 10), in a buffer that the next call writes over."""
        last = len(self.outputs) - 1
        for layer, output in enumerate(self.outputs):
            weight, bias = self.parameters[2 * layer : 2 * layer + 2]
            np.matmul(inputs, weight, out=output)
            output += bias
            if layer < last:
                np.maximum(output, 0, out=output)
            inputs = output
        return inputs

    def gradient(self, inputs: Array, labels: NDArray[np.int64]) -> float:
        """Fill `gradients` with those of the batch's mean loss; returns that loss."""
        loss = self._output_delta(self.forward(inputs), labels)
        for layer in reversed(range(len(self.outputs))):
            delta = self.deltas[layer]
            below = self.outputs[layer - 1] if layer else inputs
            np.matmul(below.T, delta, out=self.gradients[2 * layer])
            np.add.reduce(delta, axis=0, out=self.gradients[2 * layer + 1])
            if layer:
                np.matmul(delta, self.parameters[2 * layer].T, out=self.deltas[layer - 1])
                self.deltas[layer - 1] *= below > 0
        return loss

    def _output_delta(self, logits: Array, labels: NDArray[np.int64]) -> float:
        """(softmax - one-hot) / batch into the last delta."""
        delta = self.deltas[-1]
        logits -= logits.max(axis=1, keepdims=True)
        right = logits[self.rows, labels]
        np.exp(logits, out=delta)
        sums = delta.sum(axis=1, keepdims=True)
        delta *= 1 / (sums * self.batch_size)
        delta[self.rows, labels] -= 1 / self.batch_size
        return float(np.log(sums).mean() - right.mean())


def _flat_views(shapes: list[tuple[int, ...]], dtype: type) -> tuple[Array, list[Array]]:
    sizes = [int(np.prod(shape)) for shape in shapes]
    flat: Array = np.zeros(sum(sizes), dtype)
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return flat, [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


class Update:
    """SGD or Adam over the flat arrays, in place."""

    def __init__(self, workload: Workload, network: Network) -> None:
        self.workload, self.network, self.rate = workload, network, workload.learning_rate
        self.first, self.second, self.scratch = (np.zeros_like(network.flat) for _ in range(3))
        self.step = self._adam if workload.rule == "adam" else self._momentum if workload.momentum else self._plain
        self.count = 0

    def reset(self) -> None:
        """As before the first step."""
        self.first[:], self.second[:], self.count = 0, 0, 0

    def _plain(self) -> None:
        gradient = self.network.flat_gradient
        gradient *= self.rate
        np.subtract(self.network.flat, gradient, out=self.network.flat)

    def _momentum(self) -> None:
        self.first *= self.workload.momentum
        self.first += self.network.flat_gradient
        np.multiply(self.first, self.rate, out=self.scratch)
        np.subtract(self.network.flat, self.scratch, out=self.network.flat)

    def _adam(self) -> None:
        self.count += 1
        gradient, scratch = self.network.flat_gradient, self.scratch
        self.first *= BETA1
        np.multiply(gradient, 1 - BETA1, out=scratch)
        self.first += scratch
        self.second *= BETA2
        np.multiply(gradient, gradient, out=gradient)
        gradient *= 1 - BETA2
        self.second += gradient
        np.sqrt(self.second, out=scratch)
        scratch *= 1 / (1 - BETA2**self.count) ** 0.5
        scratch += EPSILON
        np.divide(self.first, scratch, out=scratch)
        scratch *= self.rate / (1 - BETA1**self.count)
        np.subtract(self.network.flat, scratch, out=self.network.flat)


class ByHand(Contender):
    """The loop over batches."""

    @classmethod
    def unsupported(cls, job: Job, variant: str) -> str | None:  # noqa: ARG003
        """NumPy has no bfloat16."""
        return no_bf16(job)

    def __init__(self, job: Job, variant: str) -> None:  # noqa: ARG002
        self.job, workload = job, job.workload
        self.inputs, self.labels = job.inputs(), job.data.train.labels
        self.batch = np.empty((workload.batch_size, workload.sizes[0]), np.float32)
        self.network = Network(job.weights, workload.batch_size)
        self.update = Update(workload, self.network)
        self.shuffle = job.shuffle()
        if workload.mode == "training":
            self.test = Network(job.weights, len(job.data.test))
            self.test.flat, self.test.parameters = self.network.flat, self.network.parameters
        else:
            self.test = self.network
        self.test_inputs = np.empty(job.data.test.images.shape, np.float32)

    def reset(self) -> None:
        """Start weights, no momentum, the first epoch."""
        self.network.load(self.job.weights)
        self.update.reset()
        self.shuffle.restart()

    def train(self, steps: int) -> Floats:
        """Step by step."""
        return np.array([self._step(index) for index in self.shuffle.take(steps)], np.float32)

    def _step(self, index: NDArray[np.int64]) -> float:
        np.take(self.inputs, index, axis=0, out=self.batch, mode="clip")
        loss = self.network.gradient(self.batch, self.labels[index])
        self.update.step()
        return loss

    def classify(self) -> Digits:
        """One forward pass over all images."""
        np.multiply(self.job.data.test.images, SCALE, out=self.test_inputs)
        return as_digits(self.test.forward(self.test_inputs).argmax(axis=1))


CONTENDER = ByHand
