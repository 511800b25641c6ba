"""The work of the probes: matrix products, copies, tiny operations, each with what it is worth.

`accelmnist.measure.limits.probes` says which are wanted, `accelmnist.measure.limits.probe` runs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from accelmnist.measure.limits.cost import Product
from accelmnist.measure.limits.probe import Operation, ProbeWorkload, Shape

_OPERATIONS = 1000  # of a pass of a dispatch probe
_FORK_JOINS = 50  # of a pass of a fork-join probe
_PART = 1 << 15  # elements: torch gives no thread fewer (at::internal::GRAIN_SIZE)
_UNROLL, _UNROLL_BELOW = 20, 1 << 28  # passes a graph, if a pass has fewer flops or bytes: a few µs of a GPU


def square_workload(side: int, dtype: torch.dtype) -> ProbeWorkload:
    """A product of two square matrices of `side`."""
    shape = (side, side)
    return ProbeWorkload(
        dtype=dtype,
        sources=(shape, shape),
        sinks=(shape,),
        operations=lambda sources, sinks: [partial(torch.mm, *sources, out=sinks[0])],
        amount=2 * side**3,
    )


def products_workload(products: Sequence[Product], dtype: torch.dtype) -> ProbeWorkload:
    """The matrix products of a step one after the other, their operands transposed as a layer transposes them."""
    operands = _operand_shapes(products)
    flops = sum(product.flops for product in products)

    def operations(sources: Sequence[Tensor], sinks: Sequence[Tensor]) -> list[Operation]:
        tensors = dict(zip(operands, sources, strict=True))
        factors = [_factors(product, tensors) for product in products]
        return [partial(torch.mm, *pair, out=sink) for pair, sink in zip(factors, sinks, strict=True)]

    return ProbeWorkload(
        dtype=dtype,
        sources=tuple(operands.values()),
        sinks=tuple((product.rows, product.columns) for product in products),
        operations=operations,
        amount=flops,
        unroll=_unroll(flops),
    )


def _unroll(amount: int) -> int:
    return _UNROLL if amount < _UNROLL_BELOW else 1


def _operand_shapes(products: Sequence[Product]) -> dict[tuple[str, int], Shape]:
    """Shapes of the tensors that the products read, as they lie in memory, by name and layer.

    Of a layer: its inputs (batch, inputs), weights (units, inputs), and the gradients of its outputs (batch, units).
    """
    shapes: dict[tuple[str, int], Shape] = {}
    for product in products:
        if product.kind == "forward":
            shapes["inputs", product.layer] = (product.rows, product.inner)
            shapes["weights", product.layer] = (product.columns, product.inner)
        elif product.kind == "weight gradient":
            shapes["gradients", product.layer] = (product.inner, product.rows)
    return shapes


def _factors(product: Product, tensors: Mapping[tuple[str, int], Tensor]) -> tuple[Tensor, Tensor]:
    """The two factors, transposed as a layer transposes them: a transposed factor may be slower to read."""
    layer = product.layer
    if product.kind == "forward":
        return tensors["inputs", layer], tensors["weights", layer].t()
    if product.kind == "weight gradient":
        return tensors["gradients", layer].t(), tensors["inputs", layer]
    return tensors["gradients", layer], tensors["weights", layer]


def copy_workload(size: int) -> ProbeWorkload:
    """A copy that touches `size` bytes: half are read and half written."""
    shape = (size // 2 // torch.float32.itemsize,)
    return ProbeWorkload(
        dtype=torch.float32,
        sources=(shape,),
        sinks=(shape,),
        operations=lambda sources, sinks: [partial(sinks[0].copy_, sources[0])],
        amount=size,
        unroll=_unroll(size),
    )


def tiny_workload() -> ProbeWorkload:
    """Additions in place of one element; the sum can't overflow, since it stops growing at 2^24."""
    return ProbeWorkload(
        dtype=torch.float32,
        sources=((1,),),
        sinks=((1,),),
        operations=lambda sources, sinks: [partial(sinks[0].add_, sources[0])] * _OPERATIONS,
        amount=_OPERATIONS,
    )


def fork_join_workload(threads: int) -> ProbeWorkload:
    """Additions just large enough that every thread gets a part: the cost is that of the fork and the join."""
    shape = (threads * _PART,)
    return ProbeWorkload(
        dtype=torch.float32,
        sources=(shape, shape),
        sinks=(shape,),
        operations=lambda sources, sinks: [partial(torch.add, *sources, out=sinks[0])] * _FORK_JOINS,
        amount=_FORK_JOINS,
    )
