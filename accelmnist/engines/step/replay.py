"""Epochs and inference by replays of CUDA graphs that were captured once.

A graph repeats the kernels that were started while it was captured, on the same addresses. So everything that differs
from step to step, the order, the learning rates, the dropout seeds, is read from step inputs in the device's memory,
which are filled before each replay, and the losses are left in a buffer. The chunks have 1, 2, 4 ... steps, so that a
few replays make an epoch of any length. The graphs share one pool of memory: they run one after the other on one
stream, and nothing in the pool outlives a replay.

Sources: CUDA C++ Programming Guide, "CUDA Graphs"; PyTorch's notes on CUDA semantics, "CUDA Graphs".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from accelmnist.core.errors import DeviceError, headline
from accelmnist.device import Device, Replay, capture_graph, capture_graphs, is_out_of_memory
from accelmnist.engines.contract import Classifier, Runner
from accelmnist.engines.step.device_runner import DeviceEpoch, StepState, device_runner

MOST_STEPS = 32  # of a chunk: a replay then costs the host less than a hundredth of what the device does


class GraphChunk(ABC):
    """Up to `capacity` steps as a function that can be captured: it keeps nothing in Python, and never waits.

    `step_inputs` are the plan of the steps, in tensors that never move; all plans have the batch shape of `sample`.
    `losses` (capacity,) float32 on the device are those of the last call. `kept` is all that a step changes.
    """

    def __init__(self, kept: StepState, sample: DeviceEpoch, capacity: int) -> None:
        self.kept = kept
        # The sample's first step throughout: capturing runs the steps, and must find images that are there.
        self.step_inputs = sample[:1].map(lambda part: part.repeat_interleave(capacity, dim=0))
        self.losses = torch.zeros_like(self.step_inputs.learning_rates)

    @abstractmethod
    def __call__(self, steps: int) -> None:
        """Run the first `steps` of the step inputs, in place."""


class ReplayedEpochs:
    """Runs epochs as replays of `chunk`, captured once for each size; its weights end as they began."""

    def __init__(self, chunk: GraphChunk, device: Device) -> None:
        self.chunk = chunk
        sizes = chunk_sizes(len(chunk.step_inputs))
        self._replays = dict(zip(sizes, _capture(chunk, sizes, device), strict=True))

    def __call__(self, epoch: DeviceEpoch) -> Tensor:
        """Run all steps; returns their losses (steps,) float32 on the device."""
        losses = torch.empty_like(epoch.learning_rates)
        start = 0
        for size in split_steps(len(epoch), list(self._replays)):
            here = slice(start, start + size)
            self.chunk.step_inputs.fill(epoch[here])
            self._replays[size]()
            losses[here] = self.chunk.losses[:size]
            start += size
        return losses


def replaying_runner(chunk: GraphChunk, device: Device) -> Runner:
    """The runner whose epochs are replays of `chunk`."""
    return device_runner(ReplayedEpochs(chunk, device), chunk.kept, device)


class ReplayedClassifier:
    """The function bytes (n, 784) -> logits (n, 10) float32 by replays of `logits_of`, one graph a number of images.

    A graph is captured at the first call with its number; the next call with it overwrites the logits.
    """

    def __init__(self, logits_of: Classifier, device: Device) -> None:
        self._logits_of, self._device = logits_of, device
        self._captured: dict[int, tuple[Tensor, Replay, Tensor]] = {}

    def __call__(self, images: Tensor) -> Tensor:
        """Logits of `images`: a copy of the bytes, and a replay."""
        if len(images) not in self._captured:
            self._captured[len(images)] = self._capture(images.clone())
        pixels, replay, logits = self._captured[len(images)]
        pixels.copy_(images)
        replay()
        return logits

    def _capture(self, pixels: Tensor) -> tuple[Tensor, Replay, Tensor]:
        logits = torch.zeros_like(self._logits_of(pixels))
        return pixels, capture_graph(self._device, lambda: logits.copy_(self._logits_of(pixels))), logits


def _capture(chunk: GraphChunk, sizes: list[int], device: Device) -> list[Replay]:
    """The captured graphs. Capturing runs the steps as well; that is undone, also if it fails."""
    changed = chunk.kept.tensors()
    before = [tensor.clone() for tensor in changed]
    try:
        return capture_graphs(device, [partial(chunk, size) for size in sizes])
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        remedy = "Run with --engine eager"
        raise DeviceError(f"the steps can't be captured: {headline(error)}", remedy=remedy) from error
    finally:
        torch._foreach_copy_(changed, before)


def chunk_sizes(capacity: int) -> list[int]:
    """The powers of two up to `capacity`, the largest first."""
    return [1 << power for power in reversed(range(capacity.bit_length()))]


def split_steps(steps: int, sizes: list[int]) -> Iterator[int]:
    """The fewest sizes that add up to `steps`: the largest as often as it fits, then each smaller one at most once."""
    for size in sizes:
        whole, steps = divmod(steps, size)
        yield from [size] * whole
