"""The clock reads what the device did, not what the host queued: shown on a device that works only when it must."""

from __future__ import annotations

import pytest
import torch

from accelmnist.device import Device
from accelmnist.measure import timed_case as sampling
from accelmnist.measure.timed_case import seconds_of

GPU = Device("cuda:0", "a GPU that only exists here", "for the test")
QUEUE_S, STEP_S = 1e-6, 1e-3


class LazyDevice:
    """A clock of its own, on which queueing a step takes a microsecond, and working it off a millisecond."""

    def __init__(self) -> None:
        self.now = 0.0
        self.queued = 0

    def queue(self, steps: int) -> None:
        self.queued += steps
        self.now += steps * QUEUE_S

    def synchronize(self, _device: Device) -> None:
        self.now += self.queued * STEP_S
        self.queued = 0


@pytest.fixture
def lazy(monkeypatch: pytest.MonkeyPatch) -> LazyDevice:
    device = LazyDevice()
    monkeypatch.setattr(sampling, "synchronize", device.synchronize)
    monkeypatch.setattr(sampling.time, "perf_counter", lambda: device.now)
    return device


def test_all_the_work_is_timed(lazy: LazyDevice) -> None:
    assert seconds_of(lambda: lazy.queue(100), GPU) == pytest.approx(100 * (QUEUE_S + STEP_S))


def test_work_that_was_queued_before_is_not_timed(lazy: LazyDevice) -> None:
    lazy.queue(1000)
    assert seconds_of(lambda: lazy.queue(100), GPU) == pytest.approx(100 * (QUEUE_S + STEP_S))


def test_a_missing_synchronize_is_seen(lazy: LazyDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the clock reads the queueing alone, a thousandth, whichever device it is."""
    monkeypatch.setattr(sampling, "synchronize", lambda _device: None)
    assert seconds_of(lambda: lazy.queue(100), GPU) == pytest.approx(100 * QUEUE_S)


@pytest.mark.parametrize(("kind", "calls"), [("cuda", "cuda"), ("mps", "mps"), ("cpu", None)])
def test_each_kind_of_device_is_synchronized_by_its_own_call_at_both_ends(
    monkeypatch: pytest.MonkeyPatch, kind: str, calls: str | None
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _device: seen.append("cuda"))
    monkeypatch.setattr(torch.mps, "synchronize", lambda: seen.append("mps"))
    seconds_of(lambda: seen.append("work"), Device(kind, kind, "for the test"))
    assert seen == (["work"] if calls is None else [calls, "work", calls])
