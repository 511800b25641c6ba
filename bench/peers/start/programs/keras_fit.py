"""Keras on JAX: `fit` with a schedule and AdamW of Keras's own; compiling can't be told from its first epoch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from bench.peers.contenders.keras_xla import Keras, network_of
from bench.peers.contract import Digits, as_digits
from bench.peers.start.task import TRAINING, WORKLOAD, Task, Watch, learning_rates
from bench.peers.workloads import BETA1, BETA2, EPSILON


class _Table(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc, unused-ignore]
    """The rate of every step by its number."""

    def __init__(self) -> None:
        self.rates = learning_rates()

    def __call__(self, step: Any) -> Any:
        return keras.ops.take(keras.ops.convert_to_tensor(self.rates), keras.ops.cast(step, "int32"))


def train(task: Task, watch: Watch) -> Digits:
    """One call of `fit`, on as many images as make full batches."""
    keras.utils.set_random_seed(task.seed)
    network = network_of(WORKLOAD, "float32")
    network.set_weights([values for layer in task.weights() for values in layer])
    network.compile(
        optimizer=keras.optimizers.AdamW(
            _Table(), weight_decay=TRAINING.weight_decay, beta_1=BETA1, beta_2=BETA2, epsilon=EPSILON
        ),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        jit_compile=True,
        steps_per_execution=Keras.unit,
    )
    chosen = np.random.default_rng(task.seed).permutation(len(task.data.train))
    chosen = chosen[: WORKLOAD.epoch_steps * WORKLOAD.batch_size]
    inputs, targets = task.inputs()[chosen], task.targets()[task.data.train.labels[chosen]]
    watch.mark("data")
    network.fit(inputs, targets, batch_size=WORKLOAD.batch_size, epochs=TRAINING.epochs, verbose=0)
    return as_digits(network.predict_on_batch(task.test_inputs()).argmax(axis=1))
