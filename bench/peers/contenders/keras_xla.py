"""Keras 3 compiled by XLA, on the backend that KERAS_BACKEND names: JAX or TensorFlow.

`compile` with `jit_compile=True` and `steps_per_execution`, which its documentation recommends for small models
(keras.io/api/models/model_training_apis), and `fit` on arrays, which shuffles them
(keras.io/guides/training_with_built_in_methods): an epoch is one call with as many images as make full batches.
bfloat16 is Keras's "mixed_bfloat16" policy (keras.io/api/mixed_precision). Both backends were measured with 1, 13, 39
and 117 steps an execution: from 13 on it makes no difference, and JAX was the faster one by about 1.7.
"""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import numpy as np

from bench.peers.contract import Contender, Digits, as_digits
from bench.peers.workloads import BETA1, BETA2, EPSILON, SCALE, Floats, Job, Slices, Workload

_POLICIES = {"fp32": "float32", "bf16": "mixed_bfloat16"}


def network_of(workload: Workload, policy: str) -> Any:
    """Dense layers; the logits come out as float32 in any precision."""
    layers: list[Any] = [keras.Input((workload.sizes[0],))]
    layers += [keras.layers.Dense(units, activation="relu", dtype=policy) for units in workload.hidden]
    layers += [keras.layers.Dense(workload.sizes[-1], dtype=policy), keras.layers.Activation("linear", dtype="float32")]
    return keras.Sequential(layers)


def optimizer_of(workload: Workload) -> Any:
    """Keras's own SGD or Adam."""
    if workload.rule == "adam":
        return keras.optimizers.Adam(workload.learning_rate, beta_1=BETA1, beta_2=BETA2, epsilon=EPSILON)
    return keras.optimizers.SGD(workload.learning_rate, momentum=workload.momentum)


class Keras(Contender):
    """`fit` on a region of images."""

    # steps_per_execution: it divides the 468 steps of an epoch at batch 128 and the 117 at batch 512.
    unit: ClassVar[int] = 13

    def __init__(self, job: Job, variant: str) -> None:  # noqa: ARG002
        self.job, workload = job, job.workload
        self.inputs, self.labels = job.inputs(), job.data.train.labels.astype(np.int32)
        self.network = network_of(workload, _POLICIES[job.precision])
        self.network.compile(
            optimizer=optimizer_of(workload),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=True,
            steps_per_execution=self.unit,
        )
        self.network.optimizer.build(self.network.trainable_variables)
        self.fresh = [np.array(variable) for variable in self.network.optimizer.variables]
        self.reset()

    def reset(self) -> None:
        """Start weights, the optimizer's variables as they were made, the first epoch."""
        self.network.set_weights([values for layer in self.job.weights for values in layer])
        for variable, value in zip(self.network.optimizer.variables, self.fresh, strict=True):
            variable.assign(value)
        self.slices = Slices(self.job.workload)

    def train(self, steps: int) -> Floats:
        """One call of `fit`; it tells the mean loss alone."""
        part = self.slices.take(steps)
        history = self.network.fit(
            self.inputs[part],
            self.labels[part],
            batch_size=self.job.workload.batch_size,
            epochs=1,
            shuffle=True,
            verbose=0,
        )
        return np.array(history.history["loss"], np.float32)

    def classify(self) -> Digits:
        """`predict_on_batch`: one compiled call, without `predict`'s loop over batches."""
        return as_digits(self.network.predict_on_batch(self.job.data.test.images * SCALE).argmax(axis=1))


CONTENDER = Keras
