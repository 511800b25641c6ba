"""What a soak adds to the trainings that it replays, measured as pairs in one process.

    python -m bench.studies.soak_cost --engine fused --seconds 40 --out results/soak.md

A pair is the same training twice on the same runner, once replayed as `accelmnist soak` does, with its segments, marks
and digests, and once left alone; the order alternates. Every call adds the pairs of a process to the record beside the
report. The soak's own process works beside those of its devices: a soak of some seconds says what share of a core it
takes. `--soaked FOLDER` adds what a long soak found, and `--from` makes the report of what is there anew.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from accelmnist.core.config import ExecutionConfig, RunConfig
from accelmnist.core.files import write_atomically
from accelmnist.data.mnist import load_in_background
from accelmnist.data.split import load_images
from accelmnist.device import processor, resolve
from accelmnist.device.loading import usable_threads
from accelmnist.engines.choose import engine_class
from accelmnist.engines.contract import Job
from accelmnist.measure.soak.plan import SoakConfig
from accelmnist.measure.soak.record import SoakRecord
from accelmnist.measure.soak.recount import load_soak
from accelmnist.measure.soak.replays import Replays
from accelmnist.measure.soak.session import SoakObserver, SoakRequest, execute_soak, new_record
from accelmnist.measure.statistics.comparison import compare
from accelmnist.show.units import percent, seconds
from accelmnist.training.loop import prepare, train
from bench.studies.faults.planting import ROOT

_LEAST = 3  # pairs of a process
_SOAK_S = 10.0

_REPORT = """# What a soak costs

Made by `python -m bench.studies.soak_cost` on {threads} threads of {machine}, {day}: trainings of 784-256-10, each
replayed as a soak does it and left alone, in pairs whose order alternates. The bar is 5 %.

| engine | processes | pairs | steps of a segment | alone, images/s | time that the soak adds | 95 % interval |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
{rows}

The soak's own process, which asks, counts and saves beside the devices, took {own} of a core.
"""
_SOAKED = """
Long soaks, in which nothing was planted:

| day | devices | engine | time | replays | that differ | images/s in the first and last tenth | others' share of the processors | verdict |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | --- |
{rows}
"""  # noqa: E501


def measure(engine: str, for_s: float) -> dict[str, Any]:
    """Seconds of the trainings of pairs, replayed and left alone, for about so many seconds."""
    run = RunConfig(execution=ExecutionConfig(device="cpu", engine=engine, threads=usable_threads()))
    images = load_images(run, load_in_background(run.data, seed=run.training.seed)).training
    job = Job(run, resolve("cpu"), images)
    replays = Replays(job, prepare(engine_class(engine), job))
    ways: dict[str, Callable[[], object]] = {"replayed": replays.replay, "alone": lambda: _train(replays)}
    for way in ways.values():
        way()
    taken: dict[str, list[float]] = {name: [] for name in ways}
    ends_at = time.perf_counter() + for_s
    while time.perf_counter() < ends_at or len(taken["alone"]) < _LEAST:
        order = list(ways)[:: 1 if len(taken["alone"]) % 2 else -1]
        for name in order:
            began = time.perf_counter()
            ways[name]()
            taken[name].append(time.perf_counter() - began)
    return {"engine": engine, "segment": replays.every, "images": len(job) * run.training.epochs, **taken}


def _train(replays: Replays) -> None:
    """The training alone."""
    replays.put_start_back()
    for _ in train(replays.runner, replays.job, probe=None):
        pass


class _Clock(SoakObserver):
    """Reads how long this process has worked when the replays begin."""

    began = (0.0, 0.0)

    def stage(self, what: str) -> None:
        """The soak goes on to `what`."""
        if what == "replaying":
            self.began = time.perf_counter(), _own_s()


def _own_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def own_share() -> float:
    """The share of a core that the process of a soak takes while its devices replay."""
    clock = _Clock()
    config = SoakConfig(devices=("cpu",), for_s=_SOAK_S)
    execute_soak(SoakRequest(record=new_record(config)), clock)
    return (_own_s() - clock.began[1]) / (time.perf_counter() - clock.began[0])


def _row(engine: str, processes: list[dict[str, Any]]) -> str:
    replayed, alone = ([second for one in processes for second in one[way]] for way in ("replayed", "alone"))
    over = compare(alone, replayed, paired=True)  # of times: how much longer the second ones are
    speed = np.median([one["images"] / second for one in processes for second in one["alone"]])
    segments = sorted({one["segment"] for one in processes})
    cost, low, high = (f"{100 * (ratio - 1):.1f} %" for ratio in (over.ratio, over.low, over.high))
    where = f"{segments[0]} to {segments[-1]}" if len(segments) > 1 else str(segments[0])
    return f"| {engine} | {len(processes)} | {len(alone)} | {where} | {speed:,.0f} | {cost} | {low} to {high} |"


def soaked(record: SoakRecord) -> list[str]:
    """A row of what a soak found."""
    tenths = []
    for place in range(len(record.devices)):
        speeds = [speed for _, speed in record.speeds(place, "together")]
        tenth = max(len(speeds) // 10, 1)
        tenths.append(f"{np.median(speeds[:tenth]):,.0f}, {np.median(speeds[-tenth:]):,.0f}")
    others = [round_.other_cpu for round_ in record.rounds if round_.other_cpu is not None]
    passed = record.verdict is not None and record.verdict.passed
    return [
        record.created[:10],
        ", ".join(device.name for device in record.devices),
        ", ".join(sorted({device.engine or "none" for device in record.devices})),
        seconds(record.elapsed_s),
        f"{sum(device.replays for device in record.devices):,}",
        f"{sum(device.wrong for device in record.devices):,}",
        "; ".join(tenths),
        percent(float(np.median(others)), digits=0) if others else "unknown",
        "PASS" if passed else "FAIL",
    ]


def report(document: dict[str, Any]) -> str:
    """The page in Markdown."""
    engines = dict.fromkeys(one["engine"] for one in document["processes"])
    of = {name: [one for one in document["processes"] if one["engine"] == name] for name in engines}
    rows = "\n".join(_row(name, processes) for name, processes in of.items())
    facts = {name: document[name] for name in ("machine", "threads", "day")}
    costs = _REPORT.format(rows=rows, own=percent(document["own_share"], digits=1), **facts)
    longest = "\n".join(f"| {' | '.join(row)} |" for row in document.get("soaks", []))
    return costs + (_SOAKED.format(rows=longest) if longest else "")


def main() -> None:
    """Measure, unless a saved record's report is wanted, and write both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="fused")
    parser.add_argument("--seconds", type=float, default=40.0, help="of pairs (default 40)")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "soak.md")
    parser.add_argument("--soaked", type=Path, help="the folder of a soak: add what it found")
    parser.add_argument("--from", dest="saved", action="store_true", help="make the report of what is there anew")
    arguments = parser.parse_args()
    file = arguments.out.with_suffix(".json")
    document: dict[str, Any] = {"processes": []}
    if file.exists():
        document = json.loads(file.read_text(encoding="utf-8"))
    if arguments.soaked is not None:
        document.setdefault("soaks", []).append(soaked(load_soak(arguments.soaked)))
        write_atomically(file, (json.dumps(document, indent=1) + "\n").encode())
    elif not arguments.saved:
        document["processes"].append(measure(arguments.engine, arguments.seconds))
        document |= {"machine": processor(), "threads": usable_threads(), "day": datetime.now(UTC).date().isoformat()}
        if "own_share" not in document:
            document["own_share"] = own_share()
        write_atomically(file, (json.dumps(document, indent=1) + "\n").encode())
    write_atomically(arguments.out, report(document).encode())


if __name__ == "__main__":
    main()
