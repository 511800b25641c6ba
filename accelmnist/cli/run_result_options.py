"""The options of `accelmnist run` that say what becomes of the result, and which of them can't stand together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from accelmnist.cli.contradictions import given, refuse_pairs
from accelmnist.cli.options import in_order
from accelmnist.cli.trials import trials_option
from accelmnist.core.errors import ConfigError

result_options = in_order(
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Folder of this run; results/<time>-… if not given.",
    ),
    click.option("--no-save", is_flag=True, help="Save nothing."),
    click.option(
        "--save-every",
        type=click.IntRange(min=0),
        default=1,
        show_default=True,
        metavar="N",
        help="Epochs between checkpoints; 0 makes none.",
    ),
    click.option(
        "--resume", type=click.Path(path_type=Path), metavar="DIR", help="Go on with the stopped run in this folder."
    ),
    trials_option,
    click.option("--no-reference", is_flag=True, help="Don't repeat the training on the CPU to compare."),
    click.option("--profile", is_flag=True, help="Profile a few steps: their launches, and where the time goes."),
    click.option("--shared-scale", is_flag=True, help="One grey scale for the weight images of all neurons."),
    click.option("--json", "as_json", is_flag=True, help="The record on standard output, all else on standard error."),
    click.option("--quiet", is_flag=True, help="Say only the verdict."),
)


def check_result_options(context: click.Context, options: dict[str, Any]) -> None:
    """Raise ConfigError for options that contradict each other, or have no effect as they stand."""
    refuse_pairs(options, (("no_save", "out"), ("resume", "out"), ("no_save", "resume"), ("quiet", "as_json")))
    if options["profile"] and options["quiet"] and options["no_save"]:
        raise ConfigError("--profile has no effect with --quiet and --no-save", remedy="Leave one of them out")
    _check_unused(context, options, "momentum", takes="optimizer", value="sgd-momentum")
    _check_unused(context, options, "warmup", takes="schedule", value="one-cycle")


def _check_unused(context: click.Context, options: dict[str, Any], name: str, *, takes: str, value: str) -> None:
    """Refuse an option that was given and would have no effect: who gives it believes that it has one."""
    if name in given(context) and options[takes] != value:
        raise ConfigError(
            f"--{name} has no effect with --{takes} {options[takes]}", remedy=f"Add --{takes} {value}, or leave it out"
        )
