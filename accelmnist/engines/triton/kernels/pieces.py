"""Device functions of several kernels, each a few lines of arithmetic on blocks.

Activations and the dropout mask are those of `model` and of `step.loss`: the same hash, in unsigned 32-bit
arithmetic, which wraps around by itself. The optimizer's update is that of `step.functional`; the bias corrections are
computed before, once for all weights of a step.
"""

from __future__ import annotations

import triton
import triton.language as tl

from accelmnist.engines.model import PIXEL_SCALE

_SCALE = tl.constexpr(PIXEL_SCALE)


@triton.jit
def row_starts(order, rows, SHAPE: tl.constexpr) -> tl.tensor:
    """The offsets of a batch's `rows`: of the images that `order` names, or of activations in order."""
    if SHAPE.from_images:
        starts = tl.load(order + rows, mask=rows < SHAPE.batch, other=0).to(tl.int64) * SHAPE.inputs
    else:
        starts = rows.to(tl.int64) * SHAPE.inputs
    return starts


@triton.jit
def load_inputs(source, starts, rows, columns, SHAPE: tl.constexpr) -> tl.tensor:
    """A block (rows, columns) of inputs: bytes scaled to 0 to 1, or activations as they are; zeros beyond the edge."""
    mask = (rows < SHAPE.batch)[:, None] & (columns < SHAPE.inputs)[None, :]
    block = tl.load(source + starts[:, None] + columns[None, :], mask=mask, other=0)
    if SHAPE.from_images:
        block = block.to(tl.float32) * _SCALE
    return block


@triton.jit
def activate(values, MODEL: tl.constexpr) -> tuple[tl.tensor, tl.tensor]:
    """The activation and its derivative; a NaN stays a NaN."""
    if MODEL.activation == "relu":
        result = tl.where(values < 0, 0.0, values)
        activation_grad = tl.where(values > 0, 1.0, 0.0)
    elif MODEL.activation == "leaky-relu":
        activation_grad = tl.where(values > 0, 1.0, 0.01)
        result = values * activation_grad
    elif MODEL.activation == "tanh":
        result = 2 * tl.sigmoid(2 * values) - 1
        activation_grad = 1 - result * result
    elif MODEL.activation == "sigmoid":
        result = tl.sigmoid(values)
        activation_grad = result * (1 - result)
    elif MODEL.activation == "silu":
        gate = tl.sigmoid(values)
        result = values * gate
        activation_grad = gate * (1 + values * (1 - gate))
    elif MODEL.activation == "none":
        result = values
        activation_grad = tl.full(values.shape, 1.0, tl.float32)
    else:
        tl.static_assert(MODEL.activation == "gelu")
        cdf = 0.5 * (1 + tl.erf(values * 0.7071067811865476))
        result = values * cdf
        activation_grad = cdf + values * 0.3989422804014327 * tl.exp(-0.5 * values * values)
    return result, activation_grad


@triton.jit
def activate_and_drop(
    sums, seed, rows, units, SHAPE: tl.constexpr, MODEL: tl.constexpr, LAYER: tl.constexpr
) -> tuple[tl.tensor, tl.tensor]:
    """A hidden layer's activations (rows, units), dropout applied, and the factors of gradients at them."""
    result, activation_grad = activate(sums, MODEL)
    if MODEL.drop_below > 0:
        scale = tl.where(is_kept(seed, rows, units, SHAPE, MODEL, LAYER), MODEL.kept_scale, 0.0)
        result *= scale
        activation_grad *= scale
    return result, activation_grad


@triton.jit
def _mix(bits) -> tl.tensor:
    bits = (bits ^ (bits >> 16)) * tl.full((), 0x7FEB352D, tl.uint32)
    bits = (bits ^ (bits >> 15)) * tl.full((), 0x846CA68B, tl.uint32)
    return bits ^ (bits >> 16)


@triton.jit
def is_kept(seed, rows, units, SHAPE: tl.constexpr, MODEL: tl.constexpr, LAYER: tl.constexpr) -> tl.tensor:
    """Whether dropout keeps each of (rows, units): its hash is `drop_below` (a probability times 2^32) or more."""
    stream = _mix((seed + LAYER * 0x9E3779B9).to(tl.uint32))
    positions = (rows + MODEL.first_row).to(tl.uint32)[:, None] * SHAPE.units + units.to(tl.uint32)[None, :]
    return _mix(positions ^ stream).to(tl.int64) >= MODEL.drop_below


@triton.jit
def updated(value, first, second, gradient, factors, rule: tl.constexpr) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """A block of a parameter and of its slots after an update; a slot that the rule lacks is returned unchanged."""
    if rule.optimizer == "adamw":
        value *= 1 - factors.rate * rule.decay
    else:
        gradient += rule.decay * value
    if rule.optimizer == "sgd":
        change = factors.rate * gradient
    elif rule.optimizer == "sgd-momentum":
        first = rule.momentum * first + gradient
        change = factors.rate * (gradient + rule.momentum * first if rule.nesterov else first)
    else:
        first += (1 - rule.beta1) * (gradient - first)
        second = rule.beta2 * second + (1 - rule.beta2) * gradient * gradient
        change = factors.rate * factors.mean * first / (tl.sqrt_rn(second) * factors.root + rule.epsilon)
    return value - change, first, second


@triton.jit
def load_parameter(parameter, offsets, inside, rule: tl.constexpr) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """The values at `offsets` and both slots, zeros for those that the rule lacks."""
    value = tl.load(parameter.value + offsets, mask=inside, other=0.0)
    first = tl.zeros(value.shape, tl.float32)
    second = tl.zeros(value.shape, tl.float32)
    if rule.optimizer != "sgd":
        first = tl.load(parameter.first + offsets, mask=inside, other=0.0)
    if rule.optimizer == "adam" or rule.optimizer == "adamw":
        second = tl.load(parameter.second + offsets, mask=inside, other=0.0)
    return value, first, second


@triton.jit
def store_parameter(parameter, offsets, inside, value, first, second, rule: tl.constexpr) -> None:
    """The reverse of `load_parameter`; a slot that the rule lacks is not touched."""
    tl.store(parameter.value + offsets, value, mask=inside)
    if rule.optimizer != "sgd":
        tl.store(parameter.first + offsets, first, mask=inside)
    if rule.optimizer == "adam" or rule.optimizer == "adamw":
        tl.store(parameter.second + offsets, second, mask=inside)


@triton.jit
def update_parameter(parameter, offsets, inside, gradient, factors, rule: tl.constexpr) -> None:
    """Update the parameter and its slots at `offsets` by `gradient`."""
    value, first, second = load_parameter(parameter, offsets, inside, rule)
    value, first, second = updated(value, first, second, gradient, factors, rule)
    store_parameter(parameter, offsets, inside, value, first, second, rule)


@triton.jit
def grid_barrier(arrivals, passed) -> None:
    """Wait for all programs; `arrivals` points to an int64, 0 at the launch, `passed` counts the barriers before.

    Every program adds itself to one counter and waits until all have. The counter only grows and is never set back, so
    no program can race with its reset: barrier number `passed` of a launch is open once (passed + 1) times as many as
    the grid has programs have arrived.

    What a program wrote before the barrier is seen by all after it: the threads of the program synchronize, then one of
    them arrives by an atomic of release order at the scope of the GPU; the last arrival is read by acquire order, and
    the threads synchronize again. Every arrival is a read-modify-write, so that an acquire of the last one takes in all
    before.

    A grid that does not run as a whole would wait for ever, so it has to be launched cooperatively: the driver then
    refuses one that does not fit. Sources: CUDA C++ Programming Guide, "Cooperative Groups"; PTX ISA, "Memory
    Consistency Model".
    """
    tl.debug_barrier()
    all_here = (passed + 1).to(tl.int64) * tl.num_programs(0)
    here = tl.atomic_add(arrivals, 1, sem="acq_rel", scope="gpu") + 1
    while here < all_here:
        here = tl.atomic_add(arrivals, 0, sem="acquire", scope="gpu")
    tl.debug_barrier()
