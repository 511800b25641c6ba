"""PyTorch, tensors preloaded: the loop by hand with torch's fused AdamW."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench.peers.contenders.torch_network import load_weights, network_of
from bench.peers.contract import Digits, as_digits
from bench.peers.start.task import TRAINING, WORKLOAD, Task, Watch, learning_rates

Loss = Callable[[Tensor], Tensor]


def train(task: Task, watch: Watch) -> Digits:
    """Step by step."""
    return run(task, watch, lambda loss: loss)


def run(task: Task, watch: Watch, prepared: Callable[[Loss], Loss]) -> Digits:
    """The loop, over the loss of a step's images as `prepared` gives it back."""
    inputs, labels = torch.from_numpy(task.inputs()), torch.from_numpy(task.data.train.labels)
    network = network_of(WORKLOAD)
    load_weights(network, task.weights())
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=TRAINING.weight_decay, fused=True)
    criterion = nn.CrossEntropyLoss(label_smoothing=TRAINING.label_smoothing)
    loss_of = prepared(lambda index: criterion(network(inputs.index_select(0, index)), labels.index_select(0, index)))
    order = torch.from_numpy(task.order())
    watch.mark("data")
    for step, (index, rate) in enumerate(zip(order, learning_rates().tolist(), strict=True)):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss_of(index).backward()  # type: ignore[no-untyped-call, unused-ignore]
        optimizer.step()
        if step == 0:
            watch.mark("first")
    with torch.inference_mode():
        return as_digits(network(torch.from_numpy(task.test_inputs())).argmax(dim=1).numpy())
