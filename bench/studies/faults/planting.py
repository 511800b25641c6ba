"""A fault's copy of the package, and the program run there.

A copy shares its files with the original but for those that change. What is found says how surely: the runs in which
something failed, and by how much the value exceeded its limit.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import accelmnist
from accelmnist.core.errors import AccelmnistError
from accelmnist.core.records import load_record
from accelmnist.data.idx import write_idx
from accelmnist.data.mnist import PUBLISHED, load_dataset
from accelmnist.measure.recount import load_bench
from bench.studies.faults.fault import Fault
from bench.studies.faults.probe import CRASHED

ROOT = Path(accelmnist.__file__).parents[1]
_BUILD_FILES = ("setup.py", "pyproject.toml", "README.md", "LICENSE")
_TRAINING, _TEST = 10_000, 2_000  # images of the set that is trained on
Told = tuple[str, float | None, float | None]
INTERPRETED = ("triton", "persistent")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a fault: `by` is the check that told it, in `found` of `runs` runs; a value over its limit."""

    name: str
    part: str
    what: str
    command: str
    harmless: bool
    found: int
    runs: int
    by: str = ""
    value: float | None = None
    limit: float | None = None
    reason: str = ""  # why it can't be found

    @property
    def is_right(self) -> bool:
        """Whether the program did what it should: notice a fault in every run, and nothing that is harmless."""
        return self.found == (0 if self.harmless else self.runs)


@contextmanager
def images() -> Iterator[Path]:
    """A folder with a part of MNIST, which trains quickly."""
    dataset = load_dataset()
    with tempfile.TemporaryDirectory() as folder:
        parts = (
            dataset.train.images[:_TRAINING].reshape(-1, 28, 28),
            dataset.train.labels[:_TRAINING].astype("u1"),
            dataset.test.images[:_TEST].reshape(-1, 28, 28),
            dataset.test.labels[:_TEST].astype("u1"),
        )
        for published, array in zip(PUBLISHED, parts, strict=True):
            write_idx(Path(folder) / published.name, array)
        yield Path(folder)


@contextmanager
def planted(fault: Fault) -> Iterator[Path]:
    """A folder with the package and the fault in it, its kernels built anew if the fault is theirs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT / "accelmnist", folder / "accelmnist", copy_function=_share, symlinks=True)
        for edit in fault.edits:
            edit.apply(folder / "accelmnist")
        if fault.is_native:
            for file in _BUILD_FILES:
                shutil.copy(ROOT / file, folder / file)
            (extension,) = (folder / "accelmnist/engines/native").glob("_kernels*.so")
            extension.unlink()
            subprocess.run(
                [sys.executable, "setup.py", "build_ext", "--inplace"], cwd=folder, check=True, capture_output=True
            )
            assert extension.exists(), "the kernels were built"
        yield folder


def _share(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


class Probe:
    """The process that runs the program; a context manager around the study."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "GOMP_SPINCOUNT": "2000"}
        command = [sys.executable, "-m", "bench.studies.faults.probe"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True)

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, command: list[str], fault: Fault, folder: Path, *, runs: int) -> list[dict[str, Any]]:
        """What came of `runs` runs of `command` by the package in `folder`."""
        interpreted = {"TRITON_INTERPRET": "1"} if fault.stand_in in INTERPRETED else {}
        environment = {"XDG_CACHE_HOME": str(folder / "cache"), **interpreted}
        asked = {"command": command, "runs": runs, "stand_in": fault.stand_in, "folder": str(folder)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked | {"environment": environment}) + "\n")
        self._process.stdin.flush()
        done: list[dict[str, Any]] = json.loads(self._process.stdout.readline())
        return done or [{"code": CRASHED, "failed": [], "said": "the program did not start"}] * runs


def plant(fault: Fault, part: str, data: Path, probe: Probe, *, runs: int) -> Outcome:
    """Plant `fault`, run its command `runs` times, and say what came of it."""
    is_bench = fault.command.startswith("bench")
    runs = 1 if is_bench or fault.stand_in in INTERPRETED else runs  # they take long
    with planted(fault) as folder:
        command = [word.format(data=data, out="{out}") for word in fault.command.split()]
        command += [] if "{out}" in command else ["--no-save"]
        done = probe.run(command, fault, folder, runs=runs)
        told = [_told_by(one, folder / "out" / str(number), is_bench) for number, one in enumerate(done)]
    return _outcome(fault, part, [one for one in told if one is not None], runs=runs)


def _outcome(fault: Fault, part: str, found: list[Told], *, runs: int) -> Outcome:
    by, value, limit = max(found, key=lambda one: _excess(one[1:]), default=("", None, None))
    return Outcome(
        name=fault.name,
        part=part,
        what=fault.what,
        command=f"accelmnist {fault.command}",
        harmless=fault.harmless,
        found=len(found),
        runs=runs,
        by=by,
        value=value,
        limit=limit,
        reason=fault.unfindable,
    )


def _told_by(done: dict[str, Any], folder: Path, is_bench: bool) -> Told | None:
    """What told of a fault, with the value and its limit; None if nothing did."""
    if done["code"] and "was busy" not in done["said"]:  # a case that lacked time tells of no fault
        failed = sorted(done["failed"], key=lambda check: _excess((check["value"], check["limit"])), reverse=True)
        if not failed:
            return (f"{'crashed: ' if done['code'] == CRASHED else ''}{done['said']}"[:200], None, None)
        names = ", ".join(dict.fromkeys(check["name"] for check in failed))
        return names, failed[0]["value"], failed[0]["limit"]
    try:
        (load_bench if is_bench else load_record)(folder)
    except AccelmnistError as error:
        return f"refused by a program without the fault: {error}"[:200], None, None
    return None


def _excess(pair: tuple[float | None, float | None]) -> float:
    value, limit = pair
    return 0.0 if value is None or limit is None else abs(value) / max(abs(limit), 1e-300)
