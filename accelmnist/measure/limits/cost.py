"""Counted work of a step: arithmetic, traffic, what is touched. Nothing is measured; it all follows from the shapes.

flops       A multiplication and an addition are two. The matrix products are exact: 2 x batch x inputs x units a layer
            forward, as many for the gradient of the weights, as many for the gradient of the inputs, which the first
            layer doesn't need. The rest is counted by element, one for each of add, multiply, divide, compare, root and
            exponential: scaling of the pixels, biases and their gradients, a rectifier and its derivative, the loss
            (`_LOSS_FLOPS`), the update (`UPDATE_FLOPS`).

bytes       Least traffic, if each operation reads and writes all its operands where the step's tensors lie.
            As few operations as a fused program needs: a product takes scaling, bias, activation and its derivative
            along, so the images are read as bytes; then the loss with its gradient, and one pass for the update.

working set Every tensor that a step touches, once.

Images and labels are those of one batch. fp32 and tf32 take 4 bytes an element. bf16 and fp16 take 2 for activations
and their gradients, while weights, their gradients and the optimizer's state stay float32 (mixed precision). The
dropout, the loss scale of fp16, and other activations than the rectifier are not counted: the cases of a benchmark have
none, or they are below a thousandth.

A way of running may do less than is counted: 81 % of the pixels are black, and a kernel may leave out their products.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from accelmnist.core.config import AMP_PRECISIONS, CLASSES, INPUTS, ModelConfig, Optimizer
from accelmnist.engines.step.rules import SLOTS
from accelmnist.measure.plan import Case, Mode
from accelmnist.measure.record import StepCost

ProductKind = Literal["forward", "weight gradient", "input gradient"]

_FLOAT32 = 4
_INDEX = 8  # int64: the order and the labels
# Of one logit: largest, subtract, exponential, sum, divide; with the gradient also multiply, sum, subtract, divide.
_LOSS_FLOPS = 9

# Of one parameter, weight decay included, Nesterov's form not.
UPDATE_FLOPS: dict[Optimizer, int] = {
    "sgd": 4,  # decay 2, step 2
    "sgd-momentum": 6,  # and the velocity 2
    "adam": 15,  # decay 2, mean 3, mean square 4, root, correction, epsilon, rate, quotient, difference
    "adamw": 14,  # decay 1: the factor is the same for all weights
}


@dataclass(frozen=True)
class Product:
    """One matrix product of a step: (rows, inner) times (inner, columns), for layer number `layer`."""

    kind: ProductKind
    layer: int
    rows: int
    inner: int
    columns: int

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return 2 * self.rows * self.inner * self.columns


def step_products(model: ModelConfig, batch_size: int, mode: Mode) -> tuple[Product, ...]:
    """The matrix products of a training step, or of one call in inference, in the order in which they follow."""
    layers = list(enumerate(pairwise(model.sizes)))
    products = [Product("forward", layer, batch_size, inputs, units) for layer, (inputs, units) in layers]
    if mode == "inference":
        return tuple(products)
    for layer, (inputs, units) in reversed(layers):
        products.append(Product("weight gradient", layer, units, batch_size, inputs))
        if layer > 0:
            products.append(Product("input gradient", layer, batch_size, units, inputs))
    return tuple(products)


def product_flops(model: ModelConfig, batch_size: int, mode: Mode) -> int:
    """Arithmetic of the matrix products alone."""
    return sum(product.flops for product in step_products(model, batch_size, mode))


def cost_of(case: Case) -> StepCost:
    """The cost of one training step of `case`, or of one call that classifies."""
    model, batch_size = ModelConfig(hidden=case.hidden), case.batch_size
    element = 2 if case.precision in AMP_PRECISIONS else _FLOAT32
    outputs = batch_size * sum(model.sizes[1:])
    # Forward, each output has a bias and each hidden one a rectifier; backward, each bias a sum and each rectifier a
    # derivative to multiply by: as many.
    edges = outputs + batch_size * sum(model.hidden)
    flops = product_flops(model, batch_size, case.mode) + edges + batch_size * INPUTS
    traffic = sum(_traffic(product, element) for product in step_products(model, batch_size, case.mode))
    tensors = _FLOAT32 * model.parameters + outputs * element + batch_size * INPUTS
    if case.optimizer is None:
        return StepCost(flops=flops, bytes=traffic, working_set_bytes=tensors)
    slots = len(SLOTS[case.optimizer])
    loss = batch_size * (2 * CLASSES * element + 2 * _INDEX)  # logits read, gradient written, order and labels read
    update = _FLOAT32 * model.parameters * (3 + 2 * slots)  # weight and state read and written, gradient read
    gradients_and_state = _FLOAT32 * model.parameters * (1 + slots) + outputs * element
    return StepCost(
        flops=flops + edges + batch_size * _LOSS_FLOPS * CLASSES + UPDATE_FLOPS[case.optimizer] * model.parameters,
        bytes=traffic + loss + update,
        working_set_bytes=tensors + gradients_and_state + batch_size * 2 * _INDEX,
    )


def _traffic(product: Product, element: int) -> int:
    """Bytes that a product reads and writes, with the elementwise work around it."""
    rows, inner, columns = product.rows, product.inner, product.columns
    input_bytes = 1 if product.layer == 0 else element  # the first layer's are pixels
    if product.kind == "forward":  # inputs, weights and biases; outputs
        return rows * inner * input_bytes + _FLOAT32 * (inner + 1) * columns + rows * columns * element
    if product.kind == "weight gradient":  # gradient of the outputs, inputs; gradients of weights and biases
        read = inner * rows * element + inner * columns * input_bytes
        return read + _FLOAT32 * rows * (columns + 1)
    # Gradient of the outputs, weights, activations for their derivative; gradient of the inputs.
    return rows * inner * element + _FLOAT32 * inner * columns + 2 * rows * columns * element
