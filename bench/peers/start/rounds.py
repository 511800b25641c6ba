"""All who take part, round by round in random order, each process with the round's seed.

Before the first round each runs once and isn't counted: it fills the file cache and, where a library has one, the cache
of compiled code, so that every counted start is a second start. Who takes longer than `SLOW_S` there runs in the first
round alone. Who is missing, dies, or isn't there after `process.LONGEST_S` is a row with its reason.
"""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from accelmnist.device.loading import prepare_for_torch
from bench.peers.catalogue import CATALOGUE, Entry
from bench.peers.process import ContenderLostError, environment
from bench.peers.record import StartCase
from bench.peers.start.process import Start, start_ours, start_peer
from bench.peers.start.task import PROGRAMS
from bench.peers.worker import versions

SLOW_S = 10.0
OURS = Entry(key="ours", title="accelmnist run --recipe mnist-98", module="", packages=("torch",), ours=True)
_MODULES = {"scikit-learn": "sklearn"}
# A later start finds what the first one compiled, however short that took.
_JAX_CACHE = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}

Starter = Callable[[Entry, int], Start]


@dataclass
class Runner:
    """Who takes part, and its processes so far."""

    entry: Entry
    reason: str | None = None
    slow: bool = False
    starts: list[Start] = field(default_factory=list)

    def case(self) -> StartCase:
        """What the record keeps."""
        return StartCase(
            key=self.entry.key,
            title=self.entry.title,
            ours=self.entry.ours,
            version=versions(self.entry.packages),
            reason=self.reason,
            seconds=tuple(start.seconds for start in self.starts),
            accuracies=tuple(start.accuracy for start in self.starts),
            parts=tuple(start.parts for start in self.starts),
        )


def entries_of(contenders: Sequence[str]) -> list[Entry]:
    """Who of `contenders` has a program here, and our command where one of our engines is among them."""
    ours = [OURS] if any(CATALOGUE[key].ours for key in contenders) else []
    return ours + [CATALOGUE[key] for key in contenders if key in PROGRAMS]


def starter(*, threads: int, scratch: Path) -> Starter:
    """The function that starts a process of an entry with a seed; caches lie in `scratch` and last from one to all."""
    prepare_for_torch()

    def start(entry: Entry, seed: int) -> Start:
        settings = environment(entry, threads=threads, scratch=scratch) | _JAX_CACHE
        settings["JAX_COMPILATION_CACHE_DIR"] = str(scratch / f"{entry.key}-xla")
        return start_ours(seed, settings) if entry.ours else start_peer(entry.key, seed, settings)

    return start


def measure(
    entries: Sequence[Entry], start: Starter, *, rounds: int, say: Callable[[str], None]
) -> Iterator[tuple[StartCase, ...]]:
    """Run everyone; yields the cases as they are after the first, uncounted processes and after every round."""
    runners = [Runner(entry, reason=_missing(entry)) for entry in entries]
    for runner in runners:
        first = _run(runner, start, 0)
        runner.slow = first is not None and first.seconds > SLOW_S
        say(f"start: {runner.entry.key}: {f'{first.seconds:.1f} s' if first else runner.reason}")
    yield tuple(runner.case() for runner in runners)
    order = random.Random(0)
    for number in range(rounds):
        for runner in order.sample(runners, len(runners)):
            if number == 0 or not runner.slow:
                completed = _run(runner, start, number)
                runner.starts += [completed] if completed else []
        say(f"start: round {number + 1} of {rounds}")
        yield tuple(runner.case() for runner in runners)


def _run(runner: Runner, start: Starter, seed: int) -> Start | None:
    if runner.reason is not None:
        return None
    try:
        return start(runner.entry, seed)
    except ContenderLostError as lost:
        runner.reason = str(lost)
        return None


def _missing(entry: Entry) -> str | None:
    name = entry.packages[0]
    if importlib.util.find_spec(_MODULES.get(name, name)) is None:
        return f"{name} is not installed: pip install '.[peers]'"
    return None
