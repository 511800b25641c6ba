"""`accelmnist report`: a document to hand in, from the records of a run, a benchmark and a sweep."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

import accelmnist
from accelmnist.cli.options import PATH, Command, option, path_option, under
from accelmnist.core.errors import ConfigError, OutputError, require_packages
from accelmnist.core.files import make_folder, write_atomically

if TYPE_CHECKING:
    from accelmnist.analysis.evidence import MissingEvidence, RecomputedAnswers
    from accelmnist.show.document import Report
    from accelmnist.show.report.sources import Sources

_NAME = "report.html"


@click.command(cls=Command)
@click.argument("records", nargs=-1, metavar="RECORD...", type=PATH)
@under(
    "Content",
    option("--title", default="", help="Title of the report; made from the records if not given."),
    option("--author", default="", help="Who hands it in."),
    path_option("--notes", metavar="FILE.md", help="Your own text, in Markdown."),
    path_option("--data", metavar="DIR", help="Folder of the four IDX files of the run."),
)
@under(
    "Result",
    option("--pdf", is_flag=True, help="Write a PDF as well, beside the HTML."),
    path_option(
        "--out", metavar="PATH", help="A folder, or a file ending in .html; the folder of the record if not given."
    ),
)
def report(
    records: tuple[Path, ...],
    title: str,
    author: str,
    notes: Path | None,
    data: Path | None,
    pdf: bool,
    out: Path | None,
) -> int:
    """Write a report to hand in, from the records of other commands.

    It is one HTML file, and with --pdf a PDF. A RECORD is the folder of `accelmnist run`, `bench` or
    `sweep`, or the record in it: one of each kind at most, in any order. The file needs no other and no network:
    question, data, method, learning curves, confused images, neurons, speed, verdict, environment, and the commands
    that remake it.
    """
    needed = {"jinja2": "jinja2", "markdown_it": "markdown-it-py"}
    require_packages("accelmnist report", "report", **needed, **({"typst": "typst"} if pdf else {}))
    from accelmnist.show.report.compose import ReportOptions, compose
    from accelmnist.show.report.sources import load_sources, read_notes

    if not records:
        raise ConfigError(
            "report needs a record", remedy="Give the folder of a run, such as `accelmnist report results/NAME`"
        )
    sources = load_sources(records)
    if data is not None and sources.run is None:
        raise ConfigError("--data has no effect without a run", remedy="Leave it out, or give the folder of a run")
    own_text = None if notes is None else read_notes(notes)
    file = _file(out, sources.folder)
    answers = _evidence(sources, data)
    options = ReportOptions(
        title=title,
        author=author,
        notes=own_text,
        command=shlex.join(["accelmnist", *sys.argv[1:]]),
        made_by=f"accelmnist {accelmnist.__version__}",
    )
    for path in _write(compose(sources, answers, options), file, pdf=pdf):
        click.echo(path)
    return 0


def _file(out: Path | None, folder: Path) -> Path:
    """Where the HTML goes, in a folder that is there."""
    file = folder / _NAME if out is None else out if out.suffix.lower() in (".html", ".htm") else out / _NAME
    if file.is_dir():
        raise OutputError(f"--out {file} is a folder", remedy="Give another name")
    make_folder(file.parent)
    return file


def _evidence(sources: Sources, data: Path | None) -> RecomputedAnswers | MissingEvidence:
    """The answers of the run's network, asked once more; if they can't be had, why, which standard error says too."""
    from accelmnist.analysis.evidence import MissingEvidence, find_evidence

    if sources.run is None or sources.run_folder is None:
        return MissingEvidence("there is no run among the records")
    answers = find_evidence(sources.run, sources.run_folder, data=data, neurons=sources.neurons)
    if isinstance(answers, MissingEvidence):
        click.echo(f"warning: the report lacks the network's own answers: {answers.reason}", err=True)
    return answers


def _write(document: Report, file: Path, *, pdf: bool) -> list[Path]:
    """Write the files and return their names; the HTML first, which stays if the PDF can't be written."""
    from accelmnist.show.render.report import render_html

    write_atomically(file, render_html(document))
    if not pdf:
        return [file]
    from accelmnist.show.render.report import render_pdf

    second = file.with_suffix(".pdf")
    write_atomically(second, render_pdf(document))
    return [file, second]
