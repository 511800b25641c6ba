"""Several steps by our own Triton kernels as one function, which a CUDA graph captures.

A step of a network with one hidden layer has three launches: the hidden layer forward; the outputs, with the loss and
the gradients of both layers; the gradients of all weights together with their update. Every further hidden layer adds
three. Adam's corrections are computed before the first step of a chunk, and the losses added up after its last.

16-bit training needs no loss scale: the kernels keep gradients as many times as large as the batch has images, which
has the same effect, and add up in float32. A gradient that overflows all the same makes the loss infinite, which a run
reports.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from accelmnist.core.config import CLASSES, RunConfig
from accelmnist.device import operand_dtype
from accelmnist.engines.contract import Job
from accelmnist.engines.step.device_runner import DeviceEpoch, StepState
from accelmnist.engines.step.functional import bias_corrections
from accelmnist.engines.step.replay import MOST_STEPS, GraphChunk
from accelmnist.engines.triton.kernels.constants import Block, Layer, StepPlan, tile
from accelmnist.engines.triton.launches import (
    Launch,
    forward_launch,
    network_of,
    parameter_of,
    product_of,
    rule_of,
)

_MOST_NUMBERS = 2**31  # of a matrix: the kernels count in 32 bits, since 64 take twice the instructions


class TritonChunk(GraphChunk):
    """Several steps of `job`; `launches` are those of one step, in order.

    Each hidden layer has `_values` and `_activation_grads` of (batch, units), each layer `_gradients`, the outputs'
    last. `_loss_parts` (capacity, programs) add up to each step's loss, and `_corrections` (2, capacity) are Adam's two
    factors.
    """

    def __init__(self, job: Job, sample: DeviceEpoch, *, first_row: int = 0) -> None:
        super().__init__(StepState.fresh(job), sample, max(1, min(MOST_STEPS, len(sample))))
        config, capacity, device = job.config, len(self.step_inputs), job.device.torch_device
        self._data, self._sizes, self._batch = job.data, config.model.sizes, config.training.batch_size
        self._model, self._rule = network_of(config)._replace(first_row=first_row), rule_of(config.training)
        self._product = product_of(config.execution.precision)
        operand = operand_dtype(config.execution.precision)

        def blank(units: int, dtype: torch.dtype) -> Tensor:
            return torch.zeros(self._batch, units, dtype=dtype, device=device)

        hidden = config.model.hidden
        self._values = [blank(units, operand) for units in hidden]
        self._activation_grads = [blank(units, torch.float32) for units in hidden]
        self._gradients = [blank(units, operand) for units in (*hidden, CLASSES)]
        self._head_tile = tile(self._batch, CLASSES, self._sizes[-2])
        self._loss_parts = torch.zeros(capacity, self._head_tile.grid(self._batch, CLASSES)[0], device=device)
        self._corrections = torch.zeros(2, capacity, device=device)
        self.launches = self._step()

    def __call__(self, steps: int) -> None:
        """Run the first `steps` of the step inputs, in place."""
        (count,) = self.kept.scalars["count"]
        if "exp_avg" in self.kept.slots:
            before = count + torch.arange(steps, device=count.device)
            self._corrections[:, :steps] = torch.stack(bias_corrections(before))
        for step in range(steps):
            for launch in self.launches:
                launch(step)
        self.losses[:steps] = self._loss_parts[:steps].sum(dim=1)
        count += steps

    def _step(self) -> list[Launch]:
        """All launches of a step: each reads what those before it wrote, and weights change last."""
        hidden = range(len(self._values))
        forward = [self._forward(layer) for layer in hidden]
        backward = [self._backward(layer) for layer in reversed(hidden[1:])]
        return [*forward, self._head(), *backward, *self._updates()]

    def _inputs(self, layer: int) -> dict[str, Tensor]:
        """What layer `layer`, counted from 0, multiplies."""
        source = self._values[layer - 1] if layer else self._data.images
        weight, bias = self.kept.parameters[2 * layer : 2 * layer + 2]
        return {"source": source, "order": self.step_inputs.order, "weight": weight, "bias": bias}

    def _forward(self, layer: int) -> Launch:
        tensors = self._inputs(layer) | {"values": self._values[layer]}
        training = {"activation_grads": self._activation_grads[layer], "seeds": self.step_inputs.dropout_seeds}
        return forward_launch(layer, tensors, training, model=self._model, product=self._product)

    def _head(self) -> Launch:
        from accelmnist.engines.triton.kernels.layers import head

        layer = len(self._values)
        arguments = self._inputs(layer) | {
            "labels": self._data.labels,
            "gradients": self._gradients[-1],
            "losses": self._loss_parts,
            # Without a hidden layer, the kernel touches neither of these two.
            "activation_grads": self._activation_grads[-1] if layer else self._loss_parts,
            "hidden_gradients": self._gradients[-2] if layer else self._loss_parts,
        }
        block = Block(self._batch, self._sizes[layer], CLASSES, layer == 0, *self._head_tile)
        constants = {"BLOCK": block, "MODEL": self._model, "PRODUCT": self._product}
        return Launch(head, (self._loss_parts.shape[1],), arguments, constants)

    def _backward(self, layer: int) -> Launch:
        """The gradient of the hidden layer before `layer`."""
        from accelmnist.engines.triton.kernels.layers import backward

        inputs, units = self._sizes[layer : layer + 2]
        cut = tile(self._batch, inputs, units)
        arguments = {
            "gradients": self._gradients[layer],
            "weight": self.kept.parameters[2 * layer],
            "activation_grads": self._activation_grads[layer - 1],
            "hidden_gradients": self._gradients[layer - 1],
        }
        constants = {"BLOCK": Block(self._batch, inputs, units, False, *cut), "PRODUCT": self._product}
        return Launch(backward, cut.grid(self._batch, inputs), arguments, constants, takes_step=False)

    def _updates(self) -> list[Launch]:
        """The updates. The first layer, with the most work, and the last, with the least, share a launch."""
        from accelmnist.engines.triton.kernels.update import update, update_two

        means, roots = self._corrections
        plan: dict[str, Any] = {"plan": StepPlan(self.step_inputs.order, self.step_inputs.learning_rates, means, roots)}
        how = {"PRODUCT": self._product, "RULE": self._rule}
        parts = [self._update_of(layer) for layer in range(len(self._sizes) - 1)]
        alone = parts if len(parts) == 1 else parts[1:-1]
        launches = [
            Launch(update, grid, {"layer": pointers} | plan, {"BLOCK": block} | how) for grid, pointers, block in alone
        ]
        if len(parts) == 1:
            return launches
        (a_grid, a, a_block), (b_grid, b, b_block) = parts[0], parts[-1]
        counts = [math.prod(a_grid), math.prod(b_grid)]
        constants = {"A_BLOCK": a_block, "A_HIGH": a_grid[0], "A_BLOCKS": counts[0]}
        constants |= {"B_BLOCK": b_block, "B_HIGH": b_grid[0]}
        return [*launches, Launch(update_two, (sum(counts),), {"a": a, "b": b} | plan, constants | how)]

    def _update_of(self, layer: int) -> tuple[tuple[int, int], Layer, Block]:
        """A layer's update: its grid, its pointers and its block."""
        inputs, units = self._sizes[layer : layer + 2]
        cut = tile(units, inputs, self._batch)
        weight, bias = (parameter_of(self.kept, position) for position in (2 * layer, 2 * layer + 1))
        pointers = Layer(self._inputs(layer)["source"], self._gradients[layer], weight, bias)
        return cut.grid(units, inputs), pointers, Block(self._batch, inputs, units, layer == 0, *cut)


class TritonGradients:
    """The gradients of some images, and no update: a momentum of 0 stores them, and a rate of 0 changes no weight."""

    def __init__(self, job: Job) -> None:
        assert job.share is not None
        training = replace(
            job.config.training,
            batch_size=job.share.rows,
            optimizer="sgd-momentum",
            momentum=0.0,
            nesterov=False,
            weight_decay=0.0,
        )
        device = job.device.torch_device
        sample = DeviceEpoch(
            torch.zeros(1, job.share.rows, dtype=torch.int64, device=device),
            torch.zeros(1, device=device),
            torch.zeros(1, dtype=torch.int64, device=device),
        )
        alone = Job(replace(job.config, training=training), job.device, job.data, job.model)
        firsts = [job.share.first + number * job.share.rows for number in range(job.share.shards)]
        self._drops = job.config.model.dropout > 0
        self._chunks = {
            first: TritonChunk(alone, sample, first_row=first) for first in (firsts if self._drops else [0])
        }

    def __call__(self, index: Tensor, seed: Tensor, first: int) -> tuple[Tensor, Sequence[Tensor]]:
        """The mean loss of the images at `index`, which are a batch from row `first` on, and its gradients."""
        chunk = self._chunks[first if self._drops else 0]
        chunk.step_inputs.order[0], chunk.step_inputs.dropout_seeds[0] = index, seed
        chunk(1)
        return chunk.losses[0], chunk.kept.slots["momentum_buffer"]


def why_too_large(config: RunConfig) -> str | None:
    """Why the kernels can't address the matrices of `config`, or None if they can."""
    sizes, batch = config.model.sizes, config.training.batch_size
    largest = max(max(rows * columns for rows, columns in pairwise(sizes)), batch * max(sizes))
    return None if largest < _MOST_NUMBERS else "its kernels take matrices of fewer than 2^31 numbers"
