"""A hidden layer forward and backward, and the outputs with their loss.

Forward goes from bytes or activations to activations, and for training their derivatives. Training uses it for hidden
layers, inference also for the outputs, with the activation "none". Backward is the gradient of a hidden layer from that
of the layer after it. The three pairs of output function and loss, and why their gradient is (output - target), are in
`model`.
"""

from __future__ import annotations

import triton
import triton.language as tl

from accelmnist.engines.triton.kernels.pieces import activate_and_drop, load_inputs, row_starts


@triton.jit
def _layer_sums(source, order, weight, bias, rows, units, BLOCK: tl.constexpr, PRODUCT: tl.constexpr) -> tl.tensor:
    """A layer's sums (rows, units): inputs times weights, and biases."""
    ROWS: tl.constexpr = BLOCK.rows
    COLUMNS: tl.constexpr = BLOCK.columns
    starts = row_starts(order, rows, BLOCK)
    sums = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, BLOCK.inputs, BLOCK.depth):
        inputs = start + tl.arange(0, BLOCK.depth)
        block = load_inputs(source, starts, rows, inputs, BLOCK)
        mask = (inputs < BLOCK.inputs)[:, None] & (units < BLOCK.units)[None, :]
        weights = tl.load(weight + units[None, :] * BLOCK.inputs + inputs[:, None], mask=mask, other=0.0)
        sums = tl.dot(block.to(PRODUCT.operand), weights.to(PRODUCT.operand), sums, input_precision=PRODUCT.precision)
    return sums + tl.load(bias + units, mask=units < BLOCK.units, other=0.0)[None, :]


@triton.jit(do_not_specialize=["step"])
def forward(
    source,  # images uint8 (n, inputs) if from_images, else activations (batch, inputs)
    order,  # int64 (steps, batch)
    weight,  # float32 (units, inputs)
    bias,  # float32 (units,)
    values,  # out: activations (batch, units), dropout applied
    activation_grads,  # out if TRAINING: float32 (batch, units), the factors of gradients at activations
    seeds,  # int64 (steps,); not used without dropout
    step,
    BLOCK: tl.constexpr,  # of images by units, along the inputs
    MODEL: tl.constexpr,
    PRODUCT: tl.constexpr,
    LAYER: tl.constexpr,
    TRAINING: tl.constexpr,
) -> None:
    """One block of images and units."""
    rows = tl.program_id(0) * BLOCK.rows + tl.arange(0, BLOCK.rows)
    units = tl.program_id(1) * BLOCK.columns + tl.arange(0, BLOCK.columns)
    sums = _layer_sums(source, order + step * BLOCK.batch, weight, bias, rows, units, BLOCK, PRODUCT)
    result, activation_grad = activate_and_drop(sums, tl.load(seeds + step), rows, units, BLOCK, MODEL, LAYER)
    offsets = rows[:, None] * BLOCK.units + units[None, :]
    inside = (rows < BLOCK.batch)[:, None] & (units < BLOCK.units)[None, :]
    tl.store(values + offsets, result.to(values.dtype.element_ty), mask=inside)
    if TRAINING:
        tl.store(activation_grads + offsets, activation_grad, mask=inside)


@triton.jit
def backward(
    gradients,  # at the sums of the layer after it (batch, units)
    weight,  # of that layer, float32 (units, inputs)
    activation_grads,  # derivatives of this layer's activations, float32 (batch, inputs)
    hidden_gradients,  # out: at this layer's sums (batch, inputs)
    BLOCK: tl.constexpr,  # of images by inputs, along the units
    PRODUCT: tl.constexpr,
) -> None:
    """One block of images and of this layer's units, which are the inputs of the layer after it."""
    ROWS: tl.constexpr = BLOCK.rows
    COLUMNS: tl.constexpr = BLOCK.columns
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inputs = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    sums = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, BLOCK.units, BLOCK.depth):
        units = start + tl.arange(0, BLOCK.depth)
        mask = (rows < BLOCK.batch)[:, None] & (units < BLOCK.units)[None, :]
        gradient = tl.load(gradients + rows[:, None] * BLOCK.units + units[None, :], mask=mask, other=0.0)
        mask = (units < BLOCK.units)[:, None] & (inputs < BLOCK.inputs)[None, :]
        weights = tl.load(weight + units[:, None] * BLOCK.inputs + inputs[None, :], mask=mask, other=0.0)
        gradient = gradient.to(PRODUCT.operand)
        sums = tl.dot(gradient, weights.to(PRODUCT.operand), sums, input_precision=PRODUCT.precision)
    offsets = rows[:, None] * BLOCK.inputs + inputs[None, :]
    inside = (rows < BLOCK.batch)[:, None] & (inputs < BLOCK.inputs)[None, :]
    activation_grad = tl.load(activation_grads + offsets, mask=inside, other=0.0)
    tl.store(hidden_gradients + offsets, (sums * activation_grad).to(PRODUCT.operand), mask=inside)


@triton.jit
def loss_and_gradient(logits, targets, inside, MODEL: tl.constexpr) -> tuple[tl.tensor, tl.tensor]:
    """Each image's loss (rows,) and the loss's gradient at its logits (rows, columns), 0 if not `inside`."""
    if MODEL.output == "softmax":
        shifted = logits - tl.max(tl.where(inside, logits, -float("inf")), axis=1)[:, None]
        powers = tl.where(inside, tl.exp(shifted), 0.0)
        sums = tl.sum(powers, axis=1)[:, None]
        outputs = powers / sums
        losses = targets * (tl.log(sums) - shifted)
    elif MODEL.output == "sigmoid":
        outputs = tl.sigmoid(logits)
        losses = tl.where(logits < 0, 0.0, logits) - logits * targets + tl.log(1 + tl.exp(-tl.abs(logits)))
    else:
        tl.static_assert(MODEL.output == "linear")
        outputs = logits
        losses = 0.5 * (logits - targets) * (logits - targets)
    return tl.sum(tl.where(inside, losses, 0.0), axis=1), tl.where(inside, outputs - targets, 0.0)


@triton.jit
def targets_of(labels, order, rows, classes, SHAPE: tl.constexpr, MODEL: tl.constexpr) -> tl.tensor:
    """The smoothed targets of `classes` for the `rows` of the batch that `order` points to."""
    images = tl.load(order + rows, mask=rows < SHAPE.batch, other=0)
    label = tl.load(labels + images, mask=rows < SHAPE.batch, other=0)
    spread: tl.constexpr = MODEL.smoothing / MODEL.classes  # a plain variable would be rounded to float32
    hit: tl.constexpr = 1 - MODEL.smoothing + spread
    return tl.where(label[:, None] == classes[None, :], hit, spread)


@triton.jit(do_not_specialize=["step"])
def head(
    source,  # images uint8 (n, inputs) if from_images, else activations (batch, inputs)
    order,  # int64 (steps, batch)
    labels,  # int64 (n,)
    weight,  # float32 (classes, inputs)
    bias,  # float32 (classes,)
    activation_grads,  # float32 (batch, inputs), of the activations; not read if from_images
    gradients,  # out: at the logits, as many times as large as the batch, (batch, classes)
    hidden_gradients,  # out: at the last hidden layer, likewise, (batch, inputs); untouched if from_images
    losses,  # out: float32 (steps, programs), a program's part of the mean loss
    step,
    BLOCK: tl.constexpr,  # of images by columns, a power of two that holds the classes, along the inputs
    MODEL: tl.constexpr,
    PRODUCT: tl.constexpr,
) -> None:
    """All classes of a block of images."""
    rows = tl.program_id(0) * BLOCK.rows + tl.arange(0, BLOCK.rows)
    classes = tl.arange(0, BLOCK.columns)
    order += step * BLOCK.batch
    logits = _layer_sums(source, order, weight, bias, rows, classes, BLOCK, PRODUCT)
    targets = targets_of(labels, order, rows, classes, BLOCK, MODEL)
    inside = (rows < BLOCK.batch)[:, None] & (classes < BLOCK.units)[None, :]
    image_losses, gradient = loss_and_gradient(logits, targets, (classes < BLOCK.units)[None, :], MODEL)
    loss_part = tl.sum(tl.where(rows < BLOCK.batch, image_losses, 0.0), axis=0) / BLOCK.batch
    tl.store(losses + step * tl.num_programs(0) + tl.program_id(0), loss_part)
    gradient = gradient.to(PRODUCT.operand)
    tl.store(gradients + rows[:, None] * BLOCK.units + classes[None, :], gradient, mask=inside)

    if not BLOCK.from_images:
        for start in range(0, BLOCK.inputs, BLOCK.depth):
            inputs = start + tl.arange(0, BLOCK.depth)
            mask = (classes < BLOCK.units)[:, None] & (inputs < BLOCK.inputs)[None, :]
            weights = tl.load(weight + classes[:, None] * BLOCK.inputs + inputs[None, :], mask=mask, other=0.0)
            offsets = rows[:, None] * BLOCK.inputs + inputs[None, :]
            within = (rows < BLOCK.batch)[:, None] & (inputs < BLOCK.inputs)[None, :]
            activation_grad = tl.load(activation_grads + offsets, mask=within, other=0.0)
            hidden = tl.dot(gradient, weights.to(PRODUCT.operand), input_precision=PRODUCT.precision) * activation_grad
            tl.store(hidden_gradients + offsets, hidden.to(PRODUCT.operand), mask=within)
