"""The benchmark suite's switches and fixtures.

The suite measures, so it runs only when it is asked for: `pytest --benchmark-only`. A plain `pytest` collects it and
shows every benchmark as skipped, with that reason, since a test run that shares the machine with nothing to compare
is no place for a timing.

Every benchmark gives its rounds itself (`benchmark.pedantic`). Left alone, pytest-benchmark derives them from the
first call, and the first call of an engine that compiles takes a thousand times as long as the next. Every timed
target is synchronized at both ends. No benchmark asserts a time: what they assert is that the work was right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelmnist.device.loading import prepare_for_torch

prepare_for_torch()  # before torch is loaded, as the command line does it

import pytest
import torch

from accelmnist.data.mnist import load_dataset
from accelmnist.data.types import Dataset, DeviceSet, upload
from accelmnist.device import Device, available, cpu_instructions, processor, resolve
from bench.pairs import PAIR_PROPERTY

_HERE = Path(__file__).parent
_SKIPPED = pytest.mark.skip(reason="a benchmark: run it with pytest --benchmark-only")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip this folder's items unless benchmarks were asked for.

    `--benchmark-skip` among pytest's fixed options would do it too, but pytest-benchmark refuses it beside
    `--benchmark-only`.
    """
    if config.getoption("benchmark_only"):
        return
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(_SKIPPED)


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:  # noqa: ARG001
    """Put into the saved JSON what moves a timing: the devices, torch, its threads and its vector instructions."""
    machine_info["torch"] = str(torch.__version__)
    machine_info["processor_name"] = processor()
    machine_info["instructions"] = cpu_instructions()
    machine_info["threads"] = torch.get_num_threads()
    machine_info["devices"] = {name: resolve(name).hardware for name in available()}


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """The embedded MNIST set on the host."""
    return load_dataset()


@pytest.fixture(scope="session", params=available())
def device(request: pytest.FixtureRequest) -> Device:
    """Every device that is here, one after the other."""
    return resolve(request.param)


@pytest.fixture(scope="session")
def training_set(dataset: Dataset, device: Device) -> DeviceSet:
    """The 60,000 training images on `device`."""
    return upload(dataset.train, device)


@pytest.fixture(scope="session")
def test_set(dataset: Dataset, device: Device) -> DeviceSet:
    """The 10,000 test images on `device`."""
    return upload(dataset.test, device)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print every pair's ratio below the tables, which have no column for it."""
    reports = terminalreporter.getreports("passed")
    lines = [text for report in reports for name, text in report.user_properties if name == PAIR_PROPERTY]
    if lines:
        terminalreporter.section("pairs: our images/s over theirs")
        terminalreporter.write_line("\n".join(lines))
