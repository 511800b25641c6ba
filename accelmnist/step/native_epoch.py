"""Epochs by the native kernels on the CPU, each in one call: see `accelmnist/native/src` for the kernels.

81 % of MNIST's pixels are zero, and half of what a rectifier gives: the kernels multiply by what is not zero alone,
forward and in the gradients of the weights. The pixels that are not zero are listed once for all epochs. Every thread
owns a slice of each layer's units from the forward pass to the update, so weights never move between cores, and with
one hidden layer the threads meet once a step. The results are the same to the bit for the same number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from accelmnist import native
from accelmnist.config import CLASSES
from accelmnist.model import MLP
from accelmnist.step.contract import Classifier, Epoch, Job, State
from accelmnist.step.rules import BETA1, BETA2, EPSILON, SLOTS
from accelmnist.step.state import export_state, import_state

_LEAST_UNITS = 16  # of the widest layer for each thread; with fewer, meeting costs more than it brings


class NativeEpochs:
    """Runs epochs of `job`; the optimizer's state is kept in torch's tensors between the calls."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.names = [name for name, _ in job.model.named_parameters()]
        self.parameters = [parameter.detach() for parameter in job.model.parameters()]
        names = SLOTS[job.config.training.optimizer]
        self.slots = {name: [torch.zeros_like(parameter) for parameter in self.parameters] for name in names}
        self.scalars = {"count": torch.zeros(())} if names else {}
        self.threads = _useful_threads(job.config.model.hidden)
        self._pixels = ListedPixels(job.data.images, threads=self.threads)

    def __call__(self, epoch: Epoch) -> Tensor:
        """Run all steps; returns their losses (steps,) float32."""
        losses = torch.empty(len(epoch), dtype=torch.float32)
        training, model = self.job.config.training, self.job.config.model
        count = self.scalars.get("count", torch.zeros(()))
        native.train(
            _arrays(self.parameters),
            tuple(_arrays(row) for row in self.slots.values()),
            self._pixels.current(),
            self.job.data.labels.numpy(),
            epoch.order.contiguous().numpy(),
            epoch.learning_rates.contiguous().numpy(),
            epoch.dropout_seeds.contiguous().numpy(),
            losses.numpy(),
            activation=model.activation,
            output=model.output,
            rule=training.optimizer,
            nesterov=training.nesterov,
            momentum=training.momentum,
            weight_decay=training.weight_decay,
            label_smoothing=training.label_smoothing,
            dropout=model.dropout,
            beta1=BETA1,
            beta2=BETA2,
            epsilon=EPSILON,
            count=count.item(),
            threads=self.threads,
            level=native.chosen_level(),
        )
        count += len(epoch)
        return losses

    def state(self) -> State:
        """The optimizer's state under its common names, as copies."""
        return export_state(self.names, self.slots, self.scalars)

    def load_state(self, state: State) -> None:
        """Take over a state that `state()` of any engine gave."""
        import_state(state, self.names, self.slots, self.scalars)


class ListedPixels:
    """The pixels of `images` (n, 784) uint8 that are not black, listed once, and anew when the images have changed."""

    def __init__(self, images: Tensor, *, threads: int) -> None:
        self._images, self._threads = images, threads
        self._version: int | None = None
        self._lists: Any = None
        self.current()

    def current(self) -> Any:
        """The lists of the images as they are now, for `native.train`.

        torch counts the writes to a tensor, which is how augmentation tells that its images are those of the next
        epoch. An inference tensor has no such count, so its images are listed every time.
        """
        version = None if self._images.is_inference() else self._images._version
        if version is None or version != self._version:
            images, level = self._images.contiguous().numpy(), native.chosen_level()
            self._lists, self._version = native.list_pixels(images, threads=self._threads, level=level), version
        return self._lists


def native_classifier(model: MLP) -> Classifier:
    """Native inference with a copy of the weights, on at most as many threads as torch has now."""
    parameters = _arrays([parameter.detach().contiguous() for parameter in model.parameters()])
    activation, threads, level = model.config.activation, torch.get_num_threads(), native.chosen_level()
    classifier = native.make_classifier(parameters, activation=activation, threads=threads, level=level)

    def classify(images: Tensor) -> Tensor:
        pixels = images.contiguous().numpy()
        # Made by NumPy, which saves 4 of the 13 microseconds of a call with one image.
        logits = np.empty((len(pixels), CLASSES), np.float32)
        native.classify(classifier, pixels, logits)
        return torch.from_numpy(logits)

    return classify


def _arrays(tensors: list[Tensor]) -> tuple[NDArray[np.float32], ...]:
    """NumPy's views of tensors on the CPU: the form in which the kernels take their memory."""
    return tuple(tensor.numpy() for tensor in tensors)


def _useful_threads(hidden: tuple[int, ...]) -> int:
    return max(1, min(torch.get_num_threads(), max(hidden, default=1) // _LEAST_UNITS))
