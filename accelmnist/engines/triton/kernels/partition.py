"""The partition of a network among the multiprocessors of a GPU for the persistent kernel, in plain Python.

The first layer's weights are cut into blocks of units by inputs, a program each, which keeps its block in registers for
a whole launch. If it were cut by units alone, as on a CPU, 128 units in blocks of 16, the least that tensor cores take,
would make 8 programs, and 124 of an H100's 132 multiprocessors would have nothing to do. Cutting the inputs too needs a
second barrier a step, since the sums over the inputs have to be added before the activation. One more program for each
block of units owns its part of the small second layer.

The time of a step is estimated from round figures for an H100 (1.7 GHz), none of them measured by this project:

    1.3 µs      a barrier: an atomic, and the loads that see it, through the second-level cache
    1 µs        each of the three parts, in latencies of loads that wait for one another
    40 bytes    a nanosecond from that cache, to each multiprocessor
    70 FMA      a nanosecond in float32 on each, a third of its peak: operands come through shared memory

784-128-10 at batch 128 is cut into 8 by 13 blocks of 16 units and 64 inputs, and a step is estimated at 11 µs in
float32, of which 5.6 are barriers and latencies. The estimate chooses the cut and nothing else.
"""

from __future__ import annotations

import math
from itertools import product
from typing import NamedTuple

_BARRIER_S, _LATENCY_S = 1.3e-6, 1e-6
_BYTES_PER_S, _FMA_PER_S = 40e9, 70e9  # of one multiprocessor
_LEAST, _MOST_UNITS, _MOST_INPUTS = 16, 128, 128  # of a block
_KEPT_NUMBERS = 8192  # of a block's weights: with two slots a third of the registers of a multiprocessor
_HEAD_NUMBERS = 1024  # activations behind the outputs at a time: times 16 classes they are in registers too
_MOST_WIDE = 1024  # units
_STAGED_BYTES, _FLOAT32 = 64 << 10, 4
_MOST_NUMBERS = 2**31  # the kernel counts in 32 bits


class Partition(NamedTuple):
    """Blocks of the first layer, `block_units` by `block_inputs`; all sizes of blocks are powers of two.

    `rows` images are multiplied at a time, `head_rows` go through the outputs at a time, where a row of hidden units
    takes `padded_units`.
    """

    batch: int
    inputs: int
    units: int
    block_units: int
    block_inputs: int
    unit_blocks: int
    input_blocks: int
    rows: int
    head_rows: int
    padded_units: int
    from_images: bool = True  # of the first layer's inputs, as in a `Block`

    @property
    def programs(self) -> int:
        """The grid: every block of the first layer, and one more program a block of units for the second."""
        return self.unit_blocks * (self.input_blocks + 1)

    @property
    def head_tiles(self) -> int:
        """Groups of `head_rows` images of a batch: each has a part of the loss."""
        return math.ceil(self.batch / self.head_rows)

    @property
    def warps(self) -> int:
        """Warps of a program: with 4, float32 blocks of 16 by 64 did not fit in a thread's 255 registers."""
        return 8


def partition(batch: int, inputs: int, units: int, *, multiprocessors: int) -> Partition | None:
    """The partition that is estimated to be fastest on `multiprocessors`, or None if the weights fit in none."""
    if units > _MOST_WIDE:
        return None
    high = [size for size in _powers(_MOST_UNITS) if size < 2 * max(units, _LEAST)]
    wide = [size for size in _powers(_MOST_INPUTS) if size < 2 * max(inputs, _LEAST)]
    cuts = [_cut(batch, inputs, units, *sizes, multiprocessors) for sizes in product(high, wide)]
    fitting = [
        cut
        for cut in cuts
        if cut.programs <= multiprocessors
        and cut.block_units * cut.block_inputs <= _KEPT_NUMBERS
        and batch * units * cut.input_blocks < _MOST_NUMBERS
    ]
    return min(fitting, key=step_s, default=None)


def step_s(cut: Partition) -> float:
    """The estimated seconds of a step in float32."""
    pixels = cut.batch * cut.block_inputs
    sums = _FLOAT32 * cut.batch * cut.block_units
    products = pixels * cut.block_units / _FMA_PER_S
    rows = cut.head_rows * math.ceil(cut.head_tiles / cut.programs)
    head_bytes = _FLOAT32 * rows * cut.units * (cut.input_blocks + 3)
    moved = (2 * (pixels + sums) + head_bytes) / _BYTES_PER_S
    return 2 * _BARRIER_S + 3 * _LATENCY_S + 2 * products + moved


def _cut(batch: int, inputs: int, units: int, block_units: int, block_inputs: int, multiprocessors: int) -> Partition:
    unit_blocks, input_blocks = math.ceil(units / block_units), math.ceil(inputs / block_inputs)
    programs = min(multiprocessors, unit_blocks * (input_blocks + 1))
    padded = _power(max(units, _LEAST))
    staged = _STAGED_BYTES // (_FLOAT32 * (block_units + block_inputs))
    return Partition(
        batch=batch,
        inputs=inputs,
        units=units,
        block_units=block_units,
        block_inputs=block_inputs,
        unit_blocks=unit_blocks,
        input_blocks=input_blocks,
        rows=max(_LEAST, min(64, _power(batch), 1 << (staged.bit_length() - 1))),
        head_rows=min(_power(math.ceil(batch / programs)), _HEAD_NUMBERS // padded),
        padded_units=padded,
    )


def _power(size: int) -> int:
    """The least power of two that holds `size`."""
    return 1 << (size - 1).bit_length()


def _powers(most: int) -> list[int]:
    return [1 << power for power in range(_LEAST.bit_length() - 1, most.bit_length())]
