"""Measures this package beside the peers, by `accelmnist bench --beside`: three benchmarks, each in its own folder.

    pip install '.[peers]'
    python -m bench.peers

What all can do is measured: a constant rate, no decay, no smoothing. The records lie in results/peers/, all tables in
results/peers.md, and those of the speeds between the marks in results/README.md. --tables makes them again of the
records that are there.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from accelmnist.core.files import write_atomically
from accelmnist.measure.beside.peers import peer_names
from accelmnist.measure.record import BenchRecord
from accelmnist.measure.recount import load_bench
from accelmnist.show.bench.page import bench_note
from accelmnist.show.render.markdown import render_markdown
from bench.studies.tables import ROOT, write_part

COMMAND = "python -m bench.peers"
FOLDER = ROOT / "results" / "peers"
# The slowest peers take a minute to be checked; rounds of all follow.
WORKLOADS = {
    "narrow": "--mode training --hidden 128 --batch-sizes 128 --optimizers sgd,adam --time-limit 300",
    "wide": "--mode training --hidden 512,512 --batch-sizes 512 --optimizers sgd-momentum --time-limit 300",
    "inference": "--mode inference --hidden 128 --batch-sizes 10000 --time-limit 100",
}
ENGINES = "eager,compiled,fused"


def command(workload: str, peers: tuple[str, ...], *, out: Path) -> list[str]:
    """The command line of a benchmark beside the peers."""
    beside = [word for name in peers for word in ("--beside", name)]
    own = ["--engines", ENGINES, "--out", str(out)]
    return ["accelmnist", "bench", "--plain", *WORKLOADS[workload].split(), *beside, *own]


def records(folder: Path = FOLDER) -> list[BenchRecord]:
    """The benchmarks that were measured; raises FileNotFoundError if none was."""
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    return [load_bench(folder / name) for name in WORKLOADS if (folder / name).is_dir()]


def document(measured: list[BenchRecord]) -> str:
    """All of results/peers.md."""
    notes = [render_markdown(bench_note(record)).strip() for record in measured]
    return "\n\n".join([f"# Peers\n\nMade by `{COMMAND}`.", *notes]) + "\n"


def part(measured: list[BenchRecord]) -> str:
    """The part of results/README.md."""
    return "\n\n".join(render_markdown(bench_note(record, brief=True)).strip() for record in measured)


def main() -> None:
    """Measure, unless tables alone are wanted, and write them."""
    parser = argparse.ArgumentParser(
        prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", action="store_true", help="measure nothing")
    parser.add_argument("--only", nargs="*", choices=peer_names(), default=peer_names(), help="the peers")
    arguments = parser.parse_args()
    for workload in () if arguments.tables else WORKLOADS:
        line = command(workload, tuple(arguments.only), out=FOLDER.relative_to(ROOT) / workload)
        code = subprocess.run([sys.executable, "-m", *line], cwd=ROOT, check=False).returncode
        if code not in (0, 1):  # a case that is wrong is told in the record
            sys.exit(code)
    write_atomically(FOLDER.with_suffix(".md"), document(records()).encode())
    write_part(COMMAND, part(records()))


if __name__ == "__main__":
    main()
