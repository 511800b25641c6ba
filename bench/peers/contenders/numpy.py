"""NumPy by hand: the gradient written out, every large array made once, matrix products left to its BLAS.

What NumPy's documentation offers for speed: `out=` everywhere, so that no step allocates what is large, and `take` with
a `mode`, as with its default the output is buffered (numpy.org/doc/stable/reference/generated/numpy.take.html). All
weights are views of one flat array, and so are the gradients and what an optimizer keeps: the update is a few calls
whatever the number of layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import Activation, Output, TrainingConfig
from accelmnist.engines.plan import Floats
from accelmnist.engines.step.rules import BETA1, BETA2, EPSILON
from bench.peers.contract import COUNT, SCALE, Contender, Job, State
from bench.peers.network import corrections

Array = NDArray[Any]

# In place, and the derivative by what came out: there is none for GELU and SiLU.
_ACTIVATIONS: dict[Activation, tuple[Callable[[Array], object], Callable[[Array], Array]]] = {
    "relu": (lambda z: np.maximum(z, 0, out=z), lambda a: a > 0),
    "leaky-relu": (lambda z: np.maximum(z, z * 0.01, out=z), lambda a: np.where(a > 0, a.dtype.type(1), 0.01)),
    "tanh": (lambda z: np.tanh(z, out=z), lambda a: 1 - a * a),
    "sigmoid": (lambda z: np.copyto(z, _sigmoid(z)), lambda a: a * (1 - a)),
}


def _sigmoid(values: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * values))


def output_and_losses(output: Output, logits: Array, targets: Array) -> tuple[Array, Array]:
    """The output function's values (n, 10), and the loss of every image."""
    if output == "linear":
        return logits, 0.5 * ((logits - targets) ** 2).sum(axis=1)
    if output == "sigmoid":
        return _sigmoid(logits), (np.logaddexp(0, logits) - targets * logits).sum(axis=1)
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    sums = exponentials.sum(axis=1, keepdims=True)
    return exponentials / sums, np.log(sums[:, 0]) - (targets * shifted).sum(axis=1)


class Flat:
    """Arrays of the shapes of a network's weights and biases, views of the flat array `all`."""

    def __init__(self, shapes: Sequence[tuple[int, ...]]) -> None:
        sizes = [int(np.prod(shape)) for shape in shapes]
        self.all: Floats = np.zeros(sum(sizes), np.float32)
        parts = np.split(self.all, np.cumsum(sizes)[:-1])
        self.parts = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    def set(self, arrays: Sequence[Array]) -> None:
        """Copy them in."""
        np.concatenate([array.ravel() for array in arrays], out=self.all)


class Network:
    """Forward and backward through `weights`, with buffers for batches of one size."""

    def __init__(self, job: Job, weights: Flat, batch_size: int) -> None:
        self.weights, self.output = weights, job.config.model.output
        self.activate, self.slope = _ACTIVATIONS[job.config.model.activation]
        self.outputs = [np.empty((batch_size, bias.size), np.float32) for bias in weights.parts[1::2]]
        self.deltas = [np.empty_like(output) for output in self.outputs]

    def forward(self, inputs: Array) -> Array:
        """Logits (batch, 10), in a buffer that the next call writes over."""
        last = len(self.outputs) - 1
        for layer, output in enumerate(self.outputs):
            weight, bias = self.weights.parts[2 * layer : 2 * layer + 2]
            np.matmul(inputs, weight.T, out=output)
            output += bias
            if layer < last:
                self.activate(output)
            inputs = output
        return inputs

    def backward(self, inputs: Array, targets: Array, gradients: Flat) -> float:
        """Fill `gradients` with those of the batch's mean loss; returns that loss."""
        outputs, losses = output_and_losses(self.output, self.forward(inputs), targets)
        np.divide(outputs - targets, len(targets), out=self.deltas[-1])
        for layer in reversed(range(len(self.outputs))):
            delta, below = self.deltas[layer], self.outputs[layer - 1] if layer else inputs
            np.matmul(delta.T, below, out=gradients.parts[2 * layer])
            np.add.reduce(delta, axis=0, out=gradients.parts[2 * layer + 1])
            if layer:
                np.matmul(delta, self.weights.parts[2 * layer], out=self.deltas[layer - 1])
                self.deltas[layer - 1] *= self.slope(below)
        return float(losses.mean())


class Update:
    """The optimizer over flat arrays, in place; `slots` are what it keeps."""

    def __init__(self, training: TrainingConfig, weights: Floats, slots: Sequence[Floats]) -> None:
        self.training, self.weights, self.slots, self.count = training, weights, slots, 0
        self.scratch = np.empty_like(weights)
        self.step = {0: self._plain, 1: self._momentum, 2: self._adam}[len(slots)]

    def __call__(self, gradient: Floats, rate: float) -> None:
        """One step; `gradient` is spent."""
        decay = self.training.weight_decay
        if decay and self.training.optimizer == "adamw":
            self.weights *= 1 - rate * decay
        elif decay:
            gradient += np.multiply(self.weights, decay, out=self.scratch)
        self.step(gradient, rate)

    def _plain(self, gradient: Floats, rate: float) -> None:
        gradient *= rate
        np.subtract(self.weights, gradient, out=self.weights)

    def _momentum(self, gradient: Floats, rate: float) -> None:
        (velocity,), momentum = self.slots, self.training.momentum
        velocity *= momentum
        velocity += gradient
        if self.training.nesterov:
            gradient += np.multiply(velocity, momentum, out=self.scratch)
        direction = gradient if self.training.nesterov else velocity
        self.weights -= np.multiply(direction, rate, out=self.scratch)

    def _adam(self, gradient: Floats, rate: float) -> None:
        self.count += 1
        (first, second), scratch = self.slots, self.scratch
        by, root = corrections(self.count)
        first *= BETA1
        first += np.multiply(gradient, 1 - BETA1, out=scratch)
        second *= BETA2
        np.multiply(gradient, gradient, out=gradient)
        gradient *= 1 - BETA2
        second += gradient
        np.sqrt(second, out=scratch)
        scratch *= 1 / root
        scratch += EPSILON
        np.divide(first, scratch, out=scratch)
        scratch *= rate / by
        np.subtract(self.weights, scratch, out=self.weights)


class ByHand(Contender):
    """The loop over batches."""

    packages = ("numpy",)

    @classmethod
    def unsupported(cls, job: Job) -> str | None:
        """What takes special functions is left to others."""
        activation = job.config.model.activation
        return None if activation in _ACTIVATIONS else f"{activation} is not written out here"

    def __init__(self, job: Job) -> None:
        self.job, self.rates = job, job.rates.tolist()
        shapes = [job.start[name].shape for name in job.names]
        self.weights, self.gradients, *self.slots = (Flat(shapes) for _ in range(2 + len(job.slots)))
        self.update = Update(job.config.training, self.weights.all, [slot.all for slot in self.slots])
        self.networks: dict[int, Network] = {}  # by the size of a batch
        self.table = job.targets()
        if job.mode == "training":
            self.inputs = job.data.inputs
            self.batch = np.empty((job.order.shape[1], self.inputs.shape[1]), np.float32)

    def _network(self, size: int) -> Network:
        if size not in self.networks:
            self.networks[size] = Network(self.job, self.weights, size)
        return self.networks[size]

    def load(self, state: State) -> None:
        """Into the flat arrays."""
        for prefix, flat in self._named():
            flat.set([state[prefix + name] for name in self.job.names])
        self.update.count = int(state.get(COUNT, 0))

    def save(self) -> State:
        """Copies of the parts."""
        named = self._named()
        state = {
            p + name: part.copy() for p, flat in named for name, part in zip(self.job.names, flat.parts, strict=True)
        }
        return state | ({COUNT: np.array(self.update.count)} if self.job.is_adam else {})

    def _named(self) -> list[tuple[str, Flat]]:
        slots = zip(self.job.slots, self.slots, strict=True)
        return [("", self.weights), *((f"{slot}/", flat) for slot, flat in slots)]

    def train(self, steps: slice) -> Floats:
        """Step by step."""
        network, labels = self._network(len(self.batch)), self.job.data.labels
        losses = []
        for index, rate in zip(self.job.order[steps], self.rates[steps], strict=True):
            np.take(self.inputs, index, axis=0, out=self.batch, mode="clip")
            losses.append(network.backward(self.batch, self.table[labels[index]], self.gradients))
            self.update(self.gradients.all, rate)
        return np.array(losses, np.float32)

    def classify(self, images: Any) -> NDArray[Any]:
        """One forward pass over all images."""
        return self._network(len(images)).forward(images * SCALE).copy()


CONTENDER = ByHand
