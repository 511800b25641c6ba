"""`accelmnist sweep`: many networks on a validation split; the best one meets the test set."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accelmnist.cli.contradictions import refuse_configuration, refuse_pairs
from accelmnist.cli.drawing import PictureDrawing
from accelmnist.cli.helper_process import HelperProcess
from accelmnist.cli.interrupt import StopOnInterrupt
from accelmnist.cli.options import in_order
from accelmnist.cli.saving import how_to_go_on, result_folder, stopped_folder
from accelmnist.cli.sweep_options import CONFIG_PARAMETERS, config_options, sweep_config_from
from accelmnist.core.errors import ConfigError, StoppedError
from accelmnist.device.threads import limit_spinning

if TYPE_CHECKING:
    from accelmnist.core.records import RunRecord
    from accelmnist.sweep.observer import SweepObserver
    from accelmnist.sweep.plan import SweepConfig
    from accelmnist.sweep.record import SweepRecord
    from accelmnist.sweep.start import SweepRequest

_CHECK_FAILED = 1
_AT_THE_END = ("sklearn.metrics", "accelmnist.show.pictures", "accelmnist.show.record_pictures")

result_options = in_order(
    click.option("--yes", is_flag=True, help="Go on however many trainings it has."),
    click.option(
        "--workers",
        type=click.IntRange(min=1),
        metavar="N",
        help="Trainings side by side; one a thread if not given.",
    ),
    click.option(
        "--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder; results/<time>-sweep if not given."
    ),
    click.option("--no-save", is_flag=True, help="Save nothing."),
    click.option(
        "--resume", type=click.Path(path_type=Path), metavar="DIR", help="Go on with the stopped sweep in this folder."
    ),
    click.option("--json", "as_json", is_flag=True, help="The record on standard output, all else on standard error."),
    click.option("--quiet", is_flag=True, help="Say only what is best."),
)


@click.command()
@config_options
@result_options
@click.pass_context
def sweep(context: click.Context, /, **options: Any) -> int:
    """Train many networks from several seeds, and say which is best and what the differences are worth.

    They are compared on images held out of the training set. The winner trains once more on all of it, and is the only
    one that meets the test set. Lists are comma-separated; ranges are LOW:HIGH:COUNT, spaced by factors.
    """
    _check_result_options(context, options)
    config = None if options["resume"] else sweep_config_from(context, options)
    limit_spinning()
    with HelperProcess(_AT_THE_END) as helper:
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns of CUDA on the CPU
        record = _run_new(config, options, helper) if config else _resume(options, helper)
    return _exit_code(record)


def _run_new(config: SweepConfig, options: dict[str, Any], helper: HelperProcess) -> SweepRecord:
    with result_folder(options, label="sweep") as folder:
        return _Run(config, None, folder, options, helper).run()


def _resume(options: dict[str, Any], helper: HelperProcess) -> SweepRecord:
    from accelmnist.sweep.record import load_sweep

    folder = stopped_folder(options["resume"], "sweep")
    record = load_sweep(folder)
    if record.status == "done":
        raise ConfigError(f"--resume {folder}: that sweep is finished", remedy="Start a new one with --out")
    return _Run(record.config, record, folder, options, helper).run()


class _Run:
    """One sweep on the command line: who watches it, where it is saved, what is shown of it in the end."""

    def __init__(
        self,
        config: SweepConfig,
        record: SweepRecord | None,
        folder: Path | None,
        options: dict[str, Any],
        helper: HelperProcess,
    ) -> None:
        from accelmnist.show.render.console import make_terminal

        self.config, self.record, self.folder = config, record, folder
        self.options, self.helper = options, helper
        self.console = make_terminal(stderr=options["as_json"])
        best = None if folder is None else folder / "best"
        self.pictures = PictureDrawing(helper, best, shared_scale=False)

    def run(self) -> SweepRecord:
        """Train, draw and show; raises StoppedError where the user stopped it, after saving and showing."""
        try:
            winner = self._train()
            self._draw(winner)
        except (KeyboardInterrupt, BrokenPipeError):
            raise StoppedError("interrupted", remedy=how_to_go_on("sweep", self.folder, "sweep.json")) from None
        except StoppedError as error:
            raise StoppedError(error.message, remedy=how_to_go_on("sweep", self.folder, "sweep.json")) from None
        finally:  # a failure must not hide what was found
            self._show()
        assert self.record is not None
        return self.record

    def _train(self) -> RunRecord | None:
        from accelmnist.core.files import sole_writer
        from accelmnist.sweep.session import execute_sweep

        self.helper.wait_until_ready()
        lock = sole_writer(self.folder) if self.folder else nullcontext()
        with lock, StopOnInterrupt(until="after the trainings under way") as stop, self._observer() as observer:
            outcome = execute_sweep(self._request(stop), observer)
            self._keep(outcome.record)
        return outcome.winner

    def _request(self, stop: StopOnInterrupt) -> SweepRequest:
        from accelmnist.sweep.start import SweepRequest

        return SweepRequest(
            config=self.config,
            folder=self.folder,
            record=self.record,
            workers=self.options["workers"],
            should_stop=lambda: stop.requested,
            on_trained=stop.trained,
            on_stopped=self._keep,
            oracle=partial(self.helper.start, "accelmnist.training.reference.scores:oracle_scores"),
            on_evaluated=self.pictures.begin,
        )

    def _observer(self) -> SweepObserver:
        from accelmnist.show.sweep.live import ConsoleSweepObserver
        from accelmnist.sweep.observer import SweepObserver

        return SweepObserver() if self.options["quiet"] else ConsoleSweepObserver(self.console)

    def _keep(self, record: SweepRecord) -> None:
        self.record = record

    def _draw(self, winner: RunRecord | None) -> None:
        from accelmnist.sweep.record import save_sweep

        if self.folder is None or self.record is None:
            return
        pictures = self.helper.start("accelmnist.show.record_pictures:write_sweep_pictures", self.record, self.folder)
        if winner is not None:
            self.pictures.finish(winner)
        self.record = replace(self.record, files=("sweep.json", *pictures()))
        save_sweep(self.record, self.folder)

    def _show(self) -> None:
        from accelmnist.show.render.console import print_document
        from accelmnist.show.sweep.line import format_line
        from accelmnist.show.sweep.page import sweep_page

        if self.record is None:
            return
        if self.options["quiet"]:
            click.echo(format_line(self.record))
        else:
            print_document(sweep_page(self.record, self.folder), self.console)
        if self.options["as_json"]:
            from accelmnist.core.files import encode

            click.echo(encode(self.record), nl=False)


def _check_result_options(context: click.Context, options: dict[str, Any]) -> None:
    refuse_pairs(options, (("no_save", "out"), ("resume", "out"), ("no_save", "resume"), ("quiet", "as_json")))
    if options["resume"]:
        refuse_configuration(context, CONFIG_PARAMETERS, of="stopped sweep")


def _exit_code(record: SweepRecord) -> int:
    winner = record.winner
    return 0 if winner is not None and winner.verdict is not None and winner.verdict.passed else _CHECK_FAILED
