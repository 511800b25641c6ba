"""Epochs by the native kernels on the CPU, each in one call: see `accelmnist/engines/native/src` for the kernels.

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

from accelmnist.engines import native
from accelmnist.engines.contract import Classifier, Job, State
from accelmnist.engines.model import MLP
from accelmnist.engines.native.arrays import array_classifier, run_epoch, useful_threads
from accelmnist.engines.step.device_runner import DeviceEpoch
from accelmnist.engines.step.rules import SLOTS
from accelmnist.engines.step.state import export_state, import_state


class NativeEpochs:
    """Runs epochs of `job`; the optimizer's state is kept in torch's tensors between the calls."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.names = [name for name, _ in job.model.named_parameters()]
        self.parameters = [parameter.detach() for parameter in job.model.parameters()]
        names = SLOTS[job.config.training.optimizer]
        self.slots = {name: [torch.zeros_like(parameter) for parameter in self.parameters] for name in names}
        self.scalars = {"count": torch.zeros(())} if names else {}
        self.threads = useful_threads(job.config.model.hidden, torch.get_num_threads())
        self._pixels = ListedPixels(job.data.images, threads=self.threads)

    def __call__(self, epoch: DeviceEpoch) -> Tensor:
        """Run all steps; returns their losses (steps,) float32."""
        count = self.scalars.get("count", torch.zeros(()))
        losses = run_epoch(
            self.job.config,
            _arrays(self.parameters),
            {name: _arrays(row) for name, row in self.slots.items()},
            self._pixels.current(),
            self.job.data.labels.numpy(),
            epoch.map(lambda part: part.contiguous().numpy()),
            count=count.item(),
            threads=self.threads,
        )
        count += len(epoch)
        return torch.from_numpy(losses)

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
    by_arrays = array_classifier(parameters, activation=model.config.activation, threads=torch.get_num_threads())

    def classify(images: Tensor) -> Tensor:
        # NumPy makes the logits, which saves 4 of the 13 microseconds of a call with one image.
        return torch.from_numpy(by_arrays(images.contiguous().numpy()))

    return classify


def _arrays(tensors: list[Tensor]) -> tuple[NDArray[np.float32], ...]:
    """NumPy's views of tensors on the CPU: the form in which the kernels take their memory."""
    return tuple(tensor.numpy() for tensor in tensors)
