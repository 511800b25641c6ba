"""Measures the main job as a user has it: `accelmnist run` in a process of its own, saved files and pictures included.

    python -m bench.studies.default_run --readme

Five seeds, one process each after one that is not counted (it fills the file cache). Wall time and peak memory are
those of the whole process as the operating system counts them; accuracy and images/s come from the run's own record.
With --readme the processes and their machine go into results/default-run.json, and their medians between the marks in
results/README.md, with the pictures of the first seed and the atlas of its neurons.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accelmnist.core.files import make_folder, write_atomically
from accelmnist.core.records import RunRecord, load_record
from bench.studies.tables import ROOT, write_part

RESULTS = ROOT / "results"
COMMAND = "python -m bench.studies.default_run --readme"
MACHINE = ("processor", "cores", "cpu_capability", "torch", "python")  # what the table says of the environment
PICTURES = ("weights.png", "confusion.png", "curves.png", "mistakes.png", "atlas.png")


@dataclass(frozen=True)
class Process:
    """One whole process: seconds from start to exit, its largest resident set, and what its record says."""

    seed: int
    wall_s: float
    peak_memory_bytes: int
    accuracy: float
    macro_f1: float
    train_s: float
    images_per_s: float
    passed: bool


def run_once(seed: int, folder: Path) -> tuple[Process, RunRecord]:
    """Run the defaults from `seed` in a new process that saves into `folder`."""
    command = [sys.executable, "-m", "accelmnist", "run", "--seed", str(seed), "--out", str(folder)]
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        child = os.posix_spawn(command[0], command, os.environ, file_actions=_to(output.fileno()))
        _, status, usage = os.wait4(child, 0)
        wall_s = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"error: {' '.join(command[1:])} failed")
    record = load_record(folder)
    assert record.metrics is not None
    assert record.verdict is not None
    process = Process(
        seed=seed,
        wall_s=wall_s,
        peak_memory_bytes=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        accuracy=record.metrics.accuracy,
        macro_f1=record.metrics.macro_f1,
        train_s=record.timing.train_s,
        images_per_s=record.timing.images_per_s or 0.0,
        passed=record.verdict.passed,
    )
    return process, record


def look_inside(folder: Path) -> None:
    """Have the run's neurons described and drawn, which is no part of what is measured."""
    command = [sys.executable, "-m", "accelmnist", "neurons", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _to(descriptor: int) -> list[tuple[int, int, int]]:
    return [(os.POSIX_SPAWN_DUP2, descriptor, 1), (os.POSIX_SPAWN_DUP2, descriptor, 2)]


def markdown(processes: Sequence[Process], machine: Mapping[str, Any]) -> str:
    """The table for results/README.md: median, smallest and largest of each figure."""
    rows = [
        ("test accuracy", [f"{100 * p:.2f} %" for p in _three(processes, "accuracy")]),
        ("macro F1", [f"{p:.4f}" for p in _three(processes, "macro_f1")]),
        ("whole process, files and pictures included", [f"{p:.1f} s" for p in _three(processes, "wall_s")]),
        ("training", [f"{p:.2f} s" for p in _three(processes, "train_s")]),
        ("images/s", [f"{p:,.0f}" for p in _three(processes, "images_per_s")]),
        (
            "peak memory, without the helper's 0.2 GB",
            [f"{p / 1e6:.0f} MB" for p in _three(processes, "peak_memory_bytes")],
        ),
    ]
    verdicts = "all PASS" if all(process.passed for process in processes) else "not all PASS"
    head = (
        f"`accelmnist run`, {len(processes)} seeds, {verdicts}, on {machine['processor']} ({machine['cores']} cores, "
        f"{machine['cpu_capability']}), torch {machine['torch'].partition('+')[0]}, Python {machine['python']}:"
    )
    table = ["| figure | median | smallest | largest |", "| --- | ---: | ---: | ---: |"]
    table += [f"| {name} | {' | '.join(values)} |" for name, values in rows]
    return "\n".join([head, "", *table])


def _three(processes: Sequence[Process], name: str) -> tuple[float, float, float]:
    values = [getattr(process, name) for process in processes]
    return statistics.median(values), min(values), max(values)


def main() -> None:
    """Measure, and write what was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.studies.default_run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--readme", action="store_true", help="write the table for results/README.md, and the pictures")
    arguments = parser.parse_args()
    processes, records = [], []
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(-1, arguments.seeds):
            process, record = run_once(max(number, 0), Path(scratch) / str(number))
            print(process, file=sys.stderr, flush=True)
            if number >= 0:
                processes.append(process)
                records.append(record)
        machine = {name: getattr(records[0].environment, name) for name in MACHINE}
        table = markdown(processes, machine)
        if arguments.readme:
            look_inside(Path(scratch) / "0")
            pictures = make_folder(RESULTS / "readme")
            for name in PICTURES:
                shutil.copy(Path(scratch) / "0" / name, pictures / name)
            write_part(COMMAND, table)
            document = {"command": COMMAND, "machine": machine, "processes": [asdict(p) for p in processes]}
            write_atomically(RESULTS / "default-run.json", json.dumps(document, indent=2).encode() + b"\n")
    print(table)


if __name__ == "__main__":
    main()
