"""Measures what the verdict's limits rest on: the spread of scores over seeds, and the drift between ways of running.

    python -m bench.studies.seed_spread --out results/seed-spread.json

Spread: every configuration is trained from several seeds by the reference (eager float32 on the CPU). The standard
deviation of each score is divided by the binomial one, sqrt(e (1 - e) / n) for an error rate e on n images, which
makes it a number that carries over to other accuracies and set sizes. Two runs of one seed that differ in rounding
only can't differ more than two seeds do.

Drift: the same seed is trained in another way (one thread instead of two, compiled, 16-bit precisions) and its step
losses are compared with the reference's, as the verdict compares them; the largest value of each figure is kept.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from accelmnist.core.config import ExecutionConfig, ModelConfig, RunConfig, TrainingConfig
from accelmnist.data.mnist import load_dataset
from accelmnist.data.types import Dataset, upload
from accelmnist.device import processor, resolve
from accelmnist.engines.choose import engine_class
from accelmnist.engines.contract import Job
from accelmnist.engines.model import MLP
from accelmnist.training.evaluation import Evaluation, evaluate
from accelmnist.training.loop import losses_of, prepare, train
from accelmnist.training.reference.answers import check_answers
from accelmnist.training.reference.tolerances import tolerances
from accelmnist.training.reference.verdict import loss_differences

CONFIGURATIONS: dict[str, RunConfig] = {
    "the defaults": RunConfig(),
    "784-128-10, SGD": RunConfig(
        model=ModelConfig(hidden=(128,)),
        training=TrainingConfig(optimizer="sgd", batch_size=128, epochs=2, label_smoothing=0.0, weight_decay=0.0),
    ),
    "784-64-64-10 tanh, sigmoid output, Adam": RunConfig(
        model=ModelConfig(hidden=(64, 64), activation="tanh", output="sigmoid"),
        training=TrainingConfig(optimizer="adam", epochs=3, label_smoothing=0.0, weight_decay=0.0),
    ),
    "784-128-10 dropout, linear output, momentum": RunConfig(
        model=ModelConfig(hidden=(128,), output="linear", dropout=0.2),
        training=TrainingConfig(optimizer="sgd-momentum", learning_rate=0.05, epochs=3, label_smoothing=0.0),
    ),
    "784-256-10, trained until it knows the training set": RunConfig(
        training=TrainingConfig(epochs=10, label_smoothing=0.0)
    ),
    "784-10, cosine": RunConfig(
        model=ModelConfig(hidden=()), training=TrainingConfig(optimizer="adam", schedule="cosine", epochs=2)
    ),
}
WAYS: tuple[tuple[str, ExecutionConfig], ...] = (
    ("eager fp32, 2 threads", ExecutionConfig(engine="eager", threads=2)),
    ("compiled fp32", ExecutionConfig(engine="compiled", threads=1)),
    ("eager bf16", ExecutionConfig(engine="eager", precision="bf16", threads=1)),
    ("compiled bf16", ExecutionConfig(engine="compiled", precision="bf16", threads=1)),
    ("eager fp16", ExecutionConfig(engine="eager", precision="fp16", threads=1)),
)
REFERENCE = ExecutionConfig(engine="eager", threads=1)


@dataclass(frozen=True)
class Trained:
    """One finished training: its configuration, network, scores and the loss of every step."""

    config: RunConfig
    model: MLP
    evaluation: Evaluation
    losses: torch.Tensor


def train_once(config: RunConfig, data: Dataset, execution: ExecutionConfig, *, seed: int) -> Trained:
    """Train and evaluate `config` from `seed` on the CPU as `execution` says."""
    config = replace(config, training=replace(config.training, seed=seed), execution=execution)
    torch.set_num_threads(execution.threads or 1)
    device = resolve("cpu")
    job = Job(config, device, data.train)
    runner = prepare(engine_class(execution.engine), job)
    losses = torch.from_numpy(losses_of(list(train(runner, job, probe=None))))
    evaluation = evaluate(job.model, upload(data.test, device), device=device, precision=execution.precision)
    return Trained(config, job.model, evaluation, losses)


def spread_of(runs: list[Trained]) -> dict[str, float]:
    """Standard deviations over seeds in units of the binomial one, and the share of images that change cells."""
    metrics = [run.evaluation.metrics for run in runs]
    error = 1 - float(np.mean([one.accuracy for one in metrics]))
    binomial = np.sqrt(error * (1 - error) / metrics[0].images)
    f1 = np.array([[row.f1 for row in one.per_class] for one in metrics])
    support = np.array([row.support for row in metrics[0].per_class])
    class_error = 1 - f1.mean(axis=0)
    class_binomial = np.sqrt(class_error * (1 - class_error) / support)
    matrices = [np.array(one.confusion_matrix) for one in metrics]
    moved = [np.abs(a - b).sum() / 2 / metrics[0].images / error for a, b in combinations(matrices, 2)]
    return {
        "accuracy_mean": 1 - error,
        "accuracy_sd": float(np.std([one.accuracy for one in metrics], ddof=1)),
        "accuracy_in_binomial_sd": float(np.std([one.accuracy for one in metrics], ddof=1) / binomial),
        "macro_f1_in_binomial_sd": float(np.std([one.macro_f1 for one in metrics], ddof=1) / binomial),
        "class_f1_in_binomial_sd": float((f1.std(axis=0, ddof=1) / class_binomial).max()),
        "cells_mean_of_error": float(np.mean(moved)),
        "cells_max_of_error": float(np.max(moved)),
    }


def drift_of(run: Trained, reference: Trained, data: Dataset) -> dict[str, float]:
    """The figures of the verdict for `run`, against `reference` and float64."""
    limits = tolerances(run.config.execution.precision)
    checks = check_answers(run.model, data.test, run.evaluation, limits)
    epochs = run.config.training.epochs
    typical, worst = loss_differences(run.losses.view(epochs, -1), reference.losses.view(epochs, -1))
    assert checks[0].value is not None
    return {
        "logits": checks[0].value,
        "typical_step": typical.max().item(),
        "worst_step": worst.max().item(),
    }


def measure(seeds: int, drift_seeds: int) -> Iterator[dict[str, Any]]:
    """One result a configuration, its spread and the drift of every way."""
    data = load_dataset()
    for name, config in CONFIGURATIONS.items():
        runs = [train_once(config, data, REFERENCE, seed=seed) for seed in range(seeds)]
        drifts: dict[str, dict[str, float]] = {}
        for way, execution in WAYS:
            rows = [
                drift_of(train_once(config, data, execution, seed=seed), runs[seed], data)
                for seed in range(drift_seeds)
            ]
            drifts[way] = {figure: max(row[figure] for row in rows) for figure in rows[0]}
        yield {"configuration": name, "seeds": seeds, "spread": spread_of(runs), "drift": drifts}


def main() -> None:
    """Measure all configurations and write the file after each."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.studies.seed_spread",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--seeds", type=int, default=10, help="seeds of each configuration")
    parser.add_argument("--drift-seeds", type=int, default=2, help="seeds of each other way of running")
    arguments = parser.parse_args()
    results = []
    for result in measure(arguments.seeds, arguments.drift_seeds):
        results.append(result)
        document = {
            "command": "python -m bench.studies.seed_spread "
            f"--seeds {arguments.seeds} --drift-seeds {arguments.drift_seeds}",
            "processor": processor(),
            "torch": torch.__version__,
            "configurations": results,
        }
        arguments.out.write_text(json.dumps(document, indent=2) + "\n")
        print(json.dumps(result, indent=1), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
