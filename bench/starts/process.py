"""One process from its start to its accuracy: the clock of whoever starts it, from before the interpreter does.

A peer tells its accuracy in a line of JSON. This package's command is a user's, `accelmnist run --recipe mnist-98`,
and its time ends with the line that has the accuracy; what comes after it, the check against the reference and the
pictures, must succeed but is off the clock. The parts are those of its record.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from accelmnist.core.records import load_record
from accelmnist.measure.beside.peers import CHECKOUT

LONGEST_S = 40.0
_OURS = re.compile(r"([\d.]+) % of the test set are right")

Parts = dict[str, float]


class ProgramLostError(Exception):
    """The process ended, or isn't there in time; the message says which, in plain words."""


@dataclass(frozen=True)
class Start:
    """What one process took: `seconds` from its start to its accuracy, and of these the parts that it tells apart."""

    seconds: float
    accuracy: float
    parts: Parts


def start_peer(name: str, seed: int, environment: dict[str, str]) -> Start:
    """Run a peer's process; raises ProgramLostError where it dies or takes too long."""
    command = [sys.executable, "-m", "bench.starts.program", name, str(seed)]
    seconds, line = timed(command, environment, lambda text: text.startswith("{"))
    reply = json.loads(line)
    return Start(seconds, reply["accuracy"], reply["parts"])


def start_ours(seed: int, environment: dict[str, str]) -> Start:
    """Run this package's command in a new folder, as a user would."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        options = ["--recipe", "mnist-98", "--seed", str(seed), "--out", str(folder)]
        command = [sys.executable, "-m", "accelmnist", "run", *options]
        seconds, line = timed(command, environment, lambda text: _OURS.search(text) is not None)
        match = _OURS.search(line)
        assert match is not None
        timing = load_record(folder).timing
    data, training = (timing.load_s or 0) + (timing.upload_s or 0), timing.train_s + (timing.evaluate_s or 0)
    return Start(seconds, float(match[1]) / 100, {"data": data, "training": training})


def timed(command: Sequence[str], environment: dict[str, str], wanted: Callable[[str], bool]) -> tuple[float, str]:
    """Seconds from the start of `command` to its first `wanted` line, and the line; waits for the end of it.

    Raises ProgramLostError where the process ends without, fails, or takes longer than `LONGEST_S`.
    """
    with tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=CHECKOUT,
            env=environment,
            text=True,
            start_new_session=True,
        )
        late = threading.Timer(LONGEST_S, os.killpg, (process.pid, signal.SIGKILL))
        late.start()
        try:
            seconds, line = _first(process, started, wanted)
            code = process.wait()
        finally:
            late.cancel()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if time.perf_counter() - started >= LONGEST_S:
            raise ProgramLostError(f"not there after {LONGEST_S:.0f} s")
        if line is None or code != 0:
            errors.seek(0)
            last = [text.strip() for text in errors if text.strip()][-1:]
            raise ProgramLostError(f"its process died (exit code {code}): {''.join(last)[:200]}")
        return seconds, line


def _first(process: subprocess.Popen[str], started: float, wanted: Callable[[str], bool]) -> tuple[float, str | None]:
    """The time and the text of the first line that is wanted; all others are read away."""
    assert process.stdout is not None
    first: tuple[float, str | None] = (0.0, None)
    for line in process.stdout:
        if first[1] is None and wanted(line):
            first = time.perf_counter() - started, line
    return first
