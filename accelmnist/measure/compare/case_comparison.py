"""One case of two records: what became of it, and its comparison if it was measured in both.

A wrong result has no speed: a case that is wrong in either record isn't compared, whatever it took. Else its speeds are
compared by `comparison.compare`, divided by the median of the limits of its device that both records measured in the
same way beside every sample, so that a machine that is slower today cancels; and a difference has to stand out from
what these limits did by themselves (`controls`). Without any, the speeds are compared as they are, and the row says so.
If both records have several processes, each counts as one; of pytest-benchmark, which measures no limits, one process a
side tells nothing of what changes from one to the next, so every answer is ambiguous. If both hold the very same
samples, it is one measurement, and the case is as fast as itself.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Literal

from accelmnist.core.errors import ConfigError, RecordError
from accelmnist.measure.compare.compared_record import ComparedRecord, Series, Tool
from accelmnist.measure.statistics.comparison import THRESHOLD, Comparison, are_too_few, compare, logarithms
from accelmnist.measure.statistics.controls import (
    FEWEST_PROCESSES,
    Rates,
    against_controls,
    machine_speeds,
    medians_by_process,
    spread_of_controls,
    widened,
)

CaseOutcome = Literal[
    "slower",
    "faster",
    "same",
    "ambiguous",
    "wrong in new",
    "wrong in base",
    "wrong in both",
    "only in base",
    "only in new",
    "in neither",
]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How to judge: shares of 1. `fail_on` is the slowdown that fails, None for none; `raw` leaves the limits out.

    A `fail_on` below `threshold` is refused, not raised to it: the failure that was asked for would never come.
    """

    threshold: float = THRESHOLD
    fail_on: float | None = None
    raw: bool = False

    def __post_init__(self) -> None:
        for option, share in (("--threshold", self.threshold), ("--fail-on", self.fail_on)):
            if share is not None and not 0 < share < 1:
                raise ConfigError(f"{option}: {100 * share:g} % is out of range", remedy="Give one such as 5% or 0.05")
        if self.fail_on is not None and self.fail_on < self.threshold:
            raise ConfigError(
                f"--fail-on: {100 * self.fail_on:g} % is below the threshold of {100 * self.threshold:g} %, under "
                "which nothing is called slower",
                remedy="Lower --threshold too",
            )


@dataclass(frozen=True, kw_only=True)
class CaseComparison:
    """One case. Ratios are the speed of new over base, above 1 if new is faster.

    `key` names the case. `ratio_of_medians` is that of the speeds as they were taken. `divided_by` names the limits by
    whose median `comparison` has them divided; `undivided` says why by none. `spread_of_limits` is how far these moved
    apart from one record to the other, the standard deviation of their logarithms, and None if they are too few to
    tell. `by_process` says that a process counted as one, `alone` that a side had one, and nothing told what two of the
    same program differ by. `family_p` is the p-value after Holm's correction. `reason` says why there is no comparison.
    """

    key: str
    axes: dict[str, str]
    outcome: CaseOutcome
    samples: tuple[int, int]
    comparison: Comparison | None = None
    ratio_of_medians: float | None = None
    divided_by: tuple[str, ...] = ()
    spread_of_limits: float | None = None
    undivided: str | None = None
    by_process: bool = False
    alone: bool = False
    family_p: float | None = None
    reason: str | None = None
    fails: bool = False
    spared: bool = False


def compare_case(
    key: Hashable, base_record: ComparedRecord, new_record: ComparedRecord, rules: Rules
) -> CaseComparison:
    """What became of the case `key`, which one of the two holds at least; the decision that takes all cases is open."""
    base, new = base_record.series.get(key), new_record.series.get(key)
    known = base or new
    assert known is not None, "the keys are those of the two"
    row = CaseComparison(
        key=known.label,
        axes=known.axes,
        outcome="ambiguous",
        samples=(len(base.speeds) if base else 0, len(new.speeds) if new else 0),
    )
    if base is None or not base.speeds:
        return _without_base(row, base, new)
    if new is None or (not new.speeds and new.wrong is None):
        failed = new is not None and new.failed and rules.fail_on is not None
        return replace(row, outcome="only in base", reason=new.reason if new else None, fails=failed)
    if new.wrong:
        return replace(
            row, outcome="wrong in both" if base.wrong else "wrong in new", reason=new.wrong, fails=not base.wrong
        )
    if base.wrong:
        return replace(row, outcome="wrong in base", reason=base.wrong)
    return _compared(row, base, new, rules, base_record.tool)


def _without_base(row: CaseComparison, base: Series | None, new: Series | None) -> CaseComparison:
    why = base.reason if base else None
    if new is None or not new.speeds:
        return replace(row, outcome="in neither", reason=new.reason if new and new.reason else why)
    return replace(row, outcome="only in new", reason=f"wrong: {new.wrong}" if new.wrong else why)


def _undivided(base: Series, new: Series, rules: Rules, tool: Tool) -> str | None:
    """Why no limit divides the machine's own speed out, or None if there are some that do."""
    if rules.raw:
        return "--raw leaves it in"
    if tool == "pytest-benchmark":
        return "pytest-benchmark measures no limits"
    if not base.rates or not new.rates:
        return f"{'new' if base.rates else 'base'} has no limit of the device beside every sample"
    if base.rates.keys().isdisjoint(new.rates):
        return "no limit of the device was measured in the same way in both"
    return None


def _compared(row: CaseComparison, base: Series, new: Series, rules: Rules, tool: Tool) -> CaseComparison:
    undivided = _undivided(base, new, rules, tool)
    common = [] if undivided else [limit for limit in base.rates if limit in new.rates]
    rates, others = ({limit.name: one.rates[limit] for limit in common} for one in (base, new))
    spread = spread_of_controls(rates, others)
    by_process = min(len(set(series.processes)) for series in (base, new)) >= FEWEST_PROCESSES
    alone = tool == "pytest-benchmark" and not by_process and base != new
    comparison = _comparison(base, new, (rates, others), spread, rules.threshold, alone=alone)
    plain = statistics.median(new.speeds) / statistics.median(base.speeds)
    if comparison is None or not 0 < plain < math.inf:
        cause = f"{row.key}: the speeds are further apart than a number can say"
        raise RecordError(cause, remedy="Measure the case again")
    return replace(
        row,
        outcome=comparison.verdict,
        comparison=comparison,
        ratio_of_medians=plain,
        divided_by=tuple(rates),
        spread_of_limits=spread,
        undivided=undivided,
        by_process=by_process,
        alone=alone,
    )


def _comparison(
    base: Series, new: Series, rates: tuple[Rates, Rates], spread: float | None, threshold: float, *, alone: bool
) -> Comparison | None:
    """The comparison; None if its ratio is no number."""
    if base == new:  # however wide its interval
        return Comparison(ratio=1.0, low=1.0, high=1.0, verdict="same", p_value=1.0)
    try:
        limits = machine_speeds(*rates) if rates[0] else None
        comparison = compare(base.speeds, new.speeds, paired=False, limits=limits, threshold=threshold)
        if base.processes and new.processes:
            logs = logarithms(base.speeds, new.speeds, limits)
            medians = [medians_by_process(log, one.processes) for log, one in zip(logs, (base, new), strict=True)]
            comparison = widened(comparison, *medians, threshold=threshold)
        if spread is not None:
            comparison = against_controls(comparison, spread, len(rates[0]), threshold=threshold)
        if alone:
            comparison = replace(comparison, verdict="ambiguous", p_value=1.0)
    except OverflowError:
        return None
    if are_too_few(len(base.speeds), len(new.speeds)):  # whatever processes and limits make of them
        comparison = replace(comparison, verdict="ambiguous")
    return comparison if comparison.low > 0 else None
