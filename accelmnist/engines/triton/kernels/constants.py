"""The constants that kernels are compiled for, in groups that are passed whole: each a `tl.constexpr` to a kernel.

Triton 3.6 to 3.8 take a NamedTuple of constants as one constexpr, and read its fields by name; one made inside a kernel
can hold only tensors and pointers, so constants and pointers are never in one group.
"""

from __future__ import annotations

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
    """A layer's update: the shape of its batch and weights, and the block of it that a program computes."""

    batch: int
    inputs: int
    units: int
    from_images: bool
    rows: int
    columns: int
    depth: int


class Head(NamedTuple):
    """A network's activation and outputs, its loss, and its dropout, which drops what hashes below `drop_below`."""

    classes: int
    activation: str
    output: str
    smoothing: float
    drop_below: int
    kept_scale: float
