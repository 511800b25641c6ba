"""`accelmnist bench`: measure every way of running, prove it right, and say what holds it back."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accelmnist.cli.bench_options import CONFIG_PARAMETERS, bench_config_from, case_options, effort_options
from accelmnist.cli.contradictions import refuse_configuration, refuse_pairs
from accelmnist.cli.helper_process import HelperProcess
from accelmnist.cli.options import in_order
from accelmnist.cli.processes import resume_in_fresh_process, seconds_since_start
from accelmnist.cli.saving import how_to_go_on, result_folder, stopped_folder
from accelmnist.core.errors import ConfigError, DeviceError, StoppedError
from accelmnist.device.threads import limit_spinning

if TYPE_CHECKING:
    from accelmnist.measure.plan import BenchConfig
    from accelmnist.measure.record import BenchRecord
    from accelmnist.measure.session import SilentBenchObserver
    from accelmnist.show.bench.live import ConsoleBenchObserver

_CHECK_FAILED = 1
_AT_THE_END = ("sklearn.metrics", "accelmnist.show.record_pictures")

result_options = in_order(
    click.option("--strict", is_flag=True, help="Exit with 1 where a case was not measured."),
    click.option(
        "--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder; results/<time>-bench if not given."
    ),
    click.option("--no-save", is_flag=True, help="Save nothing."),
    click.option(
        "--resume",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Go on with the stopped benchmark in this folder.",
    ),
    click.option("--json", "as_json", is_flag=True, help="The record as the last line of standard output."),
    click.option("--markdown", is_flag=True, help="The tables as Markdown on standard output."),
    click.option("--quiet", is_flag=True, help="Say only the verdict."),
    click.option("--profile", is_flag=True, help="Profile every case: its top operations, and a Chrome trace."),
    click.option("--part", is_flag=True, hidden=True, help="One process of several: measure, and leave it open."),
)


@click.command()
@case_options
@effort_options
@result_options
@click.pass_context
def bench(context: click.Context, /, **options: Any) -> int:
    """Measure images a second of every way of running, prove each right, and say what holds it back.

    Cases are sampled in rounds, in random order, beside the limits of the hardware, and every figure has its
    interval. --target-accuracy measures the time to an accuracy instead.
    """
    _check_result_options(context, options)
    config = None if options["resume"] else bench_config_from(options)
    limit_spinning()
    with HelperProcess(_AT_THE_END) as helper:
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns of CUDA on the CPU
        import accelmnist.measure.benchmark  # noqa: F401 - it brings torch

        record = _run_new(config, options, helper) if config else _resume(options, helper)
    return _exit_code(record, strict=options["strict"])


def _run_new(config: BenchConfig, options: dict[str, Any], helper: HelperProcess) -> BenchRecord:
    from accelmnist.measure.session import new_record

    record = new_record(config)
    with result_folder(options, label="bench") as folder:
        return _Run(record, folder, options, helper).run()


def _resume(options: dict[str, Any], helper: HelperProcess) -> BenchRecord:
    from accelmnist.measure.record import load_bench

    folder = stopped_folder(options["resume"], "bench")
    record = load_bench(folder)
    if record.status == "done":
        raise ConfigError(f"--resume {folder}: that benchmark is finished", remedy="Start a new one with --out")
    return _Run(record, folder, options, helper).run()


class _Run:
    """One benchmark on the command line: who watches it, where it is saved, what is shown of it in the end."""

    def __init__(
        self, record: BenchRecord, folder: Path | None, options: dict[str, Any], helper: HelperProcess
    ) -> None:
        from accelmnist.show.render.console import make_terminal

        self.record, self.folder, self.options, self.helper = record, folder, options, helper
        self.console = make_terminal(stderr=options["as_json"] or options["markdown"])

    def run(self) -> BenchRecord:
        """Measure, draw and show; raises StoppedError where the user stopped it, after saving and showing."""
        try:
            self._measure()
            while not self.options["part"] and 0 < self._processes_left() < self.record.config.processes:
                self._measure_in_fresh_process()
            self._draw()
        except (KeyboardInterrupt, BrokenPipeError):
            raise StoppedError("interrupted", remedy=how_to_go_on("bench", self.folder, "bench.json")) from None
        finally:  # a failure must not hide what was measured
            self._show()
        return self.record

    def _processes_left(self) -> int:
        """Processes of the benchmark that have not taken part yet."""
        seen = {round_.process for round_ in self.record.rounds}
        return max(self.record.config.processes - len(seen), 0)

    def _measure(self) -> None:
        from accelmnist.core.files import sole_writer
        from accelmnist.measure.benchmark import execute_bench
        from accelmnist.measure.session import BenchRequest

        request = BenchRequest(
            config=self.record.config,
            folder=self.folder,
            record=self.record,
            oracle=partial(self.helper.start, "accelmnist.training.reference.scores:oracle_scores"),
            spent_s=seconds_since_start(),
            traces=self._traces(),
            is_last=self._processes_left() <= 1,
            on_stopped=self._keep,
        )
        self.helper.wait_until_ready()  # before anything is timed, so that it disturbs no measurement
        with sole_writer(self.folder) if self.folder else nullcontext(), self._observer() as observer:
            self._keep(execute_bench(request, observer))

    def _traces(self) -> Path | None:
        """The folder of the traces, made, where they are wanted."""
        from accelmnist.core.files import make_folder

        return make_folder(self.folder / "profiles") if self.folder and self.options["profile"] else None

    def _measure_in_fresh_process(self) -> None:
        from accelmnist.measure.record import load_bench

        assert self.folder is not None
        left = self._processes_left()
        if not self.options["quiet"]:
            number = self.record.config.processes - left + 1
            self.console.print(f"… process {number} of {self.record.config.processes}", style="dim")
        resume_in_fresh_process(self.folder)
        self._keep(load_bench(self.folder))
        if self._processes_left() >= left:
            raise DeviceError("a fresh process measured nothing", remedy="Allow it more by --time-limit")

    def _observer(self) -> ConsoleBenchObserver | SilentBenchObserver:
        from accelmnist.measure.session import SilentBenchObserver
        from accelmnist.show.bench.live import ConsoleBenchObserver

        if self.options["quiet"]:
            return SilentBenchObserver()
        return ConsoleBenchObserver(self.console, spent_s=seconds_since_start())

    def _keep(self, record: BenchRecord) -> None:
        self.record = record

    def _draw(self) -> None:
        from accelmnist.measure.record import save_bench

        if self.folder is None or self.options["part"]:
            return
        pictures = self.helper.start("accelmnist.show.record_pictures:write_bench_pictures", self.record, self.folder)
        self.record = replace(self.record, files=("bench.json", *pictures()))
        save_bench(self.record, self.folder)

    def _show(self) -> None:
        from accelmnist.show.bench.headline import format_line
        from accelmnist.show.bench.page import bench_note, bench_page
        from accelmnist.show.render.console import print_document
        from accelmnist.show.render.markdown import render_markdown

        if self.options["quiet"]:
            click.echo(format_line(self.record))
        else:
            print_document(bench_page(self.record, self.folder), self.console)
        if self.options["markdown"]:
            click.echo(render_markdown(bench_note(self.record)))
        if self.options["as_json"]:
            import msgspec

            click.echo(msgspec.json.encode(self.record))


def _check_result_options(context: click.Context, options: dict[str, Any]) -> None:
    clashes = (
        ("no_save", "out"),
        ("resume", "out"),
        ("no_save", "resume"),
        ("quiet", "as_json"),
        ("quiet", "markdown"),
    )
    refuse_pairs(options, (*clashes, ("as_json", "markdown")))
    if options["no_save"] and (options["processes"] > 1 or options["profile"]):
        needs = "--processes takes a record that they share" if options["processes"] > 1 else "--profile leaves traces"
        raise ConfigError(f"{needs}, and --no-save leaves no folder", remedy="Leave out --no-save")
    if options["resume"]:
        refuse_configuration(context, CONFIG_PARAMETERS, of="stopped benchmark")


def _exit_code(record: BenchRecord, *, strict: bool) -> int:
    missed = [made for made in (result.time_to_accuracy for result in record.cases) if made is not None]
    nobody_reached = bool(missed) and all(made.reached == 0 for made in missed)
    failed = any(result.is_wrong for result in record.cases) or nobody_reached
    unmeasured = strict and any(result.skipped for result in record.cases)
    return _CHECK_FAILED if failed or unmeasured else 0
