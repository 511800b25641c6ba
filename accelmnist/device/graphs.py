"""CUDA graphs: the work that the host starts once, recorded and started again by one call.

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
    """A function that restarts, by one call of the host, all that `work` starts on `device`; only CUDA has graphs.

    `work` runs once before, since the loads and allocations of a first call can't be captured. It must use the same
    tensors every time and never wait for the device.
    """
    return capture_graphs(device, [work])[0]


def capture_graphs(device: Device, works: Sequence[Callable[[], object]]) -> list[Replay]:
    """`capture_graph` for several works that share memory: they run one at a time, and free what they allocate."""
    import torch

    with torch.cuda.device(device.torch_device):
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        pool = torch.cuda.graph_pool_handle()
        return [_captured(work, stream, pool) for work in works]


def _captured(work: Callable[[], object], stream: torch.cuda.Stream, pool: Any) -> Replay:
    """The replay of one work, on one stream throughout: cuBLAS has a workspace for each stream."""
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
