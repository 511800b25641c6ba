"""Makes README.md's part on `accelmnist bench` from the folder of a benchmark that is kept in results/.

    accelmnist bench --out results/bench-cpu
    python -m bench.studies.bench_table results/bench-cpu

All of it goes into `bench.md` beside the record; README gets the tables and the figures.
"""

from __future__ import annotations

import sys
from pathlib import Path

from accelmnist.core.files import write_atomically
from accelmnist.measure.record import load_bench
from accelmnist.show.bench.markdown import format_markdown
from bench.studies.readme import ROOT, write_part

_FIGURES = {
    "throughput.png": "Images a second of every case, with intervals and samples",
    "scaling.png": "Images a second by batch size, with the limit drawn in",
    "roofline.png": "What every case reaches of what this machine can do",
    "time-to-accuracy.png": "Seconds to the target accuracy, seed by seed",
}


def main() -> None:
    """Read the record in the folder named on the command line and write both."""
    folder = Path(sys.argv[1])
    record = load_bench(folder)
    write_atomically(folder / "bench.md", format_markdown(record).encode())
    inside = folder.resolve().relative_to(ROOT)
    pictures = [f"![{words}]({inside}/{name})" for name, words in _FIGURES.items() if (folder / name).exists()]
    more = f"[What holds each case back, where what begins to pay, the doubts and the limits]({inside}/bench.md)."
    blocks = [format_markdown(record, brief=True).strip(), more, *pictures]
    write_part(f"python -m bench.studies.bench_table {inside}", "\n\n".join(blocks))


if __name__ == "__main__":
    main()
