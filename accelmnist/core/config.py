"""What to train and how to run it: frozen dataclasses, checked once when they are made; recipes by name.

Defaults are stated only here: the command line reads them and its choices, the record stores these objects as they
are, and the engines read them. Nothing here imports torch, so that `accelmnist --help` stays quick.

The default hyper-parameters were chosen on 10,000 images held out of the training set, never on the test set:
`bench/studies/choose_defaults.py` is the search and `results/defaults.md` its record. Four epochs and not the five that
score 0.03 points more: the whole process is to end within ten seconds on two cores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Literal, get_args

from accelmnist.core.engine_file import EngineFile
from accelmnist.core.errors import ConfigError

IMAGE_SIDE = 28
INPUTS = IMAGE_SIDE * IMAGE_SIDE
CLASSES = 10

DatasetName = Literal["mnist", "fashion-mnist", "kmnist", "qmnist", "emnist-digits", "synthetic"]
Activation = Literal["relu", "leaky-relu", "gelu", "silu", "tanh", "sigmoid"]
Output = Literal["softmax", "sigmoid", "linear"]
Optimizer = Literal["sgd", "sgd-momentum", "adam", "adamw"]
Schedule = Literal["constant", "cosine", "one-cycle"]
Augment = Literal["none", "shift", "affine"]
Precision = Literal["fp32", "tf32", "bf16", "fp16"]
Reduction = Literal["sum", "exact"]

DATASETS: tuple[DatasetName, ...] = get_args(DatasetName)
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
OUTPUTS: tuple[Output, ...] = get_args(Output)
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
AUGMENTS: tuple[Augment, ...] = get_args(Augment)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)
SHARDS = 8  # of a batch, whose gradients the exact reduction adds in one order on any number of ranks
AMP_PRECISIONS: tuple[Precision, ...] = ("bf16", "fp16")

# Each is a file of that name in engines/, which a test holds to this list.
ENGINES: tuple[str, ...] = ("compiled", "cuda_graph", "eager", "fused", "persistent")
AUTO = "auto"

# Parts of a training from each of which a step is drawn for the audit: see `training/reference/audit.py`.
AUDIT_WINDOWS = 67
EVERY_STEP = 2**53

# The peak of the schedule, if --lr is not given.
LEARNING_RATES: dict[Optimizer, float] = {"sgd": 0.5, "sgd-momentum": 0.3, "adam": 0.016, "adamw": 0.016}
# The usual rates of a training without a schedule.
CONSTANT_RATES: dict[Optimizer, float] = {"sgd": 0.1, "sgd-momentum": 0.05, "adam": 0.001, "adamw": 0.001}


def _require(holds: bool, option: str, problem: str, remedy: str) -> None:
    if not holds:
        raise ConfigError(f"{option}: {problem}", remedy=remedy)


def _require_choice(value: str, choices: tuple[str, ...], option: str) -> None:
    _require(value in choices, option, f"{value!r} is not known", f"Choose one of {', '.join(choices)}")


def _require_fraction(value: float, option: str) -> None:
    _require(0.0 <= value < 1.0, option, f"{value} is out of range", "Give a number from 0 up to, not including, 1")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which images: a named data set or a folder of IDX files, and how many training images are held out."""

    dataset: DatasetName = "mnist"
    folder: str | None = None
    validation: int = 0  # images of the training set held out, the same share of every class

    def __post_init__(self) -> None:
        _require_choice(self.dataset, DATASETS, "--dataset")
        _require(self.validation >= 0, "--validation", "it is negative", "Give the number of images to hold out")
        clash = self.folder is not None and self.dataset == "synthetic"
        _require(not clash, "--data", "a synthetic set comes from no folder", "Leave out --data or --synthetic")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network: 784 inputs, any list of hidden sizes (an empty one is softmax regression), 10 outputs."""

    hidden: tuple[int, ...] = (256,)
    activation: Activation = "relu"
    output: Output = "softmax"
    dropout: float = 0.0  # probability that a hidden activation is dropped while training

    def __post_init__(self) -> None:
        sizes_hold = all(0 < size <= 65_536 for size in self.hidden)
        _require(
            sizes_hold, "--hidden", "a size is not between 1 and 65536", "Give sizes such as 128 or 512,256, or none"
        )
        _require(len(self.hidden) <= 64, "--hidden", "there are more than 64 layers", "Give fewer")
        _require_choice(self.activation, ACTIVATIONS, "--activation")
        _require_choice(self.output, OUTPUTS, "--output")
        _require_fraction(self.dropout, "--dropout")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of every layer, inputs and outputs included."""
        return (INPUTS, *self.hidden, CLASSES)

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum((inputs + 1) * outputs for inputs, outputs in zip(self.sizes, self.sizes[1:], strict=False))

    def __str__(self) -> str:
        return "-".join(map(str, self.sizes))


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the weights are found. `learning_rate` is the peak of the schedule; None is made the optimizer's own.

    A configuration that is made always holds the rate in force, `peak_rate`: records and comparisons see a number.
    """

    epochs: int = 4
    batch_size: int = 256
    optimizer: Optimizer = "adamw"
    learning_rate: float | None = None
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.01
    label_smoothing: float = 0.1  # share of the target spread evenly over all classes
    schedule: Schedule = "one-cycle"
    warmup: float = 0.25  # share of all steps that one-cycle spends rising
    augment: Augment = "none"  # how the training images are moved, anew in every epoch
    averaging: float = 0.0  # share of its past that the average of the weights keeps in an epoch; 0 for no average
    seed: int = 0

    def __post_init__(self) -> None:
        _require_choice(self.optimizer, OPTIMIZERS, "--optimizer")
        _require_choice(self.schedule, SCHEDULES, "--schedule")
        _require_choice(self.augment, AUGMENTS, "--augment")
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", LEARNING_RATES[self.optimizer])
        _require(self.epochs >= 1, "--epochs", f"{self.epochs} is too few", "Give 1 or more")
        _require(self.batch_size >= 1, "--batch-size", f"{self.batch_size} is too small", "Give 1 or more")
        rate_holds = math.isfinite(self.peak_rate) and self.peak_rate > 0
        _require(rate_holds, "--lr", f"{self.learning_rate} is not a positive number", "Give one such as 0.01")
        decay_holds = math.isfinite(self.weight_decay) and self.weight_decay >= 0
        _require(decay_holds, "--weight-decay", f"{self.weight_decay} is not 0 or more", "Give one such as 0.01")
        _require_fraction(self.momentum, "--momentum")
        _require_fraction(self.label_smoothing, "--label-smoothing")
        _require_fraction(self.warmup, "--warmup")
        _require_fraction(self.averaging, "--averaging")
        _require(0 <= self.seed < 2**63, "--seed", f"{self.seed} is out of range", "Give 0 up to 2^63 - 1")
        only_momentum = not self.nesterov or self.optimizer == "sgd-momentum"
        no_form = f"{self.optimizer} has no Nesterov form"
        _require(only_momentum, "--nesterov", no_form, "Add --optimizer sgd-momentum")

    @property
    def peak_rate(self) -> float:
        """The highest learning rate of the training."""
        return LEARNING_RATES[self.optimizer] if self.learning_rate is None else self.learning_rate


@dataclass(frozen=True, kw_only=True)
class ExecutionConfig:
    """Where and by which way of running; `auto` is resolved, with its reason, before the run starts.

    `engine` is one of ours, or one in a file of one's own: see `engine_file`.
    """

    device: str = AUTO
    engine: str = AUTO
    precision: Precision = "fp32"
    threads: int | None = None  # of the CPU; None leaves torch's choice
    ranks: int = 1  # processes that share every batch
    reduction: Reduction = "sum"

    def __post_init__(self) -> None:
        known = self.engine in (AUTO, *ENGINES) or EngineFile.of(self.engine) is not None
        ours = ", ".join((AUTO, *ENGINES))
        _require(known, "--engine", f"{self.engine!r} is not known", f"Choose one of {ours}, or give FILE.py:CLASS")
        _require_choice(self.precision, PRECISIONS, "--precision")
        threads_hold = self.threads is None or 1 <= self.threads <= 4096
        _require(threads_hold, "--threads", f"{self.threads} is out of range", "Give 1 or more")
        _require(1 <= self.ranks <= 1024, "--ranks", f"{self.ranks} is out of range", "Give 1 to 1024")
        _require_choice(self.reduction, REDUCTIONS, "--reduction")
        divides = self.reduction == "sum" or SHARDS % self.ranks == 0
        counts = ", ".join(str(count) for count in range(1, SHARDS + 1) if SHARDS % count == 0)
        _require(divides, "--reduction exact", f"{self.ranks} ranks can't share {SHARDS} parts", f"Take {counts} ranks")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run, whole: the record holds it and `--resume` starts from it.

    `recipe` names the recipe that it was made from; options may have changed parts of it.
    """

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    recipe: str | None = None


def check_fits(config: RunConfig, *, training_images: int) -> None:
    """Raise ConfigError if the batch or the validation split is larger than the `training_images` there are."""
    size, held_out = config.training.batch_size, config.data.validation
    left = training_images - held_out
    too_many = f"{held_out} of {training_images} training images leave nothing to train on"
    _require(left > 0, "--validation", too_many, "Hold out fewer")
    too_large = f"{size} is larger than the {left} training images"
    _require(size <= left, "--batch-size", too_large, f"Give {left} or fewer")


def check_shares(batch_size: int, *, ranks: int, reduction: Reduction = "sum") -> None:
    """Raise ConfigError for a batch that the ranks can't share equally, with the nearest sizes that they can."""
    parts = SHARDS if reduction == "exact" else ranks
    who = f"{SHARDS} parts of the exact reduction" if reduction == "exact" else f"{ranks} ranks"
    if batch_size % parts:
        below = batch_size // parts * parts
        near = f"{below} or {below + parts}" if below else str(parts)
        _require(False, "--batch-size", f"{batch_size} images can't be shared equally by {who}", f"Give {near}")


def steps_per_epoch(training_images: int, batch_size: int) -> int:
    """Full batches in an epoch: the ragged last one is dropped, so that every step has one shape."""
    return training_images // batch_size


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A network and its training, the fastest found to the mean `accuracy` over seeds on MNIST's test set.

    Single seeds lie on both sides of it. All were chosen on images held out of the training set
    (`bench/studies/recipe_search.py`, `results/recipe-search.md`); the test set was used only in the end
    (`bench/studies/recipe_study.py`, `results/recipes.md`).
    """

    name: str
    accuracy: float
    model: ModelConfig
    training: TrainingConfig

    @property
    def config(self) -> RunConfig:
        """The run that it stands for, if nothing is changed."""
        return RunConfig(model=self.model, training=self.training, recipe=self.name)

    @property
    def purpose(self) -> str:
        """Its aim, in a phrase."""
        return f"the least time to {100 * self.accuracy:.1f} % on the test set"


_ALL = (
    Recipe(
        name="mnist-98",
        accuracy=0.980,
        model=ModelConfig(hidden=(192,)),
        training=TrainingConfig(epochs=2, batch_size=128, learning_rate=0.012, warmup=0.4),
    ),
    Recipe(
        name="mnist-98.5",
        accuracy=0.985,
        model=ModelConfig(hidden=(256,)),
        training=TrainingConfig(epochs=5, batch_size=256, learning_rate=0.016, augment="shift"),
    ),
    Recipe(
        name="mnist-99",
        accuracy=0.990,
        model=ModelConfig(hidden=(512, 128)),
        training=TrainingConfig(epochs=10, batch_size=256, learning_rate=0.006, augment="shift"),
    ),
)
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _ALL}


def changes(config: RunConfig, recipe: Recipe) -> Iterator[str]:
    """The settings of `config` that differ from `recipe`'s, such as "epochs 3"; the seed is anybody's choice."""
    parts = ((config.data, DataConfig()), (config.model, recipe.model), (config.training, recipe.training))
    for mine, its in parts:
        for name in (part.name for part in fields(its) if part.name != "seed"):
            value = getattr(mine, name)
            if value != getattr(its, name):
                yield f"{name.replace('_', ' ')} {_text(value)}"


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
