"""PyTorch as its tutorials begin: torchvision's data set, ToTensor, a DataLoader.

Source: docs.pytorch.org/tutorials/beginner/basics/optimization_tutorial.html. In its favour the update is fused and the
losses are read once a region. The loader keeps its default of no worker processes, as the tutorial does; the order in
which it takes its images is given to it, where the tutorial lets it shuffle.
"""

from __future__ import annotations

import tempfile
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from accelmnist.engines.plan import Floats
from bench.loops import write_torchvision_files
from bench.peers.contract import Job
from bench.peers.torch_network import TorchContender

_TEST_BATCH = 1000


class Loader(TorchContender):
    """The tutorial's loop."""

    packages = ("torch", "torchvision")
    precisions = ("fp32",)  # in 16 bits it would only wait for the same loader

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        with tempfile.TemporaryDirectory() as folder:
            write_torchvision_files(Path(folder))
            self.images = datasets.MNIST(folder, download=False, transform=transforms.ToTensor())
        self._hold(self.images, job.data.images, job.data.labels)

    @staticmethod
    def _hold(dataset: Any, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Any:
        dataset.data, dataset.targets = torch.from_numpy(images.reshape(-1, 28, 28)), torch.from_numpy(labels)
        return dataset

    def train(self, steps: slice) -> Floats:
        """The loader's batches, in the order given."""
        loader = DataLoader(self.images, batch_sampler=self.job.order[steps].tolist())
        return torch.stack(
            [
                self.update(self.criterion(self.network(images.flatten(1)), labels), rate)
                for (images, labels), rate in zip(loader, self.rates[steps], strict=True)
            ]
        ).numpy()

    def upload(self, images: NDArray[np.uint8]) -> Any:
        """A loader of them."""
        dataset = self._hold(copy(self.images), images, np.zeros(len(images), np.int64))
        return DataLoader(dataset, batch_size=_TEST_BATCH)

    @torch.inference_mode()
    def classify(self, images: Any) -> NDArray[Any]:
        """The loader's batches, one after the other."""
        return torch.cat([self.network(part.flatten(1)) for part, _ in images]).numpy()


CONTENDER = Loader
