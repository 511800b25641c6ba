"""`accelmnist sweep`: many networks on a validation split; the best one meets the test set."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from accelmnist.cli.options import Command, CommandLine
from accelmnist.cli.shell import CHECK_FAILED, PictureDrawing, Shell, StopOnInterrupt, open_shell
from accelmnist.cli.sweep_options import SweepOptions, config_options, result_options, sweep_config_from, sweep_options

if TYPE_CHECKING:
    from accelmnist.core.records import RunRecord
    from accelmnist.sweep.observer import SweepObserver
    from accelmnist.sweep.plan import SweepConfig
    from accelmnist.sweep.record import SweepRecord
    from accelmnist.sweep.start import SweepRequest

_AT_THE_END = ("sklearn.metrics", "accelmnist.show.pictures", "accelmnist.show.record_pictures")


@click.command(cls=Command)
@config_options
@result_options
@click.pass_context
def sweep(context: click.Context, /, **_: Any) -> int:
    """Train many networks from several seeds, and say which is best.

    They are compared on images held out of the training set, and every difference comes with what it is worth. The
    winner trains once more on all of it, and is the only one that meets the test set. Lists are comma-separated; ranges
    are LOW:HIGH:COUNT, spaced by factors.
    """
    line = CommandLine.of(context)
    options = sweep_options(line)
    config = None if options.resume else sweep_config_from(line)
    with open_shell("sweep", options, helper_loads=_AT_THE_END) as shell:
        record = _run(shell, options, config)
    return _exit_code(record)


def _run(shell: Shell, options: SweepOptions, config: SweepConfig | None) -> SweepRecord:
    """Run a new sweep, or go on with a stopped one."""
    from accelmnist.device.loading import load_torch

    load_torch()
    from accelmnist.sweep.record import load_sweep

    record = None
    if config is None:
        record = shell.unfinished(load_sweep)
        config = record.config
    with shell.result_folder("sweep"):
        return _Sweep(shell, options, config, record).run()


class _Sweep:
    """One sweep on the command line: who watches it, what is drawn and shown of it in the end."""

    def __init__(self, shell: Shell, options: SweepOptions, config: SweepConfig, record: SweepRecord | None) -> None:
        self.shell, self.options, self.config, self.record = shell, options, config, record
        self.console = shell.terminal(stderr=options.as_json)
        best = None if shell.folder is None else shell.folder / "best"
        self.pictures = PictureDrawing(shell.helper, best, shared_scale=False)

    def run(self) -> SweepRecord:
        """Train, draw and show; raises StoppedError if the user stopped it, after saving and showing."""
        with self.shell.showing(self._show):
            winner = self._train()
            self._draw(winner)
        assert self.record is not None
        return self.record

    def _train(self) -> RunRecord | None:
        from accelmnist.sweep.session import execute_sweep

        stopping = StopOnInterrupt(until="after the trainings under way")
        with self.shell.lock(), stopping as stop, self._observer() as observer:
            outcome = execute_sweep(self._request(stop), observer)
            self._keep(outcome.record)
        return outcome.winner

    def _request(self, stop: StopOnInterrupt) -> SweepRequest:
        from accelmnist.sweep.start import SweepRequest

        return SweepRequest(
            config=self.config,
            folder=self.shell.folder,
            record=self.record,
            workers=self.options.workers,
            should_stop=lambda: stop.requested,
            on_trained=stop.trained,
            on_stopped=self._keep,
            oracle=self.shell.oracle,
            on_evaluated=self.pictures.begin,
        )

    def _observer(self) -> SweepObserver:
        from accelmnist.show.sweep.live import ConsoleSweepObserver
        from accelmnist.sweep.observer import SweepObserver

        return SweepObserver() if self.options.quiet else ConsoleSweepObserver(self.console)

    def _keep(self, record: SweepRecord) -> None:
        self.record = record

    def _draw(self, winner: RunRecord | None) -> None:
        from accelmnist.sweep.record import save_sweep

        if self.shell.folder is None or self.record is None:
            return
        pictures = self.shell.helper.start(
            "accelmnist.show.record_pictures:write_sweep_pictures", self.record, self.shell.folder
        )
        if winner is not None:
            self.pictures.finish(winner)
        self.record = replace(self.record, files=("sweep.json", *pictures()))
        save_sweep(self.record, self.shell.folder)

    def _show(self) -> None:
        from accelmnist.show.render.console import print_document
        from accelmnist.show.sweep.line import format_line
        from accelmnist.show.sweep.page import sweep_page

        if self.record is None:
            return
        if self.options.quiet:
            click.echo(format_line(self.record))
        else:
            print_document(sweep_page(self.record, self.shell.folder), self.console)
        if self.options.as_json:
            from accelmnist.core.files import encode

            click.echo(encode(self.record), nl=False)


def _exit_code(record: SweepRecord) -> int:
    winner = record.winner
    return 0 if winner is not None and winner.verdict is not None and winner.verdict.passed else CHECK_FAILED
