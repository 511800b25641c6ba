"""Peak memory of one case among others in one process.

A process has one peak for all that it ever did. So the peak is set back before a case is prepared, and what the case
added is the new peak less what was in use. That is a lower bound: memory that another case gave back to the allocator
is used again without a trace. Bytes.
"""

from __future__ import annotations

from accelmnist.device import (
    Device,
    peak_memory_bytes,
    process_peak_bytes,
    reset_peak_memory,
    used_memory_bytes,
)


class PeakMemory:
    """`begin` and `end` around a case's preparation; `process_bytes` is the peak of the process over all of them."""

    def __init__(self) -> None:
        self._highest = 0
        self._before: int | None = None

    @property
    def process_bytes(self) -> int:
        """The largest resident set of this process so far."""
        self._highest = max(self._highest, process_peak_bytes())
        return self._highest

    def begin(self, device: Device) -> None:
        """Set the peak back, after remembering it."""
        self._highest = self.process_bytes
        self._before = used_memory_bytes(device) if reset_peak_memory(device) else None

    def end(self, device: Device) -> int | None:
        """What was added since `begin` at most; None where a peak can't be set back."""
        peak = peak_memory_bytes(device)
        if self._before is None or peak is None:
            return None
        return max(peak - self._before, 0)
