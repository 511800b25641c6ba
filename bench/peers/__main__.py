"""Measures this package against what people would use instead, on the same work in the same rounds.

    pip install '.[peers]'
    python -m bench.peers --readme

Every contender runs in a process of its own with the same number of threads. For each workload the command builds
every contender, samples all of them round by round in random order, and then trains each from its start to see that
it reaches the same accuracy. A contender that is missing, refuses or dies is a row with its reason. Last come whole
processes, one after the other, from their start to 98.0 % on the test set; --starts-alone measures these only and
leaves the other tables as they are. The record is saved after every round; Ctrl-C ends the measuring and keeps what
there is. The tables go into a Markdown file beside the record, and with --readme between the marks in
results/README.md and README.md. --from makes the tables of a saved record again.

Where the processor has no bfloat16 arithmetic, that precision is left out unless it is asked for: it would be computed
in float32 with a conversion around every operation.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from accelmnist.core.files import write_atomically
from accelmnist.device import is_emulated, resolve
from bench.peers.catalogue import CATALOGUE
from bench.peers.process import default_threads
from bench.peers.record import load_record
from bench.peers.session import Options, Session
from bench.peers.start.table import start_sentence
from bench.peers.table import document, readme_part
from bench.peers.workloads import PRECISIONS, WORKLOADS, PeerPrecision
from bench.studies.tables import README, ROOT, write_part

COMMAND = "python -m bench.peers"
_STARTED = time.perf_counter()


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = [entry.key for entry in CATALOGUE.values() if entry.usual]
    parser.add_argument("--workloads", type=_some_of(WORKLOADS), default=list(WORKLOADS), help="of a,b,c,d")
    parser.add_argument(
        "--starts", type=_not_negative, default=5, help="processes from start to 98.0 %% of each (default 5; 0: none)"
    )
    parser.add_argument("--starts-alone", action="store_true", help="measure those alone, beside what --out has")
    parser.add_argument("--precisions", type=_some_of(PRECISIONS), default=_precisions(), help="of fp32,bf16")
    parser.add_argument("--only", type=_some_of(CATALOGUE), default=usual, help=f"of {','.join(CATALOGUE)}")
    parser.add_argument("--rounds", type=_positive(int), default=10, help="samples of each case (default 10)")
    parser.add_argument("--epochs", type=_positive(int), default=3, help="epochs to the compared accuracy (default 3)")
    parser.add_argument(
        "--accuracy-seconds",
        type=_positive(float),
        default=3.0,
        help="or less, down to a ninth, in as many seconds (3)",
    )
    parser.add_argument(
        "--threads", type=_positive(int), default=default_threads(), help="of each contender (every processor)"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "peers.json", help="the record to write")
    parser.add_argument("--from", dest="saved", type=Path, help="make the tables of this record again")
    parser.add_argument(
        "--readme",
        action="store_true",
        help="write the short table into results/README.md, and its last sentence into README.md",
    )
    return parser.parse_args(arguments)


def _precisions() -> list[PeerPrecision]:
    emulated = is_emulated(resolve("cpu"), "bf16")
    return [precision for precision in PRECISIONS if precision == "fp32" or not emulated]


def _some_of(known: Iterable[str]) -> Callable[[str], list[str]]:
    """A comma-separated list of `known` names."""

    def names(text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(",") if name.strip()]
        strange = [name for name in chosen if name not in known]
        if strange or not chosen:
            raise argparse.ArgumentTypeError(f"{', '.join(strange) or 'nothing'} is not one of {', '.join(known)}")
        return chosen

    return names


def _positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    return number


def _not_negative(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def say(text: str) -> None:
    """Progress, with the seconds since the start."""
    print(f"{time.perf_counter() - _STARTED:6.1f} s  {text}", file=sys.stderr, flush=True)


def measure(arguments: argparse.Namespace) -> None:
    """Run what was asked for and save it."""
    options = Options(
        workloads=[] if arguments.starts_alone else arguments.workloads,
        precisions=arguments.precisions,
        contenders=arguments.only,
        rounds=arguments.rounds,
        epochs=arguments.epochs,
        accuracy_s=arguments.accuracy_seconds,
        threads=arguments.threads,
        out=arguments.out,
        starts=arguments.starts,
    )
    session = Session(options, command=" ".join([COMMAND, *sys.argv[1:]]), say=say)
    if arguments.starts_alone and arguments.out.exists():
        session.keep(load_record(arguments.out))
    session.run()


def main() -> None:
    """Measure, unless the tables of a saved record are wanted, and write the tables."""
    arguments = parse()
    if arguments.saved is None:
        measure(arguments)
    path = arguments.saved or arguments.out
    record = load_record(path)
    write_atomically(path.with_suffix(".md"), document(record).encode())
    if arguments.readme:
        write_part(COMMAND, readme_part(record))
        write_part(COMMAND, start_sentence(record.starts), README)
    print(document(record))


if __name__ == "__main__":
    main()
