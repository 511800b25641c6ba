"""Triton's kernels on the CPU: a process of its own, since its interpreter has to be chosen before Triton is imported.

The process computes what a test asks for, and gives tensors back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from accelmnist.core.config import RunConfig

_CHOICE = "TRITON_INTERPRET"


@contextmanager
def interpreter() -> Iterator[ProcessPoolExecutor]:
    """A process in which Triton's kernels are interpreted; this one and those that it starts later are not."""
    before = os.environ.get(_CHOICE)
    os.environ[_CHOICE] = "1"
    try:
        pool = ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"), initializer=_prepare)
        pool.submit(int).result()  # the process is there now, with its own copy of the environment
    finally:
        os.environ.pop(_CHOICE)
        if before is not None:
            os.environ[_CHOICE] = before
    with pool:
        yield pool


def _prepare() -> None:
    """Large blocks, since the interpreter takes its time by program, not by number; and products of bfloat16."""
    import numpy as np
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    from accelmnist.engines.triton.kernels import constants

    constants._ENOUGH, constants._LARGEST, constants._DEEPEST, constants._STAGED_BYTES = 4, 256, 512, 1 << 30
    multiply = InterpreterBuilder.create_dot

    def widened(operand: TensorHandle) -> TensorHandle:
        if operand.dtype.scalar != tl.bfloat16:
            return operand
        # The interpreter keeps bfloat16 as the upper half of a float32, and would multiply those bits as integers.
        return TensorHandle((operand.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

    def create_dot(self: Any, first: Any, second: Any, *others: Any) -> Any:
        return multiply(self, widened(first), widened(second), *others)

    InterpreterBuilder.create_dot = create_dot


def run_steps(
    config: RunConfig, images: Any, labels: Any, *, steps: tuple[int, ...], state: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Steps of the first epoch of `config` on the images (n, 784) uint8, in chunks of `steps`.

    Gives the losses, the weights, the state, and how often each kernel was started.
    """
    import torch

    from accelmnist.data.types import DeviceSet
    from accelmnist.device import resolve
    from accelmnist.engines.contract import Job
    from accelmnist.engines.model import MLP
    from accelmnist.engines.plan import TrainingPlan
    from accelmnist.engines.step.device_runner import upload_epoch
    from accelmnist.engines.triton.chunk import TritonChunk

    data = DeviceSet(torch.from_numpy(images), torch.from_numpy(labels))
    model = MLP(config.model, seed=config.training.seed)
    plan = upload_epoch(TrainingPlan(config, len(data)).epoch(0), resolve("cpu"))
    chunk = TritonChunk(Job(config, resolve("cpu"), data, model), plan)
    if state is not None:
        chunk.kept.load_state(state)
    losses, start = [], 0
    for count in steps:
        chunk.step_inputs.fill(plan[start : start + count])
        chunk(count)
        losses.append(chunk.losses[:count].clone())
        start += count
    return {
        "losses": torch.cat(losses),
        "weights": [parameter.detach() for parameter in model.parameters()],
        "state": chunk.kept.state(),
        "kernels": [launch.kernel.__name__ for launch in chunk.launches],
    }


def gradients_of_rank(config: RunConfig, images: Any, labels: Any, *, rank: int) -> tuple[Any, list[Any]]:
    """The loss and the gradients of a rank's rows, which are the first images, with the dropout seed 5."""
    import torch

    from accelmnist.data.types import DeviceSet
    from accelmnist.device import resolve
    from accelmnist.engines.contract import Job
    from accelmnist.engines.plan import Share
    from accelmnist.engines.triton.chunk import TritonGradients

    job = Job(config, resolve("cpu"), DeviceSet(torch.from_numpy(images), torch.from_numpy(labels)))
    job.share = Share.of_rank(rank, config)
    loss, gradients = TritonGradients(job)(torch.arange(job.share.rows), torch.tensor(5), job.share.first)
    return loss, list(gradients)


def run_persistent(
    config: RunConfig,
    images: Any,
    labels: Any,
    *,
    steps: int,
    multiprocessors: int,
    whole: bool = False,
    state: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Steps by the persistent kernel, cut for as many multiprocessors; the interpreter runs a program after the other.

    So each part of a step is a launch of its own, whose end is the barrier. `whole` is the real form in one launch;
    where there are steps, of the first program alone, since it would wait for ever for others.
    """
    import torch

    from accelmnist.data.types import DeviceSet
    from accelmnist.device import resolve
    from accelmnist.engines.contract import Job
    from accelmnist.engines.model import MLP
    from accelmnist.engines.plan import TrainingPlan
    from accelmnist.engines.step.device_runner import upload_epoch
    from accelmnist.engines.triton.persistent_epochs import PersistentEpochs, partition_of

    data = DeviceSet(torch.from_numpy(images), torch.from_numpy(labels))
    model = MLP(config.model, seed=config.training.seed)
    plan = upload_epoch(TrainingPlan(config, len(data)).epoch(0), resolve("cpu"))
    epoch = plan[:steps]
    cut = partition_of(config, multiprocessors)
    assert cut is not None
    epochs = PersistentEpochs(Job(config, resolve("cpu"), data, model), cut)
    if state is not None:
        epochs.kept.load_state(state)
    if whole and not steps:
        losses = epochs(epoch)
    elif whole:
        from accelmnist.engines.triton.kernels.persistent import persistent

        arguments = epochs.arguments(epoch)
        persistent[(1,)](**arguments, **epochs.constants, first=0, steps=steps, PART="all")
        losses = arguments["losses"].sum(dim=1)
    else:
        arguments = epochs.arguments(epoch)
        for step in range(steps):
            for part in ("forward", "head", "update"):
                epochs.launch(arguments, first=step, steps=1, PART=part)
        epochs._count += steps
        losses = arguments["losses"].sum(dim=1)
    return {
        "losses": losses,
        "weights": [parameter.detach() for parameter in model.parameters()],
        "state": epochs.kept.state(),
        "arrivals": int(epochs._arrivals),
        "programs": cut.programs,
    }


def classify(config: RunConfig, images: Any) -> Any:
    """Logits of images (n, 784) uint8 by the untrained network of `config`."""
    import torch

    from accelmnist.engines.model import MLP
    from accelmnist.engines.triton.launches import TritonForward

    model = MLP(config.model, seed=config.training.seed)
    return TritonForward(model, config.execution.precision)(torch.from_numpy(images))
