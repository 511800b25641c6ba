"""The options of `accelmnist sweep`, and the configuration that they make."""

from __future__ import annotations

from dataclasses import fields
from itertools import product
from typing import Any

import click

from accelmnist.cli.bench_options import parse_architectures, parse_list
from accelmnist.cli.options import default_of, in_order, option_for
from accelmnist.cli.run_options import (
    CONFIG_PARAMETERS as RUN_PARAMETERS,
)
from accelmnist.cli.run_options import (
    config_from,
    dropout_option,
    execution_options,
    length_options,
    set_options,
    update_options,
)
from accelmnist.core.config import ACTIVATIONS, OPTIMIZERS, OUTPUTS, DataConfig, ModelConfig, TrainingConfig
from accelmnist.core.errors import ConfigError
from accelmnist.sweep.plan import PRESETS, SweepConfig, check_size
from accelmnist.sweep.ranges import parse_counts, parse_rates, parse_sizes

_LISTS = ("activations", "outputs", "optimizers", "learning_rates")
_SPACE = {"preset", "hidden", "sizes", "layers", *_LISTS, "tune_rates", "seeds", "sample"}
_EXECUTION = {"device", "engine", "precision", "threads", "compile_step", "amp"}
CONFIG_PARAMETERS = frozenset(RUN_PARAMETERS | _SPACE)

space_options = in_order(
    click.option("--preset", type=click.Choice(sorted(PRESETS)), help="A sweep that is thought out: see the README."),
    click.option(
        "--hidden",
        multiple=True,
        callback=parse_architectures,
        metavar="SIZES",
        help="An architecture such as 512,256, or none; repeat the option for several.",
    ),
    click.option("--sizes", metavar="LIST", help="Units of a layer, such as 16,64,256, or the range 8:1024:8."),
    click.option("--layers", metavar="LIST", help="Hidden layers of each of --sizes, such as 1,2 or 1:3."),
    click.option("--activations", callback=parse_list, metavar="LIST", help=f"From {', '.join(ACTIVATIONS)}."),
    click.option("--outputs", callback=parse_list, metavar="LIST", help=f"From {', '.join(OUTPUTS)}."),
    click.option("--optimizers", callback=parse_list, metavar="LIST", help=f"From {', '.join(OPTIMIZERS)}."),
    click.option(
        "--lr",
        "learning_rates",
        metavar="LIST",
        help="Peaks of the learning rate, such as 0.01,0.1 or 1e-3:1e-1:5; else that of the optimizer.",
    ),
    click.option(
        "--tune-lr",
        "tune_rates",
        is_flag=True,
        help="Choose each network's rate from --lr first, by a training apart, and compare only with that.",
    ),
    option_for(SweepConfig, "seeds", type=int, help="Trainings of each combination."),
    click.option("--sample", type=int, metavar="N", help="Only N of the combinations, drawn at random."),
)
training_options = in_order(
    length_options,
    update_options,
    dropout_option,
    set_options,
    option_for(
        DataConfig,
        "validation",
        type=int,
        show_default="a sixth",
        help="Training images held out to judge by, by class in proportion.",
    ),
)
config_options = in_order(space_options, training_options, execution_options)


def sweep_config_from(context: click.Context, options: dict[str, Any]) -> SweepConfig:
    """The sweep that the options describe; raises ConfigError where it can't be, or is too large without --yes."""
    given = {name for name in CONFIG_PARAMETERS if _is_given(context, name)}
    options = _with_preset(options, given)
    _check_effects(options, given)
    options["hidden"] = _architectures(options)
    if isinstance(options["learning_rates"], str):
        options["learning_rates"] = parse_rates(options["learning_rates"], "--lr")
    lists = {name: options[name] for name in ("hidden", *_LISTS) if options[name]}
    run = config_from(_of_a_run(options), given=frozenset(given))
    config = SweepConfig(
        preset=options["preset"],
        **lists,
        tune_rates=options["tune_rates"],
        seeds=options["seeds"],
        sample=options["sample"],
        dropout=run.model.dropout,
        data=run.data,
        training=run.training,
        execution=run.execution,
    )
    as_it_stands = options["preset"] is not None and not (given - _EXECUTION - {"preset"})
    check_size(config, allowed=options["yes"] or as_it_stands)
    return config


def _is_given(context: click.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _with_preset(options: dict[str, Any], given: set[str]) -> dict[str, Any]:
    """The options, those that are not given as the preset has them."""
    preset = dict(PRESETS[options["preset"]]) if options["preset"] else {}
    if given & {"hidden", "sizes", "layers"}:
        preset.pop("hidden", None)
    return {**options, **{name: value for name, value in preset.items() if name not in given}}


def _check_effects(options: dict[str, Any], given: set[str]) -> None:
    """Refuse what was given and would have no effect: who gives it believes that it has one."""
    if "momentum" in given and "sgd-momentum" not in options["optimizers"]:
        raise ConfigError(
            "--momentum has no effect without sgd-momentum", remedy="Add --optimizers sgd-momentum, or leave it out"
        )
    if "warmup" in given and options["schedule"] != "one-cycle":
        raise ConfigError(
            f"--warmup has no effect with --schedule {options['schedule']}",
            remedy="Add --schedule one-cycle, or leave it out",
        )
    if "validation" in given and options["validation"] < 1:
        raise ConfigError("--validation: a sweep needs images to judge by", remedy="Give 1 or more")


def _architectures(options: dict[str, Any]) -> tuple[tuple[int, ...], ...]:
    """What --hidden names, and every one of --sizes in every number of --layers."""
    if options["layers"] is not None and options["sizes"] is None:
        raise ConfigError("--layers: it needs sizes to repeat", remedy="Add --sizes, such as --sizes 16,64,256")
    if options["sizes"] is None:
        return tuple(options["hidden"])
    sizes = parse_sizes(options["sizes"], "--sizes")
    layers = parse_counts(options["layers"] or "1", "--layers")
    return tuple(dict.fromkeys([*options["hidden"], *((size,) * count for count, size in product(layers, sizes))]))


def _of_a_run(options: dict[str, Any]) -> dict[str, Any]:
    """What is a run's option too; those that a sweep has a list of are at their defaults."""
    lists = {field.name: default_of(ModelConfig, field.name) for field in fields(ModelConfig)}
    optimizer = (options["optimizers"] or (default_of(TrainingConfig, "optimizer"),))[0]
    single = {**lists, "dropout": options["dropout"], "optimizer": optimizer, "learning_rate": None}
    return {name: single.get(name, options.get(name)) for name in RUN_PARAMETERS}
