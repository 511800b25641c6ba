"""What two ranks of one thread each make of a sweep, beside the pool of two threads that one process has for it.

    torchrun --standalone --nproc-per-node 2 -m bench.studies.sweep_ranks --out results/ranks/sweep.md

Rank 0 sweeps by turns: as one process, while the other rank waits, and with that one. A round has both, in an order
drawn by chance; the trainings are the same, and have to end alike to the bit. The clock runs from the first training's
begin to the last one's end, with what the sweep proves of them meanwhile; the winner is not trained. A first round is
not counted: in it each rank loads the images.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from accelmnist.core.config import ExecutionConfig, RunConfig, TrainingConfig
from accelmnist.core.errors import StoppedError
from accelmnist.core.files import write_atomically
from accelmnist.core.records import RankFigures
from accelmnist.device import Device, resolve, set_threads
from accelmnist.device.environment import describe_environment
from accelmnist.device.ranks import Ranks, join, place_here
from accelmnist.sweep.plan import SweepConfig
from accelmnist.sweep.record import SweepRecord
from accelmnist.sweep.schedule import SweepObserver
from accelmnist.sweep.session import SweepRequest, execute_sweep
from accelmnist.sweep.trials import serve_trainings

_CONFIG = SweepConfig(
    hidden=((128,), (64,)),
    seeds=8,
    training=TrainingConfig(epochs=2, batch_size=128),
    execution=ExecutionConfig(device="cpu", engine="fused", threads=2),
)
_REPORT = """# A sweep by two ranks, and by one process

Made by `bench.studies.sweep_ranks` on {machine}, on {day}: {trainings} trainings of 784-128-10 and
784-64-10, batches of 128, {epochs} epochs of MNIST, proven as a sweep proves them. Each of {rounds} rounds has both
ways, in an order drawn by chance, and the trainings of all were the same to the bit.

| way | trainings a second: median | lowest to highest |
| --- | ---: | ---: |
{rows}

Two ranks over one process, round by round: median {median:.3f}, {low:.3f} to {high:.3f} (the bar: at least 0.95).
"""


class _Clock(SweepObserver):
    """Times the comparison, and stops the sweep before its winner is trained."""

    started = seconds = 0.0

    def stage(self, what: str) -> None:
        """Begin with the comparison, and end with it."""
        if "winner" in what:
            self.seconds = time.perf_counter() - self.started
            raise StoppedError("the trainings are over")
        self.started = time.perf_counter()


def timed(ranks: Ranks | None) -> tuple[float, SweepRecord]:
    """The seconds of the trainings, by `ranks` of one thread or by a pool of two, and the record."""
    threads, clock, kept = 2 if ranks is None else 1, _Clock(), list[SweepRecord]()
    torch.set_num_threads(threads)
    config = replace(_CONFIG, execution=replace(_CONFIG.execution, threads=threads))
    try:
        execute_sweep(SweepRequest(config=config, ranks=ranks, on_stopped=kept.append), clock)
    except StoppedError:
        return clock.seconds, kept[0]
    raise AssertionError("the winner is not to be trained")


def _trainings(record: SweepRecord) -> list[tuple[Any, ...]]:
    return sorted(
        (one.hidden, t.seed, t.accuracy_by_epoch, t.train_loss) for one in record.candidates for t in one.trials
    )


def _device_of(config: RunConfig) -> Device:
    set_threads(config.execution.threads)
    return resolve("cpu")


def measure(ranks: Ranks, rounds: int) -> dict[str, Any]:
    """The record of so many rounds, after one that is not counted."""
    seconds: dict[str, list[float]] = {"one process": [], "two ranks": []}
    expected: list[tuple[Any, ...]] | None = None
    figures: tuple[RankFigures, ...] = ()
    for number in range(rounds + 1):
        for way in random.sample(sorted(seconds), 2):
            took, record = timed(ranks if way == "two ranks" else None)
            expected = expected or _trainings(record)
            assert _trainings(record) == expected, f"the trainings by {way} are others"
            figures = record.ranks or figures
            if number:
                seconds[way].append(round(took, 4))
    environment = describe_environment(resolve("cpu"))
    return {
        "day": time.strftime("%Y-%m-%d"),
        "environment": asdict(environment),
        "trainings": len(expected or ()),
        "epochs": _CONFIG.training.epochs,
        "seconds": seconds,
        "ranks": [asdict(one) for one in figures],
    }


def report(record: dict[str, Any]) -> str:
    """The page of a record."""
    count, rows = record["trainings"], []
    for way, seconds in record["seconds"].items():
        speeds = [count / each for each in seconds]
        rows.append(f"| {way} | {statistics.median(speeds):.2f} | {min(speeds):.2f} to {max(speeds):.2f} |")
    pool, ranks = record["seconds"]["one process"], record["seconds"]["two ranks"]
    ratios = [one / other for one, other in zip(pool, ranks, strict=True)]
    return _REPORT.format(
        machine=record["environment"]["processor"],
        day=record["day"],
        trainings=count,
        epochs=record["epochs"],
        rounds=len(pool),
        rows="\n".join(rows),
        median=statistics.median(ratios),
        low=min(ratios),
        high=max(ratios),
    )


def main() -> None:
    """Measure as rank 0, or help it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=6)
    arguments = parser.parse_args()
    place = place_here()
    assert place is not None
    assert place.size == 2, "start it by torchrun with two ranks"
    ranks = join(place)
    if ranks.is_first:
        record = measure(ranks, arguments.rounds)
        write_atomically(arguments.out.with_suffix(".json"), json.dumps(record, indent=1).encode())
        write_atomically(arguments.out, report(record).encode())
    else:
        serve_trainings(ranks, _device_of)
    ranks.end(0)


if __name__ == "__main__":
    main()
