"""Chooses the default hyper-parameters of `accelmnist run`, on a validation split of the training set.

    python -m bench.studies.choose_defaults --out results/defaults.md
    python -m bench.studies.choose_defaults --out trial.md --hidden 128 256x128 --lr 0.004 0.008 --epochs 4 --product

10,000 of the 60,000 training images are held out, the same ones for every candidate and in every class's proportion;
each candidate trains on the other 50,000 from several seeds. The test set takes no part. The engine is eager, the
arithmetic float32: how a network is run is not a hyper-parameter.

The first value of each option is the base. By default one option at a time is varied from there, which finds its way in
minutes where a full product takes hours, but misses what two options do together: move the base to the best and search
again, or ask for `--product` over a few values.

What is chosen: the candidates whose median accuracy lies within the best one's range over the seeds can't be told from
it; of those, the one that trains quickest. The Markdown table is rewritten after every trial, and so is a JSON file of
the same name beside it; started again with the same --out, the search goes on from there.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import msgspec
import torch

from accelmnist.core.config import DataConfig, ExecutionConfig, ModelConfig, RunConfig, TrainingConfig
from accelmnist.core.errors import AccelmnistError, DivergedError
from accelmnist.core.files import write_atomically
from accelmnist.data.mnist import load_dataset
from accelmnist.data.split import split_validation
from accelmnist.data.types import DeviceSet, ImageSet, upload
from accelmnist.device import Device, processor, resolve, set_threads
from accelmnist.engines.choose import engine_class
from accelmnist.engines.contract import Job
from accelmnist.engines.model import MLP
from accelmnist.training.evaluation import accuracy_of
from accelmnist.training.loop import prepare, train

HELD_OUT = 10_000
_SPLIT_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One combination of hyper-parameters; everything else is the package's default."""

    hidden: tuple[int, ...]
    batch_size: int
    epochs: int
    learning_rate: float
    label_smoothing: float
    weight_decay: float

    def config(self, seed: int) -> RunConfig:
        """The run of this candidate from `seed`."""
        return RunConfig(
            data=DataConfig(validation=HELD_OUT),
            model=ModelConfig(hidden=self.hidden),
            training=TrainingConfig(
                batch_size=self.batch_size,
                epochs=self.epochs,
                optimizer="adamw",
                learning_rate=self.learning_rate,
                label_smoothing=self.label_smoothing,
                weight_decay=self.weight_decay,
                seed=seed,
            ),
            execution=ExecutionConfig(device="cpu", engine="eager"),
        )

    def cells(self) -> tuple[str, ...]:
        """The candidate's cells of the table."""
        hidden = _hidden_text(self.hidden)
        return (
            hidden,
            f"{self.batch_size}",
            f"{self.epochs}",
            f"{self.learning_rate:g}",
            f"{self.label_smoothing:g}",
            f"{self.weight_decay:g}",
        )


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training: accuracy on the held-out images (None where it diverged) and the seconds that its epochs took."""

    config: RunConfig
    accuracy: float | None
    train_s: float


@dataclass(frozen=True, kw_only=True)
class Search:
    """All that is known so far, as the JSON file keeps it; times of two machines or torch releases don't mix."""

    processor: str
    torch: str
    threads: int
    date: str = ""  # of the last trial
    trials: tuple[Trial, ...] = field(default=())

    def find(self, config: RunConfig) -> Trial | None:
        """The trial of exactly this configuration, where it was made."""
        return next((trial for trial in self.trials if trial.config == config), None)

    def with_trial(self, trial: Trial) -> Search:
        """This and another trial, made now."""
        return replace(self, trials=(*self.trials, trial), date=time.strftime("%Y-%m-%d"))


@dataclass(frozen=True)
class Row:
    """A candidate's trials so far, one a seed."""

    candidate: Candidate
    trials: tuple[Trial, ...]

    @property
    def accuracies(self) -> tuple[float, ...]:
        """Sorted; a diverged trial counts as 0."""
        return tuple(sorted(trial.accuracy or 0.0 for trial in self.trials))

    @property
    def accuracy(self) -> float:
        """The median over the seeds."""
        return statistics.median(self.accuracies)

    @property
    def train_s(self) -> float:
        """The median over the seeds."""
        return statistics.median(trial.train_s for trial in self.trials)


# --- what is tried


def candidates(options: argparse.Namespace) -> list[Candidate]:
    """The base and what differs from it in one option, or the product of all options."""
    axes: dict[str, list[object]] = {
        "hidden": options.hidden,
        "batch_size": options.batch_size,
        "epochs": options.epochs,
        "learning_rate": options.lr,
        "label_smoothing": options.label_smoothing,
        "weight_decay": options.weight_decay,
    }
    if options.product:
        combinations = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    else:
        base = {name: values[0] for name, values in axes.items()}
        changes = [{name: value} for name, values in axes.items() for value in values[1:]]
        combinations = [base | change for change in [{}, *changes]]
    return msgspec.convert(combinations, list[Candidate])


# --- trials


class Bench:
    """The data of all trials on the CPU: 50,000 images to train on, 10,000 to judge by."""

    def __init__(self) -> None:
        self.device: Device = resolve("cpu")
        whole = load_dataset().train
        kept, held_out = split_validation(whole.labels, HELD_OUT, seed=_SPLIT_SEED)
        self.training, self.validation = (
            upload(ImageSet(whole.images[chosen], whole.labels[chosen]), self.device) for chosen in (kept, held_out)
        )

    def try_out(self, config: RunConfig) -> Trial:
        """Train `config` to its end; only then is the held-out set looked at."""
        model = MLP(config.model, seed=config.training.seed)
        job = Job(config, self.device, self.training, model)
        runner = prepare(engine_class(config.execution.engine), job)
        started = time.perf_counter()
        try:
            train_s = sum(result.figures.train_s for result in train(runner, job, probe=None))
        except DivergedError:
            return Trial(config=config, accuracy=None, train_s=time.perf_counter() - started)
        return Trial(config=config, accuracy=self._accuracy(model, self.validation), train_s=train_s)

    def _accuracy(self, model: MLP, data: DeviceSet) -> float:
        return accuracy_of(model, data, device=self.device, precision="fp32")


def search(all_candidates: Sequence[Candidate], seeds: int, known: Search) -> Iterator[Search]:
    """Make the trials that `known` lacks, seed by seed, so that a stopped search has compared all alike."""
    bench = Bench()
    for seed in range(seeds):
        for candidate in all_candidates:
            config = candidate.config(seed)
            if known.find(config) is None:
                known = known.with_trial(bench.try_out(config))
                yield known


# --- what came out


def rows(all_candidates: Sequence[Candidate], seeds: int, found: Search) -> list[Row]:
    """The candidates that have a trial, the most accurate first."""
    table = []
    for candidate in all_candidates:
        trials = [found.find(candidate.config(seed)) for seed in range(seeds)]
        table.append(Row(candidate, tuple(trial for trial in trials if trial is not None)))
    return sorted((row for row in table if row.trials), key=lambda row: -row.accuracy)


def choose(table: Sequence[Row]) -> Row:
    """The quickest of those that can't be told from the most accurate one."""
    floor = table[0].accuracies[0]
    return min((row for row in table if row.accuracy >= floor), key=lambda row: row.train_s)


def markdown(table: Sequence[Row], found: Search, command: str) -> str:
    """The report: how it was made, the choice, and a row a candidate."""
    chosen = choose(table)
    heads = ("hidden", "batch", "epochs", "AdamW lr", "label smoothing", "weight decay")
    figures = ("seeds", "accuracy, median", "min", "max", "training s, median")
    lines = [
        "# Choice of the default hyper-parameters",
        "",
        f"Made by `{command}`",
        f"on {found.date}, torch {found.torch}, {found.processor}, {found.threads} threads.",
        "",
        f"Accuracy is on {HELD_OUT:,} images held out of the training set; the test set took no part.",
        "Chosen is the quickest candidate whose median lies within the most accurate one's range over the seeds:",
        f"**{', '.join(map(' '.join, zip(heads, chosen.candidate.cells(), strict=True)))}**.",
        "",
        _line((*heads, *figures)),
        _line(["---:"] * (len(heads) + len(figures))),
        *(_line((*row.candidate.cells(), *_figures(row))) for row in table),
    ]
    return "\n".join(lines) + "\n"


def _figures(row: Row) -> tuple[str, ...]:
    shares = (row.accuracy, row.accuracies[0], row.accuracies[-1])
    return (f"{len(row.trials)}", *(f"{share:.2%}" for share in shares), f"{row.train_s:.2f}")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


# --- the command


def layer_sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split("x"))


def _hidden_text(hidden: tuple[int, ...]) -> str:
    return "x".join(map(str, hidden))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    model, training = ModelConfig(), TrainingConfig(optimizer="adamw")
    parser = argparse.ArgumentParser(
        prog="python -m bench.studies.choose_defaults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="the Markdown file; trials go beside it as .json")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each candidate (default %(default)s)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--product", action="store_true", help="try all combinations, not one change at a time")
    _add_axis(parser, "--hidden", layer_sizes, [model.hidden, (128,), (192,), (256,)])
    _add_axis(parser, "--batch-size", int, [training.batch_size, 256, 512, 1024])
    _add_axis(parser, "--epochs", int, [training.epochs, 3, 4, 5, 6, 7, 8])
    _add_axis(parser, "--lr", float, [training.learning_rate, 0.002, 0.004, 0.008, 0.012])
    _add_axis(parser, "--label-smoothing", float, [training.label_smoothing, 0.0, 0.05, 0.1, 0.15])
    _add_axis(parser, "--weight-decay", float, [training.weight_decay, 0.0, 0.01, 0.05, 0.1])
    return parser.parse_args(arguments)


def _add_axis(parser: argparse.ArgumentParser, name: str, kind: object, values: Sequence[object]) -> None:
    """An option of one or more values; the package's own default leads, and doubles go."""
    parser.add_argument(name, type=kind, nargs="+", default=list(dict.fromkeys(values)))  # type: ignore[arg-type]


def known_search(file: Path) -> Search:
    """What the JSON file of an earlier search knows; raises ValueError where it was made elsewhere."""
    here = Search(processor=processor(), torch=str(torch.__version__), threads=torch.get_num_threads())
    if not file.exists():
        return here
    known = msgspec.json.decode(file.read_bytes(), type=Search)
    if replace(known, trials=(), date="") != here:
        raise ValueError(
            f"{file} is of {known.processor}, torch {known.torch}, {known.threads} threads: use another --out"
        )
    return known


def _last_trial(found: Search) -> str:
    last = found.trials[-1]
    training = last.config.training
    accuracy = "diverged" if last.accuracy is None else f"{last.accuracy:.2%}"
    return (
        f"{last.config.model}, batch {training.batch_size}, {training.epochs} epochs,"
        f" lr {training.learning_rate:g}, smoothing {training.label_smoothing:g}, decay {training.weight_decay:g},"
        f" seed {training.seed}: {accuracy}, {last.train_s:.2f} s"
    )


def main(arguments: Sequence[str]) -> int:
    """Search, and keep table and trials current; returns the exit code."""
    options = _options(arguments)
    command = shlex.join(["python", "-m", "bench.studies.choose_defaults", *arguments])
    set_threads(options.threads)
    try:
        tried, trials_file = candidates(options), options.out.with_suffix(".json")
        known = after = known_search(trials_file)
        for after in search(tried, options.seeds, known):
            table = rows(tried, options.seeds, after)
            write_atomically(trials_file, msgspec.json.encode(after) + b"\n")
            write_atomically(options.out, markdown(table, after, command).encode())
            done = sum(len(row.trials) for row in table)
            print(f"[{done}/{len(tried) * options.seeds}] {_last_trial(after)}", file=sys.stderr)
    except (AccelmnistError, ValueError) as error:  # msgspec's errors are ValueErrors
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(markdown(rows(tried, options.seeds, after), after, command), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
