"""What training and inference by the Triton kernels in `kernels/` share, and inference: a launch a layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from accelmnist.core.config import CLASSES, Precision, RunConfig, TrainingConfig
from accelmnist.device import Device, compile_capability, operand_dtype
from accelmnist.engines.contract import Classifier
from accelmnist.engines.model import MLP
from accelmnist.engines.step.device_runner import StepState
from accelmnist.engines.step.replay import ReplayedClassifier
from accelmnist.engines.step.rules import BETA1, BETA2, EPSILON
from accelmnist.engines.triton.kernels.constants import Block, Network, Parameter, Product, Rule, tile


@dataclass(frozen=True)
class Launch:
    """One kernel of a step: its grid, its arguments by name, and the constants that it is compiled for."""

    kernel: Any
    grid: tuple[int, ...]
    arguments: Mapping[str, Any]  # tensors, or groups of them
    constants: Mapping[str, Any]
    takes_step: bool = True

    def __call__(self, step: int) -> None:
        """Start the kernel for step `step` of the step inputs."""
        numbers = {"step": step} if self.takes_step else {}
        self.kernel[self.grid](**self.arguments, **numbers, **self.constants)


def forward_launch(
    layer: int,
    tensors: Mapping[str, Tensor],
    training: Mapping[str, Tensor] | None,
    *,
    model: Network,
    product: Product,
) -> Launch:
    """A layer forward, counted from 0: `tensors` are its source, order, weight, bias and values by name.

    `training` adds the dropout seeds and where the derivatives go.
    """
    from accelmnist.engines.triton.kernels.layers import forward

    batch, (units, inputs) = len(tensors["values"]), tensors["weight"].shape
    cut = tile(batch, units, inputs)
    # Without training the kernel uses neither activation_grads nor seeds: values and order stand in for them.
    others = {"activation_grads": tensors["values"], "seeds": tensors["order"]} if training is None else training
    block = Block(batch, inputs, units, layer == 0, *cut)
    constants: dict[str, Any] = {"BLOCK": block, "MODEL": model, "PRODUCT": product, "LAYER": layer}
    constants |= {"TRAINING": training is not None}
    return Launch(forward, cut.grid(batch, units), {**tensors, **others}, constants)


def parameter_of(kept: StepState, position: int) -> Parameter:
    """A parameter with its slots; a rule with fewer than two doesn't touch the stand-ins for them."""
    parameter = kept.parameters[position]
    return Parameter(parameter, *[*(slot[position] for slot in kept.slots.values()), parameter, parameter][:2])


def network_of(config: RunConfig) -> Network:
    """The network and the loss of `config`, as the kernels take them."""
    model = config.model
    return Network(
        classes=CLASSES,
        activation=model.activation,
        output=model.output,
        smoothing=config.training.label_smoothing,
        drop_below=int(model.dropout * 2**32),
        kept_scale=1 / (1 - model.dropout),
    )


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


def product_of(precision: str) -> Product:
    """How products are computed: the type of their operands, and the arithmetic of float32 ones."""
    import triton.language as tl

    operand = {"bf16": tl.bfloat16, "fp16": tl.float16}.get(precision, tl.float32)
    return Product(operand, "tf32" if precision == "tf32" else "ieee")


def replayed_classifier(model: MLP, device: Device, precision: Precision) -> Classifier | None:
    """The classifier of our own kernels on CUDA, captured and replayed; None if they can't be compiled."""
    available = compile_capability(device).available
    return ReplayedClassifier(TritonForward(model, precision), device) if available else None


class TritonForward:
    """The function bytes (n, 784) -> logits (n, 10) float32, with the weights that `model` has at the call."""

    def __init__(self, model: MLP, precision: Precision) -> None:
        config = RunConfig(model=model.config)
        self._network = network_of(config)._replace(drop_below=0, kept_scale=1.0)
        self._parameters = [parameter.detach() for parameter in model.parameters()]
        self._operand = operand_dtype(precision)
        self._product = product_of(precision)

    def __call__(self, images: Tensor) -> Tensor:
        """Logits of `images`; the activations in between lie in the call's own memory."""
        values, order = images, torch.arange(len(images), device=images.device)
        last = len(self._parameters) // 2 - 1
        for layer, (weight, bias) in enumerate(zip(self._parameters[::2], self._parameters[1::2], strict=True)):
            dtype = torch.float32 if layer == last else self._operand
            tensors = {"source": values, "order": order, "weight": weight, "bias": bias}
            values = torch.empty(len(images), len(weight), dtype=dtype, device=images.device)
            model = self._network._replace(activation="none") if layer == last else self._network
            forward_launch(layer, tensors | {"values": values}, None, model=model, product=self._product)(0)
        return values
