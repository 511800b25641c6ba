"""A CUDA graph without CUDA: the operators of a function are written down, and run again on the same tensors.

As with a real graph, what Python did while it was captured is gone at a replay: numbers that it read are frozen, and
nothing that it keeps moves on. Reading a tensor's value while capturing is an error, as it is on a GPU. Memory isn't
used twice, as a real pool does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Replay = Callable[[], None]


class Recorder(TorchDispatchMode):
    """Every operator that runs within, with its tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Any]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("the host waits for the device while the graph is captured")
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, tree_leaves(out)))
        return out


class FakeGraphs:
    """Stands in for `capture_graphs`; `replays` counts the replays of all its graphs, `operators` are those
    of each capture, by name."""

    def __init__(self) -> None:
        self.replays = 0
        self.operators: list[list[str]] = []

    def __call__(self, device: object, works: Sequence[Callable[[], object]]) -> list[Replay]:
        return [self._captured(work) for work in works]

    def one(self, device: object, work: Callable[[], object]) -> Replay:
        return self._captured(work)

    def _captured(self, work: Callable[[], object]) -> Replay:
        work()  # the warm-up, as the real one has
        with Recorder() as recorder:
            work()
        self.operators.append([str(call[0]) for call in recorder.calls])

        @torch.no_grad()
        def replay() -> None:
            self.replays += 1
            for func, args, kwargs, outputs in recorder.calls:
                for old, new in zip(outputs, tree_leaves(func(*args, **kwargs)), strict=True):
                    if isinstance(old, torch.Tensor) and old is not new:
                        old.copy_(new)

        return replay
