"""What two processes of the same code differ by, under pytest-benchmark, and what `accelmnist compare` makes of it.

    for run in $(seq -w 1 40); do
        pytest bench/test_data.py bench/test_evaluation.py -k "not compiled" --benchmark-json=runs/$run.json \\
            --benchmark-only
    done
    python -m bench.studies.processes --runs runs --out results/processes.md

Every file is one process, and nothing changed between them: the true ratio of every benchmark is 1. Two files in a row
are a pair. The times are kept beside the report, thinned, and `--from` makes it anew of them.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from accelmnist.core.files import write_atomically
from accelmnist.measure.compare.case_comparison import Rules
from accelmnist.measure.compare.compared_record import ComparedRecord
from accelmnist.measure.compare.comparison_report import compare_records
from accelmnist.measure.compare.pytest_benchmark import compared_pytest_benchmark, merged
from accelmnist.measure.statistics.comparison import Outcome, compare

ROOT = Path(__file__).parents[2]
Runs = list[dict[str, list[float]]]  # seconds of the rounds by benchmark, of every process

_MOST_TIMES = 30  # of a benchmark in a process
_A_SIDE = 3  # processes
_CLAIMS = ("faster", "slower")

_REPORT = """# The same code in {runs} processes

Made by `python -m bench.studies.processes` of {runs} runs of pytest-benchmark on {machine}, on {day},
while other programs ran there too. Every run is a process of its own, and the code is the same: what differs is the
process, and what the machine did meanwhile.

| benchmark | median of a process | middle half of the processes | largest difference of a pair |
| --- | ---: | ---: | ---: |
{rows}

How often a difference is claimed where there is none, of all benchmarks of all pairs (the bar: at most 5 %):

| compared | verdicts | claimed |
| --- | ---: | ---: |
{claims}
"""


def read_runs(folder: Path) -> dict[str, Any]:
    """The record of pytest-benchmark's files in `folder`, by name: the machine, the day, and the times of every run."""
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    machine = documents[0]["machine_info"]
    return {
        "machine": f"{machine['processor_name']} ({machine['threads']} threads, {machine['instructions']})",
        "day": documents[0]["datetime"][:10],
        "runs": [{one["name"]: _thinned(one["stats"]["data"]) for one in file["benchmarks"]} for file in documents],
    }


def _thinned(times: Sequence[float]) -> list[float]:
    return [float(f"{time:.4g}") for time in times[:: math.ceil(len(times) / _MOST_TIMES)]]


def largest_difference(runs: Runs, name: str) -> float:
    """The largest difference of the benchmark's medians, as a share, over pairs of two runs in a row."""
    logs = np.log([np.median(run[name]) for run in runs])
    return float(np.expm1(np.abs(logs[1::2] - logs[::2]).max()))


def _row(runs: Runs, name: str) -> str:
    medians = [float(np.median(run[name])) for run in runs]
    q1, median, q3 = np.quantile(medians, [0.25, 0.5, 0.75]).tolist()
    words = name.removeprefix("test_").replace("_", " ").replace("[", " (").replace("]", ")")
    return f"| {words} | {1e3 * median:.3g} ms | {(q3 - q1) / median:.1%} | {largest_difference(runs, name):.1%} |"


def _side(run: dict[str, list[float]], number: int) -> ComparedRecord:
    benchmarks = [{"fullname": name, "stats": {"data": times}} for name, times in run.items()]
    return compared_pytest_benchmark({"benchmarks": benchmarks, "machine_info": {}}, str(number))


def _pairs(sides: Sequence[ComparedRecord]) -> Iterator[tuple[ComparedRecord, ComparedRecord]]:
    return zip(sides[::2], sides[1::2], strict=True)


def _by_samples(sides: Sequence[ComparedRecord]) -> Iterator[Outcome]:
    """What the samples of one process a side say by themselves."""
    for base, new in _pairs(sides):
        for key, one in base.series.items():
            yield compare(one.speeds, new.series[key].speeds, paired=False).verdict


def _by_compare(pairs: Iterator[tuple[ComparedRecord, ComparedRecord]]) -> Iterator[str]:
    for base, new in pairs:
        yield from (row.outcome for row in compare_records(base, new, Rules()).rows)


def _in_turn(sides: Sequence[ComparedRecord]) -> Iterator[tuple[ComparedRecord, ComparedRecord]]:
    """Blocks of runs, dealt out in turn to base and new."""
    for start in range(0, len(sides) - 2 * _A_SIDE + 1, 2 * _A_SIDE):
        block = sides[start : start + 2 * _A_SIDE]
        yield merged(block[::2], "base"), merged(block[1::2], "new")


def _claims_row(title: str, verdicts: Iterator[Any]) -> str:
    claimed = [verdict in _CLAIMS for verdict in verdicts]
    return f"| {title} | {len(claimed)} | {sum(claimed) / len(claimed):.1%} |"


def report(record: dict[str, Any]) -> str:
    """The whole page."""
    runs: Runs = record["runs"]
    sides = [_side(run, number) for number, run in enumerate(runs)]
    return _REPORT.format(
        runs=len(runs),
        machine=record["machine"],
        day=record["day"],
        rows="\n".join(_row(runs, name) for name in runs[0]),
        claims="\n".join(
            (
                _claims_row("a file a side, by the samples alone", _by_samples(sides)),
                _claims_row("a file a side, by `accelmnist compare`", _by_compare(_pairs(sides))),
                _claims_row(f"{_A_SIDE} files a side, taken in turn", _by_compare(_in_turn(sides))),
            )
        ),
    )


def main() -> None:
    """Read, count, write."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.studies.processes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--runs", type=Path, help="a folder of pytest-benchmark's files, an even number")
    source.add_argument("--from", dest="record", type=Path, help="the record of an earlier study")
    parser.add_argument("--out", type=Path, required=True, help="the report; its record is kept beside it as JSON")
    options = parser.parse_args()
    record = read_runs(options.runs) if options.runs else json.loads(options.record.read_text(encoding="utf-8"))
    write_atomically(options.out.with_suffix(".json"), json.dumps(record, separators=(",", ":")).encode() + b"\n")
    write_atomically(options.out, report(record).encode())


if __name__ == "__main__":
    main()
