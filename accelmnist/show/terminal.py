"""The console that a command prints to."""

from __future__ import annotations

from rich.console import Console


class Terminal(Console):
    """rich's console, but that a closed pipe is raised and not answered by an exit: a run has to be saved first."""

    def on_broken_pipe(self) -> None:
        """Let the caller know that its reader is gone."""
        raise BrokenPipeError


def make_terminal(*, stderr: bool) -> Terminal:
    """A console on standard output, or on standard error; nothing is coloured by guess."""
    return Terminal(stderr=stderr, highlight=False)
