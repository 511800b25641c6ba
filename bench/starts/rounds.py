"""All who take part, round by round in random order, each process with the round's seed.

Before the first round each runs once and isn't counted: it fills the file cache and, where a library has one, the cache
of compiled code, so that every counted start is a second start. Who takes longer than `SLOW_S` there runs in the first
round alone. Who is missing, dies, or isn't there after `process.LONGEST_S` is a row with its reason.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from accelmnist.measure.beside.other_process import environment_of
from accelmnist.measure.plan import Side
from bench.starts.process import ProgramLostError, Start, start_ours, start_peer
from bench.starts.record import StartCase

SLOW_S = 10.0
OURS = "accelmnist run --recipe mnist-98"
# The library that each is about, by the names of the peers; the others are torch's.
_LIBRARIES = {"jax": "jax", "keras": "keras", "mlx": "mlx", "numpy": "numpy", "sklearn": "scikit-learn"}
_LIBRARIES |= {"tinygrad": "tinygrad"}
# A later start finds what the first one compiled, however short that took.
_JAX_CACHE = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}

Starter = Callable[[str, int], Start]


@dataclass
class Runner:
    """Who takes part, and its processes so far."""

    name: str
    reason: str | None = None
    slow: bool = False
    starts: list[Start] = field(default_factory=list)

    def case(self) -> StartCase:
        """What the record keeps."""
        return StartCase(
            title=self.name,
            ours=self.name == OURS,
            version=version_of(self.name),
            reason=self.reason,
            seconds=tuple(start.seconds for start in self.starts),
            accuracies=tuple(start.accuracy for start in self.starts),
            parts=tuple(start.parts for start in self.starts),
        )


def version_of(name: str) -> str:
    """The library that a program is about, with its version if it is there."""
    library = _LIBRARIES.get(name, "torch")
    try:
        return f"{library} {metadata.version(library).partition('+')[0]}"
    except metadata.PackageNotFoundError:
        return library


def starter(*, threads: int, scratch: Path) -> Starter:
    """The function that starts a process with a seed; caches lie in `scratch` and last from one to all."""

    def start(name: str, seed: int) -> Start:
        folder = str(scratch / name.partition(" ")[0])
        fresh = {"TORCHINDUCTOR_CACHE_DIR": folder, "XDG_CACHE_HOME": folder, "CACHEDB": f"{folder}.db"}
        side = Side(name="start", command="python -m bench.starts.program")
        settings = environment_of(side, threads=threads) | fresh | _JAX_CACHE
        settings["JAX_COMPILATION_CACHE_DIR"] = f"{folder}-xla"
        return start_ours(seed, settings) if name == OURS else start_peer(name, seed, settings)

    return start


def measure(
    names: Sequence[str], start: Starter, *, rounds: int, say: Callable[[str], None]
) -> Iterator[tuple[StartCase, ...]]:
    """Run everyone; yields the cases as they are after the first, uncounted processes and after every round."""
    runners = [Runner(name) for name in names]
    for runner in runners:
        first = _run(runner, start, 0)
        runner.slow = first is not None and first.seconds > SLOW_S
        say(f"{runner.name}: {f'{first.seconds:.1f} s' if first else runner.reason}")
    yield tuple(runner.case() for runner in runners)
    order = random.Random(0)
    for number in range(rounds):
        for runner in order.sample(runners, len(runners)):
            if number == 0 or not runner.slow:
                completed = _run(runner, start, number)
                runner.starts += [completed] if completed else []
        say(f"round {number + 1} of {rounds}")
        yield tuple(runner.case() for runner in runners)


def _run(runner: Runner, start: Starter, seed: int) -> Start | None:
    if runner.reason is not None:
        return None
    try:
        return start(runner.name, seed)
    except ProgramLostError as lost:
        runner.reason = str(lost)
        return None
