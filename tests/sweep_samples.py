"""Made-up sweeps for the tests of what follows from one and of what shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from accelmnist.core.config import DataConfig, ExecutionConfig, ModelConfig, TrainingConfig
from accelmnist.core.metrics import wilson_interval
from accelmnist.core.records import DataSummary
from accelmnist.sweep.conclusion import conclude
from accelmnist.sweep.plan import SweepConfig, candidates
from accelmnist.sweep.record import CandidateResult, SweepRecord, SweepTrial, Winner
from tests.samples import sample_metrics

IMAGES = 10_000
SPACE = {
    "hidden": ((8,), (64,), (512,), (64, 64)),
    "activations": ("sigmoid", "tanh", "relu"),
    "outputs": ("softmax", "linear"),
}


def sweep_config(**changes: Any) -> SweepConfig:
    """24 candidates from three seeds unless told otherwise."""
    settings = {
        **SPACE,
        "data": DataConfig(validation=IMAGES),
        "training": TrainingConfig(epochs=5),
        "execution": ExecutionConfig(device="cpu", threads=2),
    }
    return SweepConfig(**{**settings, **changes})


def sweep_record(
    config: SweepConfig | None = None, *, errors: Any = None, noise: float = 0.04, seed: int = 1
) -> SweepRecord:
    """A whole sweep; `errors` are the true error rates of the candidates, `noise` that of the seeds, relative."""
    config = config or sweep_config()
    tried = candidates(config)
    chance = np.random.default_rng(seed)
    rates = [0.3 / parameters_of(candidate) ** 0.25 for candidate in tried] if errors is None else errors
    made = [
        blank(candidate, trials=tuple(trials_of(config, candidate, rate, noise, chance)))
        for candidate, rate in zip(tried, rates, strict=True)
    ]
    record = SweepRecord(
        created="2026-11-24T12:00:00+0000",
        config=config,
        data=data_summary(),
        candidates=tuple(made),
        elapsed_s=512.0,
        status="done",
    )
    return conclude(record)


def parameters_of(candidate: Any) -> int:
    return ModelConfig(hidden=candidate.hidden).parameters


def data_summary() -> DataSummary:
    return DataSummary(
        dataset="mnist",
        source="embedded",
        training_images=50_000,
        validation_images=IMAGES,
        test_images=10_000,
        class_names=tuple(map(str, range(10))),
    )


def blank(candidate: Any, trials: Any = ()) -> CandidateResult:
    return CandidateResult(
        hidden=candidate.hidden,
        activation=candidate.activation,
        output=candidate.output,
        optimizer=candidate.optimizer,
        learning_rate=candidate.learning_rate,
        parameters=parameters_of(candidate),
        engine="fused",
        trials=tuple(trials),
    )


def trials_of(config: SweepConfig, candidate: Any, rate: float, noise: float, chance: Any) -> Iterator[Any]:
    for seed in config.seed_numbers:
        wrong = min(round(IMAGES * rate * float(np.exp(noise * chance.standard_normal()))), IMAGES)
        yield trial(seed, 1 - wrong / IMAGES, rate=candidate.learning_rate, train_s=parameters_of(candidate) / 1e5)


def trial(
    seed: int, accuracy: float | None, *, rate: float = 0.016, train_s: float = 1.0, **changes: Any
) -> SweepTrial:
    made = SweepTrial(
        purpose="comparison",
        seed=seed,
        learning_rate=rate,
        accuracy=accuracy,
        accuracy_by_epoch=() if accuracy is None else (accuracy,),
        train_loss=0.1,
        train_s=train_s,
    )
    return replace(made, **changes)


def with_winner(record: SweepRecord) -> SweepRecord:
    """The record with the run of its best candidate."""
    best, metrics = record.ranked[0], sample_metrics()
    low, high = wilson_interval(metrics.right, metrics.images)
    winner = Winner(
        candidate=best.candidate,
        seed=0,
        training_images=60_000,
        train_s=3.0,
        folder="best",
        metrics=metrics,
        low=low,
        high=high,
    )
    return replace(record, winner=winner)
