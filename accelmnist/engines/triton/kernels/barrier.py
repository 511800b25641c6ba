"""A barrier across a grid whose programs all run at the same time.

Every program adds itself to one counter and waits until all have. The counter only grows and is never set back, so no
program can race with its reset: barrier number `passed` of a launch is open once (passed + 1) times as many
as the grid has programs have arrived.

What a program wrote before the barrier is seen by all after it: the threads of the program synchronize, then one of
them arrives by an atomic of release order at the scope of the GPU; the last arrival is read by acquire order, and the
threads synchronize again. Every arrival is a read-modify-write, so that an acquire of the last one takes in all before.

A grid that does not run as a whole would wait for ever, so it has to be launched cooperatively: the driver then refuses
one that does not fit. Sources: CUDA C++ Programming Guide, "Cooperative Groups"; PTX ISA, "Memory Consistency Model".
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def grid_barrier(arrivals, passed) -> None:
    """Wait for all programs; `arrivals` points to an int64, 0 at the launch, `passed` counts the barriers before."""
    tl.debug_barrier()
    all_here = (passed + 1).to(tl.int64) * tl.num_programs(0)
    here = tl.atomic_add(arrivals, 1, sem="acq_rel", scope="gpu") + 1
    while here < all_here:
        here = tl.atomic_add(arrivals, 0, sem="acquire", scope="gpu")
    tl.debug_barrier()
