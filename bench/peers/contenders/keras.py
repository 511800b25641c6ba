"""Keras 3 compiled by XLA, on the backend that KERAS_BACKEND names: JAX or TensorFlow.

`compile` with `jit_compile=True` and `steps_per_execution`, which its documentation recommends for small models
(keras.io/api/models/model_training_apis), and `fit` on arrays, which shuffles them
(keras.io/guides/training_with_built_in_methods). bfloat16 is Keras's "mixed_bfloat16" policy
(keras.io/api/mixed_precision). Both backends were measured with 1, 13, 39 and 117 steps an execution: from 13 on it
makes no difference, and JAX was the faster one by about 1.7.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from accelmnist.core.config import Activation, Precision
from accelmnist.engines.plan import Floats
from accelmnist.engines.step.rules import BETA1, BETA2, EPSILON
from bench.peers.contract import SCALE, Contender, Job, State
from bench.peers.network import batch_loss

_POLICIES: dict[Precision, str] = {"fp32": "float32", "bf16": "mixed_bfloat16"}
_ACTIVATIONS: dict[Activation, Any] = {
    "relu": ops.relu,
    "leaky-relu": partial(ops.leaky_relu, negative_slope=0.01),
    "gelu": partial(ops.gelu, approximate=False),
    "silu": ops.silu,
    "tanh": ops.tanh,
    "sigmoid": ops.sigmoid,
}


class _Table(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc, unused-ignore]
    """The rate of every step by its number."""

    def __init__(self, rates: Floats) -> None:
        self.rates = rates

    def __call__(self, step: Any) -> Any:
        return ops.take(ops.convert_to_tensor(self.rates), ops.cast(step, "int32"))


def network_of(job: Job) -> Any:
    """Dense layers; the logits come out as float32 in any precision."""
    model, policy = job.config.model, _POLICIES[job.config.execution.precision]
    layers: list[Any] = [keras.Input((model.sizes[0],))]
    activation = _ACTIVATIONS[model.activation]
    layers += [keras.layers.Dense(units, activation=activation, dtype=policy) for units in model.hidden]
    layers += [keras.layers.Dense(model.sizes[-1], dtype=policy), keras.layers.Activation("linear", dtype="float32")]
    return keras.Sequential(layers)


def optimizer_of(job: Job) -> Any:
    """Keras's own SGD, Adam or AdamW."""
    training, rates = job.config.training, _Table(job.rates)
    if training.optimizer == "adamw":
        decay = training.weight_decay
        return keras.optimizers.AdamW(rates, weight_decay=decay, beta_1=BETA1, beta_2=BETA2, epsilon=EPSILON)
    if training.optimizer == "adam":
        return keras.optimizers.Adam(rates, beta_1=BETA1, beta_2=BETA2, epsilon=EPSILON)
    return keras.optimizers.SGD(rates, momentum=training.momentum if job.slots else 0.0, nesterov=training.nesterov)


class Keras(Contender):
    """`fit` on a region of images, which it shuffles."""

    packages = ("keras", keras.backend.backend())
    precisions = ("fp32", "bf16")
    shuffles = True
    compiles = True
    first_steps = 13  # steps_per_execution

    @classmethod
    def unsupported(cls, job: Job) -> str | None:
        """Its optimizers know the decay of AdamW alone."""
        training = job.config.training
        decays = training.weight_decay > 0 and training.optimizer != "adamw"
        return "its optimizers shrink the weights themselves, as AdamW does" if decays else None

    def __init__(self, job: Job) -> None:
        self.job = job
        self.network, self.table = network_of(job), job.targets()
        loss = batch_loss(job.config.model.output, log_softmax=partial(ops.log_softmax, axis=1), softplus=ops.softplus)
        self.network.compile(
            optimizer=optimizer_of(job),
            loss=lambda targets, logits: loss(logits, targets),
            jit_compile=True,
            steps_per_execution=self.first_steps,
        )
        self.network.optimizer.build(self.network.trainable_variables)
        self.fresh = [ops.convert_to_numpy(variable) for variable in self.network.optimizer.variables]
        if job.mode == "training":
            self.inputs, self.targets = job.data.inputs, self.table[job.data.labels]

    def load(self, state: State) -> None:
        """The weights, as (inputs, units), and the optimizer's variables as they were made."""
        self.network.set_weights([state[name].T for name in self.job.names])
        for variable, value in zip(self.network.optimizer.variables, self.fresh, strict=True):
            variable.assign(value)

    def train(self, steps: slice) -> Floats:
        """One call of `fit` on as many images as the steps take; it tells the mean loss alone."""
        self.network.optimizer.iterations.assign(steps.start)
        part = self.job.images_of(steps)
        history = self.network.fit(
            self.inputs[part],
            self.targets[part],
            batch_size=self.job.config.training.batch_size,
            epochs=1,
            shuffle=True,
            verbose=0,
        )
        return np.array(history.history["loss"], np.float32)

    def classify(self, images: Any) -> NDArray[Any]:
        """`predict_on_batch`: one compiled call, without `predict`'s loop over batches."""
        return np.asarray(self.network.predict_on_batch(images * SCALE))


CONTENDER = Keras
