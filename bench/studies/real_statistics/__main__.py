"""The statistics of `accelmnist bench` on a real machine, where the noise is what it is and the truth is known.

    python -m bench.studies.real_statistics --out results/statistics-real.md

Three cases run in the same rounds: eager training, eager training once more (A/A: there is no difference), and eager
training that runs 5 % more steps than it is credited with (A/B: it is truly 5 % slower). Beside them run the limits
which `accelmnist compare` takes for controls. The rounds are cut into blocks, each as long as a benchmark of the
default budget; each block gives one paired comparison of each kind, and each pair of blocks two records that were taken
at different times. Counted is how often a difference is claimed where there is none, and found where there is one. The
samples are kept beside the report, and `--from` makes it anew of them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

from accelmnist.device.loading import prepare_for_torch

prepare_for_torch()  # before torch is loaded, as the command line does it

import numpy as np

from accelmnist.core.files import write_atomically
from accelmnist.device import cpu_instructions, processor
from accelmnist.measure.statistics.controls import machine_speeds
from bench.studies.real_statistics.comparisons import across, needed_row, paired, row, spread
from bench.studies.real_statistics.samples import CASE, SLOWDOWN, Samples, blocks_of, limits_of, take_samples

_SMALL_SLOWDOWN = 0.02

_REPORT = """# The statistics of `accelmnist bench` on a real machine

Made by `{command}` on {machine}: {rounds} rounds of {case}, in blocks of {block}.

The same case twice is A/A; A/B is the case against itself with {slowdown:.0%} more steps than it is credited with.
"Claimed" is a verdict of faster or slower where there is no difference (the bar: at most 5 %), "found" a verdict of
slower where there is one (the bar: at least 95 %).

| comparison | trials | A/A: claimed | A/A: same | A/B: found |
| --- | ---: | ---: | ---: | ---: |
{rows}

Spread of the samples: half of them lie {spread:.1%} apart over all rounds, {within:.1%} in the median block. The tests
take rounds as independent; from one to the next the speeds correlate by {own_lag:.2f}, and over the median of the
{limits} limits by {share_lag:.2f}. From block to block these limits moved apart by {apart:.1%} (median of the standard
deviations), and two records can tell no difference apart that is smaller than what the machine does to its parts.

What it takes here to find a true slowdown in 95 % of the trials, by the rounds of this run drawn anew:

| slowdown | threshold | paired, in the same rounds | two records, against their limits |
| --- | --- | ---: | ---: |
{needed}
"""


def lag_correlation(values: Sequence[float]) -> float:
    """Correlation of the logarithms of each value and the next."""
    logs = np.log(values)
    return float(np.corrcoef(logs[:-1], logs[1:])[0, 1])


def _relative_iqr(values: Sequence[float]) -> float:
    q1, median, q3 = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return float((q3 - q1) / median)


def report(samples: Samples, machine: str, block: int) -> str:
    """The whole page, of the rounds in blocks of `block`."""
    blocks = blocks_of(samples, block)
    rows = [
        row("paired, in the same rounds", paired(blocks, "again"), paired(blocks, "slowed")),
        row(
            "two records, against their limits",
            across(blocks, "again", by_limits=True),
            across(blocks, "slowed", by_limits=True),
        ),
        row(
            "two records, as they are",
            across(blocks, "again", by_limits=False),
            across(blocks, "slowed", by_limits=False),
        ),
    ]
    return _REPORT.format(
        command=f"python -m bench.studies.real_statistics --rounds {len(samples['a'])} --block {block}",
        machine=machine,
        rounds=len(samples["a"]),
        block=block,
        case=CASE.label,
        slowdown=SLOWDOWN,
        rows="\n".join(rows),
        spread=_relative_iqr(samples["a"]),
        within=float(np.median([_relative_iqr(part["a"]) for part in blocks])),
        own_lag=lag_correlation(samples["a"]),
        share_lag=lag_correlation(
            np.array(samples["a"]) / np.array(machine_speeds(limits_of(samples), limits_of(samples))[0])
        ),
        limits=len(limits_of(samples)),
        apart=float(np.median([spread(*pair) for pair in permutations(blocks, 2)])),
        needed="\n".join(needed_row(samples, *pair) for pair in ((SLOWDOWN, 0.02), (_SMALL_SLOWDOWN, 0.01))),
    )


def main() -> None:
    """Sample, count, write."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.studies.real_statistics",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=480)
    parser.add_argument("--block", type=int, default=30)
    parser.add_argument("--out", type=Path, required=True, help="the report; its samples are kept beside it as JSON")
    parser.add_argument("--from", dest="source", type=Path, help="samples of an earlier run, in place of new ones")
    options = parser.parse_args()
    if options.source:
        record = json.loads(options.source.read_text(encoding="utf-8"))
    else:
        record = {"machine": f"{processor()} ({cpu_instructions()})", "samples": take_samples(options.rounds)}
        write_atomically(options.out.with_suffix(".json"), json.dumps(record).encode())
    write_atomically(options.out, report(record["samples"], record["machine"], options.block).encode())


if __name__ == "__main__":
    main()
