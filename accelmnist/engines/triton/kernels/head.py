"""The outputs: logits, loss, the gradient at the logits, and from it the gradient of the last hidden layer.

The three pairs of output function and loss, and why their gradient is (output - target), are in `model`.
"""

from __future__ import annotations

import triton
import triton.language as tl

from accelmnist.engines.triton.kernels.pieces import load_inputs, row_starts


@triton.jit
def loss_and_gradient(logits, targets, inside, OUTPUT: tl.constexpr) -> tuple[tl.tensor, tl.tensor]:
    """Each image's loss (rows,) and the loss's gradient at its logits (rows, columns), 0 if not `inside`."""
    if OUTPUT == "softmax":
        shifted = logits - tl.max(tl.where(inside, logits, -float("inf")), axis=1)[:, None]
        powers = tl.where(inside, tl.exp(shifted), 0.0)
        sums = tl.sum(powers, axis=1)[:, None]
        outputs = powers / sums
        losses = targets * (tl.log(sums) - shifted)
    elif OUTPUT == "sigmoid":
        outputs = tl.sigmoid(logits)
        losses = tl.where(logits < 0, 0.0, logits) - logits * targets + tl.log(1 + tl.exp(-tl.abs(logits)))
    else:
        tl.static_assert(OUTPUT == "linear")
        outputs = logits
        losses = 0.5 * (logits - targets) * (logits - targets)
    return tl.sum(tl.where(inside, losses, 0.0), axis=1), tl.where(inside, outputs - targets, 0.0)


@triton.jit
def targets_of(
    labels, order, rows, classes, BATCH: tl.constexpr, CLASSES: tl.constexpr, SMOOTHING: tl.constexpr
) -> tl.tensor:
    """The smoothed targets of `classes` for the `rows` of the batch that `order` points to."""
    images = tl.load(order + rows, mask=rows < BATCH, other=0)
    label = tl.load(labels + images, mask=rows < BATCH, other=0)
    return tl.where(label[:, None] == classes[None, :], 1 - SMOOTHING + SMOOTHING / CLASSES, SMOOTHING / CLASSES)


@triton.jit(do_not_specialize=["step"])
def head(
    source,  # images uint8 (n, INPUTS) if FROM_IMAGES, else activations (BATCH, INPUTS)
    order,  # int64 (steps, BATCH)
    labels,  # int64 (n,)
    weight,  # float32 (CLASSES, INPUTS)
    bias,  # float32 (CLASSES,)
    activation_grads,  # float32 (BATCH, INPUTS), of the activations; not read if FROM_IMAGES
    gradients,  # out: at the logits, BATCH times as large, (BATCH, CLASSES)
    hidden_gradients,  # out: at the last hidden layer, likewise, (BATCH, INPUTS); untouched if FROM_IMAGES
    losses,  # out: float32 (steps, programs), a program's part of the mean loss
    step,
    BATCH: tl.constexpr,
    INPUTS: tl.constexpr,
    CLASSES: tl.constexpr,
    OUTPUT: tl.constexpr,
    SMOOTHING: tl.constexpr,
    FROM_IMAGES: tl.constexpr,
    OPERAND: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,  # a power of two that holds CLASSES
    DEPTH: tl.constexpr,
) -> None:
    """All classes of ROWS images."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    classes = tl.arange(0, COLUMNS)
    order += step * BATCH
    starts = row_starts(order, rows, BATCH, INPUTS, FROM_IMAGES)
    logits = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, INPUTS, DEPTH):
        inputs = start + tl.arange(0, DEPTH)
        block = load_inputs(source, starts, rows, inputs, BATCH, INPUTS, FROM_IMAGES)
        mask = (inputs < INPUTS)[:, None] & (classes < CLASSES)[None, :]
        weights = tl.load(weight + classes[None, :] * INPUTS + inputs[:, None], mask=mask, other=0.0)
        logits = tl.dot(block.to(OPERAND), weights.to(OPERAND), logits, input_precision=PRECISION)
    logits += tl.load(bias + classes, mask=classes < CLASSES, other=0.0)[None, :]

    targets = targets_of(labels, order, rows, classes, BATCH, CLASSES, SMOOTHING)
    inside = (rows < BATCH)[:, None] & (classes < CLASSES)[None, :]
    image_losses, gradient = loss_and_gradient(logits, targets, (classes < CLASSES)[None, :], OUTPUT)
    loss_part = tl.sum(tl.where(rows < BATCH, image_losses, 0.0), axis=0) / BATCH
    tl.store(losses + step * tl.num_programs(0) + tl.program_id(0), loss_part)
    tl.store(gradients + rows[:, None] * CLASSES + classes[None, :], gradient.to(OPERAND), mask=inside)

    if not FROM_IMAGES:
        for start in range(0, INPUTS, DEPTH):
            inputs = start + tl.arange(0, DEPTH)
            mask = (classes < CLASSES)[:, None] & (inputs < INPUTS)[None, :]
            weights = tl.load(weight + classes[:, None] * INPUTS + inputs[None, :], mask=mask, other=0.0)
            offsets = rows[:, None] * INPUTS + inputs[None, :]
            within = (rows < BATCH)[:, None] & (inputs < INPUTS)[None, :]
            activation_grad = tl.load(activation_grads + offsets, mask=within, other=0.0)
            hidden = tl.dot(gradient.to(OPERAND), weights.to(OPERAND), input_precision=PRECISION) * activation_grad
            tl.store(hidden_gradients + offsets, hidden.to(OPERAND), mask=within)
