"""The options of `accelmnist sweep`, and the configuration that they make."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import product

import click

from accelmnist.cli.options import (
    OUTPUT_PAIRS,
    CommandLine,
    OutputOptions,
    default_of,
    hidden_lists_option,
    in_order,
    option,
    option_for,
    options_of,
    output_options,
    set_options,
    under,
)
from accelmnist.cli.run_options import CONFIG_PARAMETERS as RUN_PARAMETERS
from accelmnist.cli.run_options import (
    config_from,
    dropout_option,
    execution_options,
    length_options,
    synthetic_option,
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

config_options = in_order(
    under(
        "Networks to compare",
        option("--preset", type=click.Choice(sorted(PRESETS)), help="A sweep that is thought out: see the README."),
        hidden_lists_option,
        option("--sizes", metavar="LIST", help="Units of a layer, such as 16,64,256, or the range 8:1024:8."),
        option("--layers", metavar="LIST", help="Hidden layers of each of --sizes, such as 1,2 or 1:3."),
        options_of(
            SweepConfig,
            activations=f"From {', '.join(ACTIVATIONS)}.",
            outputs=f"From {', '.join(OUTPUTS)}.",
            optimizers=f"From {', '.join(OPTIMIZERS)}.",
            learning_rates="Peaks of the learning rate, such as 0.01,0.1 or 1e-3:1e-1:5; else that of the optimizer.",
            tune_rates="Choose each network's rate from --lr first, by a training apart, and compare only with that.",
            seeds="Trainings of each combination.",
            sample="Only N of the combinations, drawn at random.",
        ),
        option("--yes", is_flag=True, help="Go on however many trainings it has."),
    ),
    under(
        "Data",
        set_options,
        synthetic_option,
        option_for(
            DataConfig,
            "validation",
            show_default="a sixth",
            help="Training images held out to judge by, by class in proportion.",
        ),
    ),
    under("Training of each", length_options, update_options, dropout_option),
    under(
        "Execution",
        execution_options,
        option(
            "--workers",
            type=click.IntRange(min=1),
            metavar="N",
            help="Trainings side by side; one a thread if not given.",
        ),
    ),
)
result_options = under("Result", *output_options(label="sweep", noun="sweep", quiet="what is best"))


@dataclass(frozen=True, kw_only=True)
class SweepOptions(OutputOptions):
    """How a sweep works, and what becomes of its result."""

    workers: int | None


def sweep_options(line: CommandLine) -> SweepOptions:
    """The options of the result; raises ConfigError for those that contradict each other."""
    line.refuse_pairs(*OUTPUT_PAIRS)
    line.refuse_configuration(CONFIG_PARAMETERS, of="stopped sweep")
    return line.make(SweepOptions)


def sweep_config_from(line: CommandLine) -> SweepConfig:
    """The sweep that a line describes; raises ConfigError if it can't be, or is too large without --yes."""
    line = _with_preset(line)
    _check_effects(line)
    rates = line["learning_rates"]
    line = line.changed(
        hidden=_architectures(line), learning_rates=parse_rates(rates, "--lr") if isinstance(rates, str) else rates
    )
    run = config_from(_as_of_a_run(line))
    config = SweepConfig(
        preset=line["preset"],
        **{name: line[name] for name in ("hidden", *_LISTS) if line[name]},
        tune_rates=line["tune_rates"],
        seeds=line["seeds"],
        sample=line["sample"],
        dropout=run.model.dropout,
        data=run.data,
        training=run.training,
        execution=run.execution,
    )
    as_it_stands = line["preset"] is not None and not line.given & (CONFIG_PARAMETERS - _EXECUTION - {"preset"})
    check_size(config, allowed=line["yes"] or as_it_stands)
    return config


def _with_preset(line: CommandLine) -> CommandLine:
    """The line with the values of its preset, if it has one, for all that was not given."""
    preset = dict(PRESETS[line["preset"]]) if line["preset"] else {}
    if line.given & {"hidden", "sizes", "layers"}:
        preset.pop("hidden", None)
    return line.changed(**{name: value for name, value in preset.items() if name not in line.given})


def _check_effects(line: CommandLine) -> None:
    """Refuse what was given and would have no effect: who gives it believes that it has one."""
    if "momentum" in line.given and "sgd-momentum" not in line["optimizers"]:
        raise ConfigError(
            "--momentum has no effect without sgd-momentum", remedy="Add --optimizers sgd-momentum, or leave it out"
        )
    line.refuse_without("warmup", needs="schedule", value="one-cycle")
    if "validation" in line.given and line["validation"] < 1:
        raise ConfigError("--validation: a sweep needs images to judge by", remedy="Give 1 or more")


def _architectures(line: CommandLine) -> tuple[tuple[int, ...], ...]:
    """What --hidden names, and every one of --sizes in every number of --layers."""
    if line["layers"] is not None and line["sizes"] is None:
        raise ConfigError("--layers: it needs sizes to repeat", remedy="Add --sizes, such as --sizes 16,64,256")
    if line["sizes"] is None:
        return tuple(line["hidden"])
    sizes = parse_sizes(line["sizes"], "--sizes")
    layers = parse_counts(line["layers"] or "1", "--layers")
    return tuple(dict.fromkeys([*line["hidden"], *((size,) * count for count, size in product(layers, sizes))]))


def _as_of_a_run(line: CommandLine) -> CommandLine:
    """The line as one of a run: what a sweep has a list of is at its default."""
    single = {field.name: default_of(ModelConfig, field.name) for field in fields(ModelConfig)}
    optimizer = (line["optimizers"] or (default_of(TrainingConfig, "optimizer"),))[0]
    others = {"dropout": line["dropout"], "optimizer": optimizer, "learning_rate": None, "recipe": None}
    return line.changed(**single | others)
