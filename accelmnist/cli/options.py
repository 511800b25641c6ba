"""Options that commands share: their types, their headings in the help, and the rules of what can't stand together.

Every default comes from the configuration's dataclasses. A command reads its line as a `CommandLine` and makes frozen
dataclasses of it at once: a configuration, and the options of its output.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import click

from accelmnist.core.config import AUTO, ENGINES, RECIPES, DataConfig
from accelmnist.core.engine_file import EngineFile
from accelmnist.core.errors import ConfigError
from accelmnist.core.text import brief
from accelmnist.measure.beside.peers import peer_command, peer_names
from accelmnist.measure.plan import Side

Made = TypeVar("Made")
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_LONGEST_NAME = ".signed-000.png.xxxxxxxx"  # of the files that we make
_NAME_WIDTH = 30  # an option with a longer name has its help below it


class Option(click.Option):
    """An option with the heading that it stands under in the help."""

    heading = "Other"


class Command(click.Command):
    """A command whose help lists its options under their headings, in columns of one width."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section for each heading, in the order in which they come."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            row = None if isinstance(parameter, click.Argument) else parameter.get_help_record(ctx)
            if row is not None:
                sections.setdefault(getattr(parameter, "heading", Option.heading), []).append(row)
        longest = max(len(name) for rows in sections.values() for name, _ in rows)
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(min(longest, _NAME_WIDTH)), text) for name, text in rows])


class UsablePath(click.Path):
    """A path that can be looked up, with room for a file's name behind it, and written down in a record.

    Whether something is there is the command's question. What can't even be asked is refused before any work.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Called by click."""
        name = param.opts[0] if isinstance(param, click.Option) else "argument"
        try:
            str(value).encode()
            (Path(value) / _LONGEST_NAME).stat()
        except UnicodeEncodeError:
            cause = "is not in UTF-8, as a record has to be"
        except ValueError:
            cause = "is no path"
        except OSError as error:
            cause = "" if error.errno in (errno.ENOENT, errno.ENOTDIR) else (error.strerror or str(error)).lower()
        else:
            cause = ""
        if cause:
            raise ConfigError(f"{name} {brief(str(value))}: {cause}", remedy="Give another path, or rename it")
        return super().convert(value, param, ctx)


class EngineName(click.Choice[str]):
    """The name of an engine: one of ours, or FILE.py:CLASS."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Called by click."""
        return _own_engine(str(value), param.opts[0] if param else "--engine") or super().convert(value, param, ctx)


def _own_engine(value: str, option: str) -> str | None:
    """The whole name of an engine in a file of one's own; None for one of ours."""
    file = EngineFile.asked_for(value, option)
    return None if file is None else str(file)


PATH = UsablePath(path_type=Path)
option = partial(click.option, cls=Option)
path_option = partial(option, type=PATH)
count_option = partial(option, type=click.IntRange(min=1), show_default=True, metavar="N")


def in_order(*decorators: Decorator) -> Decorator:
    """One decorator from several, so that options appear in the help in the order written."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def under(heading: str, *decorators: Decorator) -> Decorator:
    """One decorator from several, whose options stand under `heading` in the help, in the order written."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        others = len(getattr(function, "__click_params__", ()))  # click keeps there what it makes a command of
        function = in_order(*decorators)(function)
        for parameter in vars(function)["__click_params__"][others:]:
            parameter.heading = heading
        return function

    return decorate


def default_of(config: type, name: str) -> Any:
    """The default that a configuration's dataclass states for its field `name`."""
    return next(field.default for field in fields(config) if field.name == name)


def option_for(config: type, name: str, **settings: Any) -> Decorator:
    """The option of a configuration's field: flag, type and default follow from the field, unless `settings` say so."""
    own = {"flag": f"--{name.replace('_', '-')}", "default": default_of(config, name), "show_default": True}
    own |= _settings_of(get_type_hints(config)[name]) | _OWN.get(name, {}) | settings
    return option(own.pop("flag"), *own.pop("also", ()), name, **own)


def options_of(config: type, **texts: str) -> Decorator:
    """The options of those fields of a configuration that `texts` explain, in their order."""
    return in_order(*(option_for(config, name, help=text) for name, text in texts.items()))


def _settings_of(kind: Any) -> dict[str, Any]:
    """How a value of a field's type is typed: a choice, a flag, a list with commas, or one value."""
    if get_origin(kind) is Literal:
        return {"type": click.Choice(get_args(kind))}
    if kind is bool:
        return {"is_flag": True, "show_default": False}
    if get_origin(kind) is tuple:
        of_numbers = get_args(kind)[0] is int
        return {"callback": parse_numbers if of_numbers else parse_list, "default": None, "metavar": "LIST"}
    return {"type": next((part for part in get_args(kind) if part is not type(None)), kind)}


def parse_sizes(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """An architecture: `512,256` becomes (512, 256), and `none`, softmax regression, ()."""
    if value.strip().lower() == "none":
        return ()
    try:
        return tuple(int(size) for size in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no list of sizes such as 128 or 512,256, nor none") from None


def parse_share(_context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """`5%`, `5 %` and `0.05` become 0.05; the configuration checks the range."""
    if value is None:
        return None
    number = value.strip()
    try:
        return float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        raise ConfigError(
            f"{parameter.opts[0]}: {value!r} is not a share", remedy="Give one such as 5% or 0.05"
        ) from None


def parse_list(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """`cpu,cuda` becomes ("cpu", "cuda"); not given, the empty tuple that the plan fills."""
    if value is None:
        return ()
    items = tuple(item.strip() for item in value.split(","))
    if not all(items):
        raise click.BadParameter(f"{value!r} has an empty place: give a list such as a,b")
    return items


def parse_engines(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """`eager,mine.py:MyEngine` becomes ("eager", "/home/me/mine.py:MyEngine@0f3a5c7e9b1d")."""
    items = parse_list(context, parameter, value)
    return tuple(_own_engine(item, parameter.opts[0]) or item for item in items)


def parse_numbers(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...]:
    """`64,128` becomes (64, 128)."""
    items = parse_list(context, parameter, value)
    try:
        return tuple(map(int, items))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no list of numbers such as 64,128") from None


def parse_sides(_context: click.Context, _parameter: click.Parameter, values: Sequence[str]) -> tuple[Side, ...]:
    """`old=../old/bin/python` becomes the side of this name and command."""
    sides = []
    for value in values:
        name, separator, command = value.partition("=")
        words = None if separator else peer_command(name.strip())
        if not separator and words is None:
            peers = ", ".join(peer_names()) or "none is here, since they come with the project's checkout alone"
            remedy = f"Give one: NAME=COMMAND, or a peer: {peers}"
            raise ConfigError(f"--beside: {brief(value) or 'an empty name'} has no command", remedy=remedy)
        sides.append(Side(name=name.strip(), command=command if words is None else " ".join(words)))
    return tuple(sides)


# What fields of a configuration have of their own as options.
_OWN: dict[str, dict[str, Any]] = {
    "folder": {"flag": "--data", "metavar": "DIR", "type": UsablePath()},
    "hidden": {"callback": parse_sizes, "metavar": "SIZES"},
    "learning_rate": {"flag": "--lr", "default": None},
    "engine": {"type": EngineName((AUTO, *ENGINES))},
    "engines": {"also": ("--engine",), "callback": parse_engines},
    "recipe": {"type": click.Choice(tuple(RECIPES))},
    "modes": {"flag": "--mode"},
    "time_limit_s": {"flag": "--time-limit", "metavar": "SECONDS"},
    "precision_target": {"type": str, "callback": parse_share, "metavar": "SHARE"},
    "target_accuracy": {"type": str, "callback": parse_share, "metavar": "SHARE"},
    "baseline": {"metavar": "NAME"},
    "learning_rates": {"flag": "--lr", "type": str, "callback": None},
    "tune_rates": {"flag": "--tune-lr"},
    "sample": {"metavar": "N"},
}
set_options = options_of(
    DataConfig, dataset="All but mnist are downloaded or made.", folder="Folder with the four IDX files."
)
hidden_lists_option = option(
    "--hidden",
    multiple=True,
    callback=lambda context, parameter, values: tuple(parse_sizes(context, parameter, value) for value in values),
    metavar="SIZES",
    help="An architecture such as 512,256, or none; repeat the option for several.",
)
json_option = option(
    "--json", "as_json", is_flag=True, help="The record on standard output, all else on standard error."
)
document_option = option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
no_save_option = option("--no-save", is_flag=True, help="Save nothing.")


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """What was typed after a command: the value of each parameter, its flag, and the names of those that were given."""

    values: Mapping[str, Any]
    flags: Mapping[str, str]
    given: frozenset[str]

    @classmethod
    def of(cls, context: click.Context) -> CommandLine:
        """The line that click has parsed."""
        sources = {name: context.get_parameter_source(name) for name in context.params}
        return cls(
            values=context.params,
            flags={str(parameter.name): parameter.opts[0] for parameter in context.command.params},
            given=frozenset(name for name, source in sources.items() if source and source.name == "COMMANDLINE"),
        )

    def __getitem__(self, name: str) -> Any:
        """The value of a parameter."""
        return self.values[name]

    def changed(self, **values: Any) -> CommandLine:
        """The same line with other values; what was given stays."""
        return replace(self, values={**self.values, **values})

    def make(self, kind: type[Made]) -> Made:
        """The dataclass `kind`, each field from the parameter of its name."""
        return kind(**{field.name: self.values[field.name] for field in fields(kind)})  # type: ignore[arg-type]

    def refuse_pairs(self, *pairs: tuple[str, str]) -> None:
        """Raise ConfigError if both parameters of a pair are set."""
        for first, second in pairs:
            if self[first] and self[second]:
                raise ConfigError(f"{self.flags[first]} contradicts {self.flags[second]}", remedy="Give one of them")

    def refuse_configuration(self, parameters: frozenset[str], *, of: str) -> None:
        """Raise ConfigError if one of `parameters` is given beside --resume, which has those `of` a record."""
        flag = next((flag for name, flag in self.flags.items() if name in parameters & self.given), None)
        if self["resume"] and flag is not None:
            raise ConfigError(
                f"--resume goes on with the {of}'s own configuration, so {flag} has no place",
                remedy=f"Leave out {flag}",
            )

    def refuse_without(self, name: str, *, needs: str, value: str) -> None:
        """Raise ConfigError if `name` is given and has no effect: who gives it believes that it has one."""
        if name in self.given and self[needs] != value:
            raise ConfigError(
                f"{self.flags[name]} has no effect with {self.flags[needs]} {self[needs]}",
                remedy=f"Add {self.flags[needs]} {value}, or leave it out",
            )


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where the result of run, bench or sweep goes, and how much of it is said."""

    out: Path | None
    no_save: bool
    resume: Path | None
    as_json: bool
    quiet: bool


def output_options(*, label: str, noun: str, quiet: str) -> tuple[Decorator, ...]:
    """The options of `OutputOptions`: `label` ends the folder's name, `noun` is resumed, `quiet` all that is said."""
    return (
        path_option("--out", metavar="DIR", help=f"Folder of the result; results/<time>-{label} if not given."),
        no_save_option,
        path_option("--resume", metavar="DIR", help=f"Go on with the stopped {noun} in this folder."),
        json_option,
        option("--quiet", is_flag=True, help=f"Say only {quiet}."),
    )


OUTPUT_PAIRS = (("no_save", "out"), ("resume", "out"), ("no_save", "resume"), ("quiet", "as_json"))
