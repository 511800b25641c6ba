"""`accelmnist submit`: a benchmark's record, made ready to stand among the verified ones."""

from __future__ import annotations

from pathlib import Path

import click

from accelmnist.cli.options import PATH, Command, path_option, under
from accelmnist.cli.shell import CHECK_FAILED
from accelmnist.core.files import make_folder, save


@click.command(cls=Command)
@click.argument("record", type=PATH)
@under("Result", path_option("--out", metavar="DIR", help="Folder of the file to hand in; this one if not given."))
def submit(record: Path, out: Path | None) -> int:
    """Check a benchmark for the verified ones, and write its file.

    RECORD is the folder of `accelmnist bench` or its bench.json. It is held to what every verified record is held to:
    its schema and its figures, the verdicts, the audit, enough samples, a quiet machine, a commit without changes, and
    no user, host or path in it. Paths in its command are left out. If all holds, one file is written; put it into
    results/records/ of a checkout, with a pull request. The exit code is 1 if a check fails, and nothing is written.
    """
    from accelmnist.measure.recount import load_bench
    from accelmnist.measure.submission import check_submission, file_name, names_here, submission_of
    from accelmnist.show.bench.submission import submission_page
    from accelmnist.show.render.console import make_terminal, print_document

    ready = submission_of(load_bench(record))
    verdict = check_submission(ready, names_here())
    file = None
    if verdict.passed:
        folder = Path() if out is None else make_folder(out)
        file = save(ready, folder / file_name(ready))
    print_document(submission_page(verdict, file), make_terminal(stderr=False))
    return 0 if verdict.passed else CHECK_FAILED
