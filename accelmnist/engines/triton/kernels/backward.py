"""The gradient of a hidden layer, from that of the layer after it."""

from __future__ import annotations

import triton
import triton.language as tl


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
