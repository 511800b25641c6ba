"""One run on the command line: who watches it, what is drawn and shown of it in the end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accelmnist.cli.drawing import PictureDrawing
from accelmnist.cli.helper_process import HelperProcess
from accelmnist.cli.interrupt import StopOnInterrupt
from accelmnist.cli.processes import seconds_since_start
from accelmnist.cli.saving import how_to_go_on
from accelmnist.cli.trials import stop_on_interrupt, write_trials_of
from accelmnist.core.errors import StoppedError

if TYPE_CHECKING:
    from rich.console import Console

    from accelmnist.core.config import RunConfig
    from accelmnist.core.records import RunRecord
    from accelmnist.data.types import Dataset
    from accelmnist.sweep.trials.run import TrialsObserver
    from accelmnist.training.checkpoint import Checkpoint
    from accelmnist.training.setup import Setup


@dataclass(frozen=True, kw_only=True)
class RunTask:
    """What is to be run, once it is known.

    `folder` None saves nothing; from a `checkpoint` a stopped run goes on. `import_s` is what importing torch took if
    that came first, and `load` gives the data that was on its way meanwhile.
    """

    config: RunConfig
    setup: Setup
    folder: Path | None
    import_s: float | None
    checkpoint: Checkpoint | None = None
    load: Callable[[], Dataset] | None = None

    def run(self, helper: HelperProcess, options: dict[str, Any]) -> RunRecord:
        """Run, draw and save the pictures, and show the summary; returns the finished record.

        Raises StoppedError where the user stopped it, with how to go on.
        """
        stop = stop_on_interrupt(options["trials"])
        pictures = PictureDrawing(helper, self.folder, shared_scale=options["shared_scale"])
        try:
            with ExitStack() as open_:
                seen = _Seen(options, helper, stop, open_)
                record = self._execute(options, pictures, seen)
                try:
                    if record.status == "done":
                        seen.observer.stage("drawing the pictures")
                        record = _write_profile(pictures.finish(record), self.folder)
                        record = write_trials_of(record, self.folder)
                finally:  # a picture that can't be written must not hide what was measured
                    _show(record, self.folder, seen.console, options)
        except (KeyboardInterrupt, BrokenPipeError):
            raise StoppedError("interrupted", remedy=_how_to_go_on(self.folder, options)) from None
        if record.status == "interrupted":
            raise StoppedError(record.message or "interrupted", remedy=_how_to_go_on(self.folder, options))
        return record

    def _execute(self, options: dict[str, Any], pictures: PictureDrawing, seen: _Seen) -> RunRecord:
        from accelmnist.training.run import RunRequest

        request = RunRequest(
            config=self.config,
            folder=self.folder,
            save_every=options["save_every"],
            repeat_on_reference=not options["no_reference"],
            profile=options["profile"],
            checkpoint=self.checkpoint,
            import_s=self.import_s,
            load=self.load,
            since_start=seconds_since_start if self.checkpoint is None else lambda: None,
            should_stop=lambda: seen.stop.requested,
            on_loading=seen.loading,
            on_answer=seen.answer,
            on_trained=seen.stop.trained,
            on_stopped=_print_json if options["as_json"] else lambda _record: None,
            oracle=partial(seen.helper.start, "accelmnist.training.reference.scores:oracle_scores"),
            on_evaluated=pictures.begin,
        )
        if options["trials"] > 1:
            from accelmnist.sweep.trials.run import execute_trials

            return execute_trials(request, self.setup, seen.open, count=options["trials"]).record
        from accelmnist.training.execute import execute

        return execute(request, self.setup, seen.open).record


class _Seen:
    """What is seen of a run: nothing but its answer until it opens, which is when `observer` and `console` are there.

    Until then Ctrl-C ends it at once; from then on with its epoch.
    """

    observer: TrialsObserver
    console: Console

    def __init__(self, options: dict[str, Any], helper: HelperProcess, stop: StopOnInterrupt, open_: ExitStack) -> None:
        self.options, self.helper, self.stop = options, helper, stop
        self._open, self._is_answered = open_, False

    def loading(self) -> None:
        """Begin to load what the end needs; not before a recipe's answer is there: to its time that would add."""
        if self._is_answered or self.options["recipe"] is None:
            self.helper.begin()

    def answer(self, accuracy: float) -> None:
        """Say the accuracy before torch is there."""
        self._is_answered = True
        if not self.options["quiet"]:
            right = f"{100 * accuracy:.2f} % of the test set are right"
            click.echo(f"… {right}; now torch is loaded, to check and show it", err=self.options["as_json"])

    def open(self) -> TrialsObserver:
        """The run's observer."""
        from accelmnist.show.observer import ConsoleObserver, SilentObserver
        from accelmnist.show.render.console import make_terminal

        self.console = make_terminal(stderr=self.options["as_json"])
        self.helper.wait_until_ready()
        self._open.enter_context(self.stop)
        observer = SilentObserver() if self.options["quiet"] else ConsoleObserver(self.console)
        self._open.enter_context(observer)
        self.observer = observer
        return observer


def _write_profile(record: RunRecord, folder: Path | None) -> RunRecord:
    """Write the profile's whole table beside its trace; returns the record with the names of both, saved."""
    if record.profile is None or folder is None:
        return record
    from accelmnist.core.records import save_record
    from accelmnist.show.run_files import write_profile
    from accelmnist.training.profiling.profile import TRACE_NAME

    table = write_profile(record.profile, folder)
    record = replace(record, files=(*record.files, TRACE_NAME, table))
    save_record(record, folder)
    return record


def _how_to_go_on(folder: Path | None, options: dict[str, Any]) -> str:
    """What to type to go on with a stopped run, where anything of it is saved."""
    if folder is not None and (folder / "run.json").exists() and options["trials"] > 1:
        return f"The seeds that are over are in {folder}"
    return how_to_go_on("run", folder, "run.json")


def _print_json(record: RunRecord) -> None:
    from accelmnist.core.files import encode

    click.echo(encode(record), nl=False)


def _show(record: RunRecord, folder: Path | None, console: Console, options: dict[str, Any]) -> None:
    from accelmnist.show.profile import profile_page
    from accelmnist.show.render.console import print_document
    from accelmnist.show.summary import format_line, run_page

    if record.status != "done":
        return
    if options["as_json"]:
        _print_json(record)
    if options["quiet"]:
        click.echo(format_line(record))
    else:
        print_document(run_page(record, folder), console)
        if record.profile is not None:
            print_document(profile_page(record.profile, saved=folder is not None), console)
