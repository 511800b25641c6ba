"""How far rounding alone may take a result, so that a test that passes on one processor passes on every other.

Processors sum in different orders, with or without fused multiply-adds, so no two give the same bits. Two ways lead to
a limit, and neither knows the machine:

- **A bound.** A float32 sum of n products is wrong by at most `SURE` sqrt(n) u times the sum of their magnitudes, but
  for one time in thirty million (N. J. Higham and T. Mary, A New Approach to Probabilistic Rounding Error Analysis,
  SIAM J. Sci. Comput. 41 (2019)). `logits_and_bound` adds that up over the layers of a network.
- **Nudges.** Training amplifies rounding: smoothly, and in jumps where a rectifier's kink is crossed or where Adam
  divides a gradient near 0 by its size. About one training in a hundred crosses a kink by rounding alone, and which one
  depends on the processor. So a training is repeated from weights that are nudged by `NUDGE` of themselves, at which
  few cross none, and another way of computing it may end `FACTOR` times as far away as the furthest of those, by the
  typical numbers and by the worst: `Followed`. A run in 16 bits is held against nudges of its own rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from accelmnist.core.config import (
    IMAGE_SIDE,
    INPUTS,
    Activation,
    ExecutionConfig,
    Precision,
    RunConfig,
    TrainingConfig,
)
from accelmnist.data.augment import BLOCK, PARTS, epoch_maps
from accelmnist.data.types import ImageSet
from accelmnist.device import resolve
from accelmnist.engines.model import ACTIVATION_FUNCTIONS, MLP, PIXEL_SCALE
from accelmnist.engines.plan import TrainingPlan
from accelmnist.engines.step.device_runner import upload_epoch
from accelmnist.engines.step.loss import training_loss
from accelmnist.engines.step.torch_update import TorchUpdate
from accelmnist.training.reference.tolerances import tolerances

SURE = 6.0  # standard deviations: independent roundings sum to more with a chance of 2 exp(-18) at most
NUDGE = 2.0**-15  # 512 roundings of float32
NUDGES = 3
FACTOR = 4.0
QUANTILES = (0.5, 0.95, 1.0)  # the worst can be a weight that Adam turns round; the others are not
_MARGIN = 2  # black pixels around an image
UNIT = 2.0**-24  # float32's roundoff
SUM_ERROR = SURE * sqrt(INPUTS) * UNIT  # 1.0e-5: of a sum of 784 products, over the sum of their magnitudes

Nudge = Callable[[Iterable[torch.Tensor]], None]
Run = Callable[[Nudge], Sequence[torch.Tensor]]


def leave(weights: Iterable[torch.Tensor]) -> None:
    """No nudge."""


def nudge_of(size: float, seed: int) -> Nudge:
    """A nudge that moves every weight by `size` of itself, up or down."""

    @torch.no_grad()
    def nudge(weights: Iterable[torch.Tensor]) -> None:
        rng = torch.Generator().manual_seed(seed)
        for weight in weights:
            up_or_down = 2 * torch.randint(2, weight.shape, generator=rng) - 1
            weight.mul_(1 + size * up_or_down.to(weight))

    return nudge


@dataclass(frozen=True)
class Followed:
    """What a run gives, and what it gives from nudged weights: its losses (steps,) first, then any other tensors."""

    exact: Sequence[torch.Tensor]
    nudged: Sequence[Sequence[torch.Tensor]]
    precision: Precision

    @classmethod
    def by(cls, run: Run, precision: Precision = "fp32") -> Followed:
        """A run that others in `precision` are held against; no nudge is smaller than a rounding of that."""
        size = max(NUDGE, tolerances(precision).rounding)
        return cls(run(leave), [run(nudge_of(size, seed)) for seed in range(NUDGES)], precision)

    def hold(self, *found: torch.Tensor) -> None:
        """Fail where `found`, the same numbers by another way of computing, lies further away than the nudges allow.

        A loss may be `FACTOR` times as far away as the nudged runs were up to its step, and any other tensor as far as
        theirs by each of `QUANTILES` of its numbers; all of it but for a rounding of the number itself.
        """
        losses, *tensors = (
            (_apart(mine, expected), torch.stack([_apart(each, expected) for each in nudged]), expected)
            for mine, expected, *nudged in zip(found, self.exact, *self.nudged, strict=True)
        )
        own = max(tolerances(self.precision).rounding, sqrt(INPUTS) * UNIT)  # of the loss: of a sum, or of 16 bits
        apart, nudged, expected = losses
        _assert_within(apart, FACTOR * nudged.amax(0).cummax(0).values + own * expected.cpu().abs(), "the losses")
        for place, (apart, nudged, expected) in enumerate(tensors):
            if expected.numel():
                own = UNIT * expected.abs().max().item()
                limits = FACTOR * _quantiles(nudged.reshape(NUDGES, -1)).amax(1) + own
                _assert_within(_quantiles(apart.flatten()), limits, f"numbers of tensor {place}")


def _quantiles(numbers: torch.Tensor) -> torch.Tensor:
    return torch.quantile(numbers, torch.tensor(QUANTILES, dtype=numbers.dtype), dim=-1)


def _apart(found: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    return (found.detach().cpu().double() - expected.detach().cpu().double()).abs()


def _assert_within(found: torch.Tensor, limit: torch.Tensor, what: str) -> None:
    assert (found <= limit).all(), f"{what} differ by {(found / limit).max():.3g} times what rounding can explain"


def replayed(config: RunConfig, training: ImageSet, *, steps: int) -> Followed:
    """The first steps' losses in float64, and what a run in the precision of `config` may differ by."""

    network = MLP

    def run(nudge: Nudge) -> list[torch.Tensor]:
        def made(*arguments: Any, **options: Any) -> MLP:
            model = network(*arguments, **options).double()
            nudge(model.parameters())
            return model

        with mock.patch(f"{__name__}.MLP", made):
            return [replay_first_steps(config, training, steps=steps)]

    return Followed.by(run, config.execution.precision)


def replay_first_steps(config: RunConfig, training: ImageSet, *, steps: int) -> torch.Tensor:
    """Losses (steps,) float64 of the first `steps` of the run, recomputed on the host."""
    exact = replace(config, execution=ExecutionConfig(device="cpu", precision="fp32"))
    device = resolve("cpu")
    loss_of = training_loss(exact, device)
    parameters = list(MLP(config.model, seed=config.training.seed).double().parameters())
    update = TorchUpdate(parameters, config.training, fused=False)
    plan = upload_epoch(TrainingPlan(config, len(training.labels)).epoch(0), device)
    losses = []
    for step in range(min(steps, len(plan))):
        index = plan.order[step].numpy()
        seen = images_seen(training.images, index, config.training, epoch=0)
        inputs = torch.from_numpy(seen).double() * PIXEL_SCALE
        labels = torch.from_numpy(training.labels[index])
        loss = loss_of(parameters, inputs, labels, plan.dropout_seeds[step])
        update(torch.autograd.grad(loss, parameters), plan.learning_rates[step].double())
        losses.append(loss.detach())
    return torch.stack(losses)


def images_seen(
    images: NDArray[np.uint8], index: NDArray[np.int64], training: TrainingConfig, *, epoch: int
) -> NDArray[np.uint8]:
    """What `epoch` shows of the images at `index` (n,): (n, 784) from the whole set `images` (count, 784).

    Augmented images are made once more, in plain NumPy from the host's own images: the maps are shared with what is
    checked, as the order of the images is; the pixels are mixed anew.
    """
    if training.augment == "none":
        return images[index]
    maps = epoch_maps(training.augment, len(images), seed=training.seed, epoch=epoch)
    return _mapped(images[index].reshape(-1, IMAGE_SIDE, IMAGE_SIDE), maps[index // BLOCK])


def _mapped(images: NDArray[np.uint8], maps: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Each image (n, 28, 28) by the map of its own (n, 2, 3), bilinear in eighths of a pixel, halves rounded up."""
    centre = (IMAGE_SIDE - 1) / 2
    grid = np.stack(np.meshgrid(np.arange(IMAGE_SIDE), np.arange(IMAGE_SIDE), indexing="ij")) - centre
    places = np.einsum("nij,jrc->nirc", maps[:, :, :2], grid) + maps[:, :, 2, None, None] + centre
    places = np.rint(PARTS * places) / PARTS
    corner = np.floor(places)
    share = places - corner
    padded = np.pad(images, ((0, 0), (_MARGIN, _MARGIN), (_MARGIN, _MARGIN))).astype(np.float64)
    row, column = np.clip(corner, -_MARGIN, IMAGE_SIDE).astype(np.int64).swapaxes(0, 1) + _MARGIN
    number = np.arange(len(images))[:, None, None]
    mixed = np.zeros(images.shape)
    for down in (0, 1):
        for right in (0, 1):
            weight = np.abs(1 - down - share[:, 0]) * np.abs(1 - right - share[:, 1])
            mixed += weight * padded[number, row + down, column + right]
    return np.floor(mixed + 0.5).astype(np.uint8).reshape(-1, INPUTS)


def logits_and_bound(
    parameters: Sequence[Any], images: Any, *, activation: Activation = "relu", precision: Precision = "fp32"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logits (n, 10) in float64 of images (n, 784) uint8, and how far those of a network in `precision` may be off.

    A layer adds to the errors of its inputs those of its own sum, of its 16-bit operands, which are independent, and of
    its result. No activation is steeper than 1.13, which is gelu's.
    """
    u = tolerances(precision).rounding
    arrays = [np.asarray(array, dtype=np.float64) for array in parameters]
    values, bound = np.asarray(images) / 255, np.asarray(images) / 255 * UNIT
    for place in range(0, len(arrays), 2):
        weights, bias = arrays[place], arrays[place + 1]
        sizes = np.abs(values) @ np.abs(weights).T + np.abs(bias)
        operands = np.sqrt(np.square(values) @ np.square(weights).T)
        bound = bound @ np.abs(weights).T + SURE * (UNIT * sqrt(weights.shape[1] + 1) * sizes + sqrt(2) * u * operands)
        values = values @ weights.T + bias
        if place + 2 < len(arrays):
            values = ACTIVATION_FUNCTIONS[activation](torch.from_numpy(values)).numpy()
        bound = 1.13 * bound + 4 * u * np.abs(values)
    return values, bound


def assert_logits(found: Any, model: MLP, images: Any, *, precision: Precision = "fp32") -> None:
    """Fail where logits (n, 10) of images (n, 784) uint8 are not those of `model` but for rounding."""
    parameters = [parameter.detach().cpu() for parameter in model.parameters()]
    expected, bound = logits_and_bound(
        parameters,
        images.cpu() if isinstance(images, torch.Tensor) else images,
        activation=model.config.activation,
        precision=precision,
    )
    _assert_within(_apart(torch.as_tensor(found), torch.from_numpy(expected)), torch.from_numpy(bound), "the logits")
