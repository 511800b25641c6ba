"""The options of `accelmnist run`, and the configuration that they make."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import click

from accelmnist.cli.options import default_of, in_order, option_for, parse_sizes
from accelmnist.core.config import (
    ACTIVATIONS,
    AMP_PRECISIONS,
    AUGMENTS,
    AUTO,
    DATASETS,
    ENGINES,
    LEARNING_RATES,
    OPTIMIZERS,
    OUTPUTS,
    PRECISIONS,
    SCHEDULES,
    DataConfig,
    ExecutionConfig,
    ModelConfig,
    RunConfig,
    TrainingConfig,
)
from accelmnist.core.errors import ConfigError
from accelmnist.core.recipes import RECIPES

_HIDDEN = ",".join(map(str, default_of(ModelConfig, "hidden")))
_RATES = ", ".join(f"{name} {rate:g}" for name, rate in LEARNING_RATES.items())

recipe_option = click.option(
    "--recipe",
    type=click.Choice(tuple(RECIPES)),
    help="Network and training by name: the least time to that accuracy. Options given besides change it.",
)
set_options = in_order(
    option_for(DataConfig, "dataset", type=click.Choice(DATASETS), help="All but mnist are downloaded or made."),
    option_for(
        DataConfig, "folder", "--data", metavar="DIR", show_default=False, help="Folder with the four IDX files."
    ),
    click.option("--synthetic", is_flag=True, help="A seeded set made here: the same as --dataset synthetic."),
)
data_options = in_order(
    set_options,
    option_for(DataConfig, "validation", type=int, help="Training images held out, by class in proportion."),
)
dropout_option = option_for(ModelConfig, "dropout", type=float, help="Probability of dropping a hidden activation.")
model_options = in_order(
    option_for(
        ModelConfig, "hidden", type=str, callback=parse_sizes, default=_HIDDEN, help="Sizes such as 512,256, or none."
    ),
    option_for(ModelConfig, "activation", type=click.Choice(ACTIVATIONS)),
    option_for(ModelConfig, "output", type=click.Choice(OUTPUTS), help="Output function, with the loss that fits it."),
    dropout_option,
)
length_options = in_order(
    option_for(TrainingConfig, "epochs", type=int), option_for(TrainingConfig, "batch_size", type=int)
)
update_options = in_order(
    option_for(TrainingConfig, "momentum", type=float, help="Of sgd-momentum."),
    option_for(TrainingConfig, "nesterov", is_flag=True, help="Nesterov's form of momentum.", show_default=False),
    option_for(TrainingConfig, "weight_decay", type=float),
    option_for(TrainingConfig, "label_smoothing", type=float, help="Share of the target spread over all classes."),
    option_for(TrainingConfig, "schedule", type=click.Choice(SCHEDULES), help="Of the learning rate."),
    option_for(TrainingConfig, "warmup", type=float, help="Share of the steps that one-cycle spends rising."),
    option_for(
        TrainingConfig, "augment", type=click.Choice(AUGMENTS), help="Move the training images, anew in every epoch."
    ),
    option_for(
        TrainingConfig,
        "averaging",
        type=float,
        help="Average the weights over the epochs: the share of its past that the average keeps, such as 0.5.",
    ),
    option_for(TrainingConfig, "seed", type=int, help="Of weights, order, dropout, augmentation and split."),
)
training_options = in_order(
    length_options,
    option_for(TrainingConfig, "optimizer", type=click.Choice(OPTIMIZERS)),
    option_for(
        TrainingConfig,
        "learning_rate",
        "--lr",
        type=float,
        default=None,
        show_default=_RATES,
        help="Peak of the learning rate.",
    ),
    update_options,
)
execution_options = in_order(
    option_for(ExecutionConfig, "device", help="auto, cpu, cuda, cuda:N or mps."),
    option_for(
        ExecutionConfig,
        "engine",
        type=click.Choice([AUTO, *ENGINES]),
        help="How the steps are run; auto is the fastest here.",
    ),
    click.option("--compile", "compile_step", is_flag=True, help="The same as --engine compiled."),
    option_for(ExecutionConfig, "precision", type=click.Choice(PRECISIONS), help="Of the arithmetic."),
    click.option(
        "--amp",
        type=click.Choice(AMP_PRECISIONS),
        is_flag=False,
        flag_value="bf16",
        metavar="[bf16|fp16]",
        help="Mixed precision: the same as --precision bf16, or fp16.",
    ),
    option_for(
        ExecutionConfig, "threads", type=int, show_default=False, help="CPU threads; torch's choice if not given."
    ),
)
config_options = in_order(recipe_option, data_options, model_options, training_options, execution_options)

_DATA, _MODEL, _TRAINING, _EXECUTION = (
    tuple(field.name for field in fields(part)) for part in (DataConfig, ModelConfig, TrainingConfig, ExecutionConfig)
)
CONFIG_PARAMETERS = frozenset({*_DATA, *_MODEL, *_TRAINING, *_EXECUTION, "recipe", "synthetic", "compile_step", "amp"})


def with_recipe(options: dict[str, Any], *, given: frozenset[str]) -> dict[str, Any]:
    """The options with the recipe's values for those that were not `given`, where a recipe is among them.

    A learning rate belongs to its optimizer: another optimizer brings its own.
    """
    if options["recipe"] is None:
        return options
    recipe = RECIPES[options["recipe"]]
    own = {name: getattr(recipe.model, name) for name in _MODEL}
    own |= {name: getattr(recipe.training, name) for name in _TRAINING}
    if options["optimizer"] != recipe.training.optimizer and "optimizer" in given:
        own["learning_rate"] = None
    return options | {name: value for name, value in own.items() if name not in given}


def config_from(options: dict[str, Any], *, given: frozenset[str] = frozenset()) -> RunConfig:
    """The configuration that the options above describe; raises ConfigError where two of them contradict each other.

    A default contradicts nothing: `given` are the options that were typed.
    """
    options = dict(options)
    _apply_synthetic(options)
    _apply_compile(options)
    _apply_amp(options, given=given)
    _apply_rate(options)
    return RunConfig(
        data=DataConfig(**{name: options[name] for name in _DATA}),
        model=ModelConfig(**{name: options[name] for name in _MODEL}),
        training=TrainingConfig(**{name: options[name] for name in _TRAINING}),
        execution=ExecutionConfig(**{name: options[name] for name in _EXECUTION}),
        recipe=options["recipe"],
    )


def _apply_synthetic(options: dict[str, Any]) -> None:
    if not options.pop("synthetic"):
        return
    if options["dataset"] not in ("mnist", "synthetic"):
        raise ConfigError("--synthetic contradicts --dataset", remedy="Give one of them")
    options["dataset"] = "synthetic"


def _apply_compile(options: dict[str, Any]) -> None:
    if not options.pop("compile_step"):
        return
    if options["engine"] not in (AUTO, "compiled"):
        raise ConfigError(f"--compile contradicts --engine {options['engine']}", remedy="Give one of them")
    options["engine"] = "compiled"


def _apply_rate(options: dict[str, Any]) -> None:
    """A rate that is not given is the dataclass's 0.0, which follows the optimizer; one that is given may not be 0."""
    if options["learning_rate"] == 0:
        raise ConfigError("--lr: 0.0 is not a positive number", remedy="Give one such as 0.01")
    options["learning_rate"] = options["learning_rate"] or 0.0


def _apply_amp(options: dict[str, Any], *, given: frozenset[str]) -> None:
    amp = options.pop("amp")
    if amp is None:
        return
    if "precision" in given and options["precision"] != amp:
        raise ConfigError(f"--amp {amp} contradicts --precision {options['precision']}", remedy="Give one of them")
    options["precision"] = amp
