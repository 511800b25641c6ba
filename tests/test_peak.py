"""Peak memory of one case among others: each has its own, whatever the cases before it took."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from accelmnist.device import process_peak_bytes, reset_peak_memory, resolve
from accelmnist.measure import machine
from accelmnist.measure.machine import PeakMemory

MB = 2**20
SLACK = 16 * MB  # what the interpreter itself may take or give back meanwhile

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not reset_peak_memory(resolve("cpu")), reason="the peak can't be set back here"
)


def added(peak: PeakMemory, size: int) -> int:
    """The peak of a case that fills `size` bytes and lets them go."""
    device = resolve("cpu")
    peak.begin(device)
    np.ones(size, dtype=np.uint8)  # so large that it goes back to the system at once
    found = peak.end(device)
    assert found is not None
    return found


def test_a_smaller_case_after_a_larger_one_has_its_own_peak() -> None:
    peak = PeakMemory()
    for size in (256 * MB, 64 * MB, 256 * MB):
        assert abs(added(peak, size) - size) < SLACK, size


def test_memory_that_the_process_kept_does_not_hide_a_peak() -> None:
    """What malloc(3) has free between two blocks is used again: it stays in the process until it is given back."""
    np.ones(31 * MB, dtype=np.uint8)  # glibc takes blocks up to this size from its own memory from now on
    blocks = [np.ones(16 * MB, dtype=np.uint8) for _ in range(12)]
    del blocks[:-1]
    peak = PeakMemory()
    assert abs(added(peak, 64 * MB) - 64 * MB) < SLACK


@pytest.mark.parametrize("name", ["peak_memory_bytes", "used_memory_bytes"])
def test_a_peak_in_another_unit_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = getattr(machine, name)
    peak = PeakMemory()
    added(peak, 256 * MB)
    assert not peak.checks
    monkeypatch.setattr(machine, name, lambda device: right(device) * 1000 // 1024)
    added(peak, 256 * MB)
    assert [check.name for check in peak.checks] == ["peak memory"]


def test_what_the_case_before_left_does_not_hide_a_peak() -> None:
    peak, device = PeakMemory(), resolve("cpu")
    ring: list[object] = [np.ones(128 * MB, dtype=np.uint8)]
    ring.append(ring)  # a ring that is let go stays until it is collected
    del ring
    peak.begin(device)
    gc.collect()
    np.ones(64 * MB, dtype=np.uint8)
    found = peak.end(device)
    assert found is not None
    assert abs(found - 64 * MB) < SLACK


def test_the_process_keeps_its_highest_peak() -> None:
    peak = PeakMemory()
    added(peak, 256 * MB)
    highest = peak.process_bytes
    added(peak, 8 * MB)
    assert highest <= peak.process_bytes < highest + SLACK


def test_a_process_does_not_inherit_the_peak_of_the_one_that_started_it() -> None:
    """Through exec(2) getrusage keeps the peak of the parent: a benchmark's fresh process would report its parent's."""
    np.ones(640 * MB, dtype=np.uint8)
    program = "from accelmnist.device import process_peak_bytes; print(process_peak_bytes())"
    child = int(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)
    assert 0 < child < process_peak_bytes() - 128 * MB


def test_without_proc_the_peak_is_that_of_getrusage(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", gone)
    assert process_peak_bytes() > 10 * MB
