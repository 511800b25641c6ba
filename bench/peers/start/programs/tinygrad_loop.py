"""tinygrad: the step under TinyJit, with its own AdamW; a second start finds the kernels in tinygrad's cache."""

from __future__ import annotations

import numpy as np
from tinygrad import Tensor, TinyJit, nn
from tinygrad.helpers import Context

from bench.peers.contenders.tinygrad_jit import Network
from bench.peers.contract import Digits, as_digits
from bench.peers.start.task import TRAINING, WORKLOAD, Task, Watch, learning_rates
from bench.peers.workloads import BETA1, BETA2, EPSILON


def train(task: Task, watch: Watch) -> Digits:
    """Step by step; TinyJit records the second one and replays it from the third on."""
    images, test = Tensor(task.data.train.images).realize(), Tensor(task.data.test.images).realize()
    labels = Tensor(task.data.train.labels.astype(np.int32)).realize()
    network = Network(WORKLOAD)
    network.load(task.weights())
    parameters = nn.state.get_parameters(network)
    optimizer = nn.optim.AdamW(parameters, b1=BETA1, b2=BETA2, eps=EPSILON, weight_decay=TRAINING.weight_decay)

    @TinyJit  # type: ignore[untyped-decorator]
    def step(index: Tensor) -> None:
        with Context(TRAINING=1):
            optimizer.zero_grad()
            logits, smoothing = network(images[index]), TRAINING.label_smoothing
            loss = logits.sparse_categorical_crossentropy(labels[index], label_smoothing=smoothing).backward()
            loss.realize(*optimizer.schedule_step())

    watch.mark("data")
    for number, (index, rate) in enumerate(zip(task.order().astype(np.int32), learning_rates(), strict=True)):
        optimizer.lr.assign(Tensor([float(rate)])).realize()
        step(Tensor(index))
        if number == 2:
            watch.mark("first")
    return as_digits(network(test).argmax(axis=1).numpy())
