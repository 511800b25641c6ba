"""What differs from step to step, made on the host from the run's configuration alone, and the figures of an epoch.

Nothing here needs torch, so that training can be planned, and begin, before it is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelmnist.config import RunConfig, steps_per_epoch
from accelmnist.data.order import dropout_seeds, epoch_order
from accelmnist.results import EpochFigures
from accelmnist.schedules import learning_rates


@dataclass(frozen=True)
class EpochArrays:
    """The plan of one epoch: `order` (steps, batch) are indexes of images, the others have one number a step."""

    order: NDArray[np.int64]
    learning_rates: NDArray[np.float32]
    dropout_seeds: NDArray[np.int64]


class EpochPlans:
    """The plan of any epoch of a run over `images` training images."""

    def __init__(self, config: RunConfig, images: int) -> None:
        self.training = config.training
        self.images = images
        self.steps = steps_per_epoch(images, config.training.batch_size)
        self.rates = learning_rates(config.training, self.steps * config.training.epochs)

    def arrays(self, number: int) -> EpochArrays:
        """The plan of epoch `number`, counted from 0."""
        seed = self.training.seed
        return EpochArrays(
            order=epoch_order(self.images, self.training.batch_size, seed=seed, epoch=number),
            learning_rates=self.rates[number * self.steps : (number + 1) * self.steps],
            dropout_seeds=dropout_seeds(self.steps, seed=seed, epoch=number),
        )

    def figures(
        self, number: int, losses: NDArray[np.float32], *, train_s: float, accuracy: float | None
    ) -> EpochFigures:
        """The figures of epoch `number`, counted from 0, which took `train_s` and had these `losses` (steps,)."""
        return EpochFigures(
            epoch=number + 1,
            train_loss=float(losses.mean(dtype=np.float64)),
            accuracy=accuracy,
            learning_rate=float(self.rates[(number + 1) * self.steps - 1]),
            train_s=train_s,
            images_per_s=self.steps * self.training.batch_size / train_s,
        )
