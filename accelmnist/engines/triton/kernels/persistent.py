"""Many steps in one launch: the programs stay, keep their weights in registers, and wait for each other at barriers.

A step of a network with one hidden layer has three parts, with a barrier after the first two; the third needs none,
since nobody reads what it changes before the next step's first barrier.

    forward   each program multiplies its inputs by its block of the first layer, and writes partial sums
    head      a few images a program: partial sums added up, activation, logits, loss, gradients at both layers
    update    each program makes its own block's gradient and update; the last programs do the second layer and biases

`partition` defines who owns what. Exchanged data is never written again before the barrier that follows its last
reading, so one copy of it is enough: sums are read in head and written again after the second barrier; head's results
are read in update and written again after the next step's first barrier. All are read past the first-level cache.

With `PART` a launch does one part of a step, and its end is the barrier, so that several programs can be tested one
after the other. The loop over the steps must not be pipelined, which would load what is not yet written.
"""

from __future__ import annotations

import triton
import triton.language as tl

from accelmnist.engines.triton.kernels.constants import Factors
from accelmnist.engines.triton.kernels.layers import loss_and_gradient, targets_of
from accelmnist.engines.triton.kernels.pieces import (
    activate_and_drop,
    grid_barrier,
    load_inputs,
    load_parameter,
    row_starts,
    store_parameter,
    update_parameter,
    updated,
)

_COLUMNS = tl.constexpr(16)  # holds the classes: the least that a product takes


@triton.jit
def _forward_part(
    images, order, weight, exchange, input_block, units, inputs, CUT: tl.constexpr, PRODUCT: tl.constexpr
) -> None:
    """The partial sums of a block's units over its inputs, for the whole batch."""
    transposed = tl.trans(weight).to(PRODUCT.operand)
    for start in range(0, CUT.batch, CUT.rows):
        rows = start + tl.arange(0, CUT.rows)
        block = load_inputs(images, row_starts(order, rows, CUT), rows, inputs, CUT)
        part = tl.dot(block.to(PRODUCT.operand), transposed, input_precision=PRODUCT.precision)
        offsets = (input_block * CUT.batch + rows)[:, None] * CUT.units + units[None, :]
        tl.store(exchange.sums + offsets, part, mask=(rows < CUT.batch)[:, None] & (units < CUT.units)[None, :])


@triton.jit
def _head_part(
    labels, order, seed, second, exchange, losses, tile, CUT: tl.constexpr, MODEL: tl.constexpr, PRODUCT: tl.constexpr
) -> None:
    """From sums to gradients for one group of images; `losses` points to the step's parts."""
    BATCH: tl.constexpr = CUT.batch
    UNITS: tl.constexpr = CUT.units
    CLASSES: tl.constexpr = MODEL.classes
    ROWS: tl.constexpr = CUT.head_rows
    WIDTH: tl.constexpr = CUT.padded_units
    INPUT_BLOCKS: tl.constexpr = CUT.input_blocks
    rows = tile * ROWS + tl.arange(0, ROWS)
    units = tl.arange(0, WIDTH)
    classes = tl.arange(0, _COLUMNS)
    offsets = rows[:, None] * UNITS + units[None, :]
    inside = (rows < BATCH)[:, None] & (units < UNITS)[None, :]
    shift = tl.load(second.bias.value + units, mask=units < UNITS, other=0.0, cache_modifier=".cg")
    sums = tl.zeros((ROWS, WIDTH), tl.float32) + shift[None, :]
    for block in tl.static_range(INPUT_BLOCKS):
        pointers = exchange.sums + block * (BATCH * UNITS) + offsets
        sums += tl.load(pointers, mask=inside, other=0.0, cache_modifier=".cg")
    hidden, activation_grad = activate_and_drop(sums, seed, rows, units, CUT, MODEL, 0)
    hidden = tl.where(inside, hidden, 0.0).to(PRODUCT.operand)
    tl.store(exchange.activations + offsets, hidden, mask=inside)

    within = (classes < CLASSES)[:, None] & (units < UNITS)[None, :]
    pointers = second.weight.value + classes[:, None] * UNITS + units[None, :]
    weights = tl.load(pointers, mask=within, other=0.0, cache_modifier=".cg").to(PRODUCT.operand).to(tl.float32)
    logits = tl.sum(hidden.to(tl.float32)[:, None, :] * weights[None, :, :], axis=2)
    shift = tl.load(second.out_bias.value + classes, mask=classes < CLASSES, other=0.0, cache_modifier=".cg")
    logits += shift[None, :]
    targets = targets_of(labels, order, rows, classes, CUT, MODEL)
    image_losses, gradient = loss_and_gradient(logits, targets, (classes < CLASSES)[None, :], MODEL)
    tl.store(losses + tile, tl.sum(tl.where(rows < BATCH, image_losses, 0.0), axis=0) / BATCH)
    gradient = gradient.to(PRODUCT.operand)
    written = (rows < BATCH)[:, None] & (classes < CLASSES)[None, :]
    tl.store(exchange.gradients + rows[:, None] * CLASSES + classes[None, :], gradient, mask=written)
    hidden_gradient = tl.sum(gradient.to(tl.float32)[:, :, None] * weights[None, :, :], axis=1) * activation_grad
    tl.store(exchange.hidden_gradients + offsets, hidden_gradient.to(PRODUCT.operand), mask=inside)


@triton.jit
def _first_gradient(images, order, exchange, units, inputs, CUT: tl.constexpr, PRODUCT: tl.constexpr) -> tl.tensor:
    """The gradient of a block of the first layer's weights."""
    HIGH: tl.constexpr = CUT.block_units
    WIDE: tl.constexpr = CUT.block_inputs
    sums = tl.zeros((HIGH, WIDE), tl.float32)
    for start in range(0, CUT.batch, CUT.rows):
        rows = start + tl.arange(0, CUT.rows)
        mask = (units < CUT.units)[:, None] & (rows < CUT.batch)[None, :]
        pointers = exchange.hidden_gradients + rows[None, :] * CUT.units + units[:, None]
        gradient = tl.load(pointers, mask=mask, other=0.0, cache_modifier=".cg")
        block = load_inputs(images, row_starts(order, rows, CUT), rows, inputs, CUT)
        sums = tl.dot(gradient, block.to(PRODUCT.operand), sums, input_precision=PRODUCT.precision)
    return sums * (1 / CUT.batch)


@triton.jit
def _update_second(
    exchange,
    second,
    factors,
    unit_block,
    units,
    CUT: tl.constexpr,
    MODEL: tl.constexpr,
    PRODUCT: tl.constexpr,
    RULE: tl.constexpr,
) -> None:
    """The second layer's weights of a block of units, these units' biases, and for the first block the outputs' too."""
    HIGH: tl.constexpr = CUT.block_units
    classes = tl.arange(0, _COLUMNS)
    sums = tl.zeros((_COLUMNS, HIGH), tl.float32)
    unit_sums = tl.zeros((HIGH,), tl.float32)
    class_sums = tl.zeros((_COLUMNS,), tl.float32)
    for start in range(0, CUT.batch, CUT.rows):
        rows = start + tl.arange(0, CUT.rows)
        mask = (classes < MODEL.classes)[:, None] & (rows < CUT.batch)[None, :]
        pointers = exchange.gradients + rows[None, :] * MODEL.classes + classes[:, None]
        gradient = tl.load(pointers, mask=mask, other=0.0, cache_modifier=".cg")
        offsets = rows[:, None] * CUT.units + units[None, :]
        mask = (rows < CUT.batch)[:, None] & (units < CUT.units)[None, :]
        hidden = tl.load(exchange.activations + offsets, mask=mask, other=0.0, cache_modifier=".cg")
        hidden_gradient = tl.load(exchange.hidden_gradients + offsets, mask=mask, other=0.0, cache_modifier=".cg")
        sums = tl.dot(gradient, hidden, sums, input_precision=PRODUCT.precision)
        unit_sums += tl.sum(hidden_gradient.to(tl.float32), axis=0)
        class_sums += tl.sum(gradient.to(tl.float32), axis=1)
    inverse_batch = 1 / CUT.batch
    offsets = classes[:, None] * CUT.units + units[None, :]
    inside = (classes < MODEL.classes)[:, None] & (units < CUT.units)[None, :]
    update_parameter(second.weight, offsets, inside, sums * inverse_batch, factors, RULE)
    update_parameter(second.bias, units, units < CUT.units, unit_sums * inverse_batch, factors, RULE)
    if unit_block == 0:
        update_parameter(second.out_bias, classes, classes < MODEL.classes, class_sums * inverse_batch, factors, RULE)


@triton.jit(
    do_not_specialize=["first", "steps"], do_not_specialize_on_alignment=["order", "seeds", "rates", "means", "roots"]
)
def persistent(
    images,  # uint8 (n, inputs)
    labels,  # int64 (n,)
    order,  # int64 (steps, batch)
    seeds,  # int64 (steps,); not read without dropout
    rates,  # float32 (steps,)
    means,  # float32 (steps,), Adam's corrections of the mean and of the square's root
    roots,
    weight,  # Parameter (units, inputs), in place, as are all parameters and slots
    second,
    exchange,
    losses,  # out: float32 (steps, head tiles), parts of each step's mean loss
    arrivals,  # int64, 0 at the launch
    first,  # the steps to run are `steps` from `first` on
    steps,
    CUT: tl.constexpr,
    MODEL: tl.constexpr,
    PRODUCT: tl.constexpr,
    RULE: tl.constexpr,
    TILES: tl.constexpr,
    PART: tl.constexpr,  # "all", or one of "forward", "head" and "update" alone
) -> None:
    """One program's part of all steps."""
    program = tl.program_id(0)
    unit_block = program % CUT.unit_blocks
    input_block = program // CUT.unit_blocks
    owns_first = input_block < CUT.input_blocks
    units = unit_block * CUT.block_units + tl.arange(0, CUT.block_units)
    inputs = input_block * CUT.block_inputs + tl.arange(0, CUT.block_inputs)
    offsets = units[:, None] * CUT.inputs + inputs[None, :]
    inside = (units < CUT.units)[:, None] & (inputs < CUT.inputs)[None, :]
    kept_weight, kept_first, kept_second = load_parameter(weight, offsets, inside, RULE)

    for step in tl.range(first, first + steps, num_stages=1):
        batch = order + step * CUT.batch
        if PART == "all" or PART == "forward":  # noqa: SIM102 - decided by the compiler, the other by the program
            if owns_first:
                _forward_part(images, batch, kept_weight, exchange, input_block, units, inputs, CUT, PRODUCT)
        if PART == "all":
            grid_barrier(arrivals, 2 * (step - first))
        if PART == "all" or PART == "head":
            seed = tl.load(seeds + step)
            loss_parts = losses + step * TILES
            for tile in range(program, TILES, tl.num_programs(0)):
                _head_part(labels, batch, seed, second, exchange, loss_parts, tile, CUT, MODEL, PRODUCT)
        if PART == "all":
            grid_barrier(arrivals, 2 * (step - first) + 1)
        if PART == "all" or PART == "update":
            factors = Factors(tl.load(rates + step), tl.load(means + step), tl.load(roots + step))
            if owns_first:
                gradient = _first_gradient(images, batch, exchange, units, inputs, CUT, PRODUCT)
                kept_weight, kept_first, kept_second = updated(
                    kept_weight, kept_first, kept_second, gradient, factors, RULE
                )
            else:
                _update_second(exchange, second, factors, unit_block, units, CUT, MODEL, PRODUCT, RULE)
    if PART == "all" or PART == "update":
        store_parameter(weight, offsets, inside, kept_weight, kept_first, kept_second, RULE)
