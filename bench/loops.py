"""Three ways to train one network on MNIST: the package's engines, a plain loop by hand, and a DataLoader.

All three train 784-128-10 in float32 by SGD on batches of 128, on shuffled images, and drop the ragged last batch. They
start from different random weights, which takes no part in the time.

    OwnLoop      an engine of this package: bytes on the device, the batch gathered and scaled every step
    HandLoop     what a practised user writes: float tensors on the device, a permutation an epoch, torch's fused SGD
    LoaderLoop   what torch's tutorials show: torchvision's data set, ToTensor, a shuffling DataLoader

The peers are written in their favour where there is a choice: fused update, no `.item()` in the loop. The DataLoader
keeps its default of no worker processes, as the tutorials do.
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from importlib import resources
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from accelmnist.core.config import ExecutionConfig, ModelConfig, RunConfig, TrainingConfig
from accelmnist.data.mnist import PUBLISHED
from accelmnist.data.types import DeviceSet
from accelmnist.device import Device, matmul_precision
from accelmnist.engines.choose import engine_class
from accelmnist.engines.contract import Job
from accelmnist.engines.plan import TrainingPlan
from accelmnist.training.loop import prepare

HIDDEN, BATCH_SIZE, LEARNING_RATE = 128, 128, 0.1


def workload(*, device: Device, engine: str) -> RunConfig:
    """The configuration that all loops share; the constant learning rate makes its epochs endless and all alike."""
    return RunConfig(
        model=ModelConfig(hidden=(HIDDEN,)),
        training=TrainingConfig(
            epochs=1,
            batch_size=BATCH_SIZE,
            optimizer="sgd",
            learning_rate=LEARNING_RATE,
            weight_decay=0.0,
            label_smoothing=0.0,
            schedule="constant",
        ),
        execution=ExecutionConfig(device=str(device), engine=engine),
    )


class OwnLoop:
    """An epoch a call by one of the package's engines: what `training.train` times, its order and upload included."""

    def __init__(self, data: DeviceSet, device: Device, *, engine: str) -> None:
        config = workload(device=device, engine=engine)
        self.device = device
        self.runner = prepare(engine_class(engine), Job(config, device, data))
        self.plan = TrainingPlan(config, len(data))
        self.images = self.plan.steps * BATCH_SIZE

    def __call__(self) -> Tensor:
        """Losses of all steps of an epoch, on the device. The order is the first epoch's each time."""
        with matmul_precision(self.device, "fp32"):
            losses: Tensor = self.runner.train_epoch(self.runner.upload(self.plan.epoch(0)))
        return losses


def _peer_network(device: Device) -> tuple[nn.Module, nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10)).to(device.torch_device)
    return network, nn.CrossEntropyLoss(), torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, fused=True)


class HandLoop:
    """An epoch a call over float tensors that lie on the device."""

    def __init__(self, data: DeviceSet, device: Device) -> None:
        self.inputs, self.labels = data.images.float() / 255, data.labels
        self.network, self.criterion, self.optimizer = _peer_network(device)
        self.steps = len(data) // BATCH_SIZE
        self.images = self.steps * BATCH_SIZE

    def __call__(self) -> Tensor:
        """Losses of all steps of an epoch, on the device."""
        losses = []
        permutation = torch.randperm(len(self.labels), device=self.labels.device)
        for step in range(self.steps):
            batch = permutation[step * BATCH_SIZE : (step + 1) * BATCH_SIZE]
            self.optimizer.zero_grad()
            loss = self.criterion(self.network(self.inputs[batch]), self.labels[batch])
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses)


class LoaderLoop:
    """`steps` steps a call through torchvision's data set and a DataLoader; each call shuffles anew, as an epoch does.

    A fraction of an epoch suffices: every image costs the same, and a whole epoch takes seconds.
    """

    def __init__(self, root: Path, device: Device, *, steps: int) -> None:
        from torchvision import datasets, transforms  # takes 0.8 s, and collecting the skipped suite needs none of it

        data = datasets.MNIST(str(root), train=True, download=False, transform=transforms.ToTensor())
        self.loader = torch.utils.data.DataLoader(data, batch_size=BATCH_SIZE, shuffle=True)
        self.network, self.criterion, self.optimizer = _peer_network(device)
        self.device, self.steps = device.torch_device, steps
        self.images = steps * BATCH_SIZE

    def __call__(self) -> Tensor:
        """Losses of the steps, on the device."""
        losses = []
        for images, labels in self._batches():
            self.optimizer.zero_grad()
            loss = self.criterion(self.network(images.flatten(1)), labels)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in islice(self.loader, self.steps):
            yield images.to(self.device), labels.to(self.device)


def write_torchvision_files(root: Path) -> None:
    """Unpack the embedded files under `root` as torchvision lays them out, so that it has nothing to download."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for published in PUBLISHED:
        packed = resources.files("accelmnist.data") / "files" / f"{published.name}.gz"
        with packed.open("rb") as file, gzip.open(file) as source, (raw / published.name).open("wb") as target:
            shutil.copyfileobj(source, target)
