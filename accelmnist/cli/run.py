"""`accelmnist run`: train the network once, say whether the result is right, show it and save it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import click

from accelmnist.cli.contradictions import given, refuse_configuration
from accelmnist.cli.helper_process import HelperProcess
from accelmnist.cli.run_options import CONFIG_PARAMETERS, config_from, config_options, with_recipe
from accelmnist.cli.run_result_options import check_result_options, result_options
from accelmnist.cli.run_task import RunTask
from accelmnist.cli.saving import result_folder, stopped_folder
from accelmnist.cli.trials import check_trials
from accelmnist.core.files import require_new
from accelmnist.device.threads import limit_spinning

if TYPE_CHECKING:
    from accelmnist.core.config import RunConfig
    from accelmnist.core.records import RunRecord

_CHECK_FAILED = 1
_AT_THE_END = ("sklearn.metrics", "accelmnist.show.pictures")


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
    typed = given(context)
    options = with_recipe(options, given=typed)
    check_result_options(context, options)
    config = (
        None if options["resume"] else config_from({name: options[name] for name in CONFIG_PARAMETERS}, given=typed)
    )
    if options["out"]:
        require_new(options["out"])  # before anything is trained for it
    limit_spinning()
    with HelperProcess(_AT_THE_END, at_once=False) as helper:
        # Inductor warns of a missing CUDA runtime even where it compiles for the CPU.
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        record = _run_new(config, options, helper) if config else _resume(options, helper)
    return _exit_code(record)


def _run_new(config: RunConfig, options: dict[str, Any], helper: HelperProcess) -> RunRecord:
    from accelmnist.data.mnist import load_in_background
    from accelmnist.device import is_known_without_torch
    from accelmnist.training.setup import choose_setup

    load = import_s = None
    if not is_known_without_torch(config.execution.device):
        load = load_in_background(config.data, seed=config.training.seed)  # while torch is loaded
        import_s = _load_torch(helper, options)
    setup = choose_setup(config)
    with result_folder(
        options, label=f"{setup.config.execution.device.replace(':', '')}-{setup.engine.name}"
    ) as folder:
        task = RunTask(config=config, setup=setup, folder=folder, import_s=import_s, load=load)
        return task.run(helper, options)


def _resume(options: dict[str, Any], helper: HelperProcess) -> RunRecord:
    import_s = _load_torch(helper, options)
    from accelmnist.training.checkpoint import find_stopped_run
    from accelmnist.training.setup import choose_setup

    stopped = find_stopped_run(stopped_folder(options["resume"], "run"))
    setup = choose_setup(stopped.config, resumed_after=len(stopped.checkpoint.epochs) if stopped.checkpoint else 0)
    task = RunTask(
        config=stopped.config,
        setup=setup,
        folder=stopped.folder,
        checkpoint=stopped.checkpoint,
        import_s=import_s,
    )
    return task.run(helper, options)


def _load_torch(helper: HelperProcess, options: dict[str, Any]) -> float:
    """Load torch before the run, where its choices or its checkpoint need it; returns the seconds it took."""
    from accelmnist.device.loading import load_torch

    if options["recipe"] is None:
        helper.begin()
    return load_torch()


def _exit_code(record: RunRecord) -> int:
    return 0 if record.verdict is not None and record.verdict.passed else _CHECK_FAILED
