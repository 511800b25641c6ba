"""The exceptions of the package: every mistake that a user can make or a machine can cause.

The core raises these and never exits; only `accelmnist.cli` turns them into a line on standard error and an exit code.
Broken invariants of our own are `assert`s: they are bugs and keep their traceback.
"""

import copyreg
from importlib.util import find_spec
from typing import Any, ClassVar

from accelmnist.core.text import brief


class AccelmnistError(Exception):
    """A failure that one line can explain.

    `message` names the cause (with the file or the option), `remedy` what to do about it: both in a line, whatever a
    file's name or a library put into them. `exit_code` follows the
    command line's convention: 2 for wrong use or bad input, 1 for work that was done and failed a check.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = brief(message)
        self.remedy = brief(remedy)

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}" if self.remedy else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """For another process: with all that it knows, whatever its class takes by name."""
        return copyreg.__newobj__, (type(self), *self.args), vars(self)  # type: ignore[attr-defined]


class ConfigError(AccelmnistError):
    """An option's value is wrong, or two options contradict each other."""


class DataError(AccelmnistError):
    """A data file or folder is missing, damaged or of another kind."""


class DeviceError(AccelmnistError):
    """A device, an engine or a precision is not available on this machine, or the device is out of memory."""


class EngineError(DeviceError):
    """An engine in a file of its user's doesn't import, raised something, or broke the contract of engines."""


class UnsupportedError(DeviceError):
    """An engine says that it can't do what was asked for."""


class RankError(AccelmnistError):
    """Another rank of the program failed or is lost; `told_here` says whether this one is to say so."""

    def __init__(self, message: str, *, remedy: str = "", told_here: bool = True) -> None:
        super().__init__(message, remedy=remedy)
        self.told_here = told_here


class CheckpointError(AccelmnistError):
    """Saved weights or a saved training state cannot be used."""


class RecordError(AccelmnistError):
    """A JSON record is damaged, foreign or of a newer schema."""


class OutputError(AccelmnistError):
    """A result cannot be written."""


class DivergedError(AccelmnistError):
    """The loss stopped being finite: the run is a failure, not a mistake of use."""

    exit_code = 1

    def __init__(self, message: str, *, step: int, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.step = step


class StoppedError(AccelmnistError):
    """The user stopped the run; no mistake, but it needs its own exit code."""

    exit_code = 130


def require_packages(what: str, extra: str, **packages: str) -> None:
    """Raise ConfigError unless `packages`, by the names of their modules, are installed: `what` takes the `extra`."""
    if missing := [package for module, package in packages.items() if find_spec(module) is None]:
        raise ConfigError(
            f"{what} needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
            remedy=f"pip install {' '.join(missing)}, or '.[{extra}]' in the checkout",
        )


def headline(error: BaseException) -> str:
    """The first line of what a library's error says, or its name if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
