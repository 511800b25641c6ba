"""`accelmnist bench`: measure every way of running, prove it right, and say what holds it back."""

from __future__ import annotations

import subprocess
from contextlib import nullcontext, suppress
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accelmnist.cli.helper_process import start_python
from accelmnist.cli.options import (
    OUTPUT_PAIRS,
    Command,
    CommandLine,
    OutputOptions,
    default_of,
    hidden_lists_option,
    option,
    option_for,
    options_of,
    output_options,
    parse_share,
    parse_sides,
    set_options,
    under,
)
from accelmnist.cli.ranks import device_of_rank, with_ranks
from accelmnist.cli.shell import CHECK_FAILED, Shell, open_shell, seconds_since_start
from accelmnist.core.config import AUTO, ENGINES, OPTIMIZERS, PRECISIONS, RECIPES, DataConfig
from accelmnist.core.engine_file import EngineFile
from accelmnist.core.errors import ConfigError, DeviceError, OutputError
from accelmnist.core.files import make_folder
from accelmnist.device.loading import prepare_for_torch, usable_cores
from accelmnist.device.ranks import Place, Ranks
from accelmnist.measure.plan import EFFORTS, MODES, PLANS, BenchConfig, Effort

if TYPE_CHECKING:
    from accelmnist.core.records import Status
    from accelmnist.measure.record import BenchRecord
    from accelmnist.measure.scaling_record import Scaling

_AT_THE_END = ("sklearn.metrics", "accelmnist.show.pictures")
_TIME_TO_SAVE_S = 30.0
_SECONDS = {effort: PLANS[effort].time_limit_s for effort in EFFORTS}
_CONFIGURATION = frozenset(field.name for part in (BenchConfig, DataConfig) for field in fields(part))


@click.command(cls=Command)
@under("Data", set_options)
@under(
    "Cases",
    options_of(
        BenchConfig,
        devices="Such as cpu,cuda; one of each kind that is here if not given.",
        engines=f"From {', '.join(ENGINES)}, and FILE.py:CLASS for one's own; if not given, all of ours that can "
        "run on the device.",
        precisions=f"From {', '.join(PRECISIONS)}; fp32 if not given, --full adds bf16.",
        batch_sizes="Such as 64,128; the plan's own if not given.",
    ),
    hidden_lists_option,
    options_of(
        BenchConfig,
        optimizers=f"From {', '.join(OPTIMIZERS)}; that of run if not given.",
        threads="CPU threads, such as 1,2; torch's choice if not given.",
        modes=f"From {', '.join(MODES)}; both if not given.",
        plain="Train at a constant rate, without weight decay and label smoothing: what other programs can do too.",
    ),
)
@under(
    "Ranks",
    options_of(
        BenchConfig,
        ranks="Such as 1,2: how so many processes scale that share a training, or train alone; torchrun starts them "
        "on several machines.",
    ),
)
@under(
    "Beside",
    option(
        "--beside",
        metavar="NAME[=COMMAND]",
        multiple=True,
        callback=parse_sides,
        help="Another Python with accelmnist, another program, or a peer such as jax, measured in the same rounds; "
        "may be repeated.",
    ),
    option_for(
        BenchConfig,
        "fail_on",
        type=str,
        callback=parse_share,
        metavar="SHARE",
        help="Exit with 1 if this program is slower than another side by so much, such as 2%, or one was not measured.",
    ),
)
@under(
    "Effort",
    option("--quick", is_flag=True, help=f"Few cases, {_SECONDS['quick']:.0f} seconds."),
    option("--full", is_flag=True, help="Many cases, and as long as it takes."),
    options_of(BenchConfig, time_limit_s=f"When to end, of each process; {_SECONDS['default']:.0f} if not given."),
    option_for(
        BenchConfig,
        "precision_target",
        default=f"{default_of(BenchConfig, 'precision_target'):.0%}",
        help="Half width of the intervals at which sampling stops.",
    ),
    options_of(BenchConfig, processes="Repeat in so many fresh processes."),
)
@under(
    "Training to an accuracy",
    options_of(
        BenchConfig,
        recipe="Measure the time to a recipe's accuracy by its network and training; "
        "options given besides change them.",
        target_accuracy="Measure the time to it, such as 0.98.",
        seeds="Trainings to the target accuracy of each case.",
        epochs="Of the training that is judged: 1 if not given; with a target, as many as run has.",
    ),
)
@under(
    "Result",
    options_of(
        BenchConfig,
        baseline="What speed-ups divide by, such as compiled, or cuda:0/eager; eager fp32 on the CPU if not given.",
    ),
    option("--strict", is_flag=True, help="Exit with 1 if a case was not measured."),
    option("--profile", is_flag=True, help="Profile every case: its top operations, and a Chrome trace."),
    *output_options(label="bench", noun="benchmark", quiet="the verdict"),
    option("--markdown", is_flag=True, help="The tables as Markdown on standard output."),
    option("--part", is_flag=True, hidden=True, help="One process of several: measure, and leave it open."),
)
@click.pass_context
def bench(context: click.Context, /, **_: Any) -> int:
    """Measure the speed of every way of running, and prove each right.

    Says images a second of each, and what holds it back. Cases are sampled in rounds, in random order, beside the
    limits of the hardware, and every figure has its interval. --target-accuracy measures the time to an accuracy
    instead.

    --beside NAME=COMMAND measures another program in the same rounds, and says which is the faster, and how sure that
    is: another Python with accelmnist, as in old=../old/bin/python or one-thread='OMP_NUM_THREADS=1 python', or any
    command that speaks the protocol of accelmnist/measure/beside/protocol.py.
    """
    line = CommandLine.of(context)
    options = _options_from(line)
    config = None if options.resume else bench_config_from(line)
    asked = max(config.ranks, default=None) if config else None
    device = config.devices[0] if config and len(config.devices) == 1 else AUTO
    return with_ranks(partial(_bench, options, config), asked=asked, device=device)


def _bench(options: _Options, config: BenchConfig | None, ranks: Ranks | None) -> int:
    """Measure alone, or as one of `ranks`; returns the exit code."""
    if config is not None and (ranks is not None or config.ranks):
        return _bench_of_ranks(options, config, ranks or Ranks(Place(0, 1, 0, 1)))
    if ranks is not None and ranks.size > 1:
        raise ConfigError("--resume: a benchmark of ranks can't go on", remedy="Start a new one")
    with open_shell("bench", options, helper_loads=_AT_THE_END) as shell:
        from accelmnist.device.loading import load_torch

        load_torch()
        from accelmnist.measure.recount import load_bench
        from accelmnist.measure.session import new_record

        shell.take_folder("bench", is_part=options.part)
        record = new_record(config) if config else shell.unfinished(load_bench)
        for file in filter(None, map(EngineFile.of, record.config.engines)):
            file.read()  # to go on by another engine would be told as one
        if record.scaling is not None:
            raise ConfigError("--resume: a benchmark of ranks can't go on", remedy="Start a new one")
        record = _Benchmark(shell, options, record).run()
    return _exit_code(record, strict=options.strict)


def _bench_of_ranks(options: _Options, config: BenchConfig, ranks: Ranks) -> int:
    """Measure as one of `ranks`, of which the first one alone saves and shows; returns the exit code."""
    from accelmnist.device.loading import load_torch

    if options.profile:
        raise ConfigError("--profile has no place beside ranks", remedy="Leave it out")
    prepare_for_torch()
    load_torch()
    config = config_of_ranks(config, ranks)
    if not ranks.is_first:
        return _take_part(config, ranks)
    with open_shell("bench", options, helper_loads=_AT_THE_END) as shell:
        from accelmnist.measure.session import new_record

        shell.take_folder("bench-ranks")
        record = _Benchmark(shell, options, new_record(config), ranks).run()
    return _exit_code(record, strict=options.strict)


def _take_part(config: BenchConfig, ranks: Ranks) -> int:
    """Measure as a rank that is not the first: nothing of it is seen or saved."""
    from accelmnist.measure.benchmark import execute_bench
    from accelmnist.measure.record import BenchObserver
    from accelmnist.measure.session import BenchRequest, new_record

    execute_bench(BenchRequest(record=new_record(config), ranks=ranks), BenchObserver())
    return 0


def config_of_ranks(config: BenchConfig, ranks: Ranks) -> BenchConfig:
    """The configuration of this rank: its device, its share of the cores, and all that was not given."""
    from accelmnist.device import set_threads
    from accelmnist.engines.choose import choose_engine
    from accelmnist.measure.plan import expand, run_config

    counts = config.ranks or tuple(sorted({ranks.size, *(1 << power for power in range(ranks.size.bit_length() - 1))}))
    device = device_of_rank(ranks.place, config.devices[0])
    threads = config.threads or (max(1, usable_cores() // ranks.sharers),)
    config = replace(config, ranks=counts, devices=(str(device),), threads=threads, modes=("training",))
    set_threads(threads[0])
    if not config.engines:
        case = expand(replace(config, engines=("eager",)), config.devices)[0]
        chosen = run_config(case, config)
        chosen = replace(chosen, execution=replace(chosen.execution, engine=AUTO))
        config = replace(config, engines=(ranks.tell(choose_engine(chosen, device).name)[0],))
    return config


@dataclass(frozen=True, kw_only=True)
class _Options(OutputOptions):
    """What becomes of a benchmark and of its result."""

    strict: bool
    profile: bool
    markdown: bool
    part: bool


def _options_from(line: CommandLine) -> _Options:
    """The options of the result; raises ConfigError for those that contradict each other."""
    line.refuse_pairs(*OUTPUT_PAIRS, ("quiet", "markdown"), ("as_json", "markdown"))
    if line["no_save"] and (line["processes"] > 1 or line["profile"]):
        needs = "--processes takes a record that they share" if line["processes"] > 1 else "--profile leaves traces"
        raise ConfigError(f"{needs}, and --no-save leaves no folder", remedy="Leave out --no-save")
    line.refuse_configuration(_CONFIGURATION | {"quick", "full"}, of="stopped benchmark")
    return line.make(_Options)


def bench_config_from(line: CommandLine) -> BenchConfig:
    """The configuration that a line describes; raises ConfigError for options that contradict each other."""
    line.refuse_pairs(("quick", "full"))
    if line["processes"] > 1 and (line["target_accuracy"] or line["recipe"]):
        raise ConfigError("--processes: a time to an accuracy is measured in one", remedy="Give --seeds instead")
    effort: Effort = "quick" if line["quick"] else "full" if line["full"] else "default"
    names = {field.name for field in fields(BenchConfig)} - {"effort", "data"}
    # A list that isn't given is the dataclass's default, which is stated only there.
    values = {name: line[name] for name in names if line[name] not in (None, ())}
    if line["recipe"] is not None:
        recipe = RECIPES[line["recipe"]]
        lists = {"batch_sizes": (recipe.training.batch_size,), "optimizers": (recipe.training.optimizer,)}
        values = {"hidden": (recipe.model.hidden,), "target_accuracy": recipe.accuracy, **lists, **values}
    return BenchConfig(effort=effort, data=DataConfig(dataset=line["dataset"], folder=line["folder"]), **values)


class _Benchmark:
    """One benchmark on the command line: who watches it, what is drawn and shown of it in the end."""

    def __init__(self, shell: Shell, options: _Options, record: BenchRecord, ranks: Ranks | None = None) -> None:
        self.shell, self.options, self.record, self.ranks = shell, options, record, ranks
        self.folder = shell.folder
        self.console = shell.terminal(stderr=options.as_json or options.markdown)

    def run(self) -> BenchRecord:
        """Measure, draw and show; raises StoppedError if the user stopped it, after saving and showing."""
        with self.shell.showing(self._show):
            self._measure()
            if not self.options.part and 0 < self._processes_left() < self.record.config.processes:
                self._measure_in_fresh_processes()
        return self.record

    def _processes_left(self) -> int:
        """Processes of the benchmark that have not taken part yet."""
        seen = {round_.process for round_ in self.record.rounds}
        return max(self.record.config.processes - len(seen), 0)

    def _measure(self) -> None:
        from accelmnist.measure.benchmark import execute_bench
        from accelmnist.measure.record import BenchObserver
        from accelmnist.measure.session import BenchRequest
        from accelmnist.show.bench.live import ConsoleBenchObserver

        request = BenchRequest(
            record=self.record,
            folder=self.folder,
            ranks=self.ranks,
            oracle=self.shell.oracle,
            spent_s=seconds_since_start(),
            traces=make_folder(self.folder / "profiles", within=self.folder)
            if self.folder and self.options.profile
            else None,
            is_last=self._processes_left() <= 1,
            on_stopped=self._keep,
            finish=None if self.options.part else self._draw,
        )
        is_silent = self.options.quiet or self.record.status == "done"
        loud = ConsoleBenchObserver(self.console, spent_s=seconds_since_start())
        shown = nullcontext(BenchObserver()) if is_silent else loud
        with shown as observer:
            self._keep(execute_bench(request, observer))

    def _measure_in_fresh_processes(self) -> None:
        """Let every process that is left take part, and end the benchmark; what ends that early is saved with it."""
        from accelmnist.measure.record import save_bench
        from accelmnist.measure.recount import load_bench
        from accelmnist.training.run import record_early_exit

        folder = self.folder
        assert folder is not None

        def end(status: Status, message: str) -> None:
            self._keep(replace(load_bench(folder), status=status, message=message))
            with suppress(OutputError):
                save_bench(self.record, folder)

        with record_early_exit(end, interrupted="interrupted"):
            while self._processes_left():
                self._measure_in_fresh_process()
        self._keep(replace(self.record, status="done"))  # but for its files
        self._measure()

    def _measure_in_fresh_process(self) -> None:
        from accelmnist.measure.recount import load_bench

        assert self.folder is not None
        left = self._processes_left()
        if not self.options.quiet:
            number = self.record.config.processes - left + 1
            self.console.print(f"… process {number} of {self.record.config.processes}", style="dim")
        _resume_in_fresh_process(self.folder, self.shell.lock)
        self._keep(load_bench(self.folder))
        if self._processes_left() >= left:
            raise DeviceError("a fresh process measured nothing", remedy="Allow it more by --time-limit")

    def _keep(self, record: BenchRecord) -> None:
        self.record = record

    def _draw(self, record: BenchRecord) -> tuple[str, ...]:
        if self.folder is None:
            return ()
        draw = "accelmnist.show.pictures:write_bench_pictures"
        return ("bench.json", *self.shell.helper.start(draw, record, self.folder)())

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

            click.echo(msgspec.json.encode(self.record).decode())


def _resume_in_fresh_process(folder: Path, lock: int | None) -> None:
    """Let a new process measure the benchmark in `folder` once more; returns when it has ended.

    It holds the folder's `lock` too. Ctrl-C reaches both: this one waits until the other has saved. Raises DeviceError
    if the other one failed.
    """
    command = ["accelmnist", "bench", "--resume", str(folder), "--part", "--quiet"]
    process = start_python(command, stdout=subprocess.DEVNULL, pass_fds=() if lock is None else (lock,))
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.wait(_TIME_TO_SAVE_S)
        raise
    if code not in (0, CHECK_FAILED):
        raise DeviceError(f"a fresh process ended with exit code {code}", remedy="What was measured before is saved")


def _exit_code(record: BenchRecord, *, strict: bool) -> int:
    if record.scaling is not None:
        return _exit_code_of_ranks(record.scaling, strict=strict)
    missed = [times for result in record.cases if (times := result.time_to_accuracy) is not None]
    nobody_reached = bool(missed) and all(times.reached == 0 for times in missed)
    failed = any(result.is_wrong or result.is_broken for result in record.cases) or nobody_reached or _is_slower(record)
    figures = [result for result in record.cases if result.images_per_s or result.time_to_accuracy]
    kept_from_it = not figures and any(result.status != "skipped" for result in record.cases)
    unmeasured = strict and any(result.skipped for result in record.cases)
    return CHECK_FAILED if failed or unmeasured or kept_from_it else 0


def _is_slower(record: BenchRecord) -> bool:
    """Whether --fail-on says no; also if a side that it is to be held against was not measured to the end."""
    from accelmnist.measure.beside.verdict import pairs_of, regressions

    if record.config.fail_on is None:
        return False
    held = {theirs.side for _, theirs, _ in pairs_of(record)}
    broke_off = any(result.side is not None and result.status == "failed" for result in record.cases)
    return bool(regressions(record)) or broke_off or held != {side.name for side in record.config.beside}


def _exit_code_of_ranks(scaling: Scaling, *, strict: bool) -> int:
    measured = any(row.rounds for row in scaling.rows)
    unmeasured = strict and any(row.skipped for row in scaling.rows)
    return CHECK_FAILED if scaling.is_wrong or unmeasured or not measured else 0
