"""The process of one contender: it reads requests from standard input and answers each with one line of JSON.

    python -m bench.peers.worker numpy

Requests are JSON objects with a "do":

    open      build the contender for a workload and precision, make its first call, size its region   -> Opened
    region    train one region, or classify as often; timed here, around work that waits for its end    -> seconds
    accuracy  go back to the start and train as far as there is time for                                -> accuracies
    close     forget the contender

Between two requests the process sleeps in a read. What libraries print goes to standard error, so that it can't get
into the answers. A reply with "error" says in one line what went wrong; the process lives on.
"""

from __future__ import annotations

import gc
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from accelmnist.data.mnist import load_dataset
from accelmnist.data.types import Dataset
from bench.peers.catalogue import CATALOGUE, Entry
from bench.peers.contract import Contender
from bench.peers.workloads import WORKLOADS, Floats, Job, PeerPrecision, Weights, Workload, start_weights

Reply = dict[str, Any]
LONGEST_REGION_S = 0.3


class Worker:
    """One contender, with at most one job open for each workload and precision."""

    def __init__(self, contender: type[Contender], variant: str, data: Dataset) -> None:
        self.contender, self.variant, self.data = contender, variant, data
        self.open_jobs: dict[str, tuple[Contender, Job]] = {}
        self.steps: dict[str, int] = {}  # of a region
        self.step_s: dict[str, float] = {}

    def answer(self, request: Reply) -> Reply:
        """Do what `request` asks for."""
        actions: dict[str, Callable[..., Reply]] = {
            "open": self.open,
            "region": self.region,
            "accuracy": self.accuracy,
            "close": self.close,
        }
        arguments = {name: value for name, value in request.items() if name != "do"}
        return actions[request["do"]](**arguments)

    def open(self, case: str, workload: str, precision: PeerPrecision, weights: str | None) -> Reply:
        """Build and make the first call, whose time beyond a later call's is the cost of starting."""
        task = WORKLOADS[workload]
        job = Job(task, precision, self.data, read_weights(weights) if weights else start_weights(task.sizes))
        refusal = self.contender.unsupported(job, self.variant)
        if refusal:
            return {"unsupported": refusal}
        whole = self.contender.compiles_region and task.mode == "training"
        steps = self.epoch_steps(task) if whole else self.unit(task)
        started = time.perf_counter()
        contender = self.contender(job, self.variant)
        _run(contender, task, steps)
        built_s = time.perf_counter() - started
        self.open_jobs[case] = contender, job
        later_s = self._best_of(case, steps, 3)
        return {"steps": self._sized(case, steps, later_s / steps), "first_s": max(built_s - later_s, 0.0)}

    def _sized(self, case: str, steps: int, step_s: float) -> int:
        """The steps of a region, which is run here to warm up: by the time of a step, then by that of a region."""
        _, job = self.open_jobs[case]
        for _ in range(2):
            self.step_s[case] = step_s
            fitting = fitting_steps(job.workload, step_s, self.unit(job.workload))
            if fitting == steps:
                break
            steps = fitting
            self._timed(case, steps)  # it may compile
            step_s = self._best_of(case, steps, 2) / steps
        self.steps[case] = steps
        return steps

    def _best_of(self, case: str, steps: int, times: int) -> float:
        """The shortest of a few regions; where they are long, two are enough."""
        seconds = [self._timed(case, steps)]
        while len(seconds) < times and (len(seconds) < 2 or seconds[-1] < LONGEST_REGION_S):
            seconds.append(self._timed(case, steps))
        return min(seconds)

    def unit(self, workload: Workload) -> int:
        """The least steps of a region."""
        return self.contender.unit if workload.mode == "training" else 1

    def epoch_steps(self, workload: Workload) -> int:
        """The most steps of a region."""
        return workload.regions(self.unit(workload))[-1]

    def region(self, case: str, steps: int) -> Reply:
        """One sample."""
        return {"seconds": self._timed(case, steps)}

    def _timed(self, case: str, steps: int) -> float:
        contender, job = self.open_jobs[case]
        gc.disable()  # a collection would hit whichever contender happens to run
        started = time.perf_counter()
        losses = _run(contender, job.workload, steps)
        seconds = time.perf_counter() - started
        gc.enable()
        if losses is not None and not np.isfinite(losses).all():
            raise ValueError("a loss is not finite")
        return seconds

    def accuracy(self, case: str, epochs: int, longest_s: float, every: bool) -> Reply:
        """Go back to the start and train to the last checkpoint that `longest_s` allows, the first one at least.

        Accuracies are [steps, share of the test set], of that checkpoint, or of `every` one up to it.
        """
        contender, job = self.open_jobs[case]
        if not contender.learns:
            return {"accuracies": []}
        if job.workload.mode == "inference":
            return {"accuracies": [[0, _share_right(contender, job)]]}
        points = job.workload.checkpoints(epochs)
        points = [steps for steps in points if steps * self.step_s[case] <= longest_s or steps == points[0]]
        contender.reset()
        accuracies, done = [], 0
        for steps in points if every else points[-1:]:
            self._train_on(case, steps - done)
            done = steps
            accuracies.append([steps, _share_right(contender, job)])
        return {"accuracies": accuracies}

    def _train_on(self, case: str, steps: int) -> None:
        """In whole epochs, since some shuffle only what a call gets; or in pieces of the region that is compiled."""
        contender, job = self.open_jobs[case]
        piece = self.steps[case] if self.contender.compiles_region else self.epoch_steps(job.workload)
        piece = math.gcd(piece, steps)
        for _ in range(steps // piece):
            contender.train(piece)

    def close(self, case: str) -> Reply:
        """Free what the job holds."""
        self.open_jobs.pop(case, None)
        gc.collect()
        return {}


def fitting_steps(workload: Workload, step_s: float, unit: int = 1) -> int:
    """The most steps, a divisor of the epoch's, that take no longer than a region should; the unit at least."""
    return max(steps for steps in workload.regions(unit) if steps == unit or steps * step_s <= LONGEST_REGION_S)


def _run(contender: Contender, workload: Workload, steps: int) -> Floats | None:
    if workload.mode == "training":
        return contender.train(steps)
    for _ in range(steps):
        contender.classify()
    return None


def _share_right(contender: Contender, job: Job) -> float:
    return float((contender.classify() == job.data.test.labels).mean())


def read_weights(path: str) -> Weights:
    """Weights as `save_weights` wrote them."""
    with np.load(path) as arrays:
        return [(arrays[f"arr_{2 * layer}"], arrays[f"arr_{2 * layer + 1}"]) for layer in range(len(arrays) // 2)]


def save_weights(path: str, weights: Weights) -> None:
    """Weights as one .npz file: weight and bias of each layer in turn."""
    np.savez(path, *(array for layer in weights for array in layer))


def versions(packages: tuple[str, ...]) -> str:
    """Names and versions of the distributions; "a|b" is whichever of the two is there."""
    return ", ".join(_version(names.split("|")) for names in packages)


def _version(names: list[str]) -> str:
    for name in names:
        try:
            return f"{name} {metadata.version(name).partition('+')[0]}"
        except metadata.PackageNotFoundError:
            continue
    return names[0]


def greeting(entry: Entry) -> tuple[type[Contender] | None, Reply]:
    """The contender's class and its version, or why it is not to be had."""
    try:
        contender: type[Contender] = import_module(f"bench.peers.contenders.{entry.module}").CONTENDER
    except ModuleNotFoundError as error:
        return None, {"missing": f"{error.name} is not installed: pip install '.[peers]'"}
    except ImportError as error:
        return None, {"missing": f"it can't be loaded: {_one_line(error)}"}
    return contender, {"version": versions(entry.packages)}


def _one_line(error: BaseException) -> str:
    """Type and first line of an exception; where it says nothing, the place that it comes from."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = traceback.extract_tb(error.__traceback__)[-1:]
    source = "".join(f"{Path(frame.filename).name}, line {frame.lineno}" for frame in last)
    return f"{type(error).__name__}: {lines[0] if lines else source}"[:300]


def serve(worker: Worker, requests: TextIO, replies: TextIO) -> None:
    """Answer until the requests end."""
    for line in requests:
        try:
            reply = worker.answer(json.loads(line))
        except Exception as error:
            traceback.print_exc()
            reply = {"error": _one_line(error)}
        send(replies, reply)


def send(replies: TextIO, reply: Reply) -> None:
    """One line; a number that JSON doesn't know is a mistake of ours."""
    assert not any(isinstance(value, float) and not math.isfinite(value) for value in reply.values())
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


def main() -> None:
    """Greet, then serve."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # from here on, what anybody prints goes to standard error
    entry = CATALOGUE[sys.argv[1]]
    contender, reply = greeting(entry)
    if contender is not None:
        worker = Worker(contender, entry.variant, load_dataset())
    send(replies, reply)
    if contender is not None:
        serve(worker, sys.stdin, replies)


if __name__ == "__main__":
    main()
