"""Which images a step sees: the validation split, and one seeded permutation an epoch, both made on the host.

The same seed gives the same batches on every device and engine, which is what makes their results comparable. A
permutation depends on its seed and epoch alone, so a resumed run needs no state of a generator. Training drops the
ragged last batch, so that every step has one shape; the permutation makes it another one each epoch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelmnist.config import steps_per_epoch
from accelmnist.seeds import Stream, generator


def epoch_order(count: int, batch_size: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Indexes of the images of every step of `epoch`: (steps, batch), none of them twice."""
    steps = steps_per_epoch(count, batch_size)
    permutation = generator(seed, Stream.ORDER, epoch).permutation(count)
    return permutation[: steps * batch_size].reshape(steps, batch_size)


def dropout_seeds(steps: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """One seed below 2^31 for the dropout of every step of `epoch`: (steps,)."""
    return generator(seed, Stream.DROPOUT, epoch).integers(2**31, size=steps)


def split_validation(
    labels: NDArray[np.int64], held_out: int, *, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indexes to train on and indexes to validate on, every class in proportion (stratified), both sorted.

    The classes' shares of `held_out` are rounded by largest remainder, so that they add up exactly.
    """
    if held_out == 0:
        return np.arange(len(labels)), np.empty(0, dtype=np.int64)
    chooser = generator(seed, Stream.SPLIT)
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * (held_out / len(labels))
    shares = np.floor(exact).astype(np.int64)
    short = held_out - int(shares.sum())
    shares[np.argsort(shares - exact, kind="stable")[:short]] += 1
    chosen = [
        chooser.choice(np.flatnonzero(labels == label), share, replace=False)
        for label, share in zip(classes, shares, strict=True)
    ]
    validation = np.sort(np.concatenate(chosen))
    return np.setdiff1d(np.arange(len(labels)), validation), validation
