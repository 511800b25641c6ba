"""Options that can't stand together, refused in one line before anything starts: the rules that commands share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click

from accelmnist.core.errors import ConfigError


def refuse_pairs(options: Mapping[str, Any], pairs: Iterable[tuple[str, str]]) -> None:
    """Raise ConfigError where both parameters of a pair are set."""
    for first, second in pairs:
        if options[first] and options[second]:
            raise ConfigError(f"{_flag(first)} contradicts {_flag(second)}", remedy="Give one of them")


def _flag(name: str) -> str:
    return "--json" if name == "as_json" else f"--{name.replace('_', '-')}"


def given(context: click.Context) -> frozenset[str]:
    """The parameters that were given on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return frozenset(name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE")


def refuse_configuration(context: click.Context, parameters: frozenset[str], *, of: str) -> None:
    """With --resume the configuration is that `of` what was stopped: raise ConfigError where options are given."""
    both = parameters & given(context)
    if both:
        option = next(parameter.opts[0] for parameter in context.command.params if parameter.name in both)
        raise ConfigError(
            f"--resume goes on with the {of}'s own configuration, so {option} has no place",
            remedy=f"Leave out {option}",
        )
