"""The options of `accelmnist bench`, and the configuration that they make."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

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
from accelmnist.core.config import ENGINES, OPTIMIZERS, PRECISIONS, DataConfig
from accelmnist.core.errors import ConfigError
from accelmnist.core.recipes import RECIPES, Recipe
from accelmnist.measure.plan import EFFORTS, MODES, PLANS, BenchConfig, Effort

_SECONDS = {effort: PLANS[effort].time_limit_s for effort in EFFORTS}

_EFFORT_FLAGS = {"quick", "full"}
CONFIG_PARAMETERS = frozenset(
    {field.name for part in (BenchConfig, DataConfig) for field in fields(part)} | _EFFORT_FLAGS
)

case_options = in_order(
    under("Data", set_options),
    under(
        "Cases",
        options_of(
            BenchConfig,
            devices="Such as cpu,cuda; one of each kind that is here if not given.",
            engines=f"From {', '.join(ENGINES)}; if not given, all that can run on the device.",
            precisions=f"From {', '.join(PRECISIONS)}; fp32 if not given, --full adds bf16.",
            batch_sizes="Such as 64,128; the plan's own if not given.",
        ),
        hidden_lists_option,
        options_of(
            BenchConfig,
            optimizers=f"From {', '.join(OPTIMIZERS)}; that of run if not given.",
            threads="CPU threads, such as 1,2; torch's choice if not given.",
            modes=f"From {', '.join(MODES)}; both if not given.",
        ),
    ),
)
effort_options = in_order(
    under(
        "Effort",
        option("--quick", is_flag=True, help=f"Few cases, {_SECONDS['quick']:.0f} seconds."),
        option("--full", is_flag=True, help="Many cases, and as long as it takes."),
        options_of(
            BenchConfig,
            time_limit_s=f"When to end, of each process; {_SECONDS['default']:.0f} if not given.",
        ),
        option_for(
            BenchConfig,
            "precision_target",
            default=f"{default_of(BenchConfig, 'precision_target'):.0%}",
            help="Half width of the intervals at which sampling stops.",
        ),
        options_of(BenchConfig, processes="Repeat in so many fresh processes."),
    ),
    under(
        "Training to an accuracy",
        options_of(
            BenchConfig,
            recipe="Measure the time to a recipe's accuracy by its network and training; "
            "options given besides change them.",
            target_accuracy="Measure the time to it, such as 0.98.",
            seeds="Trainings to the target accuracy of each case.",
            epochs="Of the training that is judged: 1 if not given; with a target, as many as run has.",
        ),
    ),
)
result_options = under(
    "Result",
    options_of(
        BenchConfig,
        baseline="What speed-ups divide by, such as compiled, or cuda:0/eager; eager fp32 on the CPU if not given.",
    ),
    option("--strict", is_flag=True, help="Exit with 1 if a case was not measured."),
    option("--profile", is_flag=True, help="Profile every case: its top operations, and a Chrome trace."),
    *output_options(label="bench", noun="benchmark", quiet="the verdict"),
    option("--markdown", is_flag=True, help="The tables as Markdown on standard output."),
    option("--part", is_flag=True, hidden=True, help="One process of several: measure, and leave it open."),
)


@dataclass(frozen=True, kw_only=True)
class BenchOptions(OutputOptions):
    """What becomes of a benchmark and of its result."""

    strict: bool
    profile: bool
    markdown: bool
    part: bool


def bench_options(line: CommandLine) -> BenchOptions:
    """The options of the result; raises ConfigError for those that contradict each other."""
    line.refuse_pairs(*OUTPUT_PAIRS, ("quiet", "markdown"), ("as_json", "markdown"))
    if line["no_save"] and (line["processes"] > 1 or line["profile"]):
        needs = "--processes takes a record that they share" if line["processes"] > 1 else "--profile leaves traces"
        raise ConfigError(f"{needs}, and --no-save leaves no folder", remedy="Leave out --no-save")
    line.refuse_configuration(CONFIG_PARAMETERS, of="stopped benchmark")
    return line.make(BenchOptions)


def bench_config_from(line: CommandLine) -> BenchConfig:
    """The configuration that a line describes; raises ConfigError for options that contradict each other."""
    line.refuse_pairs(("quick", "full"))
    effort: Effort = "quick" if line["quick"] else "full" if line["full"] else "default"
    names = {field.name for field in fields(BenchConfig)} - {"effort", "data"}
    # A list that isn't given is the dataclass's default, which is stated only there.
    values = {name: line[name] for name in names if line[name] not in (None, ())}
    if line["recipe"] is not None:
        values = _of_recipe(RECIPES[line["recipe"]]) | values
    return BenchConfig(effort=effort, data=DataConfig(dataset=line["dataset"], folder=line["folder"]), **values)


def _of_recipe(recipe: Recipe) -> dict[str, Any]:
    """What a recipe says of the lists and the target."""
    return {
        "hidden": (recipe.model.hidden,),
        "batch_sizes": (recipe.training.batch_size,),
        "optimizers": (recipe.training.optimizer,),
        "target_accuracy": recipe.accuracy,
    }
