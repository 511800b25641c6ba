"""PyTorch by hand with torch.compile, as its contender of the other workloads: gather, network and loss in a graph."""

from __future__ import annotations

import torch

from bench.peers.contract import Digits
from bench.peers.start.programs.torch_loop import run
from bench.peers.start.task import Task, Watch


def train(task: Task, watch: Watch) -> Digits:
    """The loop with its loss compiled."""
    return run(task, watch, lambda loss: torch.compile(loss, dynamic=False, fullgraph=True))
