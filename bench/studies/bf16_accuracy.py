"""Does training in bf16 cost accuracy? The default run by `fused` on the CPU in float32 and in bf16, seed by seed.

    python -m bench.studies.bf16_accuracy

A pair has the seed's first weights, batches and rates; what differs is the precision of the products, in training and
in evaluation. Another seed changes all of them, so what two seeds differ by is what a difference has to be held
against. The record is results/bf16-accuracy.json; the table goes between the marks in results/README.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch

from accelmnist.core.config import ExecutionConfig, Precision, RunConfig
from accelmnist.core.files import write_atomically
from accelmnist.data.mnist import load_dataset
from accelmnist.device import processor
from accelmnist.engines import native
from bench.studies.seed_spread import train_once
from bench.studies.tables import ROOT, write_part

RECORD = ROOT / "results" / "bf16-accuracy.json"
COMMAND = "python -m bench.studies.bf16_accuracy"
PRECISIONS: tuple[Precision, Precision] = ("fp32", "bf16")


def measure(seeds: int) -> dict[str, Any]:
    """The record: test accuracies by precision, one a seed."""
    data = load_dataset()
    ways = {name: ExecutionConfig(engine="fused", precision=name, threads=1) for name in PRECISIONS}
    return {
        "processor": processor(),
        "level": native.chosen_level(),
        "torch": torch.__version__,
        "accuracies": {
            name: [train_once(RunConfig(), data, way, seed=seed).evaluation.metrics.accuracy for seed in range(seeds)]
            for name, way in ways.items()
        },
    }


def part(record: dict[str, Any]) -> str:
    """The part of results/README.md: a row a precision, and what the pairs say."""
    accuracies = record["accuracies"]
    reference, other = (accuracies[name] for name in PRECISIONS)
    differences = [100 * (theirs - ours) for theirs, ours in zip(other, reference, strict=True)]
    mean, error = statistics.mean(differences), statistics.stdev(differences) / len(differences) ** 0.5
    spread = 100 * statistics.stdev(reference)
    lines = [
        f"The default run by `fused` from {len(reference)} seeds, on {record['processor']} by the kernels "
        f"`{record['level']}`, torch {record['torch'].partition('+')[0]}; test accuracy:",
        "",
        "| precision | mean | standard deviation over seeds | smallest | largest |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(_row(name, accuracies[name]) for name in PRECISIONS),
        "",
        f"Pair by pair bf16 changes it by {mean:+.3f} points (standard error {error:.3f}), where another seed "
        f"changes it by {spread:.3f} (standard deviation).",
    ]
    return "\n".join(lines)


def _row(name: str, accuracies: list[float]) -> str:
    figures = (statistics.mean(accuracies), statistics.stdev(accuracies), min(accuracies), max(accuracies))
    mean, spread, smallest, largest = (100 * figure for figure in figures)
    return f"| {name} | {mean:.3f} % | {spread:.3f} | {smallest:.2f} % | {largest:.2f} % |"


def main() -> None:
    """Measure, save, and write the table."""
    parser = argparse.ArgumentParser(
        prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RECORD, help="the record (default %(default)s)")
    options = parser.parse_args()
    record = measure(options.seeds)
    write_atomically(options.out, (json.dumps(record, indent=1) + "\n").encode())
    write_part(COMMAND, part(record))


if __name__ == "__main__":
    main()
