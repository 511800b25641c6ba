"""What two processes do together for test_ranks.py: trainings whose weights are compared, and runs with a fault in one.

`python -m tests.rank_worker FILE`, once a rank with torchrun's variables: rank 0 writes what came of each into FILE.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from accelmnist.core.config import DataConfig, ExecutionConfig, ModelConfig, RunConfig, TrainingConfig
from accelmnist.core.errors import AccelmnistError
from accelmnist.data.synthetic import make_synthetic
from accelmnist.data.types import Dataset
from accelmnist.device import resolve
from accelmnist.device.ranks import Ranks, join, place_here
from accelmnist.engines.choose import engine_class
from accelmnist.engines.contract import Job
from accelmnist.engines.plan import TrainingPlan
from accelmnist.engines.step.shared_steps import SharedSteps
from accelmnist.show.observer import SilentObserver
from accelmnist.training import evaluation
from accelmnist.training.execute import execute
from accelmnist.training.loop import losses_of, prepare, train
from accelmnist.training.reference.audit import digests_of
from accelmnist.training.run import RunRequest, choose_setup

Fault = Callable[[Ranks], Any]

BASE = RunConfig(
    data=DataConfig(dataset="synthetic"),
    model=ModelConfig(hidden=(16,)),
    training=TrainingConfig(epochs=2, batch_size=64),
    execution=ExecutionConfig(device="cpu", engine="eager", threads=1, ranks=2),
)


def changed(**parts: dict[str, Any]) -> RunConfig:
    """The base with some values of some parts changed."""
    return replace(BASE, **{name: replace(getattr(BASE, name), **values) for name, values in parts.items()})


_EXACT = {"reduction": "exact"}
# What is trained by one process as well: by the exact reduction to the same bits.
TRAININGS = {
    "eager": changed(execution=_EXACT),
    "fused": changed(execution=_EXACT | {"engine": "fused"}),
    "dropout": changed(execution=_EXACT, model={"dropout": 0.3}),
    "fused dropout": changed(execution=_EXACT | {"engine": "fused"}, model={"hidden": (24, 16), "dropout": 0.3}),
    "augmented": changed(execution=_EXACT, training={"augment": "shift", "optimizer": "sgd-momentum"}),
    "bf16": changed(execution=_EXACT | {"precision": "bf16"}),
    "fp16": changed(execution=_EXACT | {"precision": "fp16"}),
    "averaged": changed(execution=_EXACT, training={"averaging": 0.5, "optimizer": "sgd"}),
    "sum": changed(),
    "sum again": changed(),
    "fused sum": changed(execution={"engine": "fused"}),
}
SLOW_TRAININGS = {
    "compiled": changed(execution=_EXACT | {"engine": "compiled"}),
    "compiled dropout": changed(execution=_EXACT | {"engine": "compiled"}, model={"dropout": 0.3}),
}


def trained(config: RunConfig, data: Dataset, ranks: Ranks) -> dict[str, Any]:
    """What a training ends with: the digests of its weights, and its losses."""
    torch.set_num_threads(1)
    job = Job(config, resolve("cpu"), data.train, ranks=ranks)
    runner = prepare(engine_class(config.execution.engine), job)
    losses = losses_of(list(train(runner, job, probe=data.test)))
    return {"digests": digests_of(job.model.arrays()), "losses": [float(loss) for loss in losses]}


def judged(config: RunConfig, ranks: Ranks) -> dict[str, Any]:
    """What a whole run says: its verdict's failures with their details, or the error that ended it."""
    request = RunRequest(config=config, ranks=ranks, repeat_on_reference=False)
    try:
        record = execute(request, choose_setup(config), SilentObserver).record
    except AccelmnistError as error:
        return {"error": str(error)}
    if record.verdict is None:  # only rank 0 judges
        return {}
    failures = {check.name: check.detail for check in record.verdict.failures}
    return {"failures": failures, "ranks": len(record.ranks), "accuracy": record.metrics and record.metrics.accuracy}


# --- faults: each is planted in one rank, or in both


@contextmanager
def _mean_for_sum(ranks: Ranks) -> Iterator[None]:
    def add(numbers: torch.Tensor) -> None:
        Ranks.add(ranks, numbers)
        numbers /= ranks.size

    # Both ranks find it, and go on to the next fault: their thread must not take the program for lost.
    with patch.object(ranks, "add", add), patch.object(ranks, "fail", lambda _line: True):
        yield


@contextmanager
def _mean_of_gradients(ranks: Ranks) -> Iterator[None]:
    def add(numbers: torch.Tensor) -> None:
        Ranks.add(ranks, numbers)
        numbers[: -ranks.size] /= ranks.size

    with patch.object(ranks, "add", add):
        yield


@contextmanager
def _stale_order(ranks: Ranks) -> Iterator[None]:
    def epoch(plan: TrainingPlan, number: int) -> Any:
        later = right(plan, number)
        return replace(later, order=right(plan, 0).order) if ranks.rank else later

    right = TrainingPlan.epoch
    with patch.object(TrainingPlan, "epoch", epoch):
        yield


@contextmanager
def _same_mask(_: Ranks) -> Iterator[None]:
    def begin(steps: SharedSteps, job: Job, gradients: Any, update: Any) -> None:
        right(steps, job, lambda rows, seed, _first: gradients(rows, seed, 0), update)

    right = SharedSteps.__init__
    with patch.object(SharedSteps, "__init__", begin):
        yield


@contextmanager
def _other_weights(ranks: Ranks) -> Iterator[None]:
    def train_epoch(steps: SharedSteps, epoch: Any) -> torch.Tensor:
        losses = right(steps, epoch)
        if ranks.rank:
            steps.update.parameters[1].detach()[3] += 1e-6
        return losses

    right = SharedSteps.train_epoch
    with patch.object(SharedSteps, "train_epoch", train_epoch):
        yield


@contextmanager
def _repeated_row(ranks: Ranks) -> Iterator[None]:
    def part_of(count: int, rank: int, size: int) -> range:
        part = right(count, rank, size)
        return range(part.start - 1, part.stop) if rank and ranks.rank == rank else part

    right = evaluation.part_of
    with patch.object(evaluation, "part_of", part_of):
        yield


@contextmanager
def _left_out_sum(ranks: Ranks) -> Iterator[None]:
    sums = iter(range(10**6))

    def add(numbers: torch.Tensor) -> None:
        if next(sums) != 4 or not ranks.rank:
            Ranks.add(ranks, numbers)

    with patch.object(ranks, "add", add):
        yield


@contextmanager
def _other_images(ranks: Ranks) -> Iterator[None]:
    def digest(images: Any) -> str:
        return f"of rank {ranks.rank}, {len(images)}"

    with patch("accelmnist.training.agreement.hash_of", digest):
        yield


_DROPOUT = changed(model={"dropout": 0.3})
FAULTS: dict[str, tuple[RunConfig, Fault]] = {
    "none": (_DROPOUT, lambda _: patch.dict({})),
    "mean for sum": (BASE, _mean_for_sum),
    "mean of gradients": (BASE, _mean_of_gradients),
    "stale order": (BASE, _stale_order),
    "same mask": (_DROPOUT, _same_mask),
    "other weights": (BASE, _other_weights),
    "repeated row": (BASE, _repeated_row),
    "other images": (BASE, _other_images),
    "other option": (BASE, lambda _: patch.dict({})),
    "left out sum": (BASE, _left_out_sum),  # the last: the ranks have lost each other
}


def main(file: Path, *, slow: bool) -> None:
    """All of them, one after the other."""
    place = place_here()
    assert place is not None
    ranks, data = join(place), make_synthetic(seed=1, train=2048, test=512)
    cases = SLOW_TRAININGS if slow else TRAININGS
    found = {name: ranks.tell(trained(config, data, ranks)) for name, config in cases.items()}
    for name, (config, fault) in {} if slow else FAULTS.items():
        own = config
        if name == "other option" and place.rank:
            own = replace(config, training=replace(config.training, weight_decay=0.5))
        with fault(ranks):
            mine = judged(own, ranks)
        found[name] = [mine] if name == "left out sum" else ranks.tell(mine)
    if ranks.is_first:
        file.write_text(json.dumps(found))


if __name__ == "__main__":
    np.seterr(all="ignore")
    main(Path(sys.argv[1]), slow=sys.argv[2:] == ["slow"])
