"""Device functions of several kernels, each a few lines of arithmetic on blocks.

Activations and the dropout mask are those of `model` and of `step.loss`: the same hash, in unsigned 32-bit
arithmetic, which wraps around by itself.
"""

from __future__ import annotations

import triton
import triton.language as tl

from accelmnist.engines.model import PIXEL_SCALE

_SCALE = tl.constexpr(PIXEL_SCALE)


@triton.jit
def row_starts(order, rows, BATCH: tl.constexpr, WIDTH: tl.constexpr, FROM_IMAGES: tl.constexpr) -> tl.tensor:
    """The offsets of a batch's `rows`: of the images that `order` names, or of activations in order."""
    if FROM_IMAGES:
        starts = tl.load(order + rows, mask=rows < BATCH, other=0).to(tl.int64) * WIDTH
    else:
        starts = rows.to(tl.int64) * WIDTH
    return starts


@triton.jit
def load_inputs(
    source, starts, rows, columns, BATCH: tl.constexpr, WIDTH: tl.constexpr, FROM_IMAGES: tl.constexpr
) -> tl.tensor:
    """A block (rows, columns) of inputs: bytes scaled to 0 to 1, or activations as they are; zeros beyond the edge."""
    mask = (rows < BATCH)[:, None] & (columns < WIDTH)[None, :]
    block = tl.load(source + starts[:, None] + columns[None, :], mask=mask, other=0)
    if FROM_IMAGES:
        block = block.to(tl.float32) * _SCALE
    return block


@triton.jit
def activate(values, ACTIVATION: tl.constexpr) -> tuple[tl.tensor, tl.tensor]:
    """The activation and its derivative; a NaN stays a NaN."""
    if ACTIVATION == "relu":
        result = tl.where(values < 0, 0.0, values)
        activation_grad = tl.where(values > 0, 1.0, 0.0)
    elif ACTIVATION == "leaky-relu":
        activation_grad = tl.where(values > 0, 1.0, 0.01)
        result = values * activation_grad
    elif ACTIVATION == "tanh":
        result = 2 * tl.sigmoid(2 * values) - 1
        activation_grad = 1 - result * result
    elif ACTIVATION == "sigmoid":
        result = tl.sigmoid(values)
        activation_grad = result * (1 - result)
    elif ACTIVATION == "silu":
        gate = tl.sigmoid(values)
        result = values * gate
        activation_grad = gate * (1 + values * (1 - gate))
    elif ACTIVATION == "none":
        result = values
        activation_grad = tl.full(values.shape, 1.0, tl.float32)
    else:
        tl.static_assert(ACTIVATION == "gelu")
        cdf = 0.5 * (1 + tl.erf(values * 0.7071067811865476))
        result = values * cdf
        activation_grad = cdf + values * 0.3989422804014327 * tl.exp(-0.5 * values * values)
    return result, activation_grad


@triton.jit
def _mix(bits) -> tl.tensor:
    bits = (bits ^ (bits >> 16)) * tl.full((), 0x7FEB352D, tl.uint32)
    bits = (bits ^ (bits >> 15)) * tl.full((), 0x846CA68B, tl.uint32)
    return bits ^ (bits >> 16)


@triton.jit
def is_kept(seed, rows, units, UNITS: tl.constexpr, LAYER: tl.constexpr, DROP_BELOW: tl.constexpr) -> tl.tensor:
    """Whether dropout keeps each of (rows, units): its hash is `DROP_BELOW` (a probability times 2^32) or more."""
    stream = _mix((seed + LAYER * 0x9E3779B9).to(tl.uint32))
    positions = rows.to(tl.uint32)[:, None] * UNITS + units.to(tl.uint32)[None, :]
    return _mix(positions ^ stream).to(tl.int64) >= DROP_BELOW
