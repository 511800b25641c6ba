"""Measures whole processes from their start to 98.0 % on the test set: ours, and those of the peers.

    pip install '.[peers]'
    python -m bench.starts --readme

The record is saved after every round; Ctrl-C ends the measuring and keeps what there is. The table goes into a Markdown
file beside the record, and with --readme its last sentence between the marks in results/README.md. --from makes the
table of a saved record again.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from accelmnist.core.files import write_atomically
from accelmnist.device.loading import usable_cores
from accelmnist.measure.beside.peers import peer_names
from bench.starts.record import load_record, new_record, save_record
from bench.starts.rounds import OURS, measure, starter
from bench.starts.table import document, start_sentence
from bench.studies.tables import ROOT, write_part

COMMAND = "python -m bench.starts"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="processes of each (default 5)")
    parser.add_argument("--only", nargs="*", choices=peer_names(), default=peer_names(), help="the peers")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="of each (every core)")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "starts.json", help="the record to write")
    parser.add_argument("--from", dest="saved", type=Path, help="make the table of this record again")
    parser.add_argument("--readme", action="store_true", help="write the last sentence into results/README.md")
    return parser.parse_args(arguments)


def run(arguments: argparse.Namespace) -> None:
    """Measure what was asked for and save it."""
    record = new_record(" ".join([COMMAND, *sys.argv[1:]]), threads=arguments.threads)
    with contextlib.suppress(KeyboardInterrupt), tempfile.TemporaryDirectory() as scratch:
        start = starter(threads=arguments.threads, scratch=Path(scratch))
        say = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731
        for cases in measure([OURS, *arguments.only], start, rounds=arguments.rounds, say=say):
            record = replace(record, starts=cases)
            save_record(record, arguments.out)


def main() -> None:
    """Measure, unless the table of a saved record is wanted, and write the table."""
    arguments = parse()
    if arguments.saved is None:
        run(arguments)
    path = arguments.saved or arguments.out
    record = load_record(path)
    write_atomically(path.with_suffix(".md"), document(record).encode())
    if arguments.readme:
        write_part(COMMAND, start_sentence(record.starts))
    print(document(record))


if __name__ == "__main__":
    main()
