"""The groups of constants and of pointers that kernels take, and the tiles that products are cut into, in plain Python.

Triton 3.6 to 3.8 take a NamedTuple as one argument, of constants (a `tl.constexpr`) or of tensors, and read its fields
by name. One made inside a kernel can hold only tensors and pointers, so constants and pointers are never in one group.
They pass a constant field to a function as a bare number, which the function then refuses: it takes the whole group, or
a constexpr of its own.

Tiles are so small that every multiprocessor gets one, and not smaller. A network of this size is bound by latency: a
product of 128 by 128 is four blocks of 64 by 64, and a GPU has a hundred multiprocessors. Then small blocks and few,
long steps along the sum are best; large products use square blocks, which load less for every operation.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """An optimizer, by name, with its constants."""

    optimizer: str
    momentum: float
    nesterov: bool
    decay: float
    beta1: float
    beta2: float
    epsilon: float


class Product(NamedTuple):
    """How products are computed: the type of their operands (a `tl.dtype`), and the arithmetic of float32 ones."""

    operand: Any
    precision: str


class Block(NamedTuple):
    """A layer: the shape of its batch and weights, and the block of a result that a program computes, see `Tile`."""

    batch: int
    inputs: int
    units: int
    from_images: bool
    rows: int
    columns: int
    depth: int


class Network(NamedTuple):
    """A network's activation and outputs, its loss, and its dropout, which drops what hashes below `drop_below`.

    `first_row` is where in the whole batch its images begin, as dropout counts them.
    """

    classes: int
    activation: str
    output: str
    smoothing: float
    drop_below: int
    kept_scale: float
    first_row: int = 0


class Parameter(NamedTuple):
    """Pointers to a parameter and to its slots, float32 all; the parameter itself stands in for a slot it lacks."""

    value: Any
    first: Any
    second: Any


class Layer(NamedTuple):
    """Pointers of a layer's update: its inputs, images or activations, the gradient at its sums, and what changes."""

    source: Any  # images uint8 (n, inputs) if from_images, else activations (batch, inputs)
    gradients: Any  # as many times as large as the batch, (batch, units)
    weight: Parameter  # (units, inputs)
    bias: Parameter  # (units,)


class StepPlan(NamedTuple):
    """Pointers to what differs from step to step, and to Adam's corrections of the mean and of the square's root."""

    order: Any  # int64 (steps, batch)
    rates: Any  # float32 (steps,), as are the corrections
    means: Any
    roots: Any


class Factors(NamedTuple):
    """A step's scalars: the learning rate, and Adam's two corrections."""

    rate: Any
    mean: Any
    root: Any


class Second(NamedTuple):
    """What the persistent kernel's last programs own: the biases of the hidden units, and the outputs' parameters."""

    bias: Parameter  # (units,)
    weight: Parameter  # (classes, units)
    out_bias: Parameter  # (classes,)


class Exchange(NamedTuple):
    """Pointers to the data that programs of the persistent kernel exchange within a step.

    `sums` float32 (input blocks, batch, units); `activations`, `hidden_gradients` (batch, units) and `gradients`
    (batch, classes) in the products' type, gradients as many times as large as the batch.
    """

    sums: Any
    activations: Any  # `values` is a field that every tuple of Triton has
    hidden_gradients: Any
    gradients: Any


_LARGEST, _SMALLEST = 64, 16  # 16 is the least that tensor cores take
_ENOUGH = 128  # programs: about the multiprocessors of a large GPU
_DEEPEST = 128
_STAGED_BYTES = 64 << 10  # of shared memory: every GPU since Volta has as much for a program
_STAGES, _FLOAT32 = 3, 4  # blocks of either operand that are on their way at a time, in float32


class Tile(NamedTuple):
    """A block of `rows` by `columns` of a result, and `depth` terms of its sums at a time; all powers of two."""

    rows: int
    columns: int
    depth: int

    def grid(self, rows: int, columns: int) -> tuple[int, int]:
        """Programs along each side of a result of `rows` by `columns`."""
        return math.ceil(rows / self.rows), math.ceil(columns / self.columns)


def tile(rows: int, columns: int, depth: int) -> Tile:
    """The block for a result of `rows` by `columns` whose sums have `depth` terms."""
    high, wide = _fitting(rows, _LARGEST), _fitting(columns, _LARGEST)
    while math.ceil(rows / high) * math.ceil(columns / wide) < _ENOUGH and max(high, wide) > _SMALLEST:
        if high >= wide:
            high //= 2
        else:
            wide //= 2
    deepest = min(_DEEPEST, _STAGED_BYTES // (_STAGES * _FLOAT32 * (high + wide)))
    return Tile(high, wide, _fitting(depth, 1 << (deepest.bit_length() - 1)))


def _fitting(size: int, most: int) -> int:
    """The power of two from 16 to `most` that holds `size`, if one does."""
    return max(_SMALLEST, min(most, 1 << (size - 1).bit_length()))
