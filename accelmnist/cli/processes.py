"""Processes of one benchmark: how long this one has run, and a fresh one that goes on with a record."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from accelmnist.core.errors import DeviceError

_TIME_TO_SAVE_S = 30.0


def seconds_since_start() -> float:
    """Seconds since this process was started, what it took to import included."""
    import psutil

    return max(time.time() - float(psutil.Process().create_time()), 0.0)


def resume_in_fresh_process(folder: Path) -> None:
    """Let a new process measure the benchmark in `folder` once more; returns when it has ended.

    Ctrl-C reaches both: this one waits until the other has saved. Raises DeviceError where the other one failed.
    """
    command = [sys.executable, "-m", "accelmnist", "bench", "--resume", str(folder), "--part", "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.wait(_TIME_TO_SAVE_S)
        raise
    if code not in (0, 1):
        raise DeviceError(f"a fresh process ended with exit code {code}", remedy="What was measured before is saved")
