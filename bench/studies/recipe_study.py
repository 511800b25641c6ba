"""What the recipes reach on the test set, as a user has them: `accelmnist run --recipe NAME` in a process of its own.

    python -m bench.studies.recipe_study

Twenty seeds of each recipe, seed by seed in turn, after one process that is not counted (it fills the file cache).
Accuracy, verdict and times are those of each run's own record: from the start of the process until the accuracy is
known, and training and evaluation alone. Here the repetition on the reference is left out: it comes after both, and the
float64 checks stay. The mean accuracy has the 95 % interval of Student's t over the seeds, times their median and
quartiles. Processes go into results/recipes.json, from which a stopped study goes on (`--anew` forgets it); the table
into results/recipes.md and between the marks in results/README.md. None of the seeds was used in the search.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import scipy.stats

from accelmnist.core.config import RECIPES, Recipe
from accelmnist.core.files import write_atomically
from accelmnist.core.records import Environment, RunRecord, load_record
from accelmnist.show.units import plural
from bench.studies.tables import ROOT, write_part

COMMAND = "python -m bench.studies.recipe_study"
STUDY, TABLE = ROOT / "results" / "recipes.json", ROOT / "results" / "recipes.md"
SEEDS = range(100, 120)
OPTIONS = ("--no-reference", "--quiet")


@dataclass(frozen=True, kw_only=True)
class Process:
    """One run; `to_accuracy_s` counts from the start of the process, `alone_s` is training and evaluation."""

    recipe: str
    seed: int
    accuracy: float
    to_accuracy_s: float
    alone_s: float
    passed: bool


@dataclass(frozen=True, kw_only=True)
class Study:
    """All processes so far, on one machine with one set of recipes."""

    processor: str
    cores: int | None
    cpu_capability: str | None
    torch: str
    python: str
    threads: int
    recipes: tuple[Recipe, ...]
    busy: bool = False  # whether other work ran on the machine meanwhile: accuracies are the same, times are not
    date: str = ""  # of the last process
    processes: tuple[Process, ...] = ()

    def of(self, recipe: Recipe) -> list[Process]:
        """The processes of one recipe."""
        return [process for process in self.processes if process.recipe == recipe.name]

    def lacks(self, names: Sequence[str]) -> list[tuple[Recipe, int]]:
        """Recipes of these names and seeds that have not run yet, seed by seed."""
        done = {(process.recipe, process.seed) for process in self.processes}
        return [(RECIPES[name], seed) for seed in SEEDS for name in names if (name, seed) not in done]


def run_once(recipe: Recipe, seed: int) -> RunRecord:
    """The record of one run in a new process."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        command = [sys.executable, "-m", "accelmnist", "run", "--recipe", recipe.name, "--seed", str(seed)]
        done = subprocess.run([*command, *OPTIONS, "--out", str(folder)], capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):
            raise SystemExit(f"error: {' '.join(command[1:])} failed: {done.stderr.strip()}")
        return load_record(folder)


def process_of(record: RunRecord) -> Process:
    """What is kept of a run."""
    timing = record.timing
    assert record.metrics is not None
    assert record.verdict is not None
    assert record.config.recipe is not None
    assert timing.to_accuracy_s is not None
    assert timing.evaluate_s is not None
    return Process(
        recipe=record.config.recipe,
        seed=record.config.training.seed,
        accuracy=record.metrics.accuracy,
        to_accuracy_s=timing.to_accuracy_s,
        alone_s=timing.train_s + timing.evaluate_s,
        passed=record.verdict.passed,
    )


def begin() -> Study:
    """An empty study; the first process, which tells the machine, fills the file cache and isn't counted."""
    first = next(iter(RECIPES.values()))
    environment = run_once(first, SEEDS[0]).environment
    assert isinstance(environment, Environment)
    return Study(
        processor=environment.processor,
        cores=environment.cores,
        cpu_capability=environment.cpu_capability,
        torch=environment.torch,
        python=environment.python,
        threads=environment.threads,
        recipes=tuple(RECIPES.values()),
    )


def load_study() -> Study | None:
    """The study to go on with, None where there is none; what a recipe of other days reached is forgotten."""
    if not STUDY.exists():
        return None
    saved = msgspec.json.decode(STUDY.read_bytes(), type=Study)
    kept = {recipe.name for recipe in saved.recipes if RECIPES.get(recipe.name) == recipe}
    processes = tuple(process for process in saved.processes if process.recipe in kept)
    return replace(saved, recipes=tuple(RECIPES.values()), processes=processes)


# --- the table


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and half the width of its 95 % interval by Student's t."""
    deviation = statistics.stdev(values) / len(values) ** 0.5
    return statistics.fmean(values), float(scipy.stats.t.ppf(0.975, len(values) - 1)) * deviation


def row(recipe: Recipe, processes: Sequence[Process]) -> str:
    """One recipe: what it trains, what it reached, what it took."""
    mean, half = mean_interval([process.accuracy for process in processes])
    low, high = (extreme(process.accuracy for process in processes) for extreme in (min, max))
    cells = [
        f"`{recipe.name}`",
        describe(recipe),
        f"**{100 * mean:.3f} %** ±{100 * half:.3f}",
        f"{100 * low:.2f} to {100 * high:.2f} %",
        _seconds([process.to_accuracy_s for process in processes]),
        _seconds([process.alone_s for process in processes]),
        f"{sum(process.passed for process in processes)} of {len(processes)}",
    ]
    return f"| {' | '.join(cells)} |"


def describe(recipe: Recipe) -> str:
    """The network and the training in a phrase."""
    training = recipe.training
    parts = [f"{recipe.model}", f"{training.epochs} epochs", f"batch {training.batch_size}"]
    parts.append(f"{training.optimizer} {training.learning_rate:g}")
    parts += [f"dropout {recipe.model.dropout:g}"] if recipe.model.dropout else []
    parts += [f"augmentation by {training.augment}"] if training.augment != "none" else []
    parts += [f"averaging {training.averaging:g}"] if training.averaging else []
    return ", ".join(parts)


def _seconds(values: Sequence[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"**{middle:.2f} s** ({low:.2f} to {high:.2f})"


def table(study: Study) -> str:
    """The table for results/README.md and results/recipes.md."""
    heads = ["recipe", "what it is", "test accuracy, mean", "range", "from start to accuracy"]
    heads += ["training and evaluation alone", "PASS"]
    seeds = max((len(study.of(recipe)) for recipe in study.recipes), default=0)
    lines = [
        f"{seeds} seeds each, on {study.processor} ({study.cores} cores, {study.cpu_capability}, "
        f"{plural(study.threads, 'thread')}), torch {study.torch.partition('+')[0]}, Python {study.python}, "
        f"{study.date}:",
        "",
        f"| {' | '.join(heads)} |",
        f"| --- | --- |{' ---: |' * (len(heads) - 2)}",
    ]
    lines += [row(recipe, done) for recipe in study.recipes if len(done := study.of(recipe)) > 1]
    note = "± is the 95 % interval of the mean over the seeds; behind a median stand the quartiles."
    if study.busy:
        note += " Other work ran on the machine meanwhile, so the times are upper bounds."
    return "\n".join([*lines, "", f"{note} Made by `accelmnist run --recipe NAME --seed N`."])


def write(study: Study) -> None:
    """Keep the processes and the table current."""
    write_atomically(STUDY, msgspec.json.format(msgspec.json.encode(study), indent=2) + b"\n")
    write_atomically(TABLE, f"# What the recipes reach\n\n{table(study)}\n".encode())
    write_part(COMMAND, table(study))


def main() -> int:
    """Run what is missing; returns the exit code, 1 where a mean lies below its recipe's name or a run failed."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.studies.recipe_study",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--recipe", choices=tuple(RECIPES), nargs="*", default=list(RECIPES))
    parser.add_argument("--anew", action="store_true", help="forget the processes that ran before")
    parser.add_argument("--busy", action="store_true", help="say that other work ran on the machine meanwhile")
    parser.add_argument("--table", action="store_true", help="only write the table again")
    options = parser.parse_args()
    study = None if options.anew else load_study()
    study = study or begin()
    study = replace(study, busy=study.busy or options.busy)
    for recipe, seed in [] if options.table else study.lacks(options.recipe):
        process = process_of(run_once(recipe, seed))
        print(process, file=sys.stderr, flush=True)
        study = replace(study, processes=(*study.processes, process), date=time.strftime("%Y-%m-%d"))
        write(study)
    write(study)
    print(table(study))
    return 0 if all(holds(RECIPES[name], study.of(RECIPES[name])) for name in options.recipe) else 1


def holds(recipe: Recipe, processes: Sequence[Process]) -> bool:
    """Whether the mean reaches the name, and every run passed."""
    if not processes:
        return False
    reached = statistics.fmean(process.accuracy for process in processes) >= recipe.accuracy
    return reached and all(process.passed for process in processes)


if __name__ == "__main__":
    sys.exit(main())
