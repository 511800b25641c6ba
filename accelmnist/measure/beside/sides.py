"""All sides of a benchmark, the one of this program among them: their processes, and the files that they read."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import CLASSES, RunConfig
from accelmnist.core.errors import DeviceError, UnsupportedError
from accelmnist.core.text import brief
from accelmnist.data.types import Dataset
from accelmnist.engines.model import MLP
from accelmnist.engines.plan import Floats, TrainingPlan
from accelmnist.measure.beside.other_process import ANSWER_S, SEE_PROTOCOL, Asked, Guard, OtherProcess
from accelmnist.measure.beside.protocol import Answer, Hello, Losses, Prepared, Ran
from accelmnist.measure.plan import OURS, Case, Side

Reply = TypeVar("Reply", bound=Answer)
Arrays = Mapping[str, NDArray[Any]]

_MAGIC = b"\x93NUMPY"
_MOST_LOSSES = 3  # processes of a side; each takes a case that was at work with it


class Sides:
    """The sides `beside` this program, and it itself, each with `threads`; a context manager around the measurement.

    `left_s` says how long an answer may take at most.
    This program's own cases are measured in a process too, or another one would be held against something else.
    """

    def __init__(
        self, beside: tuple[Side, ...], *, threads: int, left_s: Callable[[], float] = lambda: ANSWER_S
    ) -> None:
        self._sides = (Side(name=OURS, command="python"), *beside)
        self._threads, self._left_s = threads, left_s
        self._processes: dict[str, OtherProcess] = {}
        self.given: dict[Path, GivenFile] = {}
        self.hellos: dict[str, Hello] = {}
        self.failures: dict[str, str] = {}  # why a side can't be measured, or no longer
        self._losses = Counter[str]()

    def __enter__(self) -> Sides:
        with ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="accelmnist-")))
            self._guard = stack.enter_context(Guard(self.folder))
            stack.callback(self.end)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, *names: str) -> None:
        """Start sides, anew if they run, and wait until all have greeted; what goes wrong is a side's failure.

        So is what ended it, if that happened too often.
        """
        for name in names:
            if (process := self._processes.pop(name, None)) is None:
                continue
            if process.lost is not None:
                self._losses[name] += 1
                if self._losses[name] >= _MOST_LOSSES:
                    self.failures[name] = process.lost
            process.end()
        started = [name for name in names if name not in self.failures]
        for name in started:
            side = next(side for side in self._sides if side.name == name)
            process = OtherProcess(side, threads=self._threads, watch=self._guard, left_s=self._left_s)
            self._processes[name] = process
        for name in started:
            try:
                self.hellos[name] = self._processes[name].greet()
            except DeviceError as error:
                self.failures[name] = str(error)

    def is_lost(self, name: str) -> bool:
        """Whether its process has ended, or had to be ended, since it greeted."""
        process = self._processes.get(name)
        return name not in self.failures and process is not None and process.lost is not None

    def names(self) -> list[str]:
        """Of all sides that can be measured, this program's own first."""
        return [side.name for side in self._sides if side.name not in self.failures]

    def end(self) -> None:
        """End all processes; `start` begins new ones."""
        for process in self._processes.values():
            process.end()
        self._processes.clear()

    def process_of(self, case: Case) -> OtherProcess:
        """The process that measures `case`; raises DeviceError if it can't."""
        name = case.side or OURS
        process = self._processes.get(name)
        reason = self.failures.get(name)
        if process is None or reason is not None:
            raise DeviceError(reason or f"{name} does not run")
        return process

    def threads_of(self, case: Case) -> int | None:
        """The threads that a side has for `case`; None if only it knows."""
        side = next(side for side in self._sides if side.name == (case.side or OURS))
        hello = self.hellos.get(side.name)
        told = None if hello is None else hello.threads
        return case.threads or told or (None if side.settings else self._threads)

    def flooding(self) -> list[str]:
        """Those that write much to standard error."""
        return [name for name, process in self._processes.items() if process.is_flooding]


@dataclass
class GivenFile:
    """A file that the sides read and none may change: the arrays in it, and its state after it was written."""

    path: Path
    content: NDArray[Any] | Arrays

    def __post_init__(self) -> None:
        self.write()

    def write(self) -> None:
        """Write it, also in the place of what somebody made of it."""
        if isinstance(self.content, np.ndarray):
            np.save(self.path, self.content)
        else:
            np.savez(self.path, **self.content)  # type: ignore[arg-type]  # of NumPy's own options
        self._written = self._state()

    @property
    def is_changed(self) -> bool:
        """Whether anybody wrote to it, removed it or put another in its place."""
        return self._state() != self._written

    def _state(self) -> tuple[int, ...] | None:
        try:
            found = os.stat(self.path)  # noqa: PTH116 - a third of the time of Path's, after every request
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class OpenCase:
    """One case over there: what `protocol` lets one ask of it, in arrays."""

    def __init__(
        self, sides: Sides, case: Case, config: RunConfig, data: Dataset, *, start: Arrays | None = None
    ) -> None:
        self.config, self._data = config, data
        self.process, self._key, self.threads = sides.process_of(case), case.label, sides.threads_of(case)
        self._folder, self._given = sides.folder, sides.given
        files = self._files(start)
        arguments = {"mode": case.mode, "config": msgspec.to_builtins(config), "files": files}
        self.prepared = self.ask(Prepared, "prepare", **arguments)
        if self.prepared.unsupported is not None:
            raise UnsupportedError(brief(self.prepared.unsupported))

    def ask(self, kind: type[Reply], do: str, **arguments: Any) -> Reply:
        """The answer of its kind; raises DeviceError."""
        answer = self.process.ask(kind, do, case=self._key, **arguments)
        self._require_files_unchanged()
        return answer

    def run(self, first: int, steps: int) -> Asked:
        """Run steps; its answer says how many, and how long they took."""
        asked = self.process.ask_timed(Ran, "run", case=self._key, first=first, steps=steps)
        self._require_files_unchanged()
        return asked

    def _require_files_unchanged(self) -> None:
        """Others read the same files; one side alone was at work since they were looked at last."""
        changed = [given for given in self._given.values() if given.is_changed]
        for given in changed:
            given.write()
        if changed:
            cause = f"it changed {changed[0].path.name}, which others read too"
            raise self.process.lose(cause, "Let it copy what it changes")

    def losses(self) -> Floats:
        """Of the last run."""
        return np.array(self.ask(Losses, "losses").losses, dtype=np.float32)

    def look(self) -> dict[str, NDArray[Any]]:
        """Weights and state by name; raises DeviceError for what is no such file."""
        path = self._fresh("state.npz")
        self.ask(Answer, "save", to=str(path))
        return self._read(path, "save")

    def put_back(self, arrays: Arrays | None) -> None:
        """Go on from what `look` gave; None is the start."""
        if arrays is None:
            self.ask(Answer, "load")
            return
        path = self._fresh("load.npz")
        np.savez(path, **arrays)  # type: ignore[arg-type]  # of NumPy's own options
        self.ask(Answer, "load", **{"from": str(path)})

    def classify(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """What it says of `images` (n, 784): logits (n, 10), or digits (n,)."""
        given, path = self._fresh("given.npy"), self._fresh("said.npy")
        np.save(given, images)
        self.ask(Answer, "classify", images=str(given), to=str(path))
        return self._said(path, "classify", len(images))

    def last(self, images: int) -> NDArray[Any]:
        """Logits of the last batch of so many images."""
        path = self._fresh("last.npy")
        self.ask(Answer, "last", to=str(path))
        return self._said(path, "last", images)

    def _fresh(self, name: str) -> Path:
        """Where a file comes next; what a side left there, even a folder, is gone."""
        path = self._folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):
            path.unlink()
        return path

    def _said(self, path: Path, what: str, images: int) -> NDArray[Any]:
        arrays = self._read(path, what)
        said = arrays.get("", np.empty(0))
        is_digits = said.shape == (images,) and said.dtype.kind in "iu"
        if not is_digits and said.shape != (images, CLASSES):
            cause = f"{what} gave an array of shape {said.shape}, and not {(images, CLASSES)}"
            raise DeviceError(cause, remedy=SEE_PROTOCOL)
        return said

    def _read(self, path: Path, what: str) -> dict[str, NDArray[Any]]:
        """The arrays of numbers in a file that it was to write, by name: one alone has none."""
        try:
            if not path.is_file():
                raise ValueError("there is none")
            with path.open("rb") as file:
                if not file.peek(len(_MAGIC)).startswith((_MAGIC, b"PK")):
                    raise ValueError("it is neither .npy nor .npz")
                loaded = np.load(file, allow_pickle=False)
                arrays = {"": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded}
            if any(array.dtype.kind not in "fiu" for array in arrays.values()):
                raise ValueError("it has something else than numbers")
        except Exception as error:  # whatever NumPy and the archive's reader make of somebody's bytes
            raise DeviceError(f"{what} left no file of arrays: {brief(str(error))}", remedy=SEE_PROTOCOL) from None
        return arrays

    def _files(self, start: Arrays | None) -> dict[str, str]:
        """The paths of what the case needs, written where they are not there yet."""
        config, data = self.config, self._data
        parts: Arrays = {
            "images": data.train.images,
            "labels": data.train.labels,
            "test_images": data.test.images,
        }
        paths = {name: self._written(f"{name}.npy", array) for name, array in parts.items()}
        plan = TrainingPlan(config, len(data.train))
        epochs = [plan.epoch(number) for number in range(config.training.epochs)]
        plans: dict[str, NDArray[Any]] = {
            "order": np.concatenate([epoch.order for epoch in epochs]),
            "rates": np.concatenate([epoch.learning_rates for epoch in epochs]),
            "seeds": np.concatenate([epoch.dropout_seeds for epoch in epochs]),
        }
        paths |= {name: self._written(f"{self._tag}-{name}.npy", array) for name, array in plans.items()}
        start = start or MLP(config.model, seed=config.training.seed).arrays()
        return {**paths, "start": self._written(f"{self._tag}-start.npz", start)}

    @property
    def _tag(self) -> str:
        return "-".join(self._key.replace("/", "-").split())

    def _written(self, name: str, content: NDArray[Any] | Arrays) -> str:
        path = self._folder / name
        if path not in self._given:
            self._given[path] = GivenFile(path, content)
        return str(path)
