"""The gradient of a layer's weights and biases, and the optimizer's update of both, so that no gradient is stored."""

from __future__ import annotations

import triton
import triton.language as tl

from accelmnist.engines.triton.kernels.constants import Factors
from accelmnist.engines.triton.kernels.pieces import load_inputs, row_starts, update_parameter


@triton.jit
def _update_block(
    row_block, column_block, layer, plan, step, BLOCK: tl.constexpr, PRODUCT: tl.constexpr, RULE: tl.constexpr
) -> None:
    """One block of `BLOCK.rows` units and `columns` inputs; the blocks of the first inputs update the biases too."""
    ROWS: tl.constexpr = BLOCK.rows
    COLUMNS: tl.constexpr = BLOCK.columns
    factors = Factors(tl.load(plan.rates + step), tl.load(plan.means + step), tl.load(plan.roots + step))
    order = plan.order + step * BLOCK.batch
    units = row_block * ROWS + tl.arange(0, ROWS)
    inputs = column_block * COLUMNS + tl.arange(0, COLUMNS)
    sums = tl.zeros((ROWS, COLUMNS), tl.float32)
    unit_sums = tl.zeros((ROWS,), tl.float32)
    for start in range(0, BLOCK.batch, BLOCK.depth):
        rows = start + tl.arange(0, BLOCK.depth)
        mask = (units < BLOCK.units)[:, None] & (rows < BLOCK.batch)[None, :]
        gradient = tl.load(layer.gradients + rows[None, :] * BLOCK.units + units[:, None], mask=mask, other=0.0)
        block = load_inputs(layer.source, row_starts(order, rows, BLOCK), rows, inputs, BLOCK)
        sums = tl.dot(gradient.to(PRODUCT.operand), block.to(PRODUCT.operand), sums, input_precision=PRODUCT.precision)
        unit_sums += tl.sum(gradient.to(tl.float32), axis=1)

    offsets = units[:, None] * BLOCK.inputs + inputs[None, :]
    inside = (units < BLOCK.units)[:, None] & (inputs < BLOCK.inputs)[None, :]
    update_parameter(layer.weight, offsets, inside, sums * (1 / BLOCK.batch), factors, RULE)
    if column_block == 0:
        update_parameter(layer.bias, units, units < BLOCK.units, unit_sums * (1 / BLOCK.batch), factors, RULE)


@triton.jit(do_not_specialize=["step"])
def update(layer, plan, step, BLOCK: tl.constexpr, PRODUCT: tl.constexpr, RULE: tl.constexpr) -> None:
    """The weights of one layer, one block a program."""
    _update_block(tl.program_id(0), tl.program_id(1), layer, plan, step, BLOCK, PRODUCT, RULE)


@triton.jit(do_not_specialize=["step"])
def update_two(
    a,
    b,
    plan,
    step,
    A_BLOCK: tl.constexpr,
    B_BLOCK: tl.constexpr,
    PRODUCT: tl.constexpr,
    RULE: tl.constexpr,
    A_HIGH: tl.constexpr,  # blocks of the first layer along its units, and in all
    A_BLOCKS: tl.constexpr,
    B_HIGH: tl.constexpr,
) -> None:
    """The weights of two layers in one launch: the first programs update the blocks of `a`, the others those of `b`."""
    block = tl.program_id(0)
    if block < A_BLOCKS:
        _update_block(block % A_HIGH, block // A_HIGH, a, plan, step, A_BLOCK, PRODUCT, RULE)
    else:
        block -= A_BLOCKS
        _update_block(block % B_HIGH, block // B_HIGH, b, plan, step, B_BLOCK, PRODUCT, RULE)
