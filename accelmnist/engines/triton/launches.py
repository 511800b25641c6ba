"""The launches of a training step by the Triton kernels in `kernels/`: kernels, tensors and blocks.

A network with one hidden layer needs three: the hidden layer forward; the outputs, with the loss and the gradients of
both layers; the gradients of all weights together with their update. Every further hidden layer adds three.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor

from accelmnist.core.config import CLASSES, RunConfig, TrainingConfig
from accelmnist.data.types import DeviceSet
from accelmnist.engines.step.replay import StepInputs
from accelmnist.engines.step.rules import BETA1, BETA2, EPSILON
from accelmnist.engines.triton.kernels.constants import Block, Product, Rule, Tile, tile

T = TypeVar("T")


@dataclass(frozen=True)
class Launch:
    """One kernel of a step: its grid, its arguments by name, and the constants that it is compiled for."""

    kernel: Any
    grid: tuple[int, ...]
    arguments: Mapping[str, Tensor]
    constants: Mapping[str, Any]
    takes_step: bool = True

    def __call__(self, step: int) -> None:
        """Start the kernel for step `step` of the step inputs."""
        numbers = {"step": step} if self.takes_step else {}
        self.kernel[self.grid](**self.arguments, **numbers, **self.constants)


@dataclass(frozen=True)
class Memory:
    """The tensors that the kernels of a step read and write, on the device and never moved.

    `slots` has one list a slot, of one tensor a parameter. Each hidden layer has `values` and `activation_grads` of
    (batch, units), each layer `gradients`, the outputs' last. `loss_parts` (capacity, programs) add up to each step's
    loss, and `corrections` (2, capacity) are Adam's two factors.
    """

    data: DeviceSet
    step_inputs: StepInputs
    parameters: Sequence[Tensor]
    slots: Sequence[Sequence[Tensor]]
    values: Sequence[Tensor]
    activation_grads: Sequence[Tensor]
    gradients: Sequence[Tensor]
    loss_parts: Tensor
    corrections: Tensor


@dataclass(frozen=True)
class _LayerUpdate:
    """A layer's update: its grid, its own arguments and its block."""

    grid: tuple[int, int]
    arguments: dict[str, Tensor]
    block: Block


def head_tile(config: RunConfig) -> Tile:
    """The block of the outputs; every program along the batch has a part of the loss."""
    return tile(config.training.batch_size, CLASSES, config.model.sizes[-2])


class StepLaunches:
    """The launches of a step of `config` on `memory`."""

    def __init__(self, config: RunConfig, memory: Memory) -> None:
        self._config, self._memory = config, memory
        self._batch, self._sizes = config.training.batch_size, config.model.sizes
        self._common = {"BATCH": self._batch, **products(config.execution.precision)}

    def all(self) -> list[Launch]:
        """All launches in order: each reads what those before it wrote, and weights change last."""
        hidden = range(len(self._config.model.hidden))
        forward = [self._forward(layer) for layer in hidden]
        backward = [self._backward(layer) for layer in reversed(hidden[1:])]
        return [*forward, self._head(), *backward, *self._updates()]

    def _inputs(self, layer: int) -> dict[str, Any]:
        return {"INPUTS": self._sizes[layer], "FROM_IMAGES": layer == 0}

    def _source(self, layer: int) -> Tensor:
        """The tensor with the inputs of layer `layer`, counted from 0."""
        return self._memory.values[layer - 1] if layer else self._memory.data.images

    def _layer(self, layer: int) -> dict[str, Tensor]:
        weight, bias = self._memory.parameters[2 * layer : 2 * layer + 2]
        return {"source": self._source(layer), "order": self._memory.step_inputs.order, "weight": weight, "bias": bias}

    def _forward(self, layer: int) -> Launch:
        from accelmnist.engines.triton.kernels.layers import forward

        model, memory, units = self._config.model, self._memory, self._sizes[layer + 1]
        block_shape = tile(self._batch, units, self._sizes[layer])
        outputs = {
            "values": memory.values[layer],
            "activation_grads": memory.activation_grads[layer],
            "seeds": memory.step_inputs.dropout_seeds,
        }
        constants = {
            "UNITS": units,
            "LAYER": layer,
            "ACTIVATION": model.activation,
            "DROP_BELOW": int(model.dropout * 2**32),
            "KEPT_SCALE": 1 / (1 - model.dropout),
            "TRAINING": True,
        }
        constants |= self._inputs(layer) | self._common | block_sizes(block_shape)
        return Launch(forward, block_shape.grid(self._batch, units), self._layer(layer) | outputs, constants)

    def _head(self) -> Launch:
        from accelmnist.engines.triton.kernels.head import head

        config, memory, layer = self._config, self._memory, len(self._config.model.hidden)
        arguments = self._layer(layer) | {
            "labels": memory.data.labels,
            "gradients": memory.gradients[-1],
            "losses": memory.loss_parts,
            # Without a hidden layer, the kernel touches neither of these two.
            "activation_grads": memory.activation_grads[-1] if layer else memory.loss_parts,
            "hidden_gradients": memory.gradients[-2] if layer else memory.loss_parts,
        }
        constants = {"CLASSES": CLASSES, "OUTPUT": config.model.output, "SMOOTHING": config.training.label_smoothing}
        constants |= self._inputs(layer) | self._common | block_sizes(head_tile(config))
        return Launch(head, (memory.loss_parts.shape[1],), arguments, constants)

    def _backward(self, layer: int) -> Launch:
        """The gradient of the hidden layer before `layer`."""
        from accelmnist.engines.triton.kernels.layers import backward

        memory, inputs, units = self._memory, self._sizes[layer], self._sizes[layer + 1]
        block_shape = tile(self._batch, inputs, units)
        arguments = {
            "gradients": memory.gradients[layer],
            "weight": memory.parameters[2 * layer],
            "activation_grads": memory.activation_grads[layer - 1],
            "hidden_gradients": memory.gradients[layer - 1],
        }
        constants = {"INPUTS": inputs, "UNITS": units} | self._common | block_sizes(block_shape)
        return Launch(backward, block_shape.grid(self._batch, inputs), arguments, constants, takes_step=False)

    def _updates(self) -> list[Launch]:
        """The updates. The first layer, with the most work, and the last, with the least, share a launch."""
        from accelmnist.engines.triton.kernels.update import update, update_two

        parts = [self._update_of(layer) for layer in range(len(self._sizes) - 1)]
        alone, shared = (parts, ()) if len(parts) == 1 else (parts[1:-1], (parts[0], parts[-1]))
        precision = self._config.execution.precision
        per_step = self._of_steps()
        shared_constants = {"PRODUCT": product(precision), "RULE": rule_of(self._config.training)}
        launches = [
            Launch(update, part.grid, part.arguments | per_step, {"BLOCK": part.block} | shared_constants)
            for part in alone
        ]
        if not shared:
            return launches
        first, last = shared
        counts = [math.prod(part.grid) for part in shared]
        arguments = _prefixed("a_", first.arguments) | _prefixed("b_", last.arguments) | per_step
        constants: dict[str, Any] = {"A_BLOCK": first.block, "B_BLOCK": last.block}
        constants |= {"A_HIGH": first.grid[0], "A_BLOCKS": counts[0], "B_HIGH": last.grid[0]}
        return [*launches, Launch(update_two, (sum(counts),), arguments, constants | shared_constants)]

    def _update_of(self, layer: int) -> _LayerUpdate:
        """A layer's update; a rule with fewer than two slots doesn't touch the stand-ins for them."""
        units = self._sizes[layer + 1]
        block_shape = tile(units, self._sizes[layer], self._batch)
        arguments = {"source": self._source(layer), "gradients": self._memory.gradients[layer]}
        for position, name in enumerate(("weight", "bias"), start=2 * layer):
            parameter = self._memory.parameters[position]
            first, second = [*(slot[position] for slot in self._memory.slots), parameter, parameter][:2]
            arguments |= {name: parameter, f"{name}_first": first, f"{name}_second": second}
        shape = (self._batch, self._sizes[layer], units, layer == 0)
        block = Block(*shape, rows=block_shape.rows, columns=block_shape.columns, depth=block_shape.depth)
        return _LayerUpdate(block_shape.grid(units, self._sizes[layer]), arguments, block)

    def _of_steps(self) -> dict[str, Tensor]:
        """An update's arguments that differ from step to step."""
        means, roots = self._memory.corrections
        step_inputs = self._memory.step_inputs
        return {
            "order": step_inputs.order,
            "rates": step_inputs.learning_rates,
            "mean_corrections": means,
            "root_corrections": roots,
        }


def rule_of(training: TrainingConfig) -> Rule:
    """The optimizer of `training`, as the kernels take it."""
    return Rule(
        optimizer=training.optimizer,
        momentum=training.momentum,
        nesterov=training.nesterov,
        decay=training.weight_decay,
        beta1=BETA1,
        beta2=BETA2,
        epsilon=EPSILON,
    )


def product(precision: str) -> Product:
    """How products are computed: the type of their operands, and the arithmetic of float32 ones."""
    import triton.language as tl

    operand = {"bf16": tl.bfloat16, "fp16": tl.float16}.get(precision, tl.float32)
    return Product(operand, "tf32" if precision == "tf32" else "ieee")


def products(precision: str) -> dict[str, Any]:
    """The same as two constants."""
    chosen = product(precision)
    return {"OPERAND": chosen.operand, "PRECISION": chosen.precision}


def _prefixed(prefix: str, named: Mapping[str, T]) -> dict[str, T]:
    return {prefix + name: value for name, value in named.items()}


def block_sizes(block_shape: Tile) -> dict[str, int]:
    """A kernel's constants for the sizes of its blocks."""
    return {"ROWS": block_shape.rows, "COLUMNS": block_shape.columns, "DEPTH": block_shape.depth}
