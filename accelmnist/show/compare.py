"""Two records side by side: which they are, what else differs, case by case, and the answer.

The page for a console ends with the answer, where it stays on the screen; the note for a pull request begins with it. A
case is named by what varies between the cases; what all share is said once. If the speeds as they were taken tell
another story than those divided by the machine's limit, both ratios are shown.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import get_args

from accelmnist.measure.compare.case_comparison import CaseComparison, CaseOutcome
from accelmnist.measure.compare.compared_record import Fact
from accelmnist.measure.compare.comparison_report import ComparisonReport, Difference
from accelmnist.measure.statistics.comparison import are_too_few
from accelmnist.measure.statistics.summary import minimum_samples
from accelmnist.show import document as doc
from accelmnist.show.units import UNKNOWN, p_text, plural, size

_UNDIVIDED = "machine's drift not divided out"
_APART = ("only in base", "only in new")
_TONES: dict[CaseOutcome, doc.Tone] = {
    "slower": "bad",
    "faster": "good",
    "ambiguous": "unsure",
    "wrong in new": "bad",
    "wrong in both": "bad",
}


def comparison_page(report: ComparisonReport) -> doc.Document:
    """The whole page; a part that there is nothing for is left out."""
    return _document(report, "Records", "What else differs", "Cases", "In one record alone", "Answer")


def comparison_note(report: ComparisonReport) -> doc.Document:
    """The same for a pull request."""
    return _document(report, "Answer", "Records", "Cases", "In one record alone", "What else differs")


def _document(report: ComparisonReport, *order: str) -> doc.Document:
    """The parts in this order; one that comes first needs no title if it is the answer."""
    parts = {
        "Records": _records(report),
        "What else differs": _differences(report),
        "Cases": _cases(report),
        "In one record alone": _one_sided(report),
        "Answer": _answer(report),
    }
    titles = [title for title in order if parts[title]]
    return doc.Document(
        tuple(
            doc.Section(title="" if title == titles[0] == "Answer" else title, blocks=parts[title]) for title in titles
        )
    )


def _records(report: ComparisonReport) -> tuple[doc.Block, ...]:
    """The records as they were given, and when they were made."""
    named = (("base", report.base), ("new", report.new))
    rows = tuple((side, "  ".join(filter(None, (one.name, one.created)))) for side, one in named)
    warnings = (doc.Text(text=f"warning: {warning}", tone="unsure") for warning in report.warnings)
    return (doc.Facts(rows=rows), *warnings)


def _differences(report: ComparisonReport) -> tuple[doc.Block, ...]:
    if not report.differences:
        return ()
    columns = (doc.Column("fact", role="name"), doc.Column("base"), doc.Column("new"))
    rows = tuple(tuple(map(doc.Cell, _difference(one))) for one in report.differences)
    return (doc.Table(ident="differences", columns=columns, rows=rows),)


def _difference(one: Difference) -> tuple[str, str, str]:
    """A fact's name and its two values as people read them."""
    name = one.name.removesuffix("_bytes").replace("_", " ") if one.name.islower() else one.name
    base, new = (_fact(one.name, fact) for fact in (one.base, one.new))
    return (name, base, new) if base != new else (name, str(one.base), str(one.new))


def _fact(name: str, fact: Fact) -> str:
    if fact is None or fact in ("", ()):
        return UNKNOWN
    if isinstance(fact, tuple):
        return ", ".join(fact)
    if name.endswith("_bytes") and isinstance(fact, int | float):
        return size(fact)
    return f"{fact:g}" if isinstance(fact, float) else str(fact)


# --- the cases


def _cases(report: ComparisonReport) -> tuple[doc.Block, ...]:
    """A row for each case that both records have, and how to read the ratios."""
    axes, common = _varying_axes(report), _shared_label(report)
    compared = [row for row in report.rows if row.outcome not in (*_APART, "in neither")]
    plain = [_plain_ratio(row, report) for row in compared]
    columns = (
        doc.Column("case"),
        doc.Column("ratio", True),
        doc.Column("95 % interval", True),
        *([doc.Column("plain", True)] if any(plain) else []),
        doc.Column("verdict"),
        doc.Column("p", True),
    )
    rows = []
    for row, plain_ratio in zip(compared, plain, strict=True):
        ratio, interval, p_value = _figures(row)
        figures = (ratio, interval, *([plain_ratio] if any(plain) else []))
        name = doc.Cell(_label(row, axes), details=tuple(_remarks(row, report)))
        outcome = doc.Cell(row.outcome, tone=_TONES.get(row.outcome, ""))
        rows.append((name, *map(doc.Cell, figures), outcome, doc.Cell(p_value)))
    shared = f"All are {common}" if common else ""
    return (
        doc.Table(ident="cases", caption="Case by case.", columns=columns, rows=tuple(rows), shared=shared),
        doc.Points(items=tuple(_explanations(report, has_plain=any(plain))), tone="faint"),
    )


def _named(report: ComparisonReport) -> list[CaseComparison]:
    """The cases that any record has."""
    return [row for row in report.rows if row.outcome != "in neither"]


def _varying_axes(report: ComparisonReport) -> tuple[str, ...]:
    """The parts of a case's name that tell the cases apart: all of them if there is one case."""
    shown = [row.axes for row in _named(report)]
    varying = tuple(axis for axis in shown[0] if len({axes[axis] for axes in shown}) > 1)
    return varying or tuple(shown[0])


def _label(row: CaseComparison, axes: Sequence[str]) -> str:
    """The case by these parts of its name."""
    return " ".join(row.axes[axis] for axis in axes if row.axes[axis])


def _shared_label(report: ComparisonReport) -> str:
    """What the names of all cases have in common; empty if that is nothing, or all."""
    varying, row = _varying_axes(report), _named(report)[0]
    return _label(row, [axis for axis in row.axes if axis not in varying])


def _figures(row: CaseComparison) -> tuple[str, str, str]:
    """Ratio, interval and p-value; dashes if nothing was compared."""
    comparison = row.comparison
    if comparison is None:
        return UNKNOWN, "", ""
    interval = f"{_factor(comparison.low)} to {_factor(comparison.high)}"
    return _factor(comparison.ratio), interval, UNKNOWN if row.alone else p_text(comparison.p_value)


def _plain_ratio(row: CaseComparison, report: ComparisonReport) -> str:
    """The ratio of the medians as they were taken, if it differs from the other by more than the threshold."""
    if row.comparison is None or row.ratio_of_medians is None or not row.divided_by:
        return ""
    apart = abs(math.log(row.ratio_of_medians / row.comparison.ratio)) > math.log1p(report.rules.threshold)
    return _factor(row.ratio_of_medians) if apart else ""


def _remarks(row: CaseComparison, report: ComparisonReport) -> list[str]:
    """What is to be said of this row alone."""
    lines = [] if row.reason is None else [row.reason if row.outcome in _APART else f"failed checks: {row.reason}"]
    if row.comparison is not None and are_too_few(*row.samples):
        lines.append(f"too few samples: {row.samples[0]} and {row.samples[1]} of the {minimum_samples()} a side")
    if row.undivided is not None and _undivided_reasons(report)[row.undivided] < report.compared:
        lines.append(_UNDIVIDED)
    if row.spared and row.family_p is not None:
        lines.append(f"no failure: p is {p_text(row.family_p)} once all cases count")
    return lines


def _explanations(report: ComparisonReport, *, has_plain: bool) -> list[str]:
    """How the ratios are to be read."""
    lines = ["Ratio: speed of new over base, above 1 where new is faster."]
    if report.same_rounds:
        lines.append("Both ran in the same rounds, in turn, so what slows the machine down cancels.")
    if any(row.divided_by for row in report.rows):
        lines.append(
            "Speeds are divided by the median of the limits that the same round measured; --raw leaves this out."
        )
    spreads = {row.spread_of_limits: len(row.divided_by) for row in report.rows if row.spread_of_limits is not None}
    for spread, number in spreads.items():
        lines.append(
            f"The machine: its {number} limits, which no program changes, moved apart by {100 * spread:.1f} %, so the "
            "intervals allow a case as much."
        )
    if has_plain:
        lines.append("Plain: the ratio of the medians as they were taken.")
    if any(row.by_process for row in report.rows if row.comparison):
        lines.append("A process counts as one: the intervals hold what changes from one to the next.")
    if any(row.alone for row in report.rows):
        lines.append(
            "A side is one process: the intervals hold what its samples tell, not what changes from one process to the "
            "next. Run both in turn, three times or more, and give the two folders of files."
        )
    for reason, number in _undivided_reasons(report).items():
        where = f" in {plural(number, 'case')}" if number < report.compared else ""
        lines.append(f"{_UNDIVIDED.capitalize()}{where}: {reason}.")
    neither = report.counts.get("in neither", 0)
    return [*lines, *([f"Measured in neither: {plural(neither, 'case')}."] if neither else [])]


def _undivided_reasons(report: ComparisonReport) -> Counter[str]:
    return Counter(row.undivided for row in report.rows if row.undivided is not None)


def _factor(value: float) -> str:
    """A ratio to three decimals, or to four digits if it is large."""
    return f"{value:.3f}" if value < 10 else f"{value:.4g}"


def _one_sided(report: ComparisonReport) -> tuple[doc.Block, ...]:
    axes = _varying_axes(report)
    items = tuple(
        doc.Remark(name=_label(row, axes), text=f"{row.outcome}: {row.reason or 'no case of the other'}")
        for row in report.rows
        if row.outcome in _APART
    )
    return (doc.Remarks(items=items),) if items else ()


# --- the answer


def _answer(report: ComparisonReport) -> tuple[doc.Block, ...]:
    """How many cases came to what, and PASS or FAIL if that was asked for, or a result is wrong."""
    outcomes: tuple[CaseOutcome, ...] = get_args(CaseOutcome)
    counts = (f"{report.counts[one]} {one}" for one in outcomes if one in report.counts and one != "in neither")
    summary = doc.Text(text=", ".join(counts), tone="strong")
    if report.rules.fail_on is None and report.passed:
        return (summary,)
    failures = [row for row in report.rows if row.fails]
    headline = doc.Headline.of_check(passed=report.passed, text=_finding(report, failures))
    lines = tuple(_gate_lines(report, failures))
    return (summary, headline, *([doc.Points(items=lines)] if lines else []))


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


def _gate_lines(report: ComparisonReport, failures: Sequence[CaseComparison]) -> list[str]:
    """What failed and what nearly did."""
    axes = _varying_axes(report)
    lines = [f"{_label(row, axes)}: {_failure(row, report)}" for row in failures]
    spared = [f"{_label(row, axes)} (p {p_text(row.family_p)})" for row in report.rows if row.spared]
    if spared:
        lines.append(
            f"Slower by more than {_share(report.rules.fail_on)} by itself, but not significant once all "
            f"{report.compared} cases count (Holm's correction), so no failure: {', '.join(spared)}"
        )
    if report.cannot_fail:
        lines.append(
            f"--fail-on can't find a regression of one case alone in {len(report.cannot_fail)} of "
            f"{plural(report.compared, 'case')}: too few samples or processes for so many. Measure more rounds, or "
            "fewer cases"
        )
    return lines


def _failure(row: CaseComparison, report: ComparisonReport) -> str:
    if row.comparison is None:
        return f"wrong: {row.reason}" if row.outcome == "wrong in new" else row.reason or row.outcome
    ratio, interval, _ = _figures(row)
    return f"{ratio} ({interval}), p {p_text(row.family_p)} with all {plural(report.compared, 'case')} counted"


def _share(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:g} %"
