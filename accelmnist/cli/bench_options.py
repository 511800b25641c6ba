"""The options of `accelmnist bench`, and the configuration that they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click

from accelmnist.cli.options import default_of, in_order, option_for, parse_share, parse_sizes
from accelmnist.core.config import DATASETS, ENGINES, OPTIMIZERS, PRECISIONS, DataConfig
from accelmnist.core.errors import ConfigError
from accelmnist.core.recipes import RECIPES, Recipe
from accelmnist.measure.plan import EFFORTS, MODES, PLANS, BenchConfig, Effort

_SECONDS = {effort: PLANS[effort].time_limit_s for effort in EFFORTS}

_EFFORT_FLAGS = {"quick", "full"}
CONFIG_PARAMETERS = frozenset(
    {field.name for part in (BenchConfig, DataConfig) for field in fields(part)} | _EFFORT_FLAGS
)


def parse_list(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """`cpu,cuda` becomes ("cpu", "cuda"); not given, the empty tuple that the plan fills."""
    if value is None:
        return ()
    items = tuple(item.strip() for item in value.split(","))
    if not all(items):
        raise click.BadParameter(f"{value!r} has an empty place: give a list such as a,b")
    return items


def parse_numbers(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...]:
    """`64,128` becomes (64, 128)."""
    items = parse_list(context, parameter, value)
    try:
        return tuple(map(int, items))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no list of numbers such as 64,128") from None


def parse_architectures(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[int, ...], ...]:
    """Each value of a repeated option as the sizes of an architecture."""
    return tuple(parse_sizes(context, parameter, value) for value in values)


def _list_option(flag: str, name: str, help_text: str, parse: Callable[..., Any] = parse_list) -> Callable[[Any], Any]:
    return click.option(flag, name, callback=parse, metavar="LIST", help=help_text)


case_options = in_order(
    _list_option("--devices", "devices", "Such as cpu,cuda; one of each kind that is here if not given."),
    _list_option("--engines", "engines", f"From {', '.join(ENGINES)}; if not given, all that can run on the device."),
    _list_option("--precisions", "precisions", f"From {', '.join(PRECISIONS)}; fp32 if not given, --full adds bf16."),
    _list_option("--batch-sizes", "batch_sizes", "Such as 64,128; the plan's own if not given.", parse_numbers),
    click.option(
        "--hidden",
        "hidden",
        multiple=True,
        callback=parse_architectures,
        metavar="SIZES",
        help="An architecture such as 512,256, or none; repeat the option for several.",
    ),
    _list_option("--optimizers", "optimizers", f"From {', '.join(OPTIMIZERS)}; that of run if not given."),
    _list_option("--threads", "threads", "CPU threads, such as 1,2; torch's choice if not given.", parse_numbers),
    _list_option("--mode", "modes", f"From {', '.join(MODES)}; both if not given."),
    option_for(DataConfig, "dataset", type=click.Choice(DATASETS), help="All but mnist are downloaded or made."),
    option_for(
        DataConfig, "folder", "--data", metavar="DIR", show_default=False, help="Folder with the four IDX files."
    ),
)
effort_options = in_order(
    click.option("--quick", is_flag=True, help=f"Few cases, {_SECONDS['quick']:.0f} seconds."),
    click.option("--full", is_flag=True, help="Many cases, and as long as it takes."),
    click.option(
        "--time-limit",
        "time_limit_s",
        type=float,
        metavar="SECONDS",
        help=f"When to end, of each process; {_SECONDS['default']:.0f} if not given.",
    ),
    click.option(
        "--precision-target",
        callback=parse_share,
        default=f"{default_of(BenchConfig, 'precision_target'):.0%}",
        show_default=True,
        metavar="SHARE",
        help="Half width of the intervals at which sampling stops.",
    ),
    option_for(BenchConfig, "processes", type=int, help="Repeat in so many fresh processes."),
    click.option(
        "--epochs",
        type=int,
        help="Of the training that is judged: 1 if not given; with a target, as many as run has.",
    ),
    click.option(
        "--recipe",
        type=click.Choice(tuple(RECIPES)),
        help="Measure the time to a recipe's accuracy by its network and training; options given besides change them.",
    ),
    click.option(
        "--target-accuracy", callback=parse_share, metavar="SHARE", help="Measure the time to it, such as 0.98."
    ),
    option_for(BenchConfig, "seeds", type=int, help="Trainings to the target accuracy of each case."),
    click.option(
        "--baseline",
        metavar="NAME",
        help="What speed-ups divide by, such as compiled, or cuda:0/eager; eager fp32 on the CPU if not given.",
    ),
)


def bench_config_from(options: dict[str, Any]) -> BenchConfig:
    """The configuration that the options describe; raises ConfigError where two of them contradict each other."""
    if options["quick"] and options["full"]:
        raise ConfigError("--quick contradicts --full", remedy="Give one of them")
    effort: Effort = "quick" if options["quick"] else "full" if options["full"] else "default"
    own = {field.name for field in fields(BenchConfig)} - {"effort", "data"}
    # A list that isn't given is the dataclass's default, which is stated only there.
    given = {name: options[name] for name in own if options[name] not in (None, ())}
    if options["recipe"] is not None:
        given = _of_recipe(RECIPES[options["recipe"]]) | given
    data = DataConfig(dataset=options["dataset"], folder=options["folder"])
    return BenchConfig(effort=effort, data=data, **given)


def _of_recipe(recipe: Recipe) -> dict[str, Any]:
    """What a recipe says of the lists and the target."""
    return {
        "hidden": (recipe.model.hidden,),
        "batch_sizes": (recipe.training.batch_size,),
        "optimizers": (recipe.training.optimizer,),
        "target_accuracy": recipe.accuracy,
    }
