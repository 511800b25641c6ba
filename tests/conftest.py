"""What the tests share: the devices that are there, small data sets that train in a moment, and their distribution.

`make test` gives the tests to several processes (`pytest -n`). Those of one group stay in one process, one after the
other: the tests of a module which share what took long to make, and those which read the clock.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

# A shell's background job ignores Ctrl-C, and so would every process that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Before torch is imported, here and in the processes that tests start: the tests' networks are so small that a second
# thread costs more than it brings, and on a busy machine the threads' waiting for each other costs a hundredfold.
if "--benchmark-only" not in sys.argv:  # benchmarks are measured with all threads
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# torch takes the name of a level at its word, and dies of an instruction that the processor lacks.
_ASKED = os.environ.get("ATEN_CPU_CAPABILITY")
if _ASKED == "avx512" and Path("/proc/cpuinfo").exists() and "avx512f" not in Path("/proc/cpuinfo").read_text():
    del os.environ["ATEN_CPU_CAPABILITY"]

# What was measured on this machine must not choose the engines of the tests, nor tests teach it anything: every process
# has a cache of its own. The first one's has a folder for compiled code, which its workers share.
_CACHE = tempfile.TemporaryDirectory(prefix="accelmnist-tests-")
os.environ["XDG_CACHE_HOME"] = _CACHE.name
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", f"{_CACHE.name}/inductor")

import pytest
import torch

from accelmnist import device as devices
from accelmnist.data.mnist import load_dataset
from accelmnist.data.synthetic import make_synthetic
from accelmnist.data.types import Dataset
from accelmnist.device import Device
from tests.interpreted import interpreter


def pytest_report_header() -> str | None:
    """Say when the tests run by other instructions than were asked for."""
    lacking = _ASKED and "ATEN_CPU_CAPABILITY" not in os.environ
    return f"ATEN_CPU_CAPABILITY={_ASKED}: not on this processor, which uses what it has" if lacking else None


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Make groups of the tests that share what is made once: a module's fixture, Triton's process, compiled code."""
    for item in items:
        if isinstance(item, pytest.Function) and not item.get_closest_marker("xdist_group"):
            fixtures = itertools.chain(*item._fixtureinfo.name2fixturedefs.values())
            engine = item.callspec.params.get("engine") if hasattr(item, "callspec") else None
            if "interpreting" in item.fixturenames:
                item.add_marker(pytest.mark.xdist_group("interpreting"))
            elif engine == "compiled" or item.path.stem == "test_compiled":
                item.add_marker(pytest.mark.xdist_group("compiled"))
            elif any(fixture.scope == "module" for fixture in fixtures):
                item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(autouse=True)
def same_number_of_threads() -> Iterator[None]:
    """A run sets torch's number of threads, and the bits of the next test's eager training depend on it."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def mnist() -> Dataset:
    """The real, embedded MNIST."""
    return load_dataset("mnist")


@pytest.fixture(scope="session")
def synthetic() -> Dataset:
    """A small learnable set: 2,048 training and 512 test images."""
    return make_synthetic(seed=1, train=2048, test=512)


@pytest.fixture(scope="session")
def interpreting() -> Iterator[ProcessPoolExecutor]:
    """A process that interprets Triton's kernels, which takes seconds to start."""
    with interpreter() as pool:
        yield pool


@pytest.fixture(params=devices.available())
def device(request: pytest.FixtureRequest) -> Device:
    """Every device of this machine in turn: the same tests run on CUDA or MPS where there is one."""
    return devices.resolve(request.param)
