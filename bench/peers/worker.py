"""A contender behind the protocol of `accelmnist.measure.beside`, as a side of a benchmark."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import RunConfig
from accelmnist.measure.beside.protocol import Request
from accelmnist.measure.beside.serving import Worker
from bench.peers.contract import Contender, Images, Job, State, refusal


@dataclass
class Open:
    """A case: its contender, the batches of test images that it classifies, and what the last run gave."""

    job: Job
    contender: Contender
    batches: list[Any] = field(default_factory=list)
    losses: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    last: NDArray[Any] | None = None

    def run(self, first: int, steps: int) -> None:
        """Train, or classify batches that go round."""
        if self.job.mode == "training":
            self.losses = self.contender.train(slice(first, first + steps))
        else:
            for number in range(first, first + steps):
                self.last = self.contender.classify(self.batches[number % len(self.batches)])


class PeerWorker(Worker):
    """Jobs of one kind of contender."""

    def __init__(self, kind: type[Contender], *, threads: int | None = None) -> None:
        self.kind, self.threads = kind, threads
        self.cases: dict[str, Open] = {}

    def hello(self) -> Request:
        """The versions of its libraries, and its threads."""
        return {"versions": {name: metadata.version(name) for name in self.kind.packages}, "threads": self.threads}

    def prepare(self, case: str, mode: str, config: dict[str, Any], files: dict[str, str]) -> Request:
        """Build it; where a first call takes longer than a second one, that is what compiling took."""
        job = Job(
            config=msgspec.convert(config, RunConfig),
            mode="training" if mode == "training" else "inference",
            data=_images(files["images"], files["labels"], files["test_images"]),
            order=np.load(files["order"]),
            rates=np.load(files["rates"]),
            start=_arrays(files["start"]),
        )
        if reason := refusal(self.kind, job):
            return {"unsupported": reason}
        made = Open(job, self.kind(job))
        if job.mode == "inference":
            size = job.config.training.batch_size
            whole = len(job.data.test) // size * size
            made.batches = [made.contender.upload(part) for part in np.split(job.data.test[:whole], whole // size)]
        self.cases[case] = made
        self.load(case)
        return {
            "order": "own" if self.kind.shuffles else "given",
            "compile_s": self._compile_s(case) if self.kind.compiles else None,
        }

    def _compile_s(self, case: str) -> float:
        made = self.cases[case]
        steps = self.kind.first_steps if made.job.mode == "training" else 1
        first, again = (timed(lambda: made.run(0, steps)) for _ in range(2))
        self.load(case)
        return max(first - again, 0.0)

    def load(self, case: str, source: str | None = None) -> None:
        """What a file lacks is set to the start."""
        made = self.cases[case]
        made.contender.load(made.job.fresh() | ({} if source is None else _arrays(source)))

    def run(self, case: str, first: int, steps: int) -> Request:
        """Time it."""
        made = self.cases[case]
        if made.job.mode == "training" and not 0 <= first < first + steps <= len(made.job.order):
            raise ValueError(f"there are no steps {first} to {first + steps}")
        return {"seconds": timed(lambda: made.run(first, steps)), "steps": steps}

    def losses(self, case: str) -> Request:
        """Of the last run: of every step, or their mean."""
        return {"losses": self.cases[case].losses.tolist()}

    def save(self, case: str, to: str) -> None:
        """By the names of the protocol."""
        np.savez(to, **self.cases[case].contender.save())  # type: ignore[arg-type]  # of NumPy's own options

    def classify(self, case: str, images: str, to: str) -> None:
        """All at once, or in batches of the size that is classified."""
        made, given = self.cases[case], np.load(images)
        size = made.job.config.training.batch_size if made.job.mode == "inference" else len(given)
        parts = [given[start : start + size] for start in range(0, len(given), size)]
        np.save(to, np.concatenate([made.contender.classify(made.contender.upload(part)) for part in parts]))

    def last(self, case: str, to: str) -> None:
        """As it was left."""
        last = self.cases[case].last
        assert last is not None, "nothing was classified"
        np.save(to, last)


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes, without a collection, which would hit whoever happens to run."""
    gc.disable()
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    gc.enable()
    return seconds


@lru_cache(1)
def _images(images: str, labels: str, test_images: str) -> Images:
    return Images(np.load(images), np.load(labels), np.load(test_images))


def _arrays(path: str) -> State:
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}
