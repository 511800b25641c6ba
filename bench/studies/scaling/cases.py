"""What is measured: one training step along three axes, which cross in 784-128-10 at batch 128 by SGD.

That is the workload of the peers' table. Along an axis everything else stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import takewhile

from accelmnist.measure.plan import Case

WIDTH, BATCH_SIZE = 128, 128  # where the axes cross
WIDTHS = (32, 64, 128, 256, 512, 1024, 2048, 4096)
BATCH_SIZES = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
ENGINES = ("eager", "fused")


@dataclass(frozen=True)
class Axes:
    """The sizes along each axis; the numbers of threads end with the one that the other axes have."""

    widths: tuple[int, ...] = WIDTHS
    batch_sizes: tuple[int, ...] = BATCH_SIZES
    threads: tuple[int, ...] = (1,)
    engines: tuple[str, ...] = ENGINES


def threads_up_to(most: int) -> tuple[int, ...]:
    """1, 2, 4 and so on below `most`, and `most`."""
    doubled = takewhile(lambda threads: threads < most, (1 << power for power in range(64)))
    return (*doubled, most)


def cases_of(axes: Axes) -> tuple[Case, ...]:
    """Every case once, the engines one after the other."""
    cases: dict[Case, None] = {}
    for engine in axes.engines:
        middle = _middle(engine, threads=axes.threads[-1])
        along = [
            *(replace(middle, hidden=(width,)) for width in axes.widths),
            *(replace(middle, batch_size=size) for size in axes.batch_sizes),
            *(replace(middle, threads=threads) for threads in axes.threads),
        ]
        cases |= dict.fromkeys(along)
    return tuple(cases)


def _middle(engine: str, *, threads: int) -> Case:
    return Case(
        mode="training",
        device="cpu",
        engine=engine,
        precision="fp32",
        batch_size=BATCH_SIZE,
        hidden=(WIDTH,),
        optimizer="sgd",
        threads=threads,
    )
