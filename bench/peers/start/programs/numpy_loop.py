"""NumPy by hand: the network of the other workloads, with smoothed targets and decoupled decay."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import CLASSES
from bench.peers.contenders.numpy_hand import Array, Network, Update
from bench.peers.contract import Digits, as_digits
from bench.peers.start.task import TRAINING, WORKLOAD, Task, Watch, learning_rates


class Smoothed(Network):
    """The target of the right class gives a share of itself to all."""

    def _output_delta(self, logits: Array, labels: NDArray[np.int64]) -> float:
        """(softmax - smoothed target) / batch into the last delta; the loss is that of the bare target."""
        loss = super()._output_delta(logits, labels)
        share = TRAINING.label_smoothing / self.batch_size
        self.deltas[-1][self.rows, labels] += share
        self.deltas[-1] -= share / CLASSES
        return loss


def train(task: Task, watch: Watch) -> Digits:
    """Step by step."""
    inputs, labels = task.inputs(), task.data.train.labels
    network = Smoothed(task.weights(), WORKLOAD.batch_size)
    update = Update(WORKLOAD, network)
    batch = np.empty((WORKLOAD.batch_size, WORKLOAD.sizes[0]), np.float32)
    order, rates = task.order(), learning_rates().tolist()
    watch.mark("data")
    for step, (index, rate) in enumerate(zip(order, rates, strict=True)):
        np.take(inputs, index, axis=0, out=batch, mode="clip")
        network.gradient(batch, labels[index])
        network.flat *= 1 - rate * TRAINING.weight_decay
        update.rate = rate
        update.step()
        if step == 0:
            watch.mark("first")
    return as_digits(Network(network.weights(), len(task.data.test)).forward(task.test_inputs()).argmax(axis=1))
