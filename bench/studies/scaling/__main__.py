"""Measures how training scales on this CPU: images/s by threads, by width and by batch size, with the limit drawn in.

    python -m bench.studies.scaling

The folder gets `bench.json`, the record of a benchmark; `growth.json`, the exponents; `scaling.md` and `scaling.png`.
Without --out it is this processor's own in results/scaling/, and results/README.md shows the picture of the
best-measured. With --from nothing is measured: all of it is made again from the record in the folder.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from accelmnist.device.loading import prepare_for_torch

prepare_for_torch()  # before torch is loaded, as the command line does it

import torch

from accelmnist.core.files import SCHEMA_VERSION, make_folder, save, write_atomically
from accelmnist.measure.record import BenchRecord
from accelmnist.measure.recount import load_bench
from accelmnist.show.figures.scaling import scaling_figure
from accelmnist.show.figures.sheet import png_bytes
from bench.processors import best_first, folder_here, links
from bench.studies.scaling.cases import BATCH_SIZES, WIDTHS, Axes, cases_of, threads_up_to
from bench.studies.scaling.growth import Growth, Speedup, growths_of, speedups_of
from bench.studies.scaling.measuring import Scaling
from bench.studies.scaling.words import document, short_texts, title_of
from bench.studies.tables import RESULTS_README, ROOT, write_part

COMMAND = "python -m bench.studies.scaling"
FOLDER, PAGE = ROOT / "results" / "scaling", "scaling.md"
_STARTED = time.perf_counter()


@dataclass(frozen=True, kw_only=True)
class Conclusions:
    """What follows from the record."""

    growths: tuple[Growth, ...]
    speedups: tuple[Speedup, ...]
    schema_version: int = SCHEMA_VERSION
    kind: str = "scaling"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="folder to write to (this processor's in results/scaling)")
    parser.add_argument("--seconds", type=float, default=230.0, help="when no new round begins (default 230)")
    parser.add_argument("--widths", type=_sizes, default=WIDTHS, help="of the hidden layer, a list such as 32,64,128")
    parser.add_argument("--batch-sizes", type=_sizes, default=BATCH_SIZES, help="a list such as 64,128,256")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="the most (torch's choice)")
    parser.add_argument("--from", dest="saved", action="store_true", help="use the record that is in the folder")
    return parser.parse_args(arguments)


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(sorted({int(size) for size in text.split(",")}))
    if not all(1 <= size <= 60_000 for size in sizes):
        raise argparse.ArgumentTypeError(f"{text} holds a size that is not between 1 and 60000")
    return sizes


def say(text: str) -> None:
    """Progress, with the seconds since the start."""
    print(f"{time.perf_counter() - _STARTED:6.1f} s  {text}", file=sys.stderr, flush=True)


def measure(arguments: argparse.Namespace, folder: Path) -> BenchRecord:
    """The record, saved round by round in the folder."""
    threads = threads_up_to(arguments.threads)
    axes = Axes(widths=arguments.widths, batch_sizes=arguments.batch_sizes, threads=threads)
    return Scaling(cases_of(axes), make_folder(folder), say).run(arguments.seconds)


def write(record: BenchRecord, folder: Path) -> str:
    """Write what follows from the record beside it; returns the text."""
    growths, speedups = growths_of(record), speedups_of(record)
    save(Conclusions(growths=tuple(growths), speedups=tuple(speedups)), folder / "growth.json")
    figure = scaling_figure(record, title=title_of(growths), notes=short_texts(growths, speedups))
    if figure is not None:
        write_atomically(folder / "scaling.png", png_bytes(figure))
    text = document(record, growths, speedups, command=COMMAND)
    write_atomically(folder / PAGE, text.encode())
    return text


def part() -> str:
    """The part of results/README.md: the best-measured processor's claim and picture, and where the others are."""
    found = best_first(FOLDER, lambda folder: [load_bench(folder)])
    best, *others = found
    inside = os.path.relpath(best, RESULTS_README.parent)
    picture = f"![Images a second by threads, width and batch size]({inside}/scaling.png)"
    claim = f"{title_of(growths_of(*found[best]))}: [{best.name}]({inside}/{PAGE})."
    return "\n\n".join([picture, " ".join(filter(None, (claim, links(others, PAGE, beside=RESULTS_README))))])


def main() -> None:
    """Measure, unless a record is there to use, and write."""
    arguments = parse()
    folder = arguments.out or folder_here(FOLDER)
    record = load_bench(folder) if arguments.saved else measure(arguments, folder)
    print(write(record, folder))
    if arguments.out is None:
        write_part(COMMAND, part())


if __name__ == "__main__":
    main()
