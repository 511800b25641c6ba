"""The command line: one file a command, and the only place that exits.

A command's file imports click and the configuration at its top and everything heavy inside its function, so that
`accelmnist --help` needs neither torch nor matplotlib. The file itself is loaded when its command is wanted.

Exit codes: 0 done; 1 done, and a check failed; 2 wrong use or bad input; 130 interrupted, after saving.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import errno
import io
import os
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

import accelmnist
from accelmnist.core.errors import AccelmnistError
from accelmnist.core.text import brief, printable

INTERRUPTED = 130
WRONG_USE = 2
_TO_END_S = 1.0  # of a thread that is left
_MACHINES = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOSPC, errno.EROFS, errno.EIO)
_COMPLETION = (
    ("bash", 'eval "$(_ACCELMNIST_COMPLETE=bash_source accelmnist)"'),
    ("zsh", 'eval "$(_ACCELMNIST_COMPLETE=zsh_source accelmnist)"'),
    ("fish", "_ACCELMNIST_COMPLETE=fish_source accelmnist | source"),
)
NAMES = (
    "bench",
    "compare",
    "doctor",
    "export",
    "history",
    "neurons",
    "predict",
    "report",
    "run",
    "soak",
    "submit",
    "sweep",
    "worker",
)
WITH_RANKS = ("bench", "run", "sweep", "worker")
WITHOUT_RANKS = ("--help", "-h", "--version", *(name for name in NAMES if name not in WITH_RANKS))


class Commands(click.Group):
    """A group whose commands are loaded when they are asked for: each has the name of its file and of its function."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All names, loaded or not."""
        return list(NAMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, or None if there is none; then all are loaded, since click names a similar one."""
        for name in [cmd_name] if cmd_name in NAMES else NAMES:
            self.add_command(getattr(import_module(f"accelmnist.cli.{name}"), name))
        return self.commands.get(cmd_name)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write how the shell completes commands and options, by click's own mechanism."""
        with formatter.section("Completion by Tab, from the line for your shell in its startup file"):
            formatter.write_dl(_COMPLETION)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(accelmnist.__version__, prog_name="accelmnist")
def commands() -> None:
    """Is this accelerator fast, is it right, and how far from its limit?

    Trains a small network on MNIST in every way that this machine allows, proves each way correct against a CPU
    reference, measures it, and shows what the network learned.
    """


def main() -> None:
    """The program: run the command line and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows ?, and the run goes on
    sys.unraisablehook = _interrupt_again
    code = invoke(sys.argv[1:])
    if "accelmnist.engines.own.loading" in sys.modules:
        _end_threads(code)
    sys.exit(code)


def _end_threads(code: int) -> None:
    """Exit, if a user's engine left threads: Python would wait for them, without end."""
    left = [thread for thread in threading.enumerate() if not (thread.daemon or thread is threading.main_thread())]
    for thread in left:
        thread.join(_TO_END_S)
    if any(thread.is_alive() for thread in left):
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _interrupt_again(lost: Any) -> None:
    """Python drops what is raised while something is taken apart, and says so: a Ctrl-C would be lost there."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        threading.Timer(0.01, _thread.interrupt_main).start()  # by then it is over
    else:
        sys.__unraisablehook__(lost)


def invoke(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; a failure becomes one line on standard error.

    Of several ranks the first alone prints, and does alone what has no ranks.
    """
    if _is_of_ranks():
        from accelmnist.cli.ranks import keep_silent

        if keep_silent() and (arguments[0] in WITHOUT_RANKS if arguments else True):
            return 0
    try:
        result = commands.main(args=list(arguments), prog_name="accelmnist", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return WRONG_USE
    except click.ClickException as error:
        return _fail(_usage_line(error), WRONG_USE)
    except AccelmnistError as error:
        return _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        _give_up_output()
        return INTERRUPTED
    except OSError as error:
        if error.filename is not None and error.errno not in _MACHINES:
            raise  # a file of ours that we failed to handle: a bug
        cause = (error.strerror or str(error)).lower()
        if error.filename is not None:
            return _fail(f"cannot use {brief(str(error.filename))}: {cause}", WRONG_USE)
        _give_up_output()
        return _fail(f"cannot write the output: {cause}", WRONG_USE)


def _give_up_output() -> None:
    """Point standard output nowhere: Python would complain once more while it flushes at the end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage_line(error: click.ClickException) -> str:
    """click's message as one line, with the command whose help explains it."""
    message = brief(error.format_message()).rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    end = "" if message.endswith("?") else "."
    return f"{message}{end} See {context.command_path} --help" if context else message


def _fail(line: str, code: int) -> int:
    if _is_of_ranks():
        from accelmnist.cli.ranks import is_told_here

        if not is_told_here(line, is_over=code == INTERRUPTED):
            return code
    click.echo(f"error: {printable(line)}", err=True)
    return code


def _is_of_ranks() -> bool:
    return bool(os.environ.get("WORLD_SIZE") or os.environ.get("RANK"))
