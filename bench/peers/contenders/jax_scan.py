"""JAX: all steps of a region in one `lax.scan` under `jit`, weights and optimizer state donated.

Sources: docs.jax.dev/en/latest/_autosummary/jax.lax.scan.html (a loop inside the compiled function, with no dispatch a
step), docs.jax.dev/en/latest/buffer_donation.html (the update happens in place), and for the timing
docs.jax.dev/en/latest/async_dispatch.html (`block_until_ready`). The images stay bytes on the device, and a step scales
its batch itself, as that moves a quarter of the memory; neither float images nor an unrolled scan was faster. In
bfloat16 the products are, the weights stay float32.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from bench.peers.contract import Contender, Digits, as_digits
from bench.peers.workloads import BETA1, BETA2, EPSILON, Floats, Job, Workload

Tree = Any


def logits_of(parameters: Tree, images: Any, dtype: Any) -> Any:
    """Logits (n, 10) float32 of bytes (n, 784), the products in `dtype`."""
    values = images.astype(dtype) * dtype(1 / 255)
    for layer, (weight, bias) in enumerate(parameters):
        values = values @ weight.astype(dtype) + bias.astype(dtype)
        if layer < len(parameters) - 1:
            values = jax.nn.relu(values)
    return values.astype(jnp.float32)


def loss_of(parameters: Tree, images: Any, labels: Any, dtype: Any) -> Any:
    """Mean softmax cross-entropy, with one-hot targets: picking the labels out makes a slower gradient."""
    logarithms = jax.nn.log_softmax(logits_of(parameters, images, dtype))
    return -(logarithms * jax.nn.one_hot(labels, logarithms.shape[1])).sum(axis=1).mean()


def updated(workload: Workload, parameters: Tree, slots: Tree, gradients: Tree) -> tuple[Tree, Tree]:
    """Parameters and optimizer slots after a step; the slots are those that `first_slots` makes."""
    rate = workload.learning_rate
    if workload.rule == "adam":
        return _adam(rate, parameters, slots, gradients)
    if workload.momentum:
        slots = jax.tree.map(lambda slot, gradient: workload.momentum * slot + gradient, slots, gradients)
    direction = slots if workload.momentum else gradients
    return jax.tree.map(lambda value, step: value - rate * step, parameters, direction), slots


def _adam(rate: float, parameters: Tree, slots: Tree, gradients: Tree) -> tuple[Tree, Tree]:
    first, second, count = slots
    count = count + 1
    first = jax.tree.map(lambda slot, gradient: BETA1 * slot + (1 - BETA1) * gradient, first, gradients)
    second = jax.tree.map(lambda slot, gradient: BETA2 * slot + (1 - BETA2) * gradient**2, second, gradients)
    scale, root = rate / (1 - BETA1**count), jnp.sqrt(1 - BETA2**count)
    parameters = jax.tree.map(
        lambda value, m, v: value - scale * m / (jnp.sqrt(v) / root + EPSILON), parameters, first, second
    )
    return parameters, (first, second, count)


def first_slots(workload: Workload, parameters: Tree) -> Tree:
    """Zeros: none, momentum, or Adam's two moments and its count."""
    if workload.rule == "adam":
        first, second = (jax.tree.map(jnp.zeros_like, parameters) for _ in range(2))
        return first, second, jnp.zeros((), jnp.float32)
    return jax.tree.map(jnp.zeros_like, parameters) if workload.momentum else None


class Scan(Contender):
    """A region of steps in one compiled loop."""

    compiles_region: ClassVar[bool] = True

    def __init__(self, job: Job, variant: str) -> None:  # noqa: ARG002
        self.job, workload = job, job.workload
        self.images, self.labels = jnp.asarray(job.data.train.images), jnp.asarray(job.data.train.labels, jnp.int32)
        self.test = jnp.asarray(job.data.test.images)
        dtype = jnp.bfloat16 if job.precision == "bf16" else jnp.float32
        self.shuffle = job.shuffle()

        def step(state: Tree, index: Any, images: Any, labels: Any) -> tuple[Tree, Any]:
            parameters, slots = state
            loss, gradients = jax.value_and_grad(loss_of)(parameters, images[index], labels[index], dtype)
            return updated(workload, parameters, slots, gradients), loss

        @partial(jax.jit, donate_argnums=0)
        def region(state: Tree, order: Any, images: Any, labels: Any) -> tuple[Tree, Any]:
            state, losses = jax.lax.scan(lambda state, index: step(state, index, images, labels), state, order)
            return state, losses

        self.region = region
        self.digits = jax.jit(lambda parameters, images: logits_of(parameters, images, dtype).argmax(axis=1))
        self.reset()

    def reset(self) -> None:
        """Start weights, no momentum, the first epoch."""
        parameters = [(jnp.array(weight), jnp.array(bias)) for weight, bias in self.job.weights]
        self.state = parameters, first_slots(self.job.workload, parameters)
        self.shuffle.restart()

    def train(self, steps: int) -> Floats:
        """One call of the compiled loop."""
        order = jnp.asarray(self.shuffle.take(steps).astype(np.int32))
        self.state, losses = self.region(self.state, order, self.images, self.labels)
        jax.block_until_ready(self.state)
        return np.asarray(losses)

    def classify(self) -> Digits:
        """One compiled forward pass over all images."""
        return as_digits(self.digits(self.state[0], self.test))


CONTENDER = Scan
