"""`accelmnist export`: a record's figures for a CI's charts, a tracker of benchmarks, or Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import click

from accelmnist.cli.options import PATH, Command, option, path_option, under
from accelmnist.core.errors import ConfigError, OutputError, RecordError
from accelmnist.core.files import encode, kind_of, make_folder, remove_file, write_atomically
from accelmnist.core.text import brief

if TYPE_CHECKING:
    from accelmnist.show.export import Exports

Format = Literal["github", "bencher", "openmetrics"]
_NOUN = "a run, a benchmark or a soak"
_REMEDY = f"Give the folder of {_NOUN}, or its record"


@click.command(cls=Command)
@click.argument("record", type=PATH)
@under(
    "Figures",
    option(
        "--format",
        "target",
        type=click.Choice(get_args(Format)),
        required=True,
        help="github-action-benchmark, Bencher Metric Format, or OpenMetrics.",
    ),
    option("--ratio", is_flag=True, help="Speeds as shares of the hardware's limits: they survive another tenant."),
)
@under(
    "Result",
    path_option(
        "--out",
        metavar="PATH",
        help="A file in place of standard output; of github the folder for bigger.json and smaller.json.",
    ),
)
def export(record: Path, target: Format, ratio: bool, out: Path | None) -> int:
    """Write a record's figures in a format that others read.

    RECORD is the folder of `accelmnist run`, `bench` or `soak`, or the record in it. github is for
    github-action-benchmark: bigger.json for its tool customBiggerIsBetter, smaller.json for customSmallerIsBetter.
    bencher is for `bencher run --adapter json`, openmetrics for Prometheus and node_exporter's textfile collector.

    Intervals are of 95 %. What is wrong, or was not measured, is left out, and standard error says so. Names stay the
    same from version to version.
    """
    if target == "github" and out is None:
        raise ConfigError("--format github makes two files", remedy="Give the folder for them with --out")
    exports = _load(record, ratio=ratio).checked(str(record))
    for subject, reason in exports.left_out:
        click.echo(f"left out: {subject}: {brief(reason)}", err=True)
    for name, content in _contents(exports, target).items():
        if out is None:
            click.echo(content.decode(), nl=False)
        else:
            _write(out / name if name else out, content)
    return 0


def _load(path: Path, *, ratio: bool) -> Exports:
    """The figures of the record at `path`; raises RecordError for one of another kind, or of none."""
    kind = kind_of(path, noun=_NOUN, remedy=_REMEDY)
    if kind == "run":
        from accelmnist.core.records import load_record
        from accelmnist.show.export import run_exports

        return run_exports(load_record(path), ratio=ratio)
    if kind == "bench":
        from accelmnist.measure.recount import load_bench
        from accelmnist.show.export import bench_exports

        record = load_bench(path)
        if record.status != "done":
            click.echo(f"warning: {path} is of a benchmark that is {record.status}", err=True)
        return bench_exports(record, ratio=ratio)
    if kind == "soak":
        from accelmnist.measure.soak.recount import load_soak
        from accelmnist.show.export import soak_exports

        return soak_exports(load_soak(path), ratio=ratio)
    what = f"a record of kind {kind!r}" if kind else "no record of accelmnist"
    raise RecordError(f"{path} is {what}, not {_NOUN}", remedy=_REMEDY)


def _contents(exports: Exports, target: Format) -> dict[str, bytes]:
    """What to write by the names of the files, empty for the one that --out names."""
    from accelmnist.show.export import as_bencher, as_github, as_openmetrics

    if target == "github":
        sides = {"bigger.json": as_github(exports, bigger=True), "smaller.json": as_github(exports, bigger=False)}
        return {name: encode(entries) if entries else b"" for name, entries in sides.items()}
    return {"": encode(as_bencher(exports)) if target == "bencher" else as_openmetrics(exports).encode()}


def _write(file: Path, content: bytes) -> None:
    """Write the file in one step; what has no figure has none, since the action takes an empty array for a failure."""
    if file.is_dir():
        raise OutputError(f"--out {file} is a folder", remedy="Give another name")
    make_folder(file.parent)
    if content:
        write_atomically(file, content)
        click.echo(file)
    else:
        remove_file(file)
