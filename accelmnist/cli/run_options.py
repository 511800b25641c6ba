"""The options of `accelmnist run`, and the configuration that they make."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import click

from accelmnist.cli.options import (
    OUTPUT_PAIRS,
    CommandLine,
    OutputOptions,
    count_option,
    default_of,
    in_order,
    option,
    option_for,
    options_of,
    output_options,
    set_options,
    under,
)
from accelmnist.core.config import (
    AMP_PRECISIONS,
    AUDIT_WINDOWS,
    AUTO,
    EVERY_STEP,
    LEARNING_RATES,
    RECIPES,
    DataConfig,
    ExecutionConfig,
    ModelConfig,
    RunConfig,
    TrainingConfig,
)
from accelmnist.core.errors import ConfigError

_HIDDEN = ",".join(map(str, default_of(ModelConfig, "hidden")))
_RATES = ", ".join(f"{name} {rate:g}" for name, rate in LEARNING_RATES.items())
_MOST_TRIALS = 10_000


class _Windows(click.IntRange):
    """A number of parts, or every step."""

    name = "number or full"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of parts."""
        return EVERY_STEP if value == "full" else int(super().convert(value, param, ctx))


synthetic_option = option("--synthetic", is_flag=True, help="A seeded set made here: the same as --dataset synthetic.")
dropout_option = options_of(ModelConfig, dropout="Probability of dropping a hidden activation.")
length_options = options_of(TrainingConfig, epochs="Passes over the training images.", batch_size="Images of a step.")
update_options = options_of(
    TrainingConfig,
    momentum="Of sgd-momentum.",
    nesterov="Nesterov's form of momentum.",
    weight_decay="How much weights shrink in a step, times the rate.",
    label_smoothing="Share of the target spread over all classes.",
    schedule="Of the learning rate.",
    warmup="Share of the steps that one-cycle spends rising.",
    augment="Move the training images, anew in every epoch.",
    averaging="Average the weights over the epochs: the share of its past that the average keeps, such as 0.5.",
    seed="Of weights, order, dropout, augmentation and split.",
)
execution_options = under(
    "Execution",
    options_of(
        ExecutionConfig,
        device="auto, cpu, cuda, cuda:N or mps.",
        engine="How the steps are run; auto is the fastest here, FILE.py:CLASS one's own.",
    ),
    option("--compile", "compile_step", is_flag=True, help="The same as --engine compiled."),
    options_of(ExecutionConfig, precision="Of the arithmetic."),
    option(
        "--amp",
        type=click.Choice(AMP_PRECISIONS),
        is_flag=False,
        flag_value="bf16",
        metavar="[bf16|fp16]",
        help="Mixed precision: the same as --precision bf16, or fp16.",
    ),
    options_of(ExecutionConfig, threads="CPU threads; torch's choice if not given."),
)
ranks_option = options_of(
    ExecutionConfig, ranks="Processes of this machine that share the work; torchrun starts them on several."
)
_recipe_option = options_of(
    RunConfig,
    recipe="Network and training by name: the least time to that accuracy. Options given besides change it.",
)
config_options = in_order(
    under("Recipe", _recipe_option),
    under(
        "Data",
        set_options,
        synthetic_option,
        options_of(DataConfig, validation="Training images held out, by class in proportion."),
    ),
    under(
        "Network",
        option_for(ModelConfig, "hidden", default=_HIDDEN, help="Sizes such as 512,256, or none."),
        options_of(
            ModelConfig, activation="Of the hidden layers.", output="Output function, with the loss that fits it."
        ),
        dropout_option,
    ),
    under(
        "Training",
        length_options,
        options_of(TrainingConfig, optimizer="Rule of the update."),
        option_for(TrainingConfig, "learning_rate", show_default=_RATES, help="Peak of the learning rate."),
        update_options,
    ),
    execution_options,
    under(
        "Ranks",
        ranks_option,
        options_of(ExecutionConfig, reduction="Of gradients; exact gives 1, 2, 4 and 8 ranks the same bits."),
    ),
)
_TRIALS = "--trials"
result_options = in_order(
    under(
        "Proof",
        count_option(
            _TRIALS,
            type=click.IntRange(1, _MOST_TRIALS),
            default=1,
            help="Seeds to train together, from --seed on; the first is checked in full.",
        ),
        option(
            "--audit",
            type=_Windows(min=0),
            default=AUDIT_WINDOWS,
            help="Parts of the training, in each of which one step is replayed in float64; full replays every step.",
        ),
        option("--no-reference", is_flag=True, help="Don't repeat the training on the CPU to compare."),
        option("--profile", is_flag=True, help="Profile a few steps: their launches, and where the time goes."),
    ),
    under(
        "Result",
        *output_options(label="<device>-<engine>", noun="run", quiet="the verdict"),
        count_option(
            "--save-every", type=click.IntRange(min=0), default=1, help="Epochs between checkpoints; 0 makes none."
        ),
        option("--shared-scale", is_flag=True, help="One grey scale for the weight images of all neurons."),
    ),
)

_MODEL, _TRAINING = ({field.name for field in fields(part)} for part in (ModelConfig, TrainingConfig))
_DATA, _EXECUTION = ({field.name for field in fields(part)} for part in (DataConfig, ExecutionConfig))
CONFIG_PARAMETERS = frozenset(
    {*_DATA, *_MODEL, *_TRAINING, *(_EXECUTION - {"ranks"}), "recipe", "synthetic", "compile_step", "amp"}
)


@dataclass(frozen=True, kw_only=True)
class RunOptions(OutputOptions):
    """What becomes of a run and of its result."""

    trials: int
    audit: int
    no_reference: bool
    profile: bool
    save_every: int
    shared_scale: bool


def run_options(line: CommandLine) -> RunOptions:
    """The options of the result; raises ConfigError for those that contradict each other, or have no effect."""
    _check_trials(line)
    line.refuse_configuration(CONFIG_PARAMETERS, of="saved run")
    line.refuse_pairs(*OUTPUT_PAIRS)
    if line["profile"] and line["quiet"] and line["no_save"]:
        raise ConfigError("--profile has no effect with --quiet and --no-save", remedy="Leave one of them out")
    return line.make(RunOptions)


def _check_trials(line: CommandLine) -> None:
    """Raise ConfigError for an option that means nothing for many seeds."""
    reasons = {
        "resume": "it goes on with one stopped training",
        "profile": "it looks at the steps of one training",
        "save_every": "trainings of many seeds make no checkpoints",
        "reduction": "each seed trains alone",
    }
    for name, reason in reasons.items():
        if line["trials"] > 1 and name in line.given:
            flag = line.flags[name]
            raise ConfigError(
                f"{flag} has no place beside {_TRIALS}: {reason}", remedy=f"Leave out {flag} or {_TRIALS}"
            )


def run_config(line: CommandLine) -> RunConfig:
    """The configuration of a new run, a recipe applied; raises ConfigError for what can't be or has no effect."""
    line = with_recipe(line)
    line.refuse_without("momentum", needs="optimizer", value="sgd-momentum")
    line.refuse_without("warmup", needs="schedule", value="one-cycle")
    return config_from(line)


def with_recipe(line: CommandLine) -> CommandLine:
    """The line with the values of its recipe, if it has one, for all that was not given.

    A learning rate belongs to its optimizer: another optimizer brings its own.
    """
    if line["recipe"] is None:
        return line
    recipe = RECIPES[line["recipe"]]
    values = {name: getattr(recipe.model, name) for name in _MODEL}
    values |= {name: getattr(recipe.training, name) for name in _TRAINING}
    if line["optimizer"] != recipe.training.optimizer and "optimizer" in line.given:
        values["learning_rate"] = None
    return line.changed(**{name: value for name, value in values.items() if name not in line.given})


def config_from(line: CommandLine) -> RunConfig:
    """The configuration that a line describes as it stands; raises ConfigError for options that contradict each other.

    A default contradicts nothing.
    """
    line = line.changed(dataset=_dataset(line), engine=_engine(line), precision=_precision(line))
    return RunConfig(
        data=line.make(DataConfig),
        model=line.make(ModelConfig),
        training=line.make(TrainingConfig),
        execution=line.make(ExecutionConfig),
        recipe=line["recipe"],
    )


def _dataset(line: CommandLine) -> str:
    if line["synthetic"] and line["dataset"] not in ("mnist", "synthetic"):
        raise ConfigError("--synthetic contradicts --dataset", remedy="Give one of them")
    return "synthetic" if line["synthetic"] else line["dataset"]


def _engine(line: CommandLine) -> str:
    if line["compile_step"] and line["engine"] not in (AUTO, "compiled"):
        raise ConfigError(f"--compile contradicts --engine {line['engine']}", remedy="Give one of them")
    return "compiled" if line["compile_step"] else line["engine"]


def _precision(line: CommandLine) -> str:
    amp: str | None = line["amp"]
    precision: str = line["precision"]
    if amp is not None and "precision" in line.given and precision != amp:
        raise ConfigError(f"--amp {amp} contradicts --precision {precision}", remedy="Give one of them")
    return amp or precision
