"""Measures this package beside the peers, by `accelmnist bench --beside`: six benchmarks, each in its own folder.

    pip install '.[peers]'
    python -m bench.peers

What all can do is measured: a constant rate, no decay, no smoothing. The records of a processor lie in a folder of its
own in results/peers/, with all tables in its peers.md; one table of the best-measured processor stands between the
marks in results/README.md, a line in README.md. --tables makes them again of the records that are there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from accelmnist.core.files import write_atomically
from accelmnist.measure.beside.peers import peer_names
from accelmnist.measure.record import BenchRecord
from accelmnist.measure.recount import load_bench
from accelmnist.show.bench.page import bench_note
from accelmnist.show.render.markdown import render_markdown
from bench.peers.table import summary, table
from bench.processors import best_first, folder_here, links
from bench.studies.tables import README, RESULTS_README, ROOT, write_part

COMMAND = "python -m bench.peers"
FOLDER, PAGE = ROOT / "results" / "peers", "peers.md"
# The slowest peers take a minute to be checked; rounds of all follow.
WORKLOADS = {
    "narrow": "--mode training --hidden 128 --batch-sizes 128 --optimizers sgd,adam --time-limit 300",
    "wide": "--mode training --hidden 512,512 --batch-sizes 512 --optimizers sgd-momentum --time-limit 300",
    "inference": "--mode inference --hidden 128 --batch-sizes 10000 --time-limit 100",
}
# The same in 16 bits beside those that have them, and beside what they do in 32.
IN_16_BITS = ("jax", "keras", "torch-compiled", "torch-preloaded")
_BOTH = "--precisions fp32,bf16 --time-limit 160"
WORKLOADS |= {f"{name}-bf16": f"{options} {_BOTH}" for name, options in WORKLOADS.items()}
ENGINES = "eager,compiled,fused"


def command(workload: str, peers: tuple[str, ...], *, out: Path) -> list[str]:
    """The command line of a benchmark beside the peers, in 16 bits beside those that have them."""
    taking_part = [name for name in peers if "bf16" not in workload or name in IN_16_BITS]
    beside = [word for name in taking_part for word in ("--beside", name)]
    own = ["--engines", ENGINES, "--out", str(out)]
    return ["accelmnist", "bench", "--plain", *WORKLOADS[workload].split(), *beside, *own]


def records(folder: Path) -> list[BenchRecord]:
    """The benchmarks of a processor that were measured."""
    return [load_bench(folder / name) for name in WORKLOADS if (folder / name / "bench.json").exists()]


def measured(parent: Path = FOLDER) -> dict[Path, Sequence[BenchRecord]]:
    """All processors' benchmarks by their folders, the best-measured first; FileNotFoundError if there is none."""
    return best_first(parent, records)


def document(measured: Sequence[BenchRecord]) -> str:
    """All of a processor's peers.md."""
    notes = [render_markdown(bench_note(record)).strip() for record in measured]
    return "\n\n".join([f"# Peers\n\nMade by `{COMMAND}`.", *notes]) + "\n"


def part(measured: Mapping[Path, Sequence[BenchRecord]]) -> str:
    """The part of results/README.md: the best-measured processor, and where the others are."""
    best, *others = measured
    shown = f"[All figures]({os.path.relpath(best / PAGE, RESULTS_README.parent)})."
    more = " ".join(filter(None, (shown, links(others, PAGE, beside=RESULTS_README))))
    return f"{table(measured[best])}\n\n{more}"


def short_part(measured: Mapping[Path, Sequence[BenchRecord]]) -> str:
    """The part of README.md: the best-measured processor in short."""
    return summary(next(iter(measured.values())))


def main() -> None:
    """Measure, unless tables alone are wanted, and write them."""
    parser = argparse.ArgumentParser(
        prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", action="store_true", help="measure nothing")
    parser.add_argument("--only", nargs="*", choices=peer_names(), default=peer_names(), help="the peers")
    parser.add_argument("--workloads", nargs="*", choices=WORKLOADS, default=WORKLOADS, help="what is measured")
    arguments = parser.parse_args()
    for workload in () if arguments.tables else arguments.workloads:
        folder = folder_here(FOLDER) / workload
        shutil.rmtree(folder, ignore_errors=True)  # the same processor's older record, which git keeps
        words = command(workload, tuple(arguments.only), out=folder.relative_to(ROOT))
        code = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, check=False).returncode
        if code not in (0, 1):  # a case that is wrong is told in the record
            sys.exit(code)
    found = measured()
    for folder, benchmarks in found.items():
        write_atomically(folder / PAGE, document(benchmarks).encode())
    write_part(COMMAND, part(found))
    write_part(COMMAND, short_part(found), README)


if __name__ == "__main__":
    main()
