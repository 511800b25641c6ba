"""`accelmnist run`: train the network once, say whether the result is right, show it and save it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accelmnist.cli.contradictions import given, refuse_configuration, refuse_pairs
from accelmnist.cli.drawing import PictureDrawing
from accelmnist.cli.interrupt import StopOnInterrupt
from accelmnist.cli.options import in_order
from accelmnist.cli.processes import seconds_since_start
from accelmnist.cli.run_options import CONFIG_PARAMETERS, config_from, config_options, with_recipe
from accelmnist.cli.trials import check_trials, stop_on_interrupt, trials_option, write_trials_of
from accelmnist.companion import Companion
from accelmnist.errors import ConfigError, StoppedError
from accelmnist.openmp import limit_spinning

if TYPE_CHECKING:
    from rich.console import Console

    from accelmnist.checkpoint import Checkpoint
    from accelmnist.config import RunConfig
    from accelmnist.data.types import Dataset
    from accelmnist.results import RunRecord
    from accelmnist.run_setup import Setup
    from accelmnist.trials.run import TrialsObserver

_CHECK_FAILED = 1
_AT_THE_END = ("accelmnist.reference.oracle", "accelmnist.show.pictures")

result_options = in_order(
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Folder of this run; results/<time>-… if not given.",
    ),
    click.option("--no-save", is_flag=True, help="Save nothing."),
    click.option(
        "--save-every",
        type=click.IntRange(min=0),
        default=1,
        show_default=True,
        metavar="N",
        help="Epochs between checkpoints; 0 makes none.",
    ),
    click.option(
        "--resume", type=click.Path(path_type=Path), metavar="DIR", help="Go on with the stopped run in this folder."
    ),
    trials_option,
    click.option("--no-reference", is_flag=True, help="Don't repeat the training on the CPU to compare."),
    click.option("--profile", is_flag=True, help="Profile a few steps: their launches, and where the time goes."),
    click.option("--shared-scale", is_flag=True, help="One grey scale for the weight images of all neurons."),
    click.option("--json", "as_json", is_flag=True, help="The record on standard output, all else on standard error."),
    click.option("--quiet", is_flag=True, help="Say only the verdict."),
)


@click.command()
@config_options
@result_options
@click.pass_context
def run(context: click.Context, /, **options: Any) -> int:
    """Train the network once, check it against the CPU reference, show and save the result.

    The default trains 784-256-10 on all 60,000 images; its hyper-parameters were chosen on a validation split.
    """
    check_trials(context, options)
    if options["resume"]:
        refuse_configuration(context, CONFIG_PARAMETERS, of="saved run")
    options = with_recipe(options, given=given(context))
    _check_result_options(context, options)
    config = None if options["resume"] else config_from({name: options[name] for name in CONFIG_PARAMETERS})
    limit_spinning()
    with Companion(_AT_THE_END, at_once=options["recipe"] is None) as companion:
        # Inductor warns of a missing CUDA runtime even where it compiles for the CPU.
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        load = _begin_loading(config) if config else None
        started = time.perf_counter()
        import accelmnist.runner  # noqa: F401 - it brings torch, and its time is told apart

        import_s = time.perf_counter() - started
        begun = _Begun(import_s, load)
        record = _run_new(config, options, companion, begun) if config else _resume(options, companion, begun)
    return _exit_code(record)


@dataclass(frozen=True)
class _Begun:
    """What happened while torch was imported: the seconds that took, and the data that is on its way."""

    import_s: float
    load: Callable[[], Dataset] | None


def _begin_loading(config: RunConfig) -> Callable[[], Dataset]:
    from accelmnist.data.ahead import begin_loading  # imports numpy, which torch would import as well

    return begin_loading(config.data, seed=config.training.seed)


def _run_new(config: RunConfig, options: dict[str, Any], companion: Companion, begun: _Begun) -> RunRecord:
    from accelmnist.folders import new_folder, remove_if_empty
    from accelmnist.run_setup import choose_setup

    setup = choose_setup(config)
    if options["no_save"]:
        return _run_and_show(_Task(config, setup, None, None, begun), companion, options)
    folder = new_folder(options["out"], label=f"{setup.config.execution.device.replace(':', '')}-{setup.engine.name}")
    try:
        return _run_and_show(_Task(config, setup, folder, None, begun), companion, options)
    finally:
        remove_if_empty(folder)


def _resume(options: dict[str, Any], companion: Companion, begun: _Begun) -> RunRecord:
    from accelmnist.resuming import find_stopped_run
    from accelmnist.run_setup import choose_setup

    stopped = find_stopped_run(options["resume"])
    setup = choose_setup(stopped.config, resumed_after=len(stopped.checkpoint.epochs) if stopped.checkpoint else 0)
    return _run_and_show(_Task(stopped.config, setup, stopped.folder, stopped.checkpoint, begun), companion, options)


@dataclass(frozen=True)
class _Task:
    """What is to be run, once it is known."""

    config: RunConfig
    setup: Setup
    folder: Path | None
    checkpoint: Checkpoint | None
    begun: _Begun


def _check_result_options(context: click.Context, options: dict[str, Any]) -> None:
    refuse_pairs(options, (("no_save", "out"), ("resume", "out"), ("no_save", "resume"), ("quiet", "as_json")))
    if options["profile"] and options["quiet"] and options["no_save"]:
        raise ConfigError("--profile has no effect with --quiet and --no-save", remedy="Leave one of them out")
    _check_unused(context, options, "momentum", takes="optimizer", value="sgd-momentum")
    _check_unused(context, options, "warmup", takes="schedule", value="one-cycle")


def _check_unused(context: click.Context, options: dict[str, Any], name: str, *, takes: str, value: str) -> None:
    """Refuse an option that was given and would have no effect: who gives it believes that it has one."""
    if name in given(context) and options[takes] != value:
        raise ConfigError(
            f"--{name} has no effect with --{takes} {options[takes]}", remedy=f"Add --{takes} {value}, or leave it out"
        )


def _run_and_show(task: _Task, companion: Companion, options: dict[str, Any]) -> RunRecord:
    """Run, draw and save the pictures, and show the summary; returns the finished record."""
    from accelmnist.show.observer import ConsoleObserver, SilentObserver
    from accelmnist.show.terminal import make_terminal

    console = make_terminal(stderr=options["as_json"])
    pictures = PictureDrawing(companion, task.folder, shared_scale=options["shared_scale"])
    companion.wait_until_ready()
    try:
        with (
            stop_on_interrupt(options["trials"]) as stop,
            SilentObserver() if options["quiet"] else ConsoleObserver(console) as observer,
        ):
            record = _execute(task, companion, options, stop, pictures, observer)
            try:
                if record.status == "done":
                    observer.stage("drawing the pictures")
                    record = _write_profile(pictures.finish(record), task.folder)
                    record = write_trials_of(record, task.folder)
            finally:  # a picture that can't be written must not hide what was measured
                _show(record, task.folder, console, options)
    except (KeyboardInterrupt, BrokenPipeError):
        raise StoppedError("interrupted", remedy=_how_to_go_on(task.folder, options)) from None
    if record.status == "interrupted":
        raise StoppedError(record.message or "interrupted", remedy=_how_to_go_on(task.folder, options))
    return record


def _execute(
    task: _Task,
    companion: Companion,
    options: dict[str, Any],
    stop: StopOnInterrupt,
    pictures: PictureDrawing,
    observer: TrialsObserver,
) -> RunRecord:
    from accelmnist.runner import RunRequest, execute

    request = RunRequest(
        config=task.config,
        folder=task.folder,
        save_every=options["save_every"],
        repeat_on_reference=not options["no_reference"],
        profile=options["profile"],
        checkpoint=task.checkpoint,
        import_s=task.begun.import_s,
        load=task.begun.load,
        since_start=seconds_since_start if task.checkpoint is None else lambda: None,
        should_stop=lambda: stop.requested,
        on_trained=stop.trained,
        on_stopped=_print_json if options["as_json"] else lambda _record: None,
        oracle=partial(companion.start, "accelmnist.reference.oracle:oracle_scores"),
        on_evaluated=pictures.begin,
    )
    if options["trials"] > 1:
        from accelmnist.trials.run import execute_trials

        return execute_trials(request, task.setup, observer, count=options["trials"]).record
    return execute(request, task.setup, observer).record


def _write_profile(record: RunRecord, folder: Path | None) -> RunRecord:
    """Write the profile's whole table beside its trace; returns the record with the names of both, saved."""
    if record.profile is None or folder is None:
        return record
    from accelmnist.profiling.profile import TRACE_NAME
    from accelmnist.results import save_record
    from accelmnist.show.profile import write_profile

    table = write_profile(record.profile, folder)
    record = replace(record, files=(*record.files, TRACE_NAME, table))
    save_record(record, folder)
    return record


def _how_to_go_on(folder: Path | None, options: dict[str, Any]) -> str:
    """What to type to go on with a stopped run, where anything of it is saved."""
    saved = folder is not None and (folder / "run.json").exists()
    if saved and options["trials"] > 1:
        return f"The seeds that are over are in {folder}"
    return f"Go on with: accelmnist run --resume {folder}" if saved else "Nothing was saved"


def _print_json(record: RunRecord) -> None:
    from accelmnist.results import encode_record

    click.echo(encode_record(record), nl=False)


def _show(record: RunRecord, folder: Path | None, console: Console, options: dict[str, Any]) -> None:
    from accelmnist.show.line import format_line
    from accelmnist.show.profile import print_profile
    from accelmnist.show.summary import print_summary

    if record.status != "done":
        return
    if options["as_json"]:
        _print_json(record)
    if options["quiet"]:
        click.echo(format_line(record))
    else:
        print_summary(record, console, folder)
        if record.profile is not None:
            print_profile(record.profile, console, saved=folder is not None)


def _exit_code(record: RunRecord) -> int:
    return 0 if record.verdict is not None and record.verdict.passed else _CHECK_FAILED
