"""Plants faults into copies of the package, one by one, and says which of them the program notices.

    python -m bench.studies.faults                          # all of them, some 40 minutes on two cores
    python -m bench.studies.faults --parts plan,update      # those of some parts
    python -m bench.studies.faults --only rates-stale --runs 5

The record, `results/faults.json`, is saved after every fault, and `results/faults.md` is made from it; what is not
asked for stays in both. `--rest` leaves out what the record holds already. It exits with 1 if a fault was not found, or
a harmless change was.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from accelmnist.core.files import SCHEMA_VERSION, load, save, write_atomically
from bench.studies.faults.catalogue import PARTS
from bench.studies.faults.fault import Fault
from bench.studies.faults.planting import Outcome, Probe, images, plant
from bench.studies.faults.words import document

COMMAND = "python -m bench.studies.faults"


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """The record: one outcome a fault, in the order of the catalogue."""

    outcomes: tuple[Outcome, ...] = ()
    schema_version: int = SCHEMA_VERSION
    kind: str = "faults"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS), help="a list such as plan,update (all)")
    parser.add_argument("--only", default="", help="a list of names")
    parser.add_argument("--runs", type=int, default=3, help="of each command; a benchmark is run once (default 3)")
    parser.add_argument("--rest", action="store_true", help="leave out what the record holds")
    parser.add_argument(
        "--out", type=Path, default=Path("results/faults.json"), help="the record (default %(default)s)"
    )
    return parser.parse_args(arguments)


def chosen(arguments: argparse.Namespace) -> list[tuple[str, Fault]]:
    """The faults that are asked for, with their parts; exits for a name that there is none of."""
    parts, only = arguments.parts.split(","), set(filter(None, arguments.only.split(",")))
    known = {fault.name for faults in PARTS.values() for fault in faults}
    unknown = [name for name in parts if name not in PARTS] + sorted(only - known)
    if unknown:
        sys.exit(f"no part or fault is named {', '.join(unknown)}")
    return [(part, fault) for part in parts for fault in PARTS[part] if not only or fault.name in only]


def write(outcomes: dict[str, Outcome], out: Path) -> None:
    """Save the record and its table."""
    order = [fault.name for faults in PARTS.values() for fault in faults]
    kept = tuple(outcomes[name] for name in order if name in outcomes)
    save(Outcomes(outcomes=kept), out)
    write_atomically(out.with_suffix(".md"), document(kept, command=COMMAND).encode())


def main() -> None:
    """Plant, run, and write after every fault."""
    arguments = parse()
    out: Path = arguments.out
    outcomes: dict[str, Outcome] = {}
    if out.exists():
        record = load(out, Outcomes, kind="faults", noun="planted faults")
        outcomes = {outcome.name: outcome for outcome in record.outcomes}
    wrong = 0
    with images() as data, Probe() as probe:
        for part, fault in chosen(arguments):
            if arguments.rest and fault.name in outcomes:
                continue
            outcome = outcomes[fault.name] = plant(fault, part, data, probe, runs=arguments.runs)
            wrong += not outcome.is_right and not outcome.reason
            mark = "" if outcome.is_right or outcome.reason else "  <-- "
            print(f"{part:12} {fault.name:36} {outcome.found} of {outcome.runs}  {outcome.by}{mark}", flush=True)
            write(outcomes, out)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
