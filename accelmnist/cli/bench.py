"""`accelmnist bench`: measure every way of running, prove it right, and say what holds it back."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accelmnist.cli.bench_options import (
    BenchOptions,
    bench_config_from,
    bench_options,
    case_options,
    effort_options,
    result_options,
)
from accelmnist.cli.options import Command, CommandLine
from accelmnist.cli.shell import CHECK_FAILED, Shell, open_shell, seconds_since_start
from accelmnist.core.errors import DeviceError

if TYPE_CHECKING:
    from accelmnist.measure.record import BenchRecord

_AT_THE_END = ("sklearn.metrics", "accelmnist.show.record_pictures")
_TIME_TO_SAVE_S = 30.0


@click.command(cls=Command)
@case_options
@effort_options
@result_options
@click.pass_context
def bench(context: click.Context, /, **_: Any) -> int:
    """Measure the speed of every way of running, and prove each right.

    Says images a second of each, and what holds it back. Cases are sampled in rounds, in random order, beside the
    limits of the hardware, and every figure has its interval. --target-accuracy measures the time to an accuracy
    instead.
    """
    line = CommandLine.of(context)
    options = bench_options(line)
    config = None if options.resume else bench_config_from(line)
    with open_shell("bench", options, helper_loads=_AT_THE_END) as shell:
        from accelmnist.device.loading import load_torch

        load_torch()
        from accelmnist.measure.record import load_bench
        from accelmnist.measure.session import new_record

        record = new_record(config) if config else shell.unfinished(load_bench)
        with shell.result_folder("bench"):
            record = _Benchmark(shell, options, record).run()
    return _exit_code(record, strict=options.strict)


class _Benchmark:
    """One benchmark on the command line: who watches it, what is drawn and shown of it in the end."""

    def __init__(self, shell: Shell, options: BenchOptions, record: BenchRecord) -> None:
        self.shell, self.options, self.record = shell, options, record
        self.folder = shell.folder
        self.console = shell.terminal(stderr=options.as_json or options.markdown)

    def run(self) -> BenchRecord:
        """Measure, draw and show; raises StoppedError if the user stopped it, after saving and showing."""
        with self.shell.showing(self._show):
            self._measure()
            while not self.options.part and 0 < self._processes_left() < self.record.config.processes:
                self._measure_in_fresh_process()
            self._draw()
        return self.record

    def _processes_left(self) -> int:
        """Processes of the benchmark that have not taken part yet."""
        seen = {round_.process for round_ in self.record.rounds}
        return max(self.record.config.processes - len(seen), 0)

    def _measure(self) -> None:
        from accelmnist.measure.benchmark import execute_bench
        from accelmnist.measure.session import BenchRequest, SilentBenchObserver
        from accelmnist.show.bench.live import ConsoleBenchObserver

        request = BenchRequest(
            config=self.record.config,
            folder=self.folder,
            record=self.record,
            oracle=self.shell.oracle,
            spent_s=seconds_since_start(),
            traces=self._traces(),
            is_last=self._processes_left() <= 1,
            on_stopped=self._keep,
        )
        observer = (
            SilentBenchObserver()
            if self.options.quiet
            else ConsoleBenchObserver(self.console, spent_s=seconds_since_start())
        )
        with self.shell.lock(), observer:
            self._keep(execute_bench(request, observer))

    def _traces(self) -> Path | None:
        """The folder of the traces, made, if they are wanted."""
        from accelmnist.core.files import make_folder

        return make_folder(self.folder / "profiles") if self.folder and self.options.profile else None

    def _measure_in_fresh_process(self) -> None:
        from accelmnist.measure.record import load_bench

        assert self.folder is not None
        left = self._processes_left()
        if not self.options.quiet:
            number = self.record.config.processes - left + 1
            self.console.print(f"… process {number} of {self.record.config.processes}", style="dim")
        _resume_in_fresh_process(self.folder)
        self._keep(load_bench(self.folder))
        if self._processes_left() >= left:
            raise DeviceError("a fresh process measured nothing", remedy="Allow it more by --time-limit")

    def _keep(self, record: BenchRecord) -> None:
        self.record = record

    def _draw(self) -> None:
        from accelmnist.measure.record import save_bench

        if self.folder is None or self.options.part:
            return
        pictures = self.shell.helper.start(
            "accelmnist.show.record_pictures:write_bench_pictures", self.record, self.folder
        )
        self.record = replace(self.record, files=("bench.json", *pictures()))
        save_bench(self.record, self.folder)

    def _show(self) -> None:
        from accelmnist.show.bench.headline import format_line
        from accelmnist.show.bench.page import bench_note, bench_page
        from accelmnist.show.render.console import print_document
        from accelmnist.show.render.markdown import render_markdown

        if self.options.quiet:
            click.echo(format_line(self.record))
        else:
            print_document(bench_page(self.record, self.folder), self.console)
        if self.options.markdown:
            click.echo(render_markdown(bench_note(self.record)))
        if self.options.as_json:
            import msgspec

            click.echo(msgspec.json.encode(self.record))


def _resume_in_fresh_process(folder: Path) -> None:
    """Let a new process measure the benchmark in `folder` once more; returns when it has ended.

    Ctrl-C reaches both: this one waits until the other has saved. Raises DeviceError if the other one failed.
    """
    command = [sys.executable, "-m", "accelmnist", "bench", "--resume", str(folder), "--part", "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.wait(_TIME_TO_SAVE_S)
        raise
    if code not in (0, CHECK_FAILED):
        raise DeviceError(f"a fresh process ended with exit code {code}", remedy="What was measured before is saved")


def _exit_code(record: BenchRecord, *, strict: bool) -> int:
    missed = [times for result in record.cases if (times := result.time_to_accuracy) is not None]
    nobody_reached = bool(missed) and all(times.reached == 0 for times in missed)
    failed = any(result.is_wrong for result in record.cases) or nobody_reached
    unmeasured = strict and any(result.skipped for result in record.cases)
    return CHECK_FAILED if failed or unmeasured else 0
