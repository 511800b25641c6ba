"""What run, bench, sweep and soak do around their work: load, find the folder, show what came of it, how to go on."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

import click

from accelmnist.cli.helper_process import HelperProcess, Pending
from accelmnist.cli.options import OutputOptions
from accelmnist.core.errors import ConfigError, StoppedError
from accelmnist.core.files import (
    NOUNS,
    RECORDS,
    RESULTS,
    encode,
    is_whole,
    new_folder,
    other_kind_in,
    read,
    remove_if_empty,
    require_new,
    sole_writer,
    write_atomically,
)
from accelmnist.device.loading import prepare_for_torch

if TYPE_CHECKING:
    from accelmnist.core.records import RunRecord
    from accelmnist.data.types import ImageSet
    from accelmnist.engines.model import MLP
    from accelmnist.measure.record import BenchRecord
    from accelmnist.measure.soak.record import SoakRecord
    from accelmnist.show.document import Document
    from accelmnist.show.render.console import Terminal
    from accelmnist.sweep.record import SweepRecord
    from accelmnist.training.reference.scores import Oracle

CHECK_FAILED = 1

Answer = TypeVar("Answer")
Resumed = TypeVar("Resumed", "BenchRecord", "SoakRecord", "SweepRecord")


class Shell:
    """Around the work of one command: `helper` is the other process, `folder` where the result is saved, if it is.

    `lock` is the open file that keeps other programs out of the folder; a process that works on it in this one's stead
    is passed it.
    """

    def __init__(self, command: str, options: OutputOptions, helper: HelperProcess, until_closed: ExitStack) -> None:
        self.command, self.options, self.helper = command, options, helper
        self.folder: Path | None = None
        self.lock: int | None = None
        self._until_closed = until_closed

    def take_folder(self, label: str = "", *, is_part: bool = False) -> None:
        """From now on `folder` is the one that --resume or --out names, or a new one named by time and `label`.

        It is None with --no-save. Until the shell closes no other program writes into it; then a new one is removed if
        nothing came of it. For a process that `is_part` another one does both. Raises ConfigError for one that holds
        files, RecordError for one without a record to go on with, OutputError for one that can't be made or that
        another program writes into.
        """
        if self.options.no_save:
            return
        if self.options.resume:
            self.folder = self.stopped_folder()
        else:
            self.folder = new_folder(self.options.out, label=label)
            made = [RESULTS] if self.options.out is None else [one for one in self.folder.parents if not one.exists()]
            self._until_closed.callback(remove_if_empty, self.folder, *made)
        if not is_part:
            self.lock = self._until_closed.enter_context(sole_writer(self.folder))
        if not self.options.resume:
            require_new(self.folder)  # once more: another program may have been quicker

    def stopped_folder(self) -> Path:
        """The folder that --resume names, itself or by the record in it.

        Raises ConfigError, with the command that goes on there, for what another command stopped, and RecordError if
        there is no record.
        """
        path = self.options.resume
        assert path is not None
        other = other_kind_in(path, self.command)
        if other is not None:
            noun = NOUNS[other]
            raise ConfigError(
                f"--resume {path}: that is {noun}, not {NOUNS[self.command]}",
                remedy=f"{noun.capitalize()} goes on with: accelmnist {other} --resume {path}",
            )
        folder = path.parent if path.is_file() else path
        read(folder / RECORDS[self.command] if path.exists() else path, NOUNS[self.command])
        return folder

    def unfinished(self, load: Callable[[Path], Resumed]) -> Resumed:
        """The record that --resume names, read by `load`; raises ConfigError if it is finished, with all its files."""
        from accelmnist.core.records import finished_run
        from accelmnist.sweep.record import WINNER_FOLDER

        folder = self.folder
        assert folder is not None
        record = load(folder)
        best = folder / WINNER_FOLDER
        if is_whole(folder, record.status, record.files) and (not best.exists() or finished_run(best) is not None):
            noun = NOUNS[self.command].removeprefix("a ")
            raise ConfigError(f"--resume {folder}: that {noun} is finished", remedy="Start a new one with --out")
        return record

    def terminal(self, *, stderr: bool) -> Terminal:
        """The console that tells of the work, on standard output or on standard error."""
        from accelmnist.show.render.console import make_terminal

        return make_terminal(stderr=stderr)

    @property
    def oracle(self) -> Oracle:
        """scikit-learn's scores, computed by the helper."""
        return partial(self.helper.start, "accelmnist.training.reference.scores:oracle_scores")

    @contextmanager
    def showing(self, show: Callable[[], None], *, kept: str = "") -> Iterator[None]:
        """Within, the command works; whatever ends that, `show` shows what is there.

        The helper is ready before anything begins, so that it disturbs no measurement. Raises StoppedError, with how to
        go on, if the user stopped the work or the reader of its output went away; `kept` names what is saved of work
        that can't go on.
        """
        try:
            self.helper.wait_until_ready()
            yield
        except (KeyboardInterrupt, BrokenPipeError):
            raise StoppedError("interrupted", remedy=self._how_to_go_on(kept)) from None
        except StoppedError as error:
            raise StoppedError(error.message, remedy=self._how_to_go_on(kept)) from None
        finally:  # a picture that can't be written must not hide what was measured
            show()

    def _how_to_go_on(self, kept: str) -> str:
        if self.folder is None or not (self.folder / RECORDS[self.command]).exists():
            return "Nothing was saved"
        if kept:
            return f"{kept} are in {self.folder}"
        return f"Go on with: accelmnist {self.command} --resume {self.folder}"


@contextmanager
def open_shell(
    command: str, options: OutputOptions, *, helper_loads: Sequence[str], at_once: bool = True
) -> Iterator[Shell]:
    """A shell with its helper, which loads its modules `at_once` or with its first call."""
    prepare_for_torch()
    with ExitStack() as until_closed, HelperProcess(helper_loads, at_once=at_once) as helper:
        # Inductor warns of a missing CUDA runtime even if it compiles for the CPU.
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        yield Shell(command, options, helper, until_closed)


class StopOnInterrupt:
    """Ctrl-C while training, in two steps: the first sets `requested` and says so, the second raises KeyboardInterrupt.

    An epoch takes a second or so, and its end is the only point from which a run can go on to the same weights. From
    `trained` on there is nothing to wait for, and the first one raises. Signals belong to Python's main thread: in
    another one this does nothing.
    """

    def __init__(self, *, until: str, speaks: bool = True) -> None:
        self.requested = False
        self._until, self._speaks = until, speaks
        self._is_training = True

    def trained(self) -> None:
        """From now on there is no epoch to wait for: the weights are saved."""
        self._is_training = False

    def __enter__(self) -> StopOnInterrupt:
        self._is_in_charge = threading.current_thread() is threading.main_thread()
        if self._is_in_charge:
            self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_in_charge:
            signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested or not self._is_training:
            raise KeyboardInterrupt
        self.requested = True
        if self._speaks:
            click.echo(f"\nStopping {self._until}; Ctrl-C again stops at once", err=True)


class PictureDrawing:
    """The pictures of a run: the helper begins to draw when it is evaluated, while this process checks the result."""

    def __init__(self, helper: HelperProcess, folder: Path | None, *, shared_scale: bool = False) -> None:
        self._helper, self._folder, self._shared_scale = helper, folder, shared_scale
        self._pending: Pending | None = None

    def begin(self, record: RunRecord, model: MLP, test: ImageSet) -> None:
        """Begin to draw; nothing is drawn of a run that is not saved."""
        if self._folder is not None:
            self._pending = self._helper.start(
                "accelmnist.show.pictures:write_pictures",
                record,
                self._folder,
                weights=model.first_layer_weights(),
                mistake_images=test.images[[mistake.index for mistake in record.mistakes]],
                shared_scale=self._shared_scale,
            )

    def finish(self, record: RunRecord) -> tuple[str, ...]:
        """Wait for the pictures and write the tables; returns the names of all files of the run."""
        if self._folder is None:
            return ()
        pictures = self._pending() if self._pending is not None else ()
        return ("run.json", "model.safetensors", *pictures, *_write_tables(record, self._folder))


def _write_tables(record: RunRecord, folder: Path) -> tuple[str, ...]:
    """Write the tables of the profile and of all seeds, if there are any; returns their names, and the trace's."""
    if record.profile is None and record.trials is None:
        return ()
    from accelmnist.show.profile import whole_profile
    from accelmnist.show.render.console import as_text
    from accelmnist.show.render.markdown import render_markdown
    from accelmnist.show.summary import trials_note
    from accelmnist.training.profile import TRACE_NAME

    written = {}
    if record.profile is not None:
        written["profile.txt"] = as_text(whole_profile(record.profile), width=120)
    if record.trials is not None:
        written["trials.md"] = render_markdown(trials_note(record, record.trials))
    for name, text in written.items():
        write_atomically(folder / name, text.encode())
    return (*((TRACE_NAME,) if record.profile is not None else ()), *written)


def seconds_since_start() -> float:
    """Seconds since this process was started, what it took to import included."""
    import psutil

    return max(time.time() - float(psutil.Process().create_time()), 0.0)


def print_answer(
    answer: Answer,
    page: Callable[[Answer], Document],
    note: Callable[[Answer], Document],
    *,
    as_json: bool,
    as_markdown: bool,
) -> None:
    """Print what a command found out: as JSON, as the Markdown of its `note`, or as its `page` on the console."""
    if as_json:
        click.echo(encode(answer).decode(), nl=False)
    elif as_markdown:
        from accelmnist.show.render.markdown import render_markdown

        click.echo(render_markdown(note(answer)), nl=False)
    else:
        from accelmnist.show.render.console import make_terminal, print_document

        print_document(page(answer), make_terminal(stderr=False))
