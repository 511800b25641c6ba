"""Learning rates of every step of a run, made once on the host in float64, so that all devices get the same.

`one-cycle` rises in a straight line from 1/25 of the peak, then falls as a cosine to 1/10,000 of it (Smith and Topin
2019, in the form of torch's OneCycleLR); `cosine` falls from the peak to 0 (Loshchilov and Hutter 2017); `constant`
stays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelmnist.config import TrainingConfig

Positions = NDArray[np.float64]

_FIRST_SHARE = 1 / 25
_LAST_SHARE = 1 / 10_000


def learning_rates(config: TrainingConfig, steps: int) -> NDArray[np.float32]:
    """The learning rate of each of `steps` steps: (steps,)."""
    position = np.arange(steps) / max(steps - 1, 1)  # 0 at the first step, 1 at the last
    return (config.learning_rate * _share_of_peak(config, position)).astype(np.float32)


def _share_of_peak(config: TrainingConfig, position: Positions) -> Positions:
    if config.schedule == "constant":
        return np.ones_like(position)
    return _cosine(position) if config.schedule == "cosine" else _one_cycle(position, config.warmup)


def _cosine(position: Positions) -> Positions:
    return np.asarray((1 + np.cos(np.pi * position)) / 2)


def _one_cycle(position: Positions, warmup: float) -> Positions:
    rise = _FIRST_SHARE + (1 - _FIRST_SHARE) * position / max(warmup, 1e-12)
    fall = _LAST_SHARE + (1 - _LAST_SHARE) * _cosine((position - warmup) / (1 - warmup))
    return np.where(position < warmup, rise, fall)
