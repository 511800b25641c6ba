"""`accelmnist run`: train the network once, say whether the result is right, show it and save it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from accelmnist.cli.options import Command, CommandLine
from accelmnist.cli.ranks import (
    config_of_rank,
    do_trainings,
    folder_before,
    going_on,
    remember,
    require_same,
    with_ranks,
)
from accelmnist.cli.run_options import RunOptions, config_options, result_options, run_config, run_options
from accelmnist.cli.shell import CHECK_FAILED, PictureDrawing, Shell, StopOnInterrupt, open_shell, seconds_since_start
from accelmnist.core.config import AUTO, check_shares
from accelmnist.core.engine_file import EngineFile
from accelmnist.core.errors import ConfigError, StoppedError
from accelmnist.core.files import encode, require_new
from accelmnist.device.ranks import Place, Ranks

if TYPE_CHECKING:
    from rich.console import Console

    from accelmnist.core.config import RunConfig
    from accelmnist.core.records import RunRecord
    from accelmnist.show.observer import ConsoleObserver, SilentObserver
    from accelmnist.training.checkpoint import Checkpoint
    from accelmnist.training.run import RunRequest, Setup

_AT_THE_END = ("sklearn.metrics", "accelmnist.show.pictures")


@click.command(cls=Command)
@config_options
@result_options
@click.pass_context
def run(context: click.Context, /, **_: Any) -> int:
    """Train the network once, check it, and show and save the result.

    The check repeats the training on the CPU and compares. The default trains 784-256-10 on all 60,000 images; its
    hyper-parameters were chosen on a validation split.
    """
    line = CommandLine.of(context)
    options = run_options(line)
    config = None if options.resume else run_config(line)
    asked = line["ranks"] if "ranks" in line.given else None
    require = partial(_require_shared, options, config)
    return with_ranks(partial(_run, options, config), asked=asked, device=line["device"], require=require)


def _run(options: RunOptions, config: RunConfig | None, ranks: Ranks | None) -> int:
    """Run alone, or as one of `ranks`; returns the exit code."""
    if ranks is not None:
        if options.trials > 1:
            require_same(ranks, config, audit=options.audit, trials=options.trials)
        if not ranks.is_first:
            return do_trainings(ranks) if options.trials > 1 else _take_part(options, config, ranks)
        before = None if options.no_save or options.resume or options.trials > 1 else folder_before(ranks)
        if before is not None:
            options = replace(options, out=None, resume=before)
    if options.out:
        require_new(options.out)  # before anything is trained for it
    with open_shell("run", options, helper_loads=_AT_THE_END, at_once=False) as shell:
        config = None if options.resume else config
        record = (_new(shell, options, config, ranks) if config else _stopped(shell, options, ranks)).run()
    return 0 if record.verdict is not None and record.verdict.passed else CHECK_FAILED


def _require_shared(options: RunOptions, config: RunConfig | None, place: Place) -> None:
    """Raise ConfigError for what the ranks of `place` can't do."""
    if options.profile and place.size > 1:
        raise ConfigError(
            f"--profile has no place beside {place.size} ranks: it looks at the steps of one process",
            remedy="Leave it out",
        )
    if config is not None and options.trials == 1:
        execution = replace(config.execution, ranks=place.size)
        check_shares(config.training.batch_size, ranks=place.size, reduction=execution.reduction)


@dataclass(frozen=True)
class _Start:
    """What rank 0 tells the others before a run: its engine, and of one that goes on, where it stands."""

    config: RunConfig | None = None  # None where there is nothing for them to do
    checkpoint: Checkpoint | None = None


def _take_part(options: RunOptions, config: RunConfig | None, ranks: Ranks) -> int:
    """Train as a rank that is not the first: nothing of it is seen or saved."""
    from accelmnist.show.observer import SilentObserver
    from accelmnist.training.execute import execute
    from accelmnist.training.run import RunRequest, choose_setup

    start = ranks.tell(_Start())[0]
    if start.config is None:
        return 0
    told = config or start.config
    execution = replace(told.execution, device=told.execution.device if config else start.config.execution.device)
    if execution.engine == AUTO:
        execution = replace(execution, engine=start.config.execution.engine)
    own, _ = config_of_rank(replace(told, execution=execution), ranks)
    stop = StopOnInterrupt(until="", speaks=False)
    with stop:
        request = RunRequest(
            config=own,
            checkpoint=start.checkpoint,
            ranks=ranks,
            audit_windows=options.audit,
            should_stop=lambda: stop.requested,
        )
        execute(request, choose_setup(own), SilentObserver)
    return 0


def _new(shell: Shell, options: RunOptions, config: RunConfig, ranks: Ranks | None) -> _Run:
    from accelmnist.data.mnist import load_in_background
    from accelmnist.device import is_known_without_torch
    from accelmnist.device.loading import load_torch
    from accelmnist.training.run import RunRequest, choose_setup

    load = import_s = why_threads = None
    ranks = ranks or _alone_exactly(config)
    if ranks is not None:
        config, why_threads = config_of_rank(config, ranks, is_shared=options.trials == 1)
    is_own = EngineFile.of(config.execution.engine) is not None  # and may well import torch
    if is_own or not is_known_without_torch(config.execution.device):
        load = load_in_background(config.data, seed=config.training.seed)  # while torch is loaded
        if config.recipe is None:
            shell.helper.begin()
        import_s = load_torch()
    request = RunRequest(config=config, ranks=ranks, import_s=import_s, load=load, since_start=seconds_since_start)
    setup = choose_setup(config, why_threads=why_threads)
    shell.take_folder(f"{setup.config.execution.device.replace(':', '')}-{setup.engine.label}")
    if ranks is not None and options.trials == 1:
        remember(shell.folder)
        ranks.tell(_Start(setup.config))
    return _Run(shell, options, setup, request)


def _alone_exactly(config: RunConfig) -> Ranks | None:
    """The ranks of one process that reduces exactly: it adds up the parts of several, and so it is one of them."""
    return Ranks(Place(0, 1, 0, 1)) if config.execution.reduction == "exact" else None


def _stopped(shell: Shell, options: RunOptions, ranks: Ranks | None) -> _Run:
    from accelmnist.device.loading import load_torch

    shell.take_folder()
    assert shell.folder is not None
    shell.helper.begin()
    import_s = load_torch()
    from accelmnist.training.checkpoint import find_stopped_run, find_unfinished_run
    from accelmnist.training.run import RunRequest, choose_setup

    proven = find_unfinished_run(shell.folder)
    if proven is not None:
        if ranks is not None:
            ranks.tell(_Start())
        return _Run(shell, options, choose_setup(proven.config), RunRequest(config=proven.config), proven)
    config, checkpoint = find_stopped_run(shell.folder)
    ranks = ranks or _alone_exactly(config)
    config, why_threads = going_on(config, ranks)
    setup = choose_setup(config, resumed_after=len(checkpoint.epochs) if checkpoint else 0, why_threads=why_threads)
    if ranks is not None:
        ranks.tell(_Start(setup.config, checkpoint))
    since_start = seconds_since_start if checkpoint is None else lambda: None
    request = RunRequest(config=config, ranks=ranks, checkpoint=checkpoint, import_s=import_s, since_start=since_start)
    return _Run(shell, options, setup, request)


class _Run:
    """One run on the command line: what is seen of it, what is drawn and shown of it in the end.

    One that is `proven` already lacks files alone.

    Nothing is seen but its answer until it opens, which is when `observer` and `console` are there. Until then Ctrl-C
    ends it at once; from then on with its epoch.
    """

    console: Console
    observer: ConsoleObserver | SilentObserver
    record: RunRecord | None = None

    def __init__(
        self, shell: Shell, options: RunOptions, setup: Setup, request: RunRequest, proven: RunRecord | None = None
    ) -> None:
        self.shell, self.options, self.setup, self.request, self.proven = shell, options, setup, request, proven
        self._is_many = options.trials > 1
        self._stop = StopOnInterrupt(
            until="after the trainings under way" if self._is_many else "at the end of this epoch"
        )
        self._opened = ExitStack()
        self._is_answered = False

    def run(self) -> RunRecord:
        """Train, prove, draw and show; raises StoppedError if the user stopped it, after saving and showing."""
        with self.shell.showing(self._show, kept="The seeds that are over" if self._is_many else ""):
            with self._opened:
                record = self._execute()
            if record.status == "interrupted":
                raise StoppedError(record.message or "interrupted")
        return record

    def _execute(self) -> RunRecord:
        pictures = PictureDrawing(self.shell.helper, self.shell.folder, shared_scale=self.options.shared_scale)
        request = self._whole_request(pictures)
        if self.proven is not None:
            from accelmnist.training.proof import complete

            record = complete(request, self.setup, self._open, self.proven)
        elif self._is_many:
            from accelmnist.sweep.trials.run import execute_trials

            ranks, request = request.ranks, replace(request, ranks=None)  # each trains alone
            record = execute_trials(request, self.setup, self._open, count=self.options.trials, ranks=ranks).record
        else:
            from accelmnist.training.execute import execute

            record = execute(request, self.setup, self._open).record
        self._keep(record)
        return record

    def _whole_request(self, pictures: PictureDrawing) -> RunRequest:
        return replace(
            self.request,
            folder=self.shell.folder,
            save_every=self.options.save_every,
            audit_windows=self.options.audit,
            repeat_on_reference=not self.options.no_reference,
            profile=self.options.profile,
            should_stop=lambda: self._stop.requested,
            on_loading=self._begin_helper,
            on_answer=self._answer,
            on_trained=self._stop.trained,
            on_stopped=self._keep,
            oracle=self.shell.oracle,
            on_evaluated=pictures.begin,
            finish=lambda record: self._finish(record, pictures),
        )

    def _finish(self, record: RunRecord, pictures: PictureDrawing) -> tuple[str, ...]:
        self.observer.stage("drawing the pictures")
        return pictures.finish(record)

    def _begin_helper(self) -> None:
        """Begin to load what the end needs; not before a recipe's answer is there: to its time that would add."""
        if self._is_answered or self.request.config.recipe is None:
            self.shell.helper.begin()

    def _answer(self, accuracy: float) -> None:
        """Say the accuracy before torch is there."""
        self._is_answered = True
        if not self.options.quiet:
            right = f"{100 * accuracy:.2f} % of the test set are right"
            click.echo(f"… {right}; now torch is loaded, to check and show it", err=self.options.as_json)

    def _open(self) -> ConsoleObserver | SilentObserver:
        """The run's observer, from now on; Ctrl-C waits for the end of an epoch."""
        from accelmnist.show.observer import ConsoleObserver, SilentObserver

        self.console = self.shell.terminal(stderr=self.options.as_json)
        self.shell.helper.wait_until_ready()
        self._opened.enter_context(self._stop)
        self.observer = SilentObserver() if self.options.quiet else ConsoleObserver(self.console)
        self._opened.enter_context(self.observer)
        return self.observer

    def _keep(self, record: RunRecord) -> None:
        self.record = record

    def _show(self) -> None:
        from accelmnist.show.render.console import print_document
        from accelmnist.show.summary import format_line, run_page

        record = self.record
        if record is None:
            return
        if self.options.as_json:
            click.echo(encode(record).decode(), nl=False)
        if record.verdict is None:
            return
        if self.options.quiet:
            click.echo(format_line(record))
        else:
            print_document(run_page(record, self.shell.folder), self.console)
