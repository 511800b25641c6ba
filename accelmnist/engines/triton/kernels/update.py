"""The gradient of a layer's weights and biases, and the optimizer's update of both, so that no gradient is stored."""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl

from accelmnist.engines.triton.kernels.pieces import load_inputs, row_starts
from accelmnist.engines.triton.kernels.rule import Factors, Parameter, update_parameter


class Sources(NamedTuple):
    """Pointers to the operands of a layer's gradient: its inputs, the gradient at its sums, and the images' order."""

    inputs: tl.tensor
    gradients: tl.tensor
    order: tl.tensor


@triton.jit
def _update_block(
    row_block,
    column_block,
    sources,
    weight,
    bias,
    factors,
    BLOCK: tl.constexpr,
    PRODUCT: tl.constexpr,
    RULE: tl.constexpr,
) -> None:
    """One block of `BLOCK.rows` units and `columns` inputs; the blocks of the first inputs update the biases too."""
    # Triton 3.6 passes a field to a function as a bare number, which it then refuses; a constexpr of its own works.
    BATCH: tl.constexpr = BLOCK.batch
    INPUTS: tl.constexpr = BLOCK.inputs
    UNITS: tl.constexpr = BLOCK.units
    FROM_IMAGES: tl.constexpr = BLOCK.from_images
    ROWS: tl.constexpr = BLOCK.rows
    COLUMNS: tl.constexpr = BLOCK.columns
    DEPTH: tl.constexpr = BLOCK.depth
    units = row_block * ROWS + tl.arange(0, ROWS)
    inputs = column_block * COLUMNS + tl.arange(0, COLUMNS)
    sums = tl.zeros((ROWS, COLUMNS), tl.float32)
    unit_sums = tl.zeros((ROWS,), tl.float32)
    for start in range(0, BATCH, DEPTH):
        rows = start + tl.arange(0, DEPTH)
        mask = (units < UNITS)[:, None] & (rows < BATCH)[None, :]
        gradient = tl.load(sources.gradients + rows[None, :] * UNITS + units[:, None], mask=mask, other=0.0)
        starts = row_starts(sources.order, rows, BATCH, INPUTS, FROM_IMAGES)
        block = load_inputs(sources.inputs, starts, rows, inputs, BATCH, INPUTS, FROM_IMAGES)
        sums = tl.dot(gradient.to(PRODUCT.operand), block.to(PRODUCT.operand), sums, input_precision=PRODUCT.precision)
        unit_sums += tl.sum(gradient.to(tl.float32), axis=1)

    offsets = units[:, None] * INPUTS + inputs[None, :]
    inside = (units < UNITS)[:, None] & (inputs < INPUTS)[None, :]
    update_parameter(weight, offsets, inside, sums * (1 / BATCH), factors, RULE)
    if column_block == 0:
        update_parameter(bias, units, units < UNITS, unit_sums * (1 / BATCH), factors, RULE)


@triton.jit(do_not_specialize=["step"])
def update(
    source,  # images uint8 (n, inputs) if from_images, else activations (batch, inputs)
    gradients,  # at the layer's sums, as many times as large as the batch, (batch, units)
    weight,  # float32 (units, inputs), in place, as are all that follow
    weight_first,  # its slots; the weight itself stands in for those that the rule lacks
    weight_second,
    bias,  # float32 (units,)
    bias_first,
    bias_second,
    order,  # int64 (steps, batch)
    rates,  # float32 (steps,)
    mean_corrections,  # float32 (steps,), Adam's
    root_corrections,
    step,
    BLOCK: tl.constexpr,
    PRODUCT: tl.constexpr,
    RULE: tl.constexpr,
) -> None:
    """The weights of one layer, one block a program."""
    _update_block(
        tl.program_id(0),
        tl.program_id(1),
        Sources(source, gradients, order + step * BLOCK.batch),
        Parameter(weight, weight_first, weight_second),
        Parameter(bias, bias_first, bias_second),
        Factors(tl.load(rates + step), tl.load(mean_corrections + step), tl.load(root_corrections + step)),
        BLOCK,
        PRODUCT,
        RULE,
    )


@triton.jit(do_not_specialize=["step"])
def update_two(
    a_source,
    a_gradients,
    a_weight,
    a_weight_first,
    a_weight_second,
    a_bias,
    a_bias_first,
    a_bias_second,
    b_source,
    b_gradients,
    b_weight,
    b_weight_first,
    b_weight_second,
    b_bias,
    b_bias_first,
    b_bias_second,
    order,  # int64 (steps, batch)
    rates,  # float32 (steps,)
    mean_corrections,  # float32 (steps,), Adam's
    root_corrections,
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
    program = tl.program_id(0)
    factors = Factors(tl.load(rates + step), tl.load(mean_corrections + step), tl.load(root_corrections + step))
    order += step * A_BLOCK.batch
    if program < A_BLOCKS:
        _update_block(
            program % A_HIGH,
            program // A_HIGH,
            Sources(a_source, a_gradients, order),
            Parameter(a_weight, a_weight_first, a_weight_second),
            Parameter(a_bias, a_bias_first, a_bias_second),
            factors,
            A_BLOCK,
            PRODUCT,
            RULE,
        )
    else:
        _update_block(
            (program - A_BLOCKS) % B_HIGH,
            (program - A_BLOCKS) // B_HIGH,
            Sources(b_source, b_gradients, order),
            Parameter(b_weight, b_weight_first, b_weight_second),
            Parameter(b_bias, b_bias_first, b_bias_second),
            factors,
            B_BLOCK,
            PRODUCT,
            RULE,
        )
