"""What a sweep tries: its configuration, and the candidates and trainings that follow from it. No torch here.

A candidate is one combination of everything but the seed. Each trains from the same seeds, so that seed s of one stands
beside seed s of another: the same order of images, the same split.

Learning rates are a factor as any other, or with `tune_rates` a means: a fair comparison of networks gives each of them
a rate that suits it (what is best for 16 rectifiers is not for 1,024 sigmoid units). Each candidate then trains once
with every rate, and goes on with the best one. The seed of this is not one of those that are compared, since the luck
which made a rate look best would else count for its network.

`PRESETS` are sweeps by name: questions that were thought through once, with what they cost. `lab` is the question of
the lab: which network is best, of 8 to 1,024 units, one to three layers, sigmoid, tanh or relu, and softmax, sigmoid or
linear outputs? It is a full factorial over activation and output, so that each is judged in the same 14 networks: one
layer of every size, two and three layers at 16, 64 and 256. Rates are tuned for each network by itself, since
rectifiers and saturating units, narrow and wide layers want rates that differ by a factor of ten; five epochs are one
more than `run` has, because sigmoid units learn slowest at first.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, TypeVar

from accelmnist.core.config import (
    ACTIVATIONS,
    LEARNING_RATES,
    OPTIMIZERS,
    OUTPUTS,
    Activation,
    DataConfig,
    ExecutionConfig,
    ModelConfig,
    Optimizer,
    Output,
    RunConfig,
    TrainingConfig,
)
from accelmnist.core.errors import ConfigError

MOST_TRAININGS = 300  # without --yes; a preset as it stands may have more, because its time is known
VALIDATION_SHARE = 6  # one training image of so many is held out: 10,000 of MNIST's 60,000
_MOST_SEEDS = 1000
_MOST_VALUES = 1000  # of a range
_DIGITS = 3  # of a rate within a range
_WIDTHS = (8, 16, 32, 64, 128, 256, 512, 1024)
_DEEP_WIDTHS = (16, 64, 256)

Number = TypeVar("Number", int, float)

# By the names of the command's options; an option that is given replaces the preset's.
PRESETS: dict[str, dict[str, Any]] = {
    "lab": {
        "hidden": (
            *((width,) for width in _WIDTHS),
            *((width,) * layers for layers in (2, 3) for width in _DEEP_WIDTHS),
        ),
        "activations": ("sigmoid", "tanh", "relu"),
        "outputs": ("softmax", "sigmoid", "linear"),
        "learning_rates": (0.004, 0.012, 0.036, 0.108),
        "tune_rates": True,
        "seeds": 3,
        "epochs": 5,
    },
    "quick": {"hidden": ((8,), (16,), (32,), (64,)), "activations": ("sigmoid", "relu"), "seeds": 3, "epochs": 2},
}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One combination that is compared; `learning_rate` is None while it is still to be tuned."""

    hidden: tuple[int, ...]
    activation: Activation
    output: Output
    optimizer: Optimizer
    learning_rate: float | None

    @property
    def network(self) -> str:
        """The layers as in 784-128-10."""
        return str(ModelConfig(hidden=self.hidden))


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """A sweep, whole: the record holds it, and `--resume` starts from the record.

    `training` holds what all candidates share; its seed is the first of the seeds, and that of split and sample.
    `learning_rates` empty: each optimizer's own. `data.validation` 0: a sixth of the training images. `sample` takes so
    many of the combinations at random.
    """

    preset: str | None = None
    hidden: tuple[tuple[int, ...], ...] = (ModelConfig().hidden,)
    activations: tuple[Activation, ...] = (ModelConfig().activation,)
    outputs: tuple[Output, ...] = (ModelConfig().output,)
    optimizers: tuple[Optimizer, ...] = (TrainingConfig().optimizer,)
    learning_rates: tuple[float, ...] = ()
    tune_rates: bool = False
    seeds: int = 3
    sample: int | None = None
    dropout: float = 0.0
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)

    def __post_init__(self) -> None:
        _require_lists(self)
        _require(1 <= self.seeds <= _MOST_SEEDS, "--seeds", f"{self.seeds} is out of range", "Give 1 up to 1000")
        _require(self.training.seed + self.seeds < 2**63, "--seed", "the last seed is too large", "Give a smaller one")
        _require(self.sample is None or self.sample >= 1, "--sample", f"{self.sample} is too few", "Give 1 or more")
        tunes = not self.tune_rates or len(self.learning_rates) > 1
        _require(tunes, "--tune-lr", "there is no choice of rates", "Give several, such as --lr 1e-3:1e-1:5")
        for candidate in _combinations(self):  # each has to be a configuration that can be
            self.run_config(candidate, learning_rate=candidate.learning_rate or self.learning_rates[0], seed=0)
        _require(
            len(_combinations(self)) > 1,
            "sweep",
            "it is empty: there is one combination, and nothing to compare it with",
            "Give lists, such as --sizes 16,64,256 --activations relu,tanh, or --preset lab",
        )

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds that every candidate trains from."""
        return tuple(range(self.training.seed, self.training.seed + self.seeds))

    @property
    def tuning_seed(self) -> int:
        """The seed of the trainings that choose learning rates: none of those that are compared."""
        return self.training.seed + self.seeds

    @property
    def trainings(self) -> int:
        """How many there are, the winner's last one not counted."""
        count = len(_combinations(self))
        return (count if self.sample is None else min(count, self.sample)) * self.trainings_each

    @property
    def trainings_each(self) -> int:
        """How many there are of each candidate."""
        return self.seeds + (len(self.learning_rates) if self.tune_rates else 0)

    def run_config(
        self, candidate: Candidate, *, learning_rate: float, seed: int, engine: str | None = None
    ) -> RunConfig:
        """One training of `candidate`, on the images that are not held out; by the sweep's own engine if not given."""
        return RunConfig(
            data=self.data,
            model=ModelConfig(
                hidden=candidate.hidden, activation=candidate.activation, output=candidate.output, dropout=self.dropout
            ),
            training=replace(self.training, optimizer=candidate.optimizer, learning_rate=learning_rate, seed=seed),
            execution=self.execution if engine is None else replace(self.execution, engine=engine),
        )


def candidates(config: SweepConfig) -> tuple[Candidate, ...]:
    """Every combination, or `sample` of them drawn by the seed, in the order of the options."""
    everything = _combinations(config)
    if config.sample is None or config.sample >= len(everything):
        return everything
    chosen = random.Random(config.training.seed).sample(range(len(everything)), config.sample)
    return tuple(everything[index] for index in sorted(chosen))


def check_size(config: SweepConfig, *, allowed: bool) -> None:
    """Raise ConfigError if the sweep is larger than what goes without `--yes`."""
    if config.trainings > MOST_TRAININGS and not allowed:
        raise ConfigError(
            f"this sweep has {config.trainings:,} trainings, more than {MOST_TRAININGS}",
            remedy="Add --yes to go on, or try some of them by --sample 50",
        )


def _combinations(config: SweepConfig) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(hidden=hidden, activation=activation, output=output, optimizer=optimizer, learning_rate=rate)
        for hidden, activation, output, optimizer in product(
            config.hidden, config.activations, config.outputs, config.optimizers
        )
        for rate in ((None,) if config.tune_rates else config.learning_rates or (LEARNING_RATES[optimizer],))
    )


def _require(holds: bool, option: str, problem: str, remedy: str) -> None:
    if not holds:
        raise ConfigError(f"{option}: {problem}", remedy=remedy)


def _require_lists(config: SweepConfig) -> None:
    """Each list has values, all known, none of them twice."""
    known: tuple[tuple[str, Sequence[str], Sequence[str]], ...] = (
        ("--activations", config.activations, ACTIVATIONS),
        ("--outputs", config.outputs, OUTPUTS),
        ("--optimizers", config.optimizers, OPTIMIZERS),
    )
    for option, values, choices in known:
        strange = next((value for value in values if value not in choices), None)
        _require(strange is None, option, f"{strange!r} is not known", f"Choose from {', '.join(choices)}")
    lists: list[tuple[str, Sequence[object]]] = [(option, values) for option, values, _ in known]
    for option, entries in (("--hidden", config.hidden), ("--lr", config.learning_rates), *lists):
        _require(bool(entries) or option == "--lr", option, "the list is empty", "Give one value or more")
        _require(len(set(entries)) == len(entries), option, "a value is given twice", "Give each once")


# --- lists and ranges as they are typed
# `16,64,256`, `8:1024:8` for eight values apart by one factor, `1:3` for 1, 2, 3. Sizes and rates differ by factors, so
# the values of their ranges are spaced evenly on a logarithmic scale: rates to three digits, sizes to the whole.


def parse_sizes(text: str, option: str) -> tuple[int, ...]:
    """Whole numbers from 1; raises ConfigError."""
    return _parse(text, option, _whole, round)


def parse_rates(text: str, option: str) -> tuple[float, ...]:
    """Positive numbers; raises ConfigError."""
    return _parse(text, option, _positive, lambda rate: float(f"{rate:.{_DIGITS}g}"))


def parse_counts(text: str, option: str) -> tuple[int, ...]:
    """Whole numbers from 1, a range being all from its first to its last; raises ConfigError."""
    return _parse(text, option, _whole, None)


def _parse(
    text: str, option: str, number: Callable[[str], Number], rounded: Callable[[float], Number] | None
) -> tuple[Number, ...]:
    """The values in the order given, each once; those of a range between its ends are `rounded`.

    Without `rounded`, a range has no count and is of all whole numbers.
    """
    values: list[Number] = []
    for item in map(str.strip, text.split(",")):
        try:
            values += _item(item, option, number, rounded)
        except ValueError:
            shown = repr(item) if item else "an empty place"
            form = "LOW:HIGH" if rounded is None else "LOW:HIGH:COUNT"
            raise ConfigError(
                f"{option}: {shown} is no positive number and no range", remedy=f"Give a list such as 1,2 or {form}"
            ) from None
    return tuple(dict.fromkeys(values))


def _item(
    item: str, option: str, number: Callable[[str], Number], rounded: Callable[[float], Number] | None
) -> list[Number]:
    parts = item.split(":")
    if len(parts) == 1:
        return [number(item)]
    if len(parts) != (2 if rounded is None else 3):
        raise ValueError
    low, high = number(parts[0]), number(parts[1])
    if low > high:
        raise ConfigError(f"{option}: the range {item} runs backwards", remedy="Give its smaller end first")
    if rounded is None:
        return [low + step for step in range(min(round(high - low) + 1, _MOST_VALUES))]
    count = int(parts[2])
    if not 2 <= count <= _MOST_VALUES:
        raise ConfigError(f"{option}: the range {item} has {count} values", remedy=f"Give 2 to {_MOST_VALUES}")
    step = math.log(high / low) / (count - 1)
    below_high: list[float] = [low * math.exp(step * i) for i in range(count - 1)]
    return [rounded(value) for value in (*below_high, high)]


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise ValueError
    return value
