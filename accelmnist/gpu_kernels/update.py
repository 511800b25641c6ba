"""The gradient of a layer's weights and biases, and the optimizer's update of both, so that no gradient is stored.

The rules are those of `step.functional_update`, with the bias corrections made before, once for all weights.
"""

from __future__ import annotations

import triton
import triton.language as tl

from accelmnist.gpu_kernels.pieces import load_inputs, row_starts


@triton.jit
def _apply(
    parameter,
    first,
    second,
    places,
    inside,
    gradient,
    rate,
    mean_correction,
    root_correction,
    RULE: tl.constexpr,
    MOMENTUM: tl.constexpr,
    NESTEROV: tl.constexpr,
    DECAY: tl.constexpr,
    BETA1: tl.constexpr,
    BETA2: tl.constexpr,
    EPSILON: tl.constexpr,
):
    """Update what lies at `places` of the parameter and of its slots by `gradient`."""
    value = tl.load(parameter + places, mask=inside, other=0.0)
    if RULE == "adamw":
        value *= 1 - rate * DECAY
    else:
        gradient += DECAY * value
    if RULE == "sgd":
        change = rate * gradient
    elif RULE == "sgd-momentum":
        velocity = MOMENTUM * tl.load(first + places, mask=inside, other=0.0) + gradient
        tl.store(first + places, velocity, mask=inside)
        change = rate * (gradient + MOMENTUM * velocity if NESTEROV else velocity)
    else:
        mean = tl.load(first + places, mask=inside, other=0.0)
        mean += (1 - BETA1) * (gradient - mean)
        square = tl.load(second + places, mask=inside, other=0.0)
        square = BETA2 * square + (1 - BETA2) * gradient * gradient
        tl.store(first + places, mean, mask=inside)
        tl.store(second + places, square, mask=inside)
        change = rate * mean_correction * mean / (tl.sqrt_rn(square) * root_correction + EPSILON)
    tl.store(parameter + places, value - change, mask=inside)


@triton.jit
def _update_block(
    row_block,
    column_block,
    source,
    order,
    gradients,
    weight,
    weight_first,
    weight_second,
    bias,
    bias_first,
    bias_second,
    rates,
    mean_corrections,
    root_corrections,
    step,
    BATCH: tl.constexpr,
    INPUTS: tl.constexpr,
    UNITS: tl.constexpr,
    RULE: tl.constexpr,
    MOMENTUM: tl.constexpr,
    NESTEROV: tl.constexpr,
    DECAY: tl.constexpr,
    BETA1: tl.constexpr,
    BETA2: tl.constexpr,
    EPSILON: tl.constexpr,
    FROM_IMAGES: tl.constexpr,
    OPERAND: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """One block of ROWS units and COLUMNS inputs; those of the first inputs have the biases too."""
    units = row_block * ROWS + tl.arange(0, ROWS)
    inputs = column_block * COLUMNS + tl.arange(0, COLUMNS)
    sums = tl.zeros((ROWS, COLUMNS), tl.float32)
    unit_sums = tl.zeros((ROWS,), tl.float32)
    for start in range(0, BATCH, DEPTH):
        rows = start + tl.arange(0, DEPTH)
        mask = (units < UNITS)[:, None] & (rows < BATCH)[None, :]
        gradient = tl.load(gradients + rows[None, :] * UNITS + units[:, None], mask=mask, other=0.0)
        starts = row_starts(order + step * BATCH, rows, BATCH, INPUTS, FROM_IMAGES)
        block = load_inputs(source, starts, rows, inputs, BATCH, INPUTS, FROM_IMAGES)
        sums = tl.dot(gradient.to(OPERAND), block.to(OPERAND), sums, input_precision=PRECISION)
        unit_sums += tl.sum(gradient.to(tl.float32), axis=1)

    rate = tl.load(rates + step)
    mean_correction = tl.load(mean_corrections + step)
    root_correction = tl.load(root_corrections + step)
    places = units[:, None] * INPUTS + inputs[None, :]
    inside = (units < UNITS)[:, None] & (inputs < INPUTS)[None, :]
    _apply(
        weight,
        weight_first,
        weight_second,
        places,
        inside,
        sums * (1 / BATCH),
        rate,
        mean_correction,
        root_correction,
        RULE,
        MOMENTUM,
        NESTEROV,
        DECAY,
        BETA1,
        BETA2,
        EPSILON,
    )
    if column_block == 0:
        _apply(
            bias,
            bias_first,
            bias_second,
            units,
            units < UNITS,
            unit_sums * (1 / BATCH),
            rate,
            mean_correction,
            root_correction,
            RULE,
            MOMENTUM,
            NESTEROV,
            DECAY,
            BETA1,
            BETA2,
            EPSILON,
        )


@triton.jit(do_not_specialize=["step"])
def update(
    source,  # images uint8 (n, INPUTS) where FROM_IMAGES, else activations (BATCH, INPUTS)
    gradients,  # at the layer's sums, BATCH times as large, (BATCH, UNITS)
    weight,  # float32 (UNITS, INPUTS), in place, as are all that follow
    weight_first,  # its slots, as many as RULE has; the weight itself where there is none
    weight_second,
    bias,  # float32 (UNITS,)
    bias_first,
    bias_second,
    order,  # int64 (steps, BATCH)
    rates,  # float32 (steps,)
    mean_corrections,  # float32 (steps,), Adam's
    root_corrections,
    step,
    BATCH: tl.constexpr,
    RULE: tl.constexpr,
    MOMENTUM: tl.constexpr,
    NESTEROV: tl.constexpr,
    DECAY: tl.constexpr,
    BETA1: tl.constexpr,
    BETA2: tl.constexpr,
    EPSILON: tl.constexpr,
    OPERAND: tl.constexpr,
    PRECISION: tl.constexpr,
    INPUTS: tl.constexpr,
    UNITS: tl.constexpr,
    FROM_IMAGES: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """The weights of one layer, a block each program."""
    _update_block(
        tl.program_id(0),
        tl.program_id(1),
        source,
        order,
        gradients,
        weight,
        weight_first,
        weight_second,
        bias,
        bias_first,
        bias_second,
        rates,
        mean_corrections,
        root_corrections,
        step,
        BATCH,
        INPUTS,
        UNITS,
        RULE,
        MOMENTUM,
        NESTEROV,
        DECAY,
        BETA1,
        BETA2,
        EPSILON,
        FROM_IMAGES,
        OPERAND,
        PRECISION,
        ROWS,
        COLUMNS,
        DEPTH,
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
    order,  # int64 (steps, BATCH)
    rates,  # float32 (steps,)
    mean_corrections,  # float32 (steps,), Adam's
    root_corrections,
    step,
    BATCH: tl.constexpr,
    RULE: tl.constexpr,
    MOMENTUM: tl.constexpr,
    NESTEROV: tl.constexpr,
    DECAY: tl.constexpr,
    BETA1: tl.constexpr,
    BETA2: tl.constexpr,
    EPSILON: tl.constexpr,
    OPERAND: tl.constexpr,
    PRECISION: tl.constexpr,
    A_INPUTS: tl.constexpr,
    A_UNITS: tl.constexpr,
    A_FROM_IMAGES: tl.constexpr,
    A_ROWS: tl.constexpr,
    A_COLUMNS: tl.constexpr,
    A_DEPTH: tl.constexpr,
    B_INPUTS: tl.constexpr,
    B_UNITS: tl.constexpr,
    B_FROM_IMAGES: tl.constexpr,
    B_ROWS: tl.constexpr,
    B_COLUMNS: tl.constexpr,
    B_DEPTH: tl.constexpr,
    A_HIGH: tl.constexpr,  # blocks of the first layer along its units, and in all
    A_BLOCKS: tl.constexpr,
    B_HIGH: tl.constexpr,
):
    """The weights of two layers in one launch: the first programs have the blocks of `a`, the others those of `b`."""
    program = tl.program_id(0)
    if program < A_BLOCKS:
        _update_block(
            program % A_HIGH,
            program // A_HIGH,
            a_source,
            order,
            a_gradients,
            a_weight,
            a_weight_first,
            a_weight_second,
            a_bias,
            a_bias_first,
            a_bias_second,
            rates,
            mean_corrections,
            root_corrections,
            step,
            BATCH,
            A_INPUTS,
            A_UNITS,
            RULE,
            MOMENTUM,
            NESTEROV,
            DECAY,
            BETA1,
            BETA2,
            EPSILON,
            A_FROM_IMAGES,
            OPERAND,
            PRECISION,
            A_ROWS,
            A_COLUMNS,
            A_DEPTH,
        )
    else:
        _update_block(
            (program - A_BLOCKS) % B_HIGH,
            (program - A_BLOCKS) // B_HIGH,
            b_source,
            order,
            b_gradients,
            b_weight,
            b_weight_first,
            b_weight_second,
            b_bias,
            b_bias_first,
            b_bias_second,
            rates,
            mean_corrections,
            root_corrections,
            step,
            BATCH,
            B_INPUTS,
            B_UNITS,
            RULE,
            MOMENTUM,
            NESTEROV,
            DECAY,
            BETA1,
            BETA2,
            EPSILON,
            B_FROM_IMAGES,
            OPERAND,
            PRECISION,
            B_ROWS,
            B_COLUMNS,
            B_DEPTH,
        )
