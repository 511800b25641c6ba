"""`accelmnist history`: how the speed of each case went over all benchmarks that are found, and where it changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accelmnist.cli.options import (
    PATH,
    Command,
    CommandLine,
    document_option,
    no_save_option,
    option,
    parse_share,
    path_option,
    under,
)
from accelmnist.cli.shell import CHECK_FAILED, print_answer
from accelmnist.core.errors import ConfigError
from accelmnist.core.files import RESULTS, make_folder, write_atomically

if TYPE_CHECKING:
    from accelmnist.measure.history.lines import History

_NAME = "history.png"


@click.command(cls=Command)
@click.argument("paths", nargs=-1, metavar="[DIR]...", type=PATH)
@under(
    "Lines",
    option("--case", "words", default="", metavar="WORDS", help="Cases with these words alone: 'training fused'."),
    option("--raw", is_flag=True, help="The speeds as they are, not divided by the machine's limits."),
)
@under(
    "Rules",
    option(
        "--fail-on",
        metavar="SHARE",
        callback=parse_share,
        help="Exit with 1 if a line's newest level is so much slower than its fastest before: 5% or 0.05.",
    ),
    option(
        "--threshold",
        metavar="SHARE",
        default="2%",
        show_default=True,
        callback=parse_share,
        help="Difference below which nothing is called a change; no higher than --fail-on.",
    ),
)
@under(
    "Result",
    path_option("--out", metavar="FILE.png", help=f"The picture; {_NAME} in the first DIR if not given."),
    no_save_option,
    document_option,
    option("--markdown", "as_markdown", is_flag=True, help="Markdown on standard output."),
)
@click.pass_context
def history(context: click.Context, /, **_: Any) -> int:
    """Show how the speed of every case went over many benchmarks.

    DIR are folders in which records of `accelmnist bench` lie, at any depth, or such records; results/ if none is
    given. Each case is a line over the records that have it, by their date; other hardware is another line. Speeds are
    divided by the machine's own limits, measured in the same rounds, so that a machine that is slower today makes no
    step. A change is marked where the speed went to another level, for good or for a while, with its interval and the
    versions before and after.

    The exit code is 1 if a case is wrong in its newest record that was right before, and with --fail-on if one is
    slower by that much than it was. What can't be read is named and left out.
    """
    from accelmnist.measure.compare.case_comparison import Rules
    from accelmnist.measure.history.found import find_records
    from accelmnist.measure.history.lines import history_of
    from accelmnist.show.history import history_note, history_page

    line = CommandLine.of(context)
    line.refuse_pairs(("as_json", "as_markdown"), ("out", "no_save"))
    out: Path | None = line["out"]
    if out is not None and out.suffix.lower() != ".png":
        raise ConfigError(f"--out {out} is no name of a picture", remedy="Give one that ends in .png")
    rules = Rules(threshold=line["threshold"], fail_on=line["fail_on"], raw=line["raw"])
    folders: tuple[Path, ...] = line["paths"] or (RESULTS,)
    told = history_of(*find_records(folders), rules, words=line["words"].split())
    print_answer(told, history_page, history_note, as_json=line["as_json"], as_markdown=line["as_markdown"])
    if not line["no_save"]:
        first = folders[0] if folders[0].is_dir() else folders[0].parent
        _draw(told, out or first / _NAME, quiet=line["as_json"] or line["as_markdown"])
    return 0 if told.passed else CHECK_FAILED


def _draw(told: History, file: Path, *, quiet: bool) -> None:
    """Write the picture, after all else is told: a folder that can't be written takes nothing of that back."""
    from accelmnist.show.figures.history import history_figure
    from accelmnist.show.figures.sheet import png_bytes

    figure = history_figure(told)
    if figure is not None:
        make_folder(file.parent)
        write_atomically(file, png_bytes(figure))
        click.echo(file, err=quiet)
