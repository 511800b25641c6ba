"""Two records side by side in words: what the console's page and the Markdown of a comparison say alike.

A case is named by what varies between the cases; what all share is said once. If the speeds as they were taken tell
another story than those divided by the machine's limit, both ratios are shown.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import get_args

from accelmnist.measure.compare.case_comparison import CaseComparison, CaseOutcome
from accelmnist.measure.compare.compared_record import Fact
from accelmnist.measure.compare.comparison_report import ComparisonReport, Difference, RecordName
from accelmnist.measure.statistics.comparison import are_too_few
from accelmnist.measure.statistics.summary import minimum_samples
from accelmnist.show.units import UNKNOWN, plural, size

UNDIVIDED = "machine's drift not divided out"
APART = ("only in base", "only in new")
_LEAST_P = 0.001  # below this the number of zeros says nothing more


def record_name(one: RecordName) -> str:
    """The record as it was given, and when it was made."""
    return "  ".join(filter(None, (one.name, one.created)))


def varying_axes(rows: Sequence[CaseComparison]) -> tuple[str, ...]:
    """The parts of a case's name that tell the cases apart: all of them if there is one case."""
    shown = [row.axes for row in rows if row.outcome != "in neither"]
    varying = tuple(axis for axis in shown[0] if len({axes[axis] for axes in shown}) > 1)
    return varying or tuple(shown[0])


def label(row: CaseComparison, axes: Sequence[str]) -> str:
    """The case by these parts of its name."""
    return " ".join(row.axes[axis] for axis in axes if row.axes[axis])


def shared_label(rows: Sequence[CaseComparison]) -> str:
    """What the names of all cases have in common; empty if that is nothing, or all."""
    varying, row = varying_axes(rows), next(row for row in rows if row.outcome != "in neither")
    return label(row, [axis for axis in row.axes if axis not in varying])


def figures(row: CaseComparison) -> tuple[str, str, str]:
    """Ratio, interval and p-value; dashes if nothing was compared."""
    comparison = row.comparison
    if comparison is None:
        return UNKNOWN, "", ""
    interval = f"{factor(comparison.low)} to {factor(comparison.high)}"
    return factor(comparison.ratio), interval, p_text(comparison.p_value)


def plain_ratio(row: CaseComparison, report: ComparisonReport) -> str:
    """The ratio of the medians as they were taken, if it differs from the other by more than the threshold."""
    if row.comparison is None or row.ratio_of_medians is None or not row.divided_by:
        return ""
    apart = abs(math.log(row.ratio_of_medians / row.comparison.ratio)) > math.log1p(report.rules.threshold)
    return factor(row.ratio_of_medians) if apart else ""


def remarks(row: CaseComparison, report: ComparisonReport) -> list[str]:
    """What is to be said of this row alone."""
    lines = [] if row.reason is None else [row.reason if row.outcome in APART else f"failed checks: {row.reason}"]
    if row.comparison is not None and are_too_few(*row.samples):
        lines.append(f"too few samples: {row.samples[0]} and {row.samples[1]} of the {minimum_samples()} a side")
    if row.undivided is not None and _undivided_reasons(report)[row.undivided] < report.compared:
        lines.append(UNDIVIDED)
    if row.spared and row.family_p is not None:
        lines.append(f"no failure: p is {p_text(row.family_p)} once all cases count")
    return lines


def explanations(report: ComparisonReport) -> list[str]:
    """How the ratios are to be read."""
    lines = ["Ratio: speed of new over base, above 1 where new is faster."]
    if any(row.divided_by for row in report.rows):
        lines.append(
            "Speeds are divided by the median of the limits that the same round measured; --raw leaves this out."
        )
    for spread, number in _controls(report).items():
        lines.append(
            f"The machine: its {number} limits, which no program changes, moved apart by {100 * spread:.1f} %, so the "
            "intervals allow a case as much."
        )
    if any(plain_ratio(row, report) for row in report.rows):
        lines.append("Plain: the ratio of the medians as they were taken.")
    if any(row.by_process for row in report.rows if row.comparison):
        lines.append("A process counts as one: the intervals hold what changes from one to the next.")
    for reason, number in _undivided_reasons(report).items():
        where = f" in {plural(number, 'case')}" if number < report.compared else ""
        lines.append(f"{UNDIVIDED.capitalize()}{where}: {reason}.")
    neither = report.counts.get("in neither", 0)
    return [*lines, *([f"Measured in neither: {plural(neither, 'case')}."] if neither else [])]


def summary_line(report: ComparisonReport) -> str:
    """How many cases came to what: "2 slower, 1 faster, 7 same"."""
    outcomes: tuple[CaseOutcome, ...] = get_args(CaseOutcome)
    return ", ".join(f"{report.counts[one]} {one}" for one in outcomes if one in report.counts and one != "in neither")


def gate_lines(report: ComparisonReport) -> list[str]:
    """What failed and what nearly did; the first line is the finding, with PASS or FAIL before it elsewhere."""
    axes = varying_axes(report.rows)
    failures = [row for row in report.rows if row.fails]
    lines = [_finding(report, failures), *(f"{label(row, axes)}: {_failure(row, report)}" for row in failures)]
    spared = [f"{label(row, axes)} (p {p_text(row.family_p)})" for row in report.rows if row.spared]
    if spared:
        lines.append(
            f"Slower by more than {_share(report.rules.fail_on)} by itself, but not significant once all "
            f"{report.compared} cases count (Holm's correction), so no failure: {', '.join(spared)}"
        )
    if report.cannot_fail:
        lines.append(
            f"--fail-on can't find a regression of one case alone in {len(report.cannot_fail)} of "
            f"{plural(report.compared, 'case')}: too few samples for so many. Measure more rounds, or fewer cases"
        )
    return lines


def has_gate(report: ComparisonReport) -> bool:
    """Whether there is a PASS or FAIL to tell: it was asked for, or a result is wrong."""
    return report.rules.fail_on is not None or not report.passed


def difference_cells(one: Difference) -> tuple[str, str, str]:
    """A fact's name and its two values as people read them."""
    name = one.name.removesuffix("_bytes").replace("_", " ") if one.name.islower() else one.name
    base, new = (_fact(one.name, fact) for fact in (one.base, one.new))
    return (name, base, new) if base != new else (name, str(one.base), str(one.new))


def factor(value: float) -> str:
    """A ratio to three decimals, or to four digits if it is large."""
    return f"{value:.3f}" if value < 10 else f"{value:.4g}"


def p_text(p_value: float | None) -> str:
    """A p-value to three decimals."""
    if p_value is None:
        return UNKNOWN
    return f"<{_LEAST_P}" if p_value < _LEAST_P else f"{p_value:.3f}"


def _finding(report: ComparisonReport, failures: Sequence[CaseComparison]) -> str:
    if not failures:
        return f"no case is slower by more than {_share(report.rules.fail_on)}"
    kinds = Counter(row.outcome for row in failures)
    words: dict[CaseOutcome, str] = {
        "slower": f"slower by more than {_share(report.rules.fail_on)}",
        "wrong in new": "wrong that was right",
        "only in base": "that failed",
    }
    return ", ".join(f"{plural(kinds[kind], 'case')} {text}" for kind, text in words.items() if kind in kinds)


def _failure(row: CaseComparison, report: ComparisonReport) -> str:
    if row.comparison is None:
        return f"wrong: {row.reason}" if row.outcome == "wrong in new" else row.reason or row.outcome
    ratio, interval, _ = figures(row)
    return f"{ratio} ({interval}), p {p_text(row.family_p)} with all {plural(report.compared, 'case')} counted"


def _undivided_reasons(report: ComparisonReport) -> Counter[str]:
    return Counter(row.undivided for row in report.rows if row.undivided is not None)


def _controls(report: ComparisonReport) -> dict[float, int]:
    """How far the limits moved apart, and how many they are; one entry for each set of them."""
    return {row.spread_of_limits: len(row.divided_by) for row in report.rows if row.spread_of_limits is not None}


def _share(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:g} %"


def _fact(name: str, fact: Fact) -> str:
    if fact is None or fact in ("", ()):
        return UNKNOWN
    if isinstance(fact, tuple):
        return ", ".join(fact)
    if name.endswith("_bytes") and isinstance(fact, int | float):
        return size(fact)
    return f"{fact:g}" if isinstance(fact, float) else str(fact)
