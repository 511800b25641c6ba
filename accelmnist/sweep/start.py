"""How a sweep begins and ends: what is wanted of it, its device and threads, its first record, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from accelmnist.core.config import check_fits
from accelmnist.core.errors import ConfigError
from accelmnist.core.records import DataSummary, RunRecord
from accelmnist.data.split import summary_of
from accelmnist.data.types import Dataset, ImageSet
from accelmnist.device import Device
from accelmnist.device.environment import describe_environment
from accelmnist.engines.choose import choose_engine
from accelmnist.engines.model import MLP
from accelmnist.sweep.plan import VALIDATION_SHARE, Candidate, SweepConfig, candidates
from accelmnist.sweep.record import CandidateResult, SweepRecord
from accelmnist.training.reference.scores import Oracle, score_here
from accelmnist.training.run import Setup, choose_setup


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """What is wanted of a sweep. `folder` None saves nothing; `record` is a stopped sweep to go on with.

    `workers` trainings go on side by side, as many as there are threads if it is None. `on_stopped` gets the record of
    a sweep that ends without a result; `on_trained`, `on_evaluated` and `oracle` are those of the winner's run.
    """

    config: SweepConfig
    folder: Path | None = None
    record: SweepRecord | None = None
    workers: int | None = None
    should_stop: Callable[[], bool] = lambda: False
    on_trained: Callable[[], None] = lambda: None
    on_stopped: Callable[[SweepRecord], None] = lambda _record: None
    oracle: Oracle = score_here
    on_evaluated: Callable[[RunRecord, MLP, ImageSet], None] = lambda *_: None


@dataclass(frozen=True)
class SweepOutcome:
    """The record of the sweep, and that of its winner's run; None if no training came to its end."""

    record: SweepRecord
    winner: RunRecord | None


def sweep_setup(config: SweepConfig) -> Setup:
    """Device, engine, precision and threads, by the first candidate; the others may take another engine."""
    first = candidates(config)[0]
    return choose_setup(config.run_config(first, learning_rate=first.learning_rate or 1.0, seed=config.training.seed))


def first_record(request: SweepRequest, setup: Setup, dataset: Dataset) -> SweepRecord:
    """The record that the sweep begins with, a new one or that of `request`.

    Raises ConfigError if the images are too few, or not those that a stopped sweep began with.
    """
    record = request.record or _new_record(request.config, setup, dataset)
    if record.data != _summary(record.config, dataset):
        raise ConfigError(
            f"--resume: the data set is not the one that the sweep began with ({dataset.source})",
            remedy="Put its files back, or start a new sweep",
        )
    environment = describe_environment(setup.device)
    return replace(record, status="running", message=None, choices=setup.choices, environment=environment)


def _new_record(config: SweepConfig, setup: Setup, dataset: Dataset) -> SweepRecord:
    """Every candidate without a training yet.

    Device, threads and engines are settled here, so that a stopped sweep goes on as it began.
    """
    images = len(dataset.train)
    held_out = config.data.validation or images // VALIDATION_SHARE
    execution = replace(setup.config.execution, engine=config.execution.engine)
    config = replace(config, data=replace(config.data, validation=held_out), execution=execution)
    tried = candidates(config)
    check_fits(config.run_config(tried[0], learning_rate=1.0, seed=0), training_images=images)
    return SweepRecord(
        created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        config=config,
        data=_summary(config, dataset),
        candidates=tuple(_untrained(config, candidate, setup.device) for candidate in tried),
    )


def _untrained(config: SweepConfig, candidate: Candidate, device: Device) -> CandidateResult:
    run_config = config.run_config(candidate, learning_rate=candidate.learning_rate or 1.0, seed=0)
    return CandidateResult(
        **vars(candidate), parameters=candidate.parameters, engine=choose_engine(run_config, device).name
    )


def _summary(config: SweepConfig, dataset: Dataset) -> DataSummary:
    return summary_of(dataset, validation_images=config.data.validation)
