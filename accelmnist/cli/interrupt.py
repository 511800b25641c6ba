"""Ctrl-C while training, in two steps: the first asks to stop after the epoch, the second stops it at once.

An epoch takes a second or so, and its end is the only point from which a run can go on to the same weights.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

import click


class StopOnInterrupt:
    """Within: Ctrl-C sets `requested` and says so; a second one, or one after `trained`, raises KeyboardInterrupt."""

    def __init__(self, *, until: str = "at the end of this epoch") -> None:
        self.requested = False
        self._until = until
        self._is_training = True

    def trained(self) -> None:
        """From now on there is no epoch to wait for: the weights are saved."""
        self._is_training = False

    def __enter__(self) -> StopOnInterrupt:
        self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested or not self._is_training:
            raise KeyboardInterrupt
        self.requested = True
        click.echo(f"\nStopping {self._until}; Ctrl-C again stops at once", err=True)
