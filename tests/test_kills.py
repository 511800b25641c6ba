"""Fifty times SIGKILL at a random moment of run, bench and sweep: nothing is lost, left behind or barred.

The processes are forked from one that has loaded torch: a fresh one would take seconds to start, and none to be killed.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from random import Random
from typing import Any

import pytest

from accelmnist.core.files import RECORDS
from accelmnist.core.records import load_record
from accelmnist.measure.recount import load_bench
from accelmnist.sweep.recount import load_sweep

DATA = ["--dataset", "synthetic", "--hidden", "8"]
TRAINING = ["--epochs", "2", "--batch-size", "128", "--device", "cpu", "--engine", "eager", "--threads", "1"]
QUICK = ["--precision-target", "90%", "--batch-sizes", "64"]
COMMANDS = {
    "run": [*DATA, *TRAINING, "--no-reference"],
    "bench": [*DATA, "--devices", "cpu", "--engines", "eager", "--threads", "1", "--mode", "training", *QUICK],
    "sweep": [*DATA, *TRAINING, "--hidden", "4", "--workers", "1"],
}
LOADED = ("accelmnist.show.pictures", "accelmnist.show.observer", "accelmnist.show.sweep.live", "sklearn.metrics")
LOADED += ("accelmnist.show.bench.live", "accelmnist.cli.run", "accelmnist.cli.bench", "accelmnist.cli.sweep")
LOADED += ("accelmnist.measure.benchmark", "accelmnist.training.proof", "accelmnist.sweep.trials.training")
LOADED += ("accelmnist.show.summary", "accelmnist.engines.eager", "tests.test_kills")


def invoke_quietly(arguments: list[str], errors: Path) -> None:
    """One command line in this process, which is its alone; it draws its pictures itself."""
    from accelmnist.cli import invoke
    from accelmnist.measure import benchmark, timed_case
    from accelmnist.measure.limits import probe, probes

    setting: Any = timed_case, probe, probes, benchmark._Rounds
    setting[0].TimedCase.least_s = 0.01
    setting[1].SAMPLE_S, setting[2].PROBE_S = 0.0005, 0.002
    setting[3]._is_over = lambda rounds, _: rounds.count >= 3
    probes._COPY_BYTES["cpu"] = 1 << 22
    os.cpu_count = lambda: 1
    with errors.open("a") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(invoke(arguments))


class Folder:
    """A result's folder and the command that fills it, begun anew until there is a record to go on with."""

    def __init__(self, command: str, path: Path, context: Any) -> None:
        self.command, self.path, self.context = command, path, context
        self.errors = path.with_suffix(".log")

    def start(self) -> ForkServerProcess:
        has_record = (self.path / RECORDS[self.command]).exists()
        arguments = ["--resume", str(self.path)] if has_record else ["--out", str(self.path), *COMMANDS[self.command]]
        process = self.context.Process(target=invoke_quietly, args=([self.command, *arguments, "--quiet"], self.errors))
        process.start()
        return process

    def kill_after(self, seconds: float) -> bool:
        """Whether it was killed and not over before."""
        process = self.start()
        process.join(seconds)
        process.kill()
        process.join()
        return process.exitcode == -9 or not self.is_over(process)

    def complete(self) -> float:
        """Let it come to its end; returns the seconds that it took."""
        started = time.monotonic()
        process = self.start()
        process.join(300)
        assert self.is_over(process)
        self.check()
        return time.monotonic() - started

    def is_over(self, process: ForkServerProcess) -> bool:
        """A process that was not killed came to its end, or found that one before it had."""
        errors = self.errors.read_text()
        assert process.exitcode == 0 or "is finished" in errors, errors
        assert "Traceback" not in errors
        return True

    def check(self) -> None:
        """All of the result is there, and nothing else."""
        record = {"run": load_record, "bench": load_bench, "sweep": load_sweep}[self.command](self.path)
        assert record.status == "done"
        files = set(record.files)
        if self.command == "sweep":
            best = load_record(self.path / "best")
            assert best.status == "done"
            files |= {f"best/{name}" for name in best.files}
        assert {str(path.relative_to(self.path)) for path in self.path.rglob("*") if path.is_file()} == files


def process_maker() -> Any:
    """Makes processes that have all loaded from their start."""
    forked = multiprocessing.get_context("forkserver")
    forked.set_forkserver_preload(["torch", *LOADED])
    return forked


@pytest.mark.slow
@pytest.mark.parametrize(("command", "kills"), [("run", 34), ("bench", 8), ("sweep", 8)])
def test_killed_at_any_moment_all_of_it_is_there_in_the_end(command: str, kills: int, tmp_path: Path) -> None:
    context = process_maker()
    whole = Folder(command, tmp_path / "whole", context)
    whole.complete()
    whole = Folder(command, tmp_path / "again", context)
    takes_s = whole.complete()  # without the start of the process from which all are forked
    rng, number = Random(command), 0
    while kills > 0:
        number += 1
        folder = Folder(command, tmp_path / str(number), context)
        for _ in range(min(kills, 4)):  # and once more in the middle of going on
            if not folder.kill_after(rng.uniform(0.0, takes_s)):
                break
            kills -= 1
        folder.complete()
        for weights in folder.path.rglob("model.safetensors"):
            assert weights.read_bytes() == (whole.path / weights.relative_to(folder.path)).read_bytes()
