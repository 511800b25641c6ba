"""`accelmnist sweep`: many networks on a validation split; the best one meets the test set."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import click

from accelmnist.cli.options import (
    OUTPUT_PAIRS,
    Command,
    CommandLine,
    OutputOptions,
    count_option,
    default_of,
    hidden_lists_option,
    option,
    option_for,
    options_of,
    output_options,
    set_options,
    under,
)
from accelmnist.cli.ranks import do_trainings, execution_of_rank, folder_before, remember, require_same, with_ranks
from accelmnist.cli.run_options import CONFIG_PARAMETERS as RUN_PARAMETERS
from accelmnist.cli.run_options import (
    config_from,
    dropout_option,
    execution_options,
    length_options,
    ranks_option,
    synthetic_option,
    update_options,
)
from accelmnist.cli.shell import CHECK_FAILED, PictureDrawing, Shell, StopOnInterrupt, open_shell
from accelmnist.core.config import (
    ACTIVATIONS,
    OPTIMIZERS,
    OUTPUTS,
    DataConfig,
    ExecutionConfig,
    ModelConfig,
    TrainingConfig,
)
from accelmnist.core.errors import ConfigError
from accelmnist.core.files import encode
from accelmnist.sweep.plan import PRESETS, SweepConfig, check_size, parse_counts, parse_rates, parse_sizes

if TYPE_CHECKING:
    from accelmnist.device.ranks import Ranks
    from accelmnist.sweep.record import SweepRecord
    from accelmnist.sweep.session import SweepRequest

_AT_THE_END = ("sklearn.metrics", "accelmnist.show.pictures")
_LISTS = ("activations", "outputs", "optimizers", "learning_rates")
_SPACE = {"preset", "hidden", "sizes", "layers", *_LISTS, "tune_rates", "seeds", "sample"}
_EXECUTION = {"device", "engine", "precision", "threads", "compile_step", "amp"}
_CONFIGURATION = frozenset(RUN_PARAMETERS | _SPACE)


@click.command(cls=Command)
@under(
    "Networks to compare",
    option("--preset", type=click.Choice(sorted(PRESETS)), help="A sweep that is thought out: see the README."),
    hidden_lists_option,
    option("--sizes", metavar="LIST", help="Units of a layer, such as 16,64,256, or the range 8:1024:8."),
    option("--layers", metavar="LIST", help="Hidden layers of each of --sizes, such as 1,2 or 1:3."),
    options_of(
        SweepConfig,
        activations=f"From {', '.join(ACTIVATIONS)}.",
        outputs=f"From {', '.join(OUTPUTS)}.",
        optimizers=f"From {', '.join(OPTIMIZERS)}.",
        learning_rates="Peaks of the learning rate, such as 0.01,0.1 or 1e-3:1e-1:5; else that of the optimizer.",
        tune_rates="Choose each network's rate from --lr first, by a training apart, and compare only with that.",
        seeds="Trainings of each combination.",
        sample="Only N of the combinations, drawn at random.",
    ),
    option("--yes", is_flag=True, help="Go on however many trainings it has."),
)
@under(
    "Data",
    set_options,
    synthetic_option,
    option_for(
        DataConfig,
        "validation",
        show_default="a sixth",
        help="Training images held out to judge by, by class in proportion.",
    ),
)
@under("Training of each", length_options, update_options, dropout_option)
@under(
    "Execution",
    execution_options,
    count_option("--workers", help="Trainings side by side, on each rank; one a thread if not given."),
    ranks_option,
)
@under("Result", *output_options(label="sweep", noun="sweep", quiet="what is best"))
@click.pass_context
def sweep(context: click.Context, /, **_: Any) -> int:
    """Train many networks from several seeds, and say which is best.

    They are compared on images held out of the training set, and every difference comes with what it is worth. The
    winner trains once more on all of it, and is the only one that meets the test set. Lists are comma-separated; ranges
    are LOW:HIGH:COUNT, spaced by factors.
    """
    line = CommandLine.of(context)
    options = _options_from(line)
    config = None if options.resume else _config_from(line)
    asked = line["ranks"] if "ranks" in line.given else None
    return with_ranks(partial(_sweep, options, config), asked=asked, device=line["device"])


def _sweep(options: _Options, config: SweepConfig | None, ranks: Ranks | None) -> int:
    """Sweep alone, or as one of `ranks`; returns the exit code."""
    if ranks is not None:
        require_same(ranks, config, resume=options.resume, workers=options.workers)
        if not ranks.is_first:
            return do_trainings(ranks)
        before = None if options.no_save or options.resume else folder_before(ranks, "sweep")
        if before is not None:
            options, config = replace(options, out=None, resume=before), None
    with open_shell("sweep", options, helper_loads=_AT_THE_END) as shell:
        from accelmnist.device.loading import load_torch

        load_torch()
        from accelmnist.sweep.recount import load_sweep
        from accelmnist.sweep.session import SweepRequest

        shell.take_folder("sweep")
        if ranks is not None:
            remember(shell.folder)
        stopped = why_threads = None
        if config is None:
            stopped = shell.unfinished(load_sweep)
            config = stopped.config
        elif ranks is not None:
            execution, why_threads = execution_of_rank(config.execution, ranks)
            config = replace(config, execution=execution)
        request = SweepRequest(config=config, record=stopped, ranks=ranks, why_threads=why_threads)
        record = _Sweep(shell, options, request).run()
    return _exit_code(record)


@dataclass(frozen=True, kw_only=True)
class _Options(OutputOptions):
    """How a sweep works, and what becomes of its result."""

    workers: int | None


def _options_from(line: CommandLine) -> _Options:
    """The options of the result; raises ConfigError for those that contradict each other."""
    line.refuse_pairs(*OUTPUT_PAIRS)
    line.refuse_configuration(_CONFIGURATION, of="stopped sweep")
    return line.make(_Options)


def _config_from(line: CommandLine) -> SweepConfig:
    """The sweep that a line describes; raises ConfigError if it can't be, or is too large without --yes."""
    line = _with_preset(line)
    _check_effects(line)
    rates = line["learning_rates"]
    line = line.changed(
        hidden=_architectures(line), learning_rates=parse_rates(rates, "--lr") if isinstance(rates, str) else rates
    )
    run = config_from(_as_of_a_run(line))
    config = SweepConfig(
        preset=line["preset"],
        **{name: line[name] for name in ("hidden", *_LISTS) if line[name]},
        tune_rates=line["tune_rates"],
        seeds=line["seeds"],
        sample=line["sample"],
        dropout=run.model.dropout,
        data=run.data,
        training=run.training,
        execution=run.execution,
    )
    as_it_stands = line["preset"] is not None and not line.given & (_CONFIGURATION - _EXECUTION - {"preset"})
    check_size(config, allowed=line["yes"] or as_it_stands)
    return config


def _with_preset(line: CommandLine) -> CommandLine:
    """The line with the values of its preset, if it has one, for all that was not given."""
    preset = dict(PRESETS[line["preset"]]) if line["preset"] else {}
    if line.given & {"hidden", "sizes", "layers"}:
        preset.pop("hidden", None)
    return line.changed(**{name: value for name, value in preset.items() if name not in line.given})


def _check_effects(line: CommandLine) -> None:
    """Refuse what was given and would have no effect: who gives it believes that it has one."""
    if "momentum" in line.given and "sgd-momentum" not in line["optimizers"]:
        raise ConfigError(
            "--momentum has no effect without sgd-momentum", remedy="Add --optimizers sgd-momentum, or leave it out"
        )
    line.refuse_without("warmup", needs="schedule", value="one-cycle")
    if "validation" in line.given and line["validation"] < 1:
        raise ConfigError("--validation: a sweep needs images to judge by", remedy="Give 1 or more")


def _architectures(line: CommandLine) -> tuple[tuple[int, ...], ...]:
    """What --hidden names, and every one of --sizes in every number of --layers."""
    if line["layers"] is not None and line["sizes"] is None:
        raise ConfigError("--layers: it needs sizes to repeat", remedy="Add --sizes, such as --sizes 16,64,256")
    if line["sizes"] is None:
        return tuple(line["hidden"])
    sizes = parse_sizes(line["sizes"], "--sizes")
    layers = parse_counts(line["layers"] or "1", "--layers")
    return tuple(dict.fromkeys([*line["hidden"], *((size,) * count for count, size in product(layers, sizes))]))


def _as_of_a_run(line: CommandLine) -> CommandLine:
    """The line as one of a run: what a sweep has a list of is at its default."""
    single = {field.name: default_of(ModelConfig, field.name) for field in fields(ModelConfig)}
    known = [name for name in line["optimizers"] or () if name in OPTIMIZERS]  # what isn't is told of --optimizers
    optimizer = known[0] if known else default_of(TrainingConfig, "optimizer")
    others = {"dropout": line["dropout"], "optimizer": optimizer, "learning_rate": None, "recipe": None}
    others |= {"ranks": 1, "reduction": default_of(ExecutionConfig, "reduction")}  # each training is one process's
    return line.changed(**single | others)


class _Sweep:
    """One sweep on the command line: who watches it, what is drawn and shown of it in the end."""

    def __init__(self, shell: Shell, options: _Options, request: SweepRequest) -> None:
        self.shell, self.options, self.request, self.record = shell, options, request, request.record
        self.console = shell.terminal(stderr=options.as_json)
        best = None if shell.folder is None else shell.folder / "best"
        self.pictures = PictureDrawing(shell.helper, best, shared_scale=False)

    def run(self) -> SweepRecord:
        """Train, draw and show; raises StoppedError if the user stopped it, after saving and showing."""
        with self.shell.showing(self._show):
            self._train()
        assert self.record is not None
        return self.record

    def _train(self) -> None:
        from accelmnist.show.sweep.live import ConsoleSweepObserver
        from accelmnist.sweep.schedule import SweepObserver
        from accelmnist.sweep.session import execute_sweep

        watched = nullcontext(SweepObserver()) if self.options.quiet else ConsoleSweepObserver(self.console)
        stopping = StopOnInterrupt(until="after the trainings under way")
        with stopping as stop, watched as observer:
            self._keep(execute_sweep(self._whole_request(stop), observer)[0])

    def _whole_request(self, stop: StopOnInterrupt) -> SweepRequest:
        return replace(
            self.request,
            folder=self.shell.folder,
            workers=self.options.workers,
            should_stop=lambda: stop.requested,
            on_trained=stop.trained,
            on_stopped=self._keep,
            oracle=self.shell.oracle,
            on_evaluated=self.pictures.begin,
            finish_winner=self.pictures.finish,
            finish=self._draw,
        )

    def _keep(self, record: SweepRecord) -> None:
        self.record = record

    def _draw(self, record: SweepRecord) -> tuple[str, ...]:
        if self.shell.folder is None:
            return ()
        draw = "accelmnist.show.pictures:write_sweep_pictures"
        return ("sweep.json", *self.shell.helper.start(draw, record, self.shell.folder)())

    def _show(self) -> None:
        from accelmnist.show.render.console import print_document
        from accelmnist.show.sweep.page import format_line, sweep_page

        if self.record is None:
            return
        if self.options.quiet:
            click.echo(format_line(self.record))
        else:
            print_document(sweep_page(self.record, self.shell.folder), self.console)
        if self.options.as_json:
            click.echo(encode(self.record).decode(), nl=False)


def _exit_code(record: SweepRecord) -> int:
    winner = record.winner
    return 0 if winner is not None and winner.verdict is not None and winner.verdict.passed else CHECK_FAILED
