"""JAX: all steps of a region in one compiled loop, weights and optimizer state donated.

Sources: docs.jax.dev/en/latest/_autosummary/jax.lax.fori_loop.html (a loop inside the compiled function, with no
dispatch a step; its ends are no part of what is compiled), docs.jax.dev/en/latest/buffer_donation.html (the update
happens in place), and for the timing docs.jax.dev/en/latest/async_dispatch.html (`block_until_ready`). The images stay
bytes on the device, and a step scales its batch itself, as that moves a quarter of the memory; neither float images nor
an unrolled loop was faster. In bfloat16 the products are, the weights stay float32.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import Activation
from accelmnist.engines.plan import Floats
from accelmnist.engines.step.rules import BETA1, BETA2
from bench.peers.contract import COUNT, Contender, Job, State
from bench.peers.network import batch_loss, logits_of, updated

Tree = Any

_ACTIVATIONS: dict[Activation, Any] = {
    "relu": jax.nn.relu,
    "leaky-relu": jax.nn.leaky_relu,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
}


class Loop(Contender):
    """A region of steps in one compiled loop."""

    packages = ("jax",)
    precisions = ("fp32", "bf16")
    compiles = True

    def __init__(self, job: Job) -> None:
        self.names, self.training, self.is_adam = job.names, job.config.training, job.is_adam
        self.dtype = jnp.bfloat16 if job.config.execution.precision == "bf16" else jnp.float32
        self.activation = _ACTIVATIONS[job.config.model.activation]
        self.loss_of = batch_loss(
            job.config.model.output, log_softmax=jax.nn.log_softmax, softplus=partial(jnp.logaddexp, 0.0)
        )
        self.images, self.labels = jnp.asarray(job.data.images), jnp.asarray(job.data.labels.astype(np.int32))
        self.table = jnp.asarray(job.targets())
        self.order, self.rates = jnp.asarray(job.order.astype(np.int32)), jnp.asarray(job.rates)
        self.region = jax.jit(self._region, donate_argnums=0)
        self.logits = jax.jit(self._logits)
        self.load(job.fresh())

    def _logits(self, weights: Tree, images: Any) -> Any:
        inputs = (images.astype(jnp.float32) * (1 / 255)).astype(self.dtype)
        cast = partial(jnp.asarray, dtype=self.dtype)
        return logits_of(weights, inputs, self.activation, cast).astype(jnp.float32)

    def _region(self, carry: Tree, first: Any, end: Any, data: Tree) -> Tree:
        images, labels, order, rates = data

        def loss_of(weights: Tree, index: Any) -> Any:
            # One-hot targets: picking the labels out makes a slower gradient.
            return self.loss_of(self._logits(weights, images[index]), self.table[labels[index]])

        def step(number: Any, carry: Tree) -> Tree:
            state, losses = carry
            weights = {name: state[name] for name in self.names}
            loss, gradients = jax.value_and_grad(loss_of)(weights, order[number])
            return self._updated(state, gradients, rates[number]), losses.at[number].set(loss)

        return jax.lax.fori_loop(first, end, step, carry)

    def _updated(self, state: Tree, gradients: Tree, rate: Any) -> Tree:
        kept, by = {}, (1.0, 1.0)
        if self.is_adam:
            count = state[COUNT] + 1
            # 1 - beta^count would lose most of its digits in float32.
            by = tuple(-jnp.expm1(count * math.log(beta)) for beta in (BETA1, BETA2))
            kept, by = {COUNT: count}, (by[0], jnp.sqrt(by[1]))
        return updated(self.training, state, gradients, rate=rate, by=by, sqrt=jnp.sqrt) | kept

    def load(self, state: State) -> None:
        """Onto the device."""
        self.state = {name: jnp.array(value) for name, value in state.items()}
        self.losses = jnp.zeros(len(self.rates), jnp.float32)

    def save(self) -> State:
        """From the device."""
        return {name: np.array(value) for name, value in self.state.items()}

    def train(self, steps: slice) -> Floats:
        """One call of the compiled loop."""
        data = self.images, self.labels, self.order, self.rates
        self.state, self.losses = self.region((self.state, self.losses), steps.start, steps.stop, data)
        jax.block_until_ready(self.state)
        return np.array(np.asarray(self.losses)[steps])

    def upload(self, images: NDArray[np.uint8]) -> Any:
        """Onto the device."""
        return jnp.asarray(images)

    def classify(self, images: Any) -> NDArray[Any]:
        """One compiled forward pass over all images."""
        return np.asarray(self.logits({name: self.state[name] for name in self.names}, images))


CONTENDER = Loop
