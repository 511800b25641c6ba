"""The clock: how long a region of work takes on a device.

A GPU runs behind the host: a call returns when its work is queued, not when it is done. So the device is synchronized
before the clock is read, at both ends: at the first, or work that was queued earlier is counted; at the second, or only
the queueing is. Inside of a region nothing is synchronized, which would drain the queue that hides launch costs. It is
the host's clock on every device: MPS's own events can't be trusted, and of regions of 100 ms the microseconds that a
synchronization takes are a hundred-thousandth.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from accelmnist.device import Device, synchronize


def timed(work: Callable[[], object], device: Device) -> float:
    """Seconds that `work` takes on `device`, all of it."""
    synchronize(device)
    started = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - started
