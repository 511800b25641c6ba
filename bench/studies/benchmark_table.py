"""Makes README.md's table of benchmarks from the file that pytest-benchmark writes.

    pytest --benchmark-only --benchmark-json=benchmarks.json
    python -m bench.studies.benchmark_table benchmarks.json

The pairs come first: a ratio taken in turn in one run says more than two medians. The figures go into
results/benchmarks.md as well; the JSON itself names the machine it was made on, so it is not kept.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from accelmnist.core.files import write_atomically
from bench.studies.readme import ROOT, write_part

_COMMAND = "python -m bench.studies.benchmark_table benchmarks.json"
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def pair_rows(benchmarks: list[dict[str, Any]]) -> list[str]:
    """A row a pair: the two ways, their images/s, and the median ratio with its quartiles."""
    rows = ["| ours | theirs | ours, images/s | theirs, images/s | ratio | quartiles |"]
    rows.append("| --- | --- | ---: | ---: | ---: | ---: |")
    for one in benchmarks:
        if "ratio" not in one["extra_info"]:
            continue
        ratio = one["extra_info"]["ratio"]
        ways = {name: info["images_per_s"]["median"] for name, info in one["extra_info"].items() if name != "ratio"}
        (ours, fast), (theirs, slow) = ways.items()
        quartiles = f"{ratio['first_quartile']:.2f} to {ratio['third_quartile']:.2f}"
        rows.append(f"| {ours} | {theirs} | {fast:,.0f} | {slow:,.0f} | **{ratio['median']:.2f}** | {quartiles} |")
    return rows


def single_rows(benchmarks: list[dict[str, Any]]) -> list[str]:
    """A row a benchmark: what, median, interquartile range, rounds."""
    rows = ["| benchmark | median | interquartile range | rounds |", "| --- | ---: | ---: | ---: |"]
    for one in benchmarks:
        if "ratio" in one["extra_info"]:
            continue
        stats = one["stats"]
        name = one["name"].removeprefix("test_").replace("_", " ").replace("[", " (").replace("]", ")")
        rows.append(f"| {name} | {_time(stats['median'])} | {_time(stats['iqr'])} | {stats['rounds']} |")
    return rows


def _time(value_s: float) -> str:
    scale, unit = next((pair for pair in _UNITS if value_s >= pair[0]), _UNITS[-1])
    return f"{value_s / scale:.3g} {unit}"


def main() -> None:
    """Read the file named on the command line and write both tables."""
    document = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    machine, benchmarks = document["machine_info"], document["benchmarks"]
    head = (
        f"784-128-10, batch 128, SGD, float32, on {machine['processor_name']} ({machine['threads']} threads, "
        f"{machine['instructions']}), torch {machine['torch'].partition('+')[0]}, {document['datetime'][:10]}:"
    )
    pairs = "\n".join([head, "", *pair_rows(benchmarks)])
    write_part(_COMMAND, pairs)
    whole = ["# Benchmarks", "", f"Made by `pytest --benchmark-only` and `{_COMMAND}`.", "", pairs, ""]
    write_atomically(ROOT / "results" / "benchmarks.md", "\n".join([*whole, *single_rows(benchmarks), ""]).encode())


if __name__ == "__main__":
    main()
