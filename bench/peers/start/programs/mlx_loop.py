"""MLX: the step in one function under `mx.compile`, with its own AdamW."""

from __future__ import annotations

from functools import partial
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np

from bench.peers.contenders.mlx_compiled import Network, load_weights
from bench.peers.contract import Digits, as_digits
from bench.peers.start.task import TRAINING, WORKLOAD, Task, Watch, learning_rates
from bench.peers.workloads import BETA1, BETA2, EPSILON


def train(task: Task, watch: Watch) -> Digits:
    """Step by step; the learning rate is part of the optimizer's state."""
    inputs, labels = mx.array(task.inputs()), mx.array(task.data.train.labels.astype(np.int32))
    network = Network(WORKLOAD)
    load_weights(network, task.weights())
    optimizer = optim.AdamW(
        0.0, betas=[BETA1, BETA2], eps=EPSILON, weight_decay=TRAINING.weight_decay, bias_correction=True
    )
    optimizer.init(network.trainable_parameters())
    state = [network.state, optimizer.state]
    mx.eval(state, inputs, labels)

    def loss_of(images: Any, right: Any) -> Any:
        smoothing = TRAINING.label_smoothing
        return nn.losses.cross_entropy(network(images), right, label_smoothing=smoothing, reduction="mean")

    @partial(mx.compile, inputs=state, outputs=state)
    def step(index: Any) -> Any:
        loss, gradients = nn.value_and_grad(network, loss_of)(inputs[index], labels[index])
        optimizer.update(network, gradients)
        return loss

    watch.mark("data")
    for number, (index, rate) in enumerate(zip(task.order().astype(np.int32), learning_rates(), strict=True)):
        optimizer.learning_rate = mx.array(rate)
        mx.eval(step(mx.array(index)), state)
        if number == 0:
            watch.mark("first")
    return as_digits(network(mx.array(task.test_inputs())).argmax(axis=1))
