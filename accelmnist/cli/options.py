"""Option types and groups that commands share; every default comes from the configuration's dataclasses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

import click

from accelmnist.core.errors import ConfigError

Function = TypeVar("Function", bound=Callable[..., Any])


def parse_sizes(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """An architecture: `512,256` becomes (512, 256), and `none`, softmax regression, ()."""
    if value.strip().lower() == "none":
        return ()
    try:
        return tuple(int(size) for size in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no list of sizes such as 128 or 512,256, nor none") from None


def parse_share(_context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """`5%`, `5 %` and `0.05` are 0.05; whether that is in range, the rules say."""
    if value is None:
        return None
    number = value.strip()
    try:
        return float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        raise ConfigError(
            f"{parameter.opts[0]}: {value!r} is not a share", remedy="Give one such as 5% or 0.05"
        ) from None


def default_of(config: type, name: str) -> Any:
    """The default that a configuration's dataclass states for its field `name`."""
    return next(field.default for field in fields(config) if field.name == name)


def option_for(config: type, name: str, *declarations: str, **settings: Any) -> Callable[[Function], Function]:
    """A click option that takes its default, and shows it, from field `name` of a configuration's dataclass."""
    flags = declarations or (f"--{name.replace('_', '-')}",)
    settings = {"show_default": True, "default": default_of(config, name), **settings}
    return click.option(*flags, name, **settings)


def in_order(*decorators: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """One decorator from several, so that a group of options appears in the help in the order written."""

    def decorate(function: Function) -> Function:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate
