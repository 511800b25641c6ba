"""Do benchmarks of the same command agree? The same record several times, pair by pair.

    accelmnist bench --out results/agreement/1
    ...
    python -m bench.studies.agreement results/agreement/1 results/agreement/2 ... --out results/agreement.md

Nothing changed between the records, so the true ratio of every case is 1: counted is how many intervals hold it. The
bar is 95 %. Beside that stands how it would be without the controls, by the samples of both records alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from accelmnist.core.files import write_atomically
from accelmnist.measure.compare.case_comparison import CaseComparison, Rules
from accelmnist.measure.compare.compared_record import ComparedRecord, compared_bench
from accelmnist.measure.compare.comparison_report import compare_records
from accelmnist.measure.recount import load_bench
from accelmnist.measure.statistics.comparison import compare

_REPORT = """# The same benchmark {records} times

Made from records of `accelmnist bench`, begun {times}, by

    python -m bench.studies.agreement {folders} --out {out}

The program is the same, so the true ratio of every case is 1. Counted are the cases whose 95 % interval, as
`accelmnist compare` states it, holds 1.

**{inside} of {total} ratios lie within their intervals: {share:.1%}** (the bar: 95 %).

| base | new | within their intervals | farthest ratio | limits moved apart by | median interval | by samples alone |
| --- | --- | ---: | ---: | ---: | ---: | ---: |
{rows}

The last column is what the samples of the two records say by themselves, without what the machine's limits did between
them: {alone:.1%} over all pairs.

{outside}
"""


@dataclass(frozen=True)
class Pair:
    """Two records of the same command, and what was found for their cases."""

    base: str
    new: str
    rows: tuple[CaseComparison, ...]
    alone: tuple[bool, ...]  # whether the interval by the samples alone holds 1

    @property
    def inside(self) -> list[bool]:
        """Whether each case's interval holds 1."""
        return [_holds_1(row.comparison.low, row.comparison.high) for row in self.rows if row.comparison]


def pairs_of(sides: Sequence[ComparedRecord]) -> Iterator[Pair]:
    """Each record against each later one."""
    for base, new in combinations(sides, 2):
        rows = tuple(row for row in compare_records(base, new, Rules()).rows if row.comparison)
        yield Pair(Path(base.name).name, Path(new.name).name, rows, tuple(_alone(base, new, row) for row in rows))


def _alone(base: ComparedRecord, new: ComparedRecord, row: CaseComparison) -> bool:
    sides = ({series.label: series.speeds for series in record.series.values()} for record in (base, new))
    alone = compare(*(speeds[row.key] for speeds in sides), paired=False)
    return _holds_1(alone.low, alone.high)


def _holds_1(low: float, high: float) -> bool:
    return low <= 1 <= high


def line_of(pair: Pair) -> str:
    """The row of a pair."""
    compared = [row.comparison for row in pair.rows if row.comparison]
    farthest = max((one.ratio for one in compared), key=lambda ratio: max(ratio, 1 / ratio))
    spreads = [row.spread_of_limits for row in pair.rows if row.spread_of_limits is not None]
    widths = sorted((one.high / one.low) ** 0.5 - 1 for one in compared)
    cells = (
        pair.base,
        pair.new,
        f"{sum(pair.inside)} of {len(pair.inside)}",
        f"{farthest:.3f}",
        f"{max(spreads, default=0):.1%}",
        f"± {widths[len(widths) // 2]:.1%}",
        f"{sum(pair.alone)} of {len(pair.alone)}",
    )
    return f"| {' | '.join(cells)} |"


def report(sides: Sequence[ComparedRecord], folders: Sequence[Path], out: Path) -> str:
    """The whole page."""
    pairs = list(pairs_of(sides))
    inside = [one for pair in pairs for one in pair.inside]
    alone = [one for pair in pairs for one in pair.alone]
    missed = [
        f"- {row.key}, {pair.base} and {pair.new}: {row.comparison.ratio:.3f} "
        f"({row.comparison.low:.3f} to {row.comparison.high:.3f})"
        for pair in pairs
        for row in pair.rows
        if row.comparison and not _holds_1(row.comparison.low, row.comparison.high)
    ]
    return _REPORT.format(
        records=len(sides),
        folders=" ".join(map(str, folders)),
        out=out,
        times=", ".join(side.created[11:16] for side in sides),
        inside=sum(inside),
        total=len(inside),
        share=sum(inside) / len(inside),
        alone=sum(alone) / len(alone),
        rows="\n".join(map(line_of, pairs)),
        outside="\n".join(["Outside of them:", "", *missed] if missed else ["None is outside."]),
    )


def main() -> None:
    """Read, compare, write."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.studies.agreement",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("records", type=Path, nargs="+", help="folders of benchmarks of one command")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if len(options.records) < 2:
        parser.error("one record alone agrees with nothing: give two or more")
    sides = [compared_bench(load_bench(folder / "bench.json"), str(folder)) for folder in options.records]
    write_atomically(options.out, report(sides, options.records, options.out).encode())


if __name__ == "__main__":
    main()
