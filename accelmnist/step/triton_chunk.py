"""Several steps by our own Triton kernels as one function, which a CUDA graph captures: see `accelmnist/gpu_kernels`.

A step of a network with one hidden layer is four launches: the hidden layer forward; the outputs with the loss and the
gradients of both layers; and for either layer the gradient of its weights together with their update. Every further
hidden layer adds three. All buffers are made once; losses are added up and Adam's corrections made once a chunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from accelmnist.config import CLASSES, RunConfig
from accelmnist.device import AMP_DTYPES
from accelmnist.gpu_kernels.tiles import Tile, tile
from accelmnist.step.contract import Epoch, Job, State
from accelmnist.step.functional_update import bias_corrections
from accelmnist.step.replay import MOST_STEPS, Chunk, Window
from accelmnist.step.rules import BETA1, BETA2, EPSILON, SLOTS
from accelmnist.step.state import export_state, import_state

_MOST_NUMBERS = 2**31  # of a matrix: the kernels count in 32 bits, since 64 take twice the instructions


@dataclass(frozen=True)
class Launch:
    """One kernel of a step: its grid, its arguments by name, and its constants, by which it is compiled."""

    kernel: Any
    grid: tuple[int, ...]
    arguments: Mapping[str, Tensor]
    constants: Mapping[str, Any]
    takes_step: bool = True

    def __call__(self, step: int) -> None:
        """Start it for step `step` of the window."""
        numbers = {"step": step} if self.takes_step else {}
        self.kernel[self.grid](**self.arguments, **numbers, **self.constants)


class TritonChunk(Chunk):
    """The steps of `job`; it owns the optimizer's state. `launches` are those of one step, in order."""

    def __init__(self, job: Job, sample: Epoch) -> None:
        room, self._batch = max(1, min(MOST_STEPS, len(sample))), sample.order.shape[1]
        device = job.device.torch_device
        self.window = Window(sample, room)
        self.losses = torch.zeros(room, device=device)
        self._job = job
        self._names = [name for name, _ in job.model.named_parameters()]
        self._parameters = [parameter.detach() for parameter in job.model.parameters()]
        slots = SLOTS[job.config.training.optimizer]
        self._slots = {name: [torch.zeros_like(parameter) for parameter in self._parameters] for name in slots}
        self._count = torch.zeros((), device=device)
        self._corrections = torch.zeros(2, room, device=device)
        self._make_buffers(device)
        self.launches = [*self._forward(), self._head(), *self._backward(), *self._updates()]

    def _make_buffers(self, device: torch.device) -> None:
        precision = self._job.config.execution.precision
        operand = AMP_DTYPES.get(precision, torch.float32)
        hidden = self._job.config.model.hidden

        def blank(units: int, dtype: torch.dtype) -> Tensor:
            return torch.zeros(self._batch, units, dtype=dtype, device=device)

        self._values = [blank(units, operand) for units in hidden]
        self._slopes = [blank(units, torch.float32) for units in hidden]
        self._gradients = [blank(units, operand) for units in (*hidden, CLASSES)]
        self._head_tile = tile(self._batch, CLASSES, self._sizes[-2])
        programs = self._head_tile.grid(self._batch, CLASSES)[0]
        self._shares = torch.zeros(len(self.window), programs, device=device)
        self._common = _products(precision, operand)

    @property
    def _sizes(self) -> tuple[int, ...]:
        return self._job.config.model.sizes

    def __call__(self, steps: int) -> None:
        """Run the first `steps` steps of the window, in place."""
        if self._slots:
            before = self._count + torch.arange(steps, device=self._count.device)
            self._corrections[:, :steps] = torch.stack(bias_corrections(before))
        for step in range(steps):
            for launch in self.launches:
                launch(step)
        self.losses[:steps] = self._shares[:steps].sum(dim=1)
        self._count += steps

    # --- the launches of a step

    def _source(self, layer: int) -> dict[str, Tensor]:
        """What layer `layer`, counted from 0, takes its inputs from."""
        source = self._values[layer - 1] if layer else self._job.data.images
        return {"source": source, "order": self.window.order}

    def _shape(self, layer: int) -> dict[str, Any]:
        return {"BATCH": self._batch, "INPUTS": self._sizes[layer], "FROM_IMAGES": layer == 0}

    def _layer(self, layer: int) -> dict[str, Tensor]:
        return {"weight": self._parameters[2 * layer], "bias": self._parameters[2 * layer + 1]}

    def _forward(self) -> list[Launch]:
        from accelmnist.gpu_kernels.forward import forward

        model = self._job.config.model
        launches = []
        for layer, units in enumerate(model.hidden):
            cut = tile(self._batch, units, self._sizes[layer])
            outputs = {"values": self._values[layer], "slopes": self._slopes[layer], "seeds": self.window.dropout_seeds}
            constants = {
                "UNITS": units,
                "LAYER": layer,
                "ACTIVATION": model.activation,
                "DROP_BELOW": int(model.dropout * 2**32),
                "KEPT_SCALE": 1 / (1 - model.dropout),
            }
            arguments = self._source(layer) | self._layer(layer) | outputs
            constants |= self._shape(layer) | self._common | _blocks(cut)
            launches.append(Launch(forward, cut.grid(self._batch, units), arguments, constants))
        return launches

    def _head(self) -> Launch:
        from accelmnist.gpu_kernels.head import head

        config, layer = self._job.config, len(self._values)
        # Where there is no hidden layer, the kernel reads no slopes and writes no hidden gradients.
        arguments = self._source(layer) | self._layer(layer)
        arguments |= {"labels": self._job.data.labels, "gradients": self._gradients[-1], "losses": self._shares}
        arguments |= {"slopes": self._slopes[-1] if layer else self._shares}
        arguments |= {"hidden_gradients": self._gradients[-2] if layer else self._shares}
        constants = {"CLASSES": CLASSES, "OUTPUT": config.model.output, "SMOOTHING": config.training.label_smoothing}
        constants |= self._shape(layer) | self._common | _blocks(self._head_tile)
        return Launch(head, (len(self._shares[0]),), arguments, constants)

    def _backward(self) -> list[Launch]:
        from accelmnist.gpu_kernels.backward import backward

        launches = []
        for layer in reversed(range(1, len(self._values))):
            inputs, units = self._sizes[layer], self._sizes[layer + 1]
            cut = tile(self._batch, inputs, units)
            arguments = {
                "gradients": self._gradients[layer],
                "weight": self._parameters[2 * layer],
                "slopes": self._slopes[layer - 1],
                "hidden_gradients": self._gradients[layer - 1],
            }
            constants = {"BATCH": self._batch, "INPUTS": inputs, "UNITS": units} | self._common | _blocks(cut)
            launches.append(Launch(backward, cut.grid(self._batch, inputs), arguments, constants, takes_step=False))
        return launches

    def _updates(self) -> list[Launch]:
        """Last of all: until then, the other kernels read the weights."""
        from accelmnist.gpu_kernels.update import update

        training = self._job.config.training
        rule = {
            "RULE": training.optimizer,
            "MOMENTUM": training.momentum,
            "NESTEROV": training.nesterov,
            "DECAY": training.weight_decay,
            "BETA1": BETA1,
            "BETA2": BETA2,
            "EPSILON": EPSILON,
        }
        launches = []
        for layer, gradients in enumerate(self._gradients):
            inputs, units = self._sizes[layer], self._sizes[layer + 1]
            cut = tile(units, inputs, self._batch)
            arguments = self._source(layer) | {"gradients": gradients} | self._with_slots(layer)
            constants = {"UNITS": units} | rule | self._shape(layer) | self._common | _blocks(cut)
            launches.append(Launch(update, cut.grid(units, inputs), arguments, constants))
        return launches

    def _with_slots(self, layer: int) -> dict[str, Tensor]:
        """Weight and bias with two slots each; a rule that has fewer doesn't touch what stands in for them."""
        found = {
            "rates": self.window.learning_rates,
            "mean_corrections": self._corrections[0],
            "root_corrections": self._corrections[1],
        }
        for position, name in enumerate(("weight", "bias"), start=2 * layer):
            parameter = self._parameters[position]
            slots = [slot[position] for slot in self._slots.values()]
            first, second = [*slots, parameter, parameter][:2]
            found |= {name: parameter, f"{name}_first": first, f"{name}_second": second}
        return found

    # --- state

    def tensors(self) -> list[Tensor]:
        """Weights, slots and the number of updates."""
        return [*self._parameters, *(tensor for slot in self._slots.values() for tensor in slot), self._count]

    def state(self) -> State:
        """The optimizer's state under its common names, as copies on the host."""
        return export_state(self._names, self._slots, {"count": self._count})

    def load_state(self, state: State) -> None:
        """Take over a state that `state()` of any engine gave; graphs read it where it lies."""
        import_state(state, self._names, self._slots, {"count": self._count})


def why_too_large(config: RunConfig) -> str | None:
    """Why the kernels can't address the matrices of `config`, or None."""
    sizes, batch = config.model.sizes, config.training.batch_size
    largest = max(max(rows * columns for rows, columns in pairwise(sizes)), batch * max(sizes))
    return None if largest < _MOST_NUMBERS else "its kernels take matrices of fewer than 2^31 numbers"


def _products(precision: str, operand: torch.dtype) -> dict[str, Any]:
    """How products are computed: the type of their operands, and of float32 ones the arithmetic."""
    import triton.language as tl

    types = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}
    return {"OPERAND": types[operand], "PRECISION": "tf32" if precision == "tf32" else "ieee"}


def _blocks(cut: Tile) -> dict[str, int]:
    return {"ROWS": cut.rows, "COLUMNS": cut.columns, "DEPTH": cut.depth}
