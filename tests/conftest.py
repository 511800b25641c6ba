"""What the tests share: the devices that are there, and small data sets that train in a moment."""

from __future__ import annotations

import os
import sys
import tempfile

# Before torch is imported, here and in the processes that tests start: the tests' networks are so small that a second
# thread costs more than it brings, and on a busy machine the threads' waiting for each other costs a hundredfold.
if "--benchmark-only" not in sys.argv:  # benchmarks are measured with all threads
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# What was measured on this machine must not choose the engines of the tests, nor tests teach it anything.
_CACHE = tempfile.TemporaryDirectory(prefix="accelmnist-tests-")
os.environ["XDG_CACHE_HOME"] = _CACHE.name

import pytest

from accelmnist import device as devices
from accelmnist.data.mnist import load_dataset
from accelmnist.data.synthetic import make_synthetic
from accelmnist.data.types import Dataset
from accelmnist.device import Device


@pytest.fixture(scope="session")
def mnist() -> Dataset:
    """The real, embedded MNIST."""
    return load_dataset("mnist")


@pytest.fixture(scope="session")
def synthetic() -> Dataset:
    """A small learnable set: 2,048 training and 512 test images."""
    return make_synthetic(seed=1, train=2048, test=512)


@pytest.fixture(params=devices.available())
def device(request: pytest.FixtureRequest) -> Device:
    """Every device of this machine in turn: the same tests run on CUDA or MPS where there is one."""
    return devices.resolve(request.param)
