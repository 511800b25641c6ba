"""Random streams: every use of random numbers has its own seed, mixed from the run's seed, so that none moves another.

All numbers are drawn on the host, by NumPy: every device and engine gets the same ones, whatever the version of torch,
and what needs no torch need not wait for it. The mixing is NumPy's SeedSequence (M. O'Neill's seed_seq design), which
keeps streams of neighbouring seeds independent.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """The use of a stream of random numbers. The values are part of every run's identity: they never change."""

    WEIGHTS = 0
    ORDER = 1
    DROPOUT = 2
    SPLIT = 3
    AUGMENT = 4


def mixed_seed(seed: int, stream: Stream, index: int = 0) -> int:
    """A seed below 2^63 for draw number `index` of `stream`, in a run that is seeded by `seed`."""
    words = np.random.SeedSequence([seed, int(stream), index]).generate_state(1, np.uint64)
    return int(words[0]) >> 1


def generator(seed: int, stream: Stream, index: int = 0) -> np.random.Generator:
    """A fresh generator of draw number `index` of `stream`."""
    return np.random.default_rng(mixed_seed(seed, stream, index))
