"""A hidden layer forward and backward.

Forward, from bytes or activations to activations, and for training their derivatives. Training uses it for hidden
layers, inference also for the outputs, with the activation "none". Backward, the gradient of a hidden layer from that
of the layer after it.
"""

from __future__ import annotations

import triton
import triton.language as tl

from accelmnist.engines.triton.kernels.pieces import activate, is_kept, load_inputs, row_starts


@triton.jit(do_not_specialize=["step"])
def forward(
    source,  # images uint8 (n, INPUTS) if FROM_IMAGES, else activations (BATCH, INPUTS)
    order,  # int64 (steps, BATCH)
    weight,  # float32 (UNITS, INPUTS)
    bias,  # float32 (UNITS,)
    values,  # out: activations (BATCH, UNITS), dropout applied
    activation_grads,  # out if TRAINING: float32 (BATCH, UNITS), the factors of gradients at activations
    seeds,  # int64 (steps,); not read without dropout
    step,
    BATCH: tl.constexpr,
    INPUTS: tl.constexpr,
    UNITS: tl.constexpr,
    LAYER: tl.constexpr,
    ACTIVATION: tl.constexpr,
    DROP_BELOW: tl.constexpr,
    KEPT_SCALE: tl.constexpr,
    TRAINING: tl.constexpr,
    FROM_IMAGES: tl.constexpr,
    OPERAND: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
) -> None:
    """One block of ROWS images and COLUMNS units."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    units = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    starts = row_starts(order + step * BATCH, rows, BATCH, INPUTS, FROM_IMAGES)
    sums = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, INPUTS, DEPTH):
        inputs = start + tl.arange(0, DEPTH)
        block = load_inputs(source, starts, rows, inputs, BATCH, INPUTS, FROM_IMAGES)
        mask = (inputs < INPUTS)[:, None] & (units < UNITS)[None, :]
        weights = tl.load(weight + units[None, :] * INPUTS + inputs[:, None], mask=mask, other=0.0)
        sums = tl.dot(block.to(OPERAND), weights.to(OPERAND), sums, input_precision=PRECISION)
    sums += tl.load(bias + units, mask=units < UNITS, other=0.0)[None, :]
    result, activation_grad = activate(sums, ACTIVATION)
    if DROP_BELOW > 0:
        scale = tl.where(is_kept(tl.load(seeds + step), rows, units, UNITS, LAYER, DROP_BELOW), KEPT_SCALE, 0.0)
        result *= scale
        activation_grad *= scale
    offsets = rows[:, None] * UNITS + units[None, :]
    inside = (rows < BATCH)[:, None] & (units < UNITS)[None, :]
    tl.store(values + offsets, result.to(values.dtype.element_ty), mask=inside)
    if TRAINING:
        tl.store(activation_grads + offsets, activation_grad, mask=inside)


@triton.jit
def backward(
    gradients,  # at the sums of the layer after it (BATCH, UNITS)
    weight,  # of that layer, float32 (UNITS, INPUTS)
    activation_grads,  # derivatives of this layer's activations, float32 (BATCH, INPUTS)
    hidden_gradients,  # out: at this layer's sums (BATCH, INPUTS)
    BATCH: tl.constexpr,
    INPUTS: tl.constexpr,
    UNITS: tl.constexpr,
    OPERAND: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
) -> None:
    """One block of ROWS images and COLUMNS of this layer's units, which are the inputs of the layer after it."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inputs = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    sums = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, UNITS, DEPTH):
        units = start + tl.arange(0, DEPTH)
        mask = (rows < BATCH)[:, None] & (units < UNITS)[None, :]
        gradient = tl.load(gradients + rows[:, None] * UNITS + units[None, :], mask=mask, other=0.0)
        mask = (units < UNITS)[:, None] & (inputs < INPUTS)[None, :]
        weights = tl.load(weight + units[:, None] * INPUTS + inputs[None, :], mask=mask, other=0.0)
        sums = tl.dot(gradient.to(OPERAND), weights.to(OPERAND), sums, input_precision=PRECISION)
    offsets = rows[:, None] * INPUTS + inputs[None, :]
    inside = (rows < BATCH)[:, None] & (inputs < INPUTS)[None, :]
    activation_grad = tl.load(activation_grads + offsets, mask=inside, other=0.0)
    tl.store(hidden_gradients + offsets, (sums * activation_grad).to(OPERAND), mask=inside)
