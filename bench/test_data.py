"""What the data costs: loading the embedded set, its copy to the device, an epoch's order, gathering its batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from accelmnist.data.mnist import load_dataset
from accelmnist.data.types import Dataset, DeviceSet, upload
from accelmnist.device import Device
from accelmnist.engines.model import PIXEL_SCALE, scale_images
from accelmnist.engines.plan import epoch_order
from bench.loops import BATCH_SIZE
from bench.pairs import synchronized


@pytest.mark.benchmark(group="data, on the host")
def test_load_embedded(benchmark: Any) -> None:
    loaded = benchmark.pedantic(load_dataset, rounds=5, iterations=1, warmup_rounds=1)
    assert (len(loaded.train), len(loaded.test)) == (60_000, 10_000)


@pytest.mark.benchmark(group="data, on the host")
def test_epoch_order(benchmark: Any) -> None:
    def make() -> NDArray[np.int64]:
        return epoch_order(60_000, BATCH_SIZE, seed=0, epoch=0)

    order = benchmark.pedantic(make, rounds=20, iterations=5, warmup_rounds=1)
    assert len(np.unique(order)) == order.size == 468 * BATCH_SIZE


@pytest.mark.benchmark(group="data, on the device")
def test_upload(benchmark: Any, dataset: Dataset, device: Device) -> None:
    """On the CPU nothing is copied: the tensors share the arrays' memory."""
    send = synchronized(lambda: upload(dataset.train, device), device)
    sent = benchmark.pedantic(send, rounds=10, iterations=1, warmup_rounds=1)
    benchmark.extra_info["bytes"] = sent.images.nbytes + sent.labels.nbytes
    assert torch.equal(sent.labels.cpu(), torch.from_numpy(dataset.train.labels))


@pytest.mark.benchmark(group="data, on the device")
def test_gather_an_epoch(benchmark: Any, training_set: DeviceSet, device: Device) -> None:
    order = torch.from_numpy(epoch_order(len(training_set), BATCH_SIZE, seed=0, epoch=0)).to(device.torch_device)

    def gather() -> Tensor:
        for index in order:
            inputs = scale_images(training_set.images.index_select(0, index))
        return inputs

    last = benchmark.pedantic(synchronized(gather, device), rounds=7, iterations=1, warmup_rounds=1)
    benchmark.extra_info["images"] = order.numel()
    torch.testing.assert_close(last, training_set.images[order[-1]].float() * PIXEL_SCALE)
