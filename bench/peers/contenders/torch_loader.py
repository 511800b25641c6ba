"""PyTorch as its tutorials begin: torchvision's data set, ToTensor, a shuffling DataLoader.

Source: docs.pytorch.org/tutorials/beginner/basics/optimization_tutorial.html. In its favour the update is fused and the
losses are read once a region. The loader keeps its default of no worker processes, as the tutorial does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from bench.loops import write_torchvision_files
from bench.peers.contenders.torch_network import load_weights, network_of, optimizer_of, reset_optimizer
from bench.peers.contract import Contender, Digits, as_digits
from bench.peers.workloads import Floats, Job

_TEST_BATCH = 1000


class Loader(Contender):
    """The tutorial's loop."""

    @classmethod
    def unsupported(cls, job: Job, variant: str) -> str | None:  # noqa: ARG003
        """In 16 bits it would only wait for the same loader."""
        return "the loader takes the time, in any precision" if job.precision == "bf16" else None

    def __init__(self, job: Job, variant: str) -> None:  # noqa: ARG002
        self.job = job
        self.folder = tempfile.TemporaryDirectory()
        write_torchvision_files(Path(self.folder.name))
        ways = {"root": self.folder.name, "download": False, "transform": transforms.ToTensor()}
        self.loader = DataLoader(
            datasets.MNIST(train=True, **ways), batch_size=job.workload.batch_size, shuffle=True, drop_last=True
        )
        self.test = DataLoader(datasets.MNIST(train=False, **ways), batch_size=_TEST_BATCH)
        self.network, self.criterion = network_of(job.workload), nn.CrossEntropyLoss()
        self.optimizer = optimizer_of(job.workload, self.network)
        self.reset()

    def reset(self) -> None:
        """Start weights, no momentum, a new epoch from a fixed seed."""
        torch.manual_seed(0)
        load_weights(self.network, self.job.weights)
        reset_optimizer(self.optimizer)
        self.batches = iter(self.loader)

    def train(self, steps: int) -> Floats:
        """The loader's next batches."""
        return torch.stack([self._step(*batch) for batch in self._next(steps)]).numpy()

    def _next(self, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(steps):
            batch = next(self.batches, None)
            if batch is None:
                self.batches = iter(self.loader)
                batch = next(self.batches)
            yield batch[0], batch[1]

    def _step(self, images: Tensor, labels: Tensor) -> Tensor:
        self.optimizer.zero_grad()
        loss: torch.Tensor = self.criterion(self.network(images.flatten(1)), labels)
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        self.optimizer.step()
        return loss.detach()

    @torch.inference_mode()
    def classify(self) -> Digits:
        """The test loader's batches, one after the other."""
        parts = [self.network(images.flatten(1)).argmax(dim=1) for images, _ in self.test]
        return as_digits(torch.cat(parts).numpy())


CONTENDER = Loader
