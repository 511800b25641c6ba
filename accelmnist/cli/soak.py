"""`accelmnist soak`: the same training on every device, again and again, each time held to the first to the bit."""

from __future__ import annotations

import signal
from contextlib import nullcontext
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from accelmnist.cli.options import (
    OUTPUT_PAIRS,
    Command,
    CommandLine,
    OutputOptions,
    count_option,
    default_of,
    option,
    option_for,
    options_of,
    output_options,
    parse_list,
    parse_share,
    path_option,
    set_options,
    under,
)
from accelmnist.cli.run_options import config_from, length_options, synthetic_option
from accelmnist.cli.shell import CHECK_FAILED, Shell, StopOnInterrupt, open_shell
from accelmnist.core.config import DataConfig, ExecutionConfig, ModelConfig, TrainingConfig
from accelmnist.core.files import encode

if TYPE_CHECKING:
    from accelmnist.measure.soak.plan import SoakConfig
    from accelmnist.measure.soak.record import SoakRecord

_HIDDEN = ",".join(map(str, default_of(ModelConfig, "hidden")))
_PARTS = (DataConfig, ModelConfig, TrainingConfig, ExecutionConfig)
_NOT_ASKED = {field.name: field.default for part in _PARTS for field in fields(part)}
_NOT_ASKED |= {"recipe": None, "compile_step": False, "amp": None}
_CONFIGURATION = frozenset({*_NOT_ASKED, "synthetic", "devices", "cores", "for_s", "replays", "tolerance", "patience"})


@click.command(cls=Command)
@under(
    "Devices and time",
    option(
        "--devices",
        callback=parse_list,
        metavar="LIST",
        help="Such as cuda:0,cpu, or cpu:3 for a core; all that are here if not given.",
    ),
    option("--cores", is_flag=True, help="Each core of the processor is a device of its own."),
    option("--for", "for_s", metavar="TIME", help="How long, such as 90s, 10m, 8h or 2d; 10m if not given."),
    count_option("--replays", help="Or: how many replays of each device.", show_default=False),
    option(
        "--tolerance",
        callback=parse_share,
        default="5%",
        show_default=True,
        metavar="SHARE",
        help="By which a device may be slower than the others of its kind.",
    ),
    option(
        "--patience",
        default="60s",
        show_default=True,
        metavar="TIME",
        help="Longest wait for a device, beyond what its replays take.",
    ),
)
@under("Data", set_options, synthetic_option)
@under(
    "Training that is replayed",
    option_for(ModelConfig, "hidden", default=_HIDDEN, help="Sizes such as 512,256, or none."),
    length_options,
    options_of(TrainingConfig, optimizer="Rule of the update.", seed="Of weights, order and dropout."),
    options_of(
        ExecutionConfig,
        engine="How the steps are run; auto is the fastest here, FILE.py:CLASS one's own.",
        precision="Of the arithmetic.",
        threads="CPU threads of the device cpu; torch's choice if not given.",
    ),
)
@under(
    "Result",
    path_option("--metrics", metavar="FILE", help="OpenMetrics text, replaced in one step while it runs."),
    *output_options(label="soak", noun="soak", quiet="the verdict"),
)
@click.pass_context
def soak(context: click.Context, /, **_: Any) -> int:
    """Say which device is wrong, and which one is slow.

    One training is replayed on every device, in a process each. Its losses and weights have to be the first replay's
    to the bit, and it is proven once in full. Beside it stand its speed, alone and next to the others, and what the
    machine counts: clocks, heat, power, errors. What is found is saved at once, and --resume goes on.

    Exit codes: 0 all is as it should be; 1 a device is wrong, lost or slow; 2 wrong use; 130 stopped, after saving.
    """
    line = CommandLine.of(context)
    line.refuse_pairs(*OUTPUT_PAIRS, ("for_s", "replays"))
    line.refuse_configuration(_CONFIGURATION, of="stopped soak")
    options, config = line.make(_Options), None if line["resume"] else soak_config_from(line)
    with open_shell("soak", options, helper_loads=(), at_once=False) as shell:
        record = _soak(shell, options, config)
    return 0 if record.verdict is not None and record.verdict.passed else CHECK_FAILED


@dataclass(frozen=True, kw_only=True)
class _Options(OutputOptions):
    """What becomes of a soak and of its result."""

    metrics: Path | None


def soak_config_from(line: CommandLine) -> SoakConfig:
    """The configuration that a line describes; raises ConfigError for what can't be."""
    from accelmnist.measure.soak.plan import SoakConfig, parse_duration

    for_s = "10m" if line["for_s"] is None and line["replays"] is None else line["for_s"]
    return SoakConfig(
        run=config_from(line.changed(**{**_NOT_ASKED, **line.values})),
        devices=line["devices"],
        cores=line["cores"],
        for_s=None if for_s is None else parse_duration(for_s),
        replays=line["replays"],
        tolerance=line["tolerance"],
        patience_s=parse_duration(line["patience"], "--patience"),
    )


def _soak(shell: Shell, options: _Options, config: SoakConfig | None) -> SoakRecord:
    from accelmnist.measure.soak.recount import load_soak
    from accelmnist.measure.soak.session import SoakObserver, SoakRequest, execute_soak, new_record
    from accelmnist.show.soak.live import ConsoleSoakObserver
    from accelmnist.show.soak.metrics import write_metrics

    new = None if config is None else new_record(config)
    shell.take_folder("soak")
    kept = [new or shell.unfinished(load_soak)]
    if options.metrics is not None:
        write_metrics(kept[0], options.metrics)  # before anything is done that could not be told
    console = shell.terminal(stderr=options.as_json)
    stop = StopOnInterrupt(until="after this round")
    publish = (lambda _record: None) if options.metrics is None else partial(write_metrics, file=options.metrics)
    request = SoakRequest(
        record=kept[0],
        folder=shell.folder,
        should_stop=lambda: stop.requested,
        publish=publish,
        on_stopped=kept.append,
    )
    signal.signal(signal.SIGTERM, _end)  # as a service is stopped, and a job that is out of time
    seen = nullcontext(SoakObserver()) if options.quiet else ConsoleSoakObserver(console)
    with shell.showing(lambda: _show(kept[-1], shell, options)), stop, seen as observer:
        kept.append(execute_soak(request, observer))
    return kept[-1]


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _show(record: SoakRecord, shell: Shell, options: _Options) -> None:
    from accelmnist.show.render.console import print_document
    from accelmnist.show.soak.page import soak_line, soak_page

    if options.as_json:
        click.echo(encode(record).decode(), nl=False)
    if options.quiet:
        click.echo(soak_line(record))
    else:
        print_document(soak_page(record, shell.folder), shell.terminal(stderr=options.as_json))
