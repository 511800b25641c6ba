"""The runner's side of a contender's process: start it, ask it, end it.

Every process gets the same number of threads, however its library reads it, the same rule for waiting OpenMP threads,
and empty compile caches, so that a compile time is one. They run in sessions of their own: a Ctrl-C is the runner's.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

from accelmnist.device.loading import prepare_for_torch
from bench.peers.catalogue import Entry

ROOT = Path(__file__).parents[2]
LONGEST_WAIT_S = 90.0

# What libraries call the number of threads: OpenMP, OpenBLAS, MKL, XLA's pool, TensorFlow's two, tinygrad.
_THREAD_SETTINGS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NPROC",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "NUM_CPU_THREADS",
)

# OpenBLAS's threads wait awake for 2^28 cycles after a product, 110 ms, in which they would take the processor of the
# next contender; 2^24 cycles, 7 ms, still last from one product of a step to the next.
_SPINNING = {"OPENBLAS_THREAD_TIMEOUT": "24"}


class ContenderLostError(Exception):
    """The process ended, or doesn't answer; the message says which, in plain words."""


class Channel(Protocol):
    """A contender that can be asked: a process, or a stand-in of a test."""

    greeting: dict[str, Any]

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its reply; raises ContenderLostError."""

    def stop(self) -> None:
        """End it; it may be gone already."""


class ContenderProcess:
    """A running contender; `greeting` is what it said when it had loaded its library."""

    def __init__(self, entry: Entry, *, threads: int, scratch: Path) -> None:
        self.errors = scratch / f"{entry.key}.txt"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench.peers.worker", entry.key],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env=environment(entry, threads=threads, scratch=scratch),
                start_new_session=True,
            )
        _limit_processors(self.process.pid, threads)
        self.greeting: dict[str, Any] = {}

    def greet(self) -> None:
        """Wait until it has loaded its library."""
        try:
            self.greeting = self._read()
        except ContenderLostError as lost:
            self.greeting = {"missing": str(lost)}

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its reply; raises ContenderLostError."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise ContenderLostError(self._how_it_ended()) from error
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(LONGEST_WAIT_S):
                self.stop()
                raise ContenderLostError(f"it did not answer within {LONGEST_WAIT_S:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            raise ContenderLostError(self._how_it_ended())
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _how_it_ended(self) -> str:
        code = self.process.wait()
        lines = self.errors.read_text(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"its process died ({how}){f': {last[:200]}' if last else ''}"

    def stop(self) -> None:
        """Kill it and wait: there is nothing in it to save."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # what it was still to be told goes nowhere
                pipe.close()


def environment(entry: Entry, *, threads: int, scratch: Path) -> dict[str, str]:
    """The environment of a contender's process."""
    prepare_for_torch()
    folder = str(scratch / entry.key)
    fixed = dict.fromkeys(_THREAD_SETTINGS, str(threads)) | _SPINNING
    fresh = {"TORCHINDUCTOR_CACHE_DIR": folder, "XDG_CACHE_HOME": folder, "CACHEDB": f"{folder}.db"}
    return {**os.environ, **fixed, **fresh, **entry.environment}


def _limit_processors(process: int, threads: int) -> None:
    """Bind it to as many processors, where the system can: some libraries count those and read no setting."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process, sorted(os.sched_getaffinity(0))[:threads])


def default_threads() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
