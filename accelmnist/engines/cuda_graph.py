"""The framework's own kernels, captured once and replayed: what a step costs without the host's part.

In eager training the host starts some thirty kernels a step, one by one, and a GPU waits for it most of the time. Here
the kernels of a chunk of steps are recorded as a CUDA graph, and one call of the host starts them all. The chunks have
1, 2, 4 ... steps, so that a few replays make an epoch of any length. The graphs share one pool of memory: they run one
after the other on one stream, and nothing in the pool outlives a replay.

Capturing happens in `prepare`, where it is timed apart. Source: CUDA C++ Programming Guide, "CUDA Graphs"; PyTorch's
notes on CUDA semantics, "CUDA Graphs".
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from accelmnist.config import INPUTS, Precision, RunConfig
from accelmnist.device import Device, Replay, capture_graph, capture_graphs, is_out_of_memory
from accelmnist.errors import DeviceError
from accelmnist.evaluation import logits_of
from accelmnist.model import MLP
from accelmnist.step.chunk import StepChunk
from accelmnist.step.contract import Classifier, Engine, Epoch, Job, State

_MOST_STEPS = 32  # of a chunk: a replay then costs the host less than a hundredth of what the device does
_MOST_INPUT_BYTES = 2**26  # of the float32 inputs of a chunk, which are all made before its first step


class CudaGraphEngine(Engine):
    """Chunks of eager steps, replayed."""

    summary = "torch's kernels, captured once and replayed many steps at a time"
    compiles = True

    @classmethod
    def unsupported(cls, config: RunConfig, device: Device) -> str | None:  # noqa: ARG003 - every step can be captured
        """It takes CUDA, where it runs everything."""
        return None if device.kind == "cuda" else f"graphs are CUDA's alone, and this is {device.kind}"

    def prepare(self, job: Job, sample: Epoch) -> None:
        """Capture a graph a size of chunk; the weights and the state end as they began."""
        sizes = chunk_sizes(_room(sample))
        self._chunk = StepChunk(job, sample, room=sizes[0])
        self._replays = dict(zip(sizes, self._capture(job.device, sizes), strict=True))

    def _capture(self, device: Device, sizes: list[int]) -> list[Replay]:
        """Capturing runs the steps as well, on the sample's first images; that is undone."""
        changed = self._chunk.update.tensors()
        before = [tensor.clone() for tensor in changed]
        try:
            return capture_graphs(device, [partial(self._chunk, size) for size in sizes])
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            cause = (str(error).strip().splitlines() or ["no message"])[0]
            raise DeviceError(f"the steps can't be captured: {cause}", remedy="Run with --engine eager") from error
        finally:
            torch._foreach_copy_(changed, before)

    def train_epoch(self, epoch: Epoch) -> Tensor:
        """Run all steps; returns their losses (steps,) float32 on the device."""
        losses = torch.empty_like(epoch.learning_rates)
        start = 0
        for size in split_steps(len(epoch), list(self._replays)):
            here = slice(start, start + size)
            self._chunk.plan(Epoch(epoch.order[here], epoch.learning_rates[here], epoch.dropout_seeds[here]))
            self._replays[size]()
            losses[here] = self._chunk.losses[:size]
            start += size
        return losses

    def state(self) -> State:
        """The optimizer's state and the loss scale under their common names, as copies on the host."""
        return self._chunk.update.state()

    def load_state(self, state: State) -> None:
        """Take over a state that `state()` of any engine gave; the graphs read it where it lies."""
        self._chunk.update.load_state(state)

    @classmethod
    def classifier(cls, model: MLP, device: Device, precision: Precision) -> Classifier | None:
        """The forward pass, replayed; every number of images has a graph of its own, captured at its first call.

        It reads the model's weights where they lie: a change in place counts from the next call on.
        """
        return GraphClassifier(model, device, precision) if device.kind == "cuda" else None


class GraphClassifier:
    """Bytes (n, 784) -> logits (n, 10) float32, which the next call overwrites; see `CudaGraphEngine.classifier`."""

    def __init__(self, model: MLP, device: Device, precision: Precision) -> None:
        self._model, self._device, self._precision = model, device, precision
        self._captured: dict[int, tuple[Tensor, Replay, Tensor]] = {}

    def __call__(self, images: Tensor) -> Tensor:
        """Logits of `images`: a copy of the bytes, and a replay."""
        if len(images) not in self._captured:
            self._captured[len(images)] = self._capture(len(images))
        pixels, replay, logits = self._captured[len(images)]
        pixels.copy_(images)
        replay()
        return logits

    def _capture(self, count: int) -> tuple[Tensor, Replay, Tensor]:
        pixels = torch.zeros(count, INPUTS, dtype=torch.uint8, device=self._device.torch_device)
        logits = torch.zeros_like(self._logits(pixels))
        return pixels, capture_graph(self._device, lambda: logits.copy_(self._logits(pixels))), logits

    def _logits(self, pixels: Tensor) -> Tensor:
        return logits_of(self._model, pixels, device=self._device, precision=self._precision)


def _room(sample: Epoch) -> int:
    """The most steps of a chunk: no more than an epoch has, and no more than memory should hold inputs of."""
    step_bytes = sample.order.shape[1] * INPUTS * torch.float32.itemsize
    return max(1, min(_MOST_STEPS, len(sample), _MOST_INPUT_BYTES // step_bytes))


def chunk_sizes(room: int) -> list[int]:
    """The powers of two up to `room`, the largest first."""
    return [1 << power for power in reversed(range(room.bit_length()))]


def split_steps(steps: int, sizes: list[int]) -> Iterator[int]:
    """Sizes that add up to `steps`, as few as can be: the largest as often as it fits, then each smaller one once."""
    for size in sizes:
        whole, steps = divmod(steps, size)
        yield from [size] * whole


ENGINE = CudaGraphEngine
