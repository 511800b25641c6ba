"""JAX: both epochs in one `lax.scan`, compiled ahead; a second start finds the machine code in JAX's own cache."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bench.peers.contenders.jax_scan import logits_of
from bench.peers.contract import Digits, as_digits
from bench.peers.start.task import TRAINING, Task, Watch, learning_rates
from bench.peers.workloads import BETA1, BETA2, EPSILON

Tree = Any


def loss_of(parameters: Tree, images: Any, targets: Any) -> Any:
    """Mean cross-entropy of bytes (n, 784) with smoothed targets (n, 10)."""
    return -(jax.nn.log_softmax(logits_of(parameters, images, jnp.float32)) * targets).sum(axis=1).mean()


def updated(state: Tree, gradients: Tree, rate: Any) -> Tree:
    """AdamW (Loshchilov and Hutter, 2019)."""
    parameters, first, second, count = state
    count = count + 1
    first = jax.tree.map(lambda slot, gradient: BETA1 * slot + (1 - BETA1) * gradient, first, gradients)
    second = jax.tree.map(lambda slot, gradient: BETA2 * slot + (1 - BETA2) * gradient**2, second, gradients)
    scale, root = rate / (1 - BETA1**count), jnp.sqrt(1 - BETA2**count)
    kept = 1 - rate * TRAINING.weight_decay
    parameters = jax.tree.map(
        lambda value, m, v: kept * value - scale * m / (jnp.sqrt(v) / root + EPSILON), parameters, first, second
    )
    return parameters, first, second, count


def train(task: Task, watch: Watch) -> Digits:
    """One call of the compiled loop, one of the classifier."""
    images, labels = jnp.asarray(task.data.train.images), jnp.asarray(task.data.train.labels, jnp.int32)
    test, table = jnp.asarray(task.data.test.images), jnp.asarray(task.targets())
    order, rates = jnp.asarray(task.order().astype(np.int32)), jnp.asarray(learning_rates())
    parameters = [(jnp.array(weight), jnp.array(bias)) for weight, bias in task.weights()]
    zeros = [(jnp.zeros_like(weight), jnp.zeros_like(bias)) for weight, bias in parameters]
    state = parameters, zeros, jax.tree.map(jnp.zeros_like, zeros), jnp.zeros((), jnp.float32)
    watch.mark("data")

    def epochs(state: Tree, order: Any, rates: Any, images: Any, labels: Any) -> Tree:
        def step(state: Tree, now: Any) -> tuple[Tree, None]:
            index, rate = now
            gradients = jax.grad(loss_of)(state[0], images[index], table[labels[index]])
            return updated(state, gradients, rate), None

        return jax.lax.scan(step, state, (order, rates))[0]

    def digits_of(parameters: Tree, images: Any) -> Any:
        return logits_of(parameters, images, jnp.float32).argmax(axis=1)

    loop = jax.jit(epochs, donate_argnums=0).lower(state, order, rates, images, labels).compile()
    classify = jax.jit(digits_of).lower(parameters, test).compile()
    watch.mark("first")
    return as_digits(classify(loop(state, order, rates, images, labels)[0], test))
