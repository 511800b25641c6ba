"""What is measured: the configuration of a benchmark, and the cases that follow from it. No torch: the CLI reads it.

Training cases run steps of the run's own default training, or of a recipe's; inference cases classify test images, of
which the batch size is how many a call.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Literal, get_args

from accelmnist.core.config import (
    AUTO,
    CONSTANT_RATES,
    ENGINES,
    OPTIMIZERS,
    PRECISIONS,
    RECIPES,
    DataConfig,
    ExecutionConfig,
    ModelConfig,
    Optimizer,
    Precision,
    RunConfig,
    TrainingConfig,
)
from accelmnist.core.engine_file import EngineFile, label_of
from accelmnist.core.errors import ConfigError

Mode = Literal["training", "inference"]
Effort = Literal["quick", "default", "full"]

MODES: tuple[Mode, ...] = get_args(Mode)
EFFORTS: tuple[Effort, ...] = get_args(Effort)
LATENCY_BATCH = 1  # the batch size at which single calls are timed
_DEVICE = re.compile(r"cpu|mps|cuda(:\d+)?")
_SIDE = re.compile(r"\w[\w.+-]{0,31}", re.ASCII)
_SETTING = re.compile(r"[A-Za-z_]\w*=")
_PYTHON = re.compile(r"(^|[/\\])python[\d.]*(\.exe)?$")
BASELINE_ENGINE, BASELINE_PRECISION = "eager", "fp32"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One combination that is measured; `optimizer` is None for inference, `threads` None leaves torch's choice.

    `engine` is its name for people, which of one in a user's file is not all of its name: `BenchConfig.engine_of`.
    `side` names the other program that it is measured by, None if it is this one; a program with no engines of ours has
    its own name for an engine.
    """

    mode: Mode
    device: str
    engine: str
    precision: Precision
    batch_size: int
    hidden: tuple[int, ...]
    optimizer: Optimizer | None
    threads: int | None = None
    side: str | None = None

    @property
    def network(self) -> str:
        """The layers as in 784-256-10."""
        return str(ModelConfig(hidden=self.hidden))

    @property
    def axes(self) -> dict[str, str]:
        """The parts of the label by what they are; empty for one that the case doesn't have."""
        return {
            "mode": self.mode,
            "device": self.device,
            "engine": self.engine,
            "precision": self.precision,
            "network": self.network,
            "batch size": f"batch {self.batch_size}",
            "optimizer": self.optimizer or "",
            "threads": "" if self.threads is None else f"{self.threads} thread{'' if self.threads == 1 else 's'}",
            "side": "" if self.side in (None, self.engine) else f"by {self.side}",
        }

    @property
    def label(self) -> str:
        """The case in words, for messages and pages; two cases of one benchmark never share it."""
        return " ".join(filter(None, self.axes.values()))


@dataclass(frozen=True, kw_only=True)
class Side:
    """Another program that is measured in the same rounds, by its `name`, and the `command` that starts its worker.

    A command is settings such as OMP_NUM_THREADS=1, a program and its arguments. A Python alone stands for the worker
    of the accelmnist that it has, and is measured engine by engine.
    """

    name: str
    command: str

    def __post_init__(self) -> None:
        known = _SIDE.fullmatch(self.name) and self.name not in (*ENGINES, AUTO)
        _require(bool(known), "--beside", f"{self.name!r} is no name for it", "Give a short word that is no engine's")
        _require(bool(self.words), "--beside", f"{self.name} has no command", "Give one: NAME=COMMAND")

    @property
    def settings(self) -> dict[str, str]:
        """The variables that its command sets."""
        words = self._all_words()
        return dict(word.split("=", 1) for word in words[: len(words) - len(self.words)])

    @property
    def words(self) -> list[str]:
        """The program and its arguments."""
        words = self._all_words()
        while words and _SETTING.match(words[0]):
            del words[0]
        return words

    def _all_words(self) -> list[str]:
        try:
            return shlex.split(self.command)
        except ValueError as error:
            cause = f"the command of {self.name} can't be read: {str(error).lower()}"
            raise ConfigError(f"--beside: {cause}", remedy="Close the quotes") from error

    @property
    def is_ours(self) -> bool:
        """Whether it is an accelmnist, with its engines."""
        return len(self.words) == 1 and _PYTHON.search(self.words[0]) is not None


@dataclass(frozen=True, kw_only=True)
class EffortPlan:
    """What an effort tries and when it ends: seconds of the whole command, or None for as long as it takes."""

    time_limit_s: float | None
    most_rounds: int
    training_batch_sizes: tuple[int, ...]
    inference_batch_sizes: tuple[int, ...] = (LATENCY_BATCH, 10_000)
    precisions: tuple[Precision, ...] = ("fp32",)


OURS = "ours"  # the name of this program among the sides
BESIDE_SHARE = 0.02  # by which two sides may differ to be told apart
RANK_BATCH_SIZES = (64, 256, 1024, 4096)  # of a benchmark of ranks
_BATCH = TrainingConfig().batch_size
PLANS: dict[Effort, EffortPlan] = {
    "quick": EffortPlan(time_limit_s=30.0, most_rounds=30, training_batch_sizes=(_BATCH,)),
    "default": EffortPlan(time_limit_s=180.0, most_rounds=60, training_batch_sizes=(64, _BATCH, 1024)),
    "full": EffortPlan(
        time_limit_s=None,
        most_rounds=100,
        training_batch_sizes=(16, 64, _BATCH, 1024, 4096),
        inference_batch_sizes=(LATENCY_BATCH, 100, 10_000),
        precisions=("fp32", "bf16"),
    ),
}


def _require(holds: bool, option: str, problem: str, remedy: str) -> None:
    if not holds:
        raise ConfigError(f"{option}: {problem}", remedy=remedy)


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """A benchmark, whole: the record holds it and `--resume` starts from it. Empty tuples follow the effort's plan.

    `time_limit_s` counts from the start of the command; `precision_target` is the half width of a median's 95 %
    interval, as a share of the median, at which sampling stops.
    """

    devices: tuple[str, ...] = (AUTO,)
    modes: tuple[Mode, ...] = MODES
    engines: tuple[str, ...] = ()
    precisions: tuple[Precision, ...] = ()
    batch_sizes: tuple[int, ...] = ()
    hidden: tuple[tuple[int, ...], ...] = (ModelConfig().hidden,)
    optimizers: tuple[Optimizer, ...] = (TrainingConfig().optimizer,)
    threads: tuple[int, ...] = ()
    effort: Effort = "default"
    time_limit_s: float | None = None  # None: the effort's own
    precision_target: float = 0.01
    processes: int = 1
    epochs: int | None = None  # of the trainings that are judged; None: 1, and with a target as many as `run` has
    target_accuracy: float | None = None
    seeds: int = 10
    baseline: str | None = None  # such as "compiled" or "cuda:0/eager"; None for eager fp32 on the CPU
    data: DataConfig = field(default_factory=DataConfig)
    recipe: str | None = None  # whose training the cases have if they say nothing of it; None: the defaults of `run`
    ranks: tuple[int, ...] = ()  # how many share the work; empty: it is no benchmark of ranks
    plain: bool = False  # train at a constant rate, without weight decay and label smoothing: what any program can do
    beside: tuple[Side, ...] = ()  # that are measured in the same rounds
    fail_on: float | None = None  # how much slower than another side this program may be

    def __post_init__(self) -> None:
        _require_lists(self)
        known_recipe = self.recipe is None or self.recipe in RECIPES
        _require(known_recipe, "--recipe", f"{self.recipe!r} is not known", f"Choose one of {', '.join(RECIPES)}")
        has_one = not self.plain or self.recipe is None
        _require(has_one, "--plain", "a recipe has a training of its own", "Leave out --recipe, or --plain")
        _require(0 < self.precision_target < 1, "--precision-target", "it is not between 0 and 1", "Give 0.01 for 1 %")
        for option, number in (("--processes", self.processes), ("--epochs", self.epochs), ("--seeds", self.seeds)):
            _require(number is None or number >= 1, option, f"{number} is too few", "Give 1 or more")
        limit = self.time_limit_s
        limit_holds = limit is None or (math.isfinite(limit) and limit > 0)
        _require(limit_holds, "--time-limit", f"{limit} is not a positive number of seconds", "Give one such as 60")
        target = self.target_accuracy
        target_holds = target is None or 0 < target < 1
        _require(target_holds, "--target-accuracy", f"{target} is not between 0 and 1", "Give one such as 0.98")
        for part in () if self.baseline is None else self.baseline.split("/"):
            known = part in (*ENGINES, *map(label_of, self.engines), *PRECISIONS) or _DEVICE.fullmatch(part) is not None
            what = f"{part!r} names neither an engine, a precision nor a device"
            _require(known, "--baseline", what, "Give one such as compiled, or cuda:0/eager/bf16")
        _require_ranks(self)
        _require_beside(self)
        trains = target is None or "training" in self.modes
        _require(trains, "--target-accuracy", "there is nothing to train", "Leave out --mode inference")

    @property
    def plan(self) -> EffortPlan:
        """The effort's plan."""
        return PLANS[self.effort]

    def engine_of(self, case: Case) -> str:
        """The engine of `case` as a configuration names it: a case has its name for people, or another program's."""
        if case.engine == case.side:
            return AUTO
        return next((engine for engine in self.engines if label_of(engine) == case.engine), case.engine)

    @property
    def rank_counts(self) -> tuple[int, ...]:
        """The numbers of ranks in order, one of them alone included: what the others are held against."""
        return tuple(sorted({1, *self.ranks}))

    @property
    def training_epochs(self) -> int:
        """Epochs of the trainings that are judged."""
        if self.epochs is not None:
            return self.epochs
        return 1 if self.target_accuracy is None else self.base.training.epochs

    @property
    def base(self) -> RunConfig:
        """What a case trains if it says nothing of it: the recipe, or the defaults of `accelmnist run`."""
        base = RunConfig() if self.recipe is None else RECIPES[self.recipe].config
        if not self.plain:
            return base
        rate = CONSTANT_RATES[base.training.optimizer]
        plain = replace(base.training, schedule="constant", learning_rate=rate, weight_decay=0.0, label_smoothing=0.0)
        return replace(base, training=plain)

    @property
    def beside_threshold(self) -> float:
        """Beyond which a side's speed is another one: half of what is to be found in 19 of 20 benchmarks."""
        return (BESIDE_SHARE if self.fail_on is None else self.fail_on) / 2

    @property
    def ends_after_s(self) -> float | None:
        """Seconds after which no new work begins, or None."""
        return self.plan.time_limit_s if self.time_limit_s is None else self.time_limit_s


def _require_ranks(config: BenchConfig) -> None:
    """What a benchmark of ranks can't be besides."""
    if not config.ranks:
        return
    _require(all(1 <= count <= 1024 for count in config.ranks), "--ranks", "a number is out of range", "Give 1 to 1024")
    others = {"--processes": config.processes > 1, "--target-accuracy": config.target_accuracy is not None}
    others |= {"--devices with several": len(config.devices) > 1, "--mode inference": "training" not in config.modes}
    other = next((option for option, is_given in others.items() if is_given), "")
    _require(not other, "--ranks", f"it measures the speed of training alone, and not {other}", f"Leave out {other}")


def _require_beside(config: BenchConfig) -> None:
    """What a benchmark beside other programs can't be besides."""
    share = config.fail_on
    _require(share is None or 0 < share < 1, "--fail-on", f"{share} is not between 0 and 1", "Give one such as 2%")
    if not config.beside:
        _require(share is None, "--fail-on", "there is nothing to be slower than", "Add --beside NAME=COMMAND")
        return
    names = [OURS, *(side.name for side in config.beside)]
    twice = next((name for name in names if names.count(name) > 1), None)
    _require(twice is None, "--beside", f"the name {twice} is given twice", "Give each its own")
    others = {"--ranks": bool(config.ranks), "--target-accuracy": config.target_accuracy is not None}
    others |= {"--processes": config.processes > 1}
    others |= {"--threads with several": len(config.threads) > 1 and not all(side.is_ours for side in config.beside)}
    other = next((option for option, is_given in others.items() if is_given), "")
    _require(not other, "--beside", f"it measures speeds in the same rounds, and not {other}", f"Leave out {other}")


def _require_lists(config: BenchConfig) -> None:
    engines, files = tuple(map(label_of, config.engines)), filter(EngineFile.of, config.engines)
    known = (
        ("--engines", engines, (*ENGINES, *map(label_of, files))),
        ("--precisions", config.precisions, PRECISIONS),
        ("--optimizers", config.optimizers, OPTIMIZERS),
        ("--mode", config.modes, MODES),
    )
    for option, values, choices in known:
        unknown = next((value for value in values if value not in choices), None)
        _require(unknown is None, option, f"{unknown!r} is not known", f"Choose from {', '.join(choices)}")
    lists: dict[str, tuple[Hashable, ...]] = {option: values for option, values, _ in known}
    lists |= {"--devices": config.devices, "--batch-sizes": config.batch_sizes}
    lists |= {"--hidden": config.hidden, "--threads": config.threads, "--ranks": config.ranks}
    for option, given in lists.items():
        twice = next((value for value in given if given.count(value) > 1), None)
        is_file = option == "--engines" and twice not in ENGINES
        remedy = "Give each once" + (": file and class tell two apart, so rename one" if is_file else "")
        _require(twice is None, option, f"{twice} is given twice", remedy)
        empty = not given and option in ("--devices", "--mode", "--hidden", "--optimizers")
        _require(not empty, option, "the list is empty", "Give at least one, or leave the option out")
    _require(all(size >= 1 for size in config.batch_sizes), "--batch-sizes", "a size is below 1", "Give 1 or more")
    threads_hold = all(1 <= threads <= 4096 for threads in config.threads)
    _require(threads_hold, "--threads", "a number is out of range", "Give 1 or more")


def expand(
    config: BenchConfig, devices: tuple[str, ...], *, runs_on: Callable[[str, str], bool] = lambda _engine, _kind: True
) -> tuple[Case, ...]:
    """Every case of `config` on `devices`, which are resolved names; the order is that of the table.

    Where no engines are named, those that never run on a kind of device, by `runs_on(engine, kind)`, are left out.
    """
    plan = config.plan
    modes = config.modes if config.target_accuracy is None and not config.ranks else ("training",)
    cases = []
    for mode, hidden, device in product(modes, config.hidden, devices):
        kind = device.partition(":")[0]
        optimizers: tuple[Optimizer | None, ...] = config.optimizers if mode == "training" else (None,)
        own_sizes = plan.training_batch_sizes if mode == "training" else plan.inference_batch_sizes
        own_sizes = RANK_BATCH_SIZES if config.ranks else own_sizes
        engines = tuple(map(label_of, config.engines)) or tuple(name for name in ENGINES if runs_on(name, kind))
        # A GPU's work depends little on the CPU's threads: the list is the CPU's.
        threads: tuple[int | None, ...] = (config.threads if device == "cpu" else ()) or (None,)
        case = partial(Case, mode=mode, device=device, hidden=hidden)
        ours: list[tuple[str, str | None]] = [(engine, None) for engine in engines]
        ways = [*ours, *(way for side in config.beside for way in _ways_of(side, engines))]
        lists = (optimizers, config.batch_sizes or own_sizes, config.precisions or plan.precisions, ways, threads)
        cases += [
            case(optimizer=optimizer, batch_size=size, precision=precision, engine=engine, threads=count, side=side)
            for optimizer, size, precision, (engine, side), count in product(*lists)
        ]
    return tuple(cases)


def _ways_of(side: Side, engines: tuple[str, ...]) -> list[tuple[str, str]]:
    """The engines by which another side does the work of a case; a program of another kind is one itself."""
    return [(engine, side.name) for engine in (engines if side.is_ours else (side.name,))]


def run_config(case: Case, config: BenchConfig, *, seed: int = 0) -> RunConfig:
    """The run that a case stands for: what is not the case's own is the recipe's, or a default of `accelmnist run`."""
    base = config.base
    training = replace(base.training, epochs=config.training_epochs, seed=seed)
    if case.optimizer is not None:
        own = CONSTANT_RATES[case.optimizer] if config.plain else None
        rate = base.training.learning_rate if case.optimizer == base.training.optimizer else own
        training = replace(training, optimizer=case.optimizer, batch_size=case.batch_size, learning_rate=rate)
    return RunConfig(
        data=config.data,
        model=replace(base.model, hidden=case.hidden),
        training=training,
        execution=ExecutionConfig(
            device=case.device, engine=config.engine_of(case), precision=case.precision, threads=case.threads
        ),
        recipe=config.recipe,
    )
