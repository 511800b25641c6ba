"""CUDA graphs: what the host starts once, written down, and started again by one call.

Sources: CUDA C++ Programming Guide, "CUDA Graphs"; PyTorch's notes on CUDA semantics, "CUDA Graphs".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from accelmnist.device.names import Device

if TYPE_CHECKING:
    import torch

Replay = Callable[[], None]


def capture_graph(device: Device, work: Callable[[], object]) -> Replay:
    """A function that starts again, by one call of the host, all that `work` starts on `device`; CUDA alone has it.

    `work` runs once before, since what a first call loads or allocates can't be captured. It must use the same tensors
    every time and never wait for the device.
    """
    return capture_graphs(device, [work])[0]


def capture_graphs(device: Device, works: Sequence[Callable[[], object]]) -> list[Replay]:
    """The same for several that share memory: they run one at a time, and what one allocates is gone after it."""
    import torch

    with torch.cuda.device(device.torch_device):
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        pool = torch.cuda.graph_pool_handle()
        return [_captured(work, stream, pool) for work in works]


def _captured(work: Callable[[], object], stream: torch.cuda.Stream, pool: Any) -> Replay:
    """On one stream throughout: cuBLAS has a workspace a stream, and would take another one while it is captured."""
    import torch

    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool, stream=stream):
        work()
    replay: Replay = graph.replay
    return replay
