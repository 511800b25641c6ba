"""A benchmark's cases as rows, the fastest first: their throughput, and their time to accuracy.

The small dots of a row are its samples one below the other, in the order of the rounds or seeds, so that two groups
show as two columns of dots and a drift as a slanted one. A wrong case stands below the ranked ones, grey and hatched,
with the check that it failed.

A seed that missed the target accuracy counts as infinite: it stands at the right edge with the others that missed, and
the interval that reaches it ends in an arrow. With and without compiling are two marks; a case that compiles nothing
has one. The title names the quickest only if its interval ends before that of every other case begins, which is more
than a test of the two medians at 5 % asks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accelmnist.measure.plan import MODES, Case
from accelmnist.measure.record import BenchRecord, CaseResult, Target, TimeToAccuracy
from accelmnist.show.bench.cases import INFINITE, width_text
from accelmnist.show.figures import cases
from accelmnist.show.figures.chart import scale_across
from accelmnist.show.figures.sheet import BLUE, LINE, ORANGE, RULE, SOFT_INK, WRONG, Mark, figure_style, wrap
from accelmnist.show.figures.table import CHART, RowBlock, TableColumn, draw_estimate, draw_rows, draw_wrong_band
from accelmnist.show.units import plural, rate, significant

_NOTE_WIDTH, _WIDE_NOTE = 130, 240  # the latter if a case has more than two symptoms
_COMPILING = {"with": Mark(BLUE, "o"), "without": Mark(ORANGE, "D", is_hollow=True)}
_EDGE = 112  # pixels at the right of a chart for what was missed
_WRONG_KEY = "Grey: its result is wrong, so it has no rank."


# --- throughput


def throughput_figure(record: BenchRecord) -> Figure | None:
    """Images/s of the measured cases with every sample, a block for each mode; None if nothing was measured."""
    everything = cases.measured(record)
    results = cases.foremost(everything)
    if not results:
        return None
    bases, parts = cases.baseline_cases(record), cases.varying(results)
    groups = [cases.by_speed([result for result in results if result.mode == mode]) for mode in MODES]
    groups = [group for group in groups if group]
    codes: list[set[str]] = [{symptom.code for symptom in result.symptoms} for result in results]
    everywhere = set.intersection(*codes) if len(results) > 1 else set()  # what all cases have is written once
    blocks = [_throughput_block(group, parts, cases.shared(results, but=parts), bases, everywhere) for group in groups]
    plain = f"Throughput of {plural(len(everything), 'case')}"
    if len(everything) == 1:
        plain = f"{cases.phrase(results[0], parts)}: {rate(cases.speed_of(results[0]).median)} in {results[0].mode}"
    title, certainty = cases.claim(record) or (plain, "")
    lines = [certainty, *cases.setting(record, results, but=parts)]
    notes = [_throughput_key(results, everywhere), _left_out(record, results)]
    with figure_style():
        figure, charts = draw_rows(blocks, title=title, lines=lines, notes=notes)
        for group, block, axes in zip(groups, blocks, charts, strict=True):
            _draw_speeds(axes, group, block.middles, bases)
    return figure


def _throughput_block(
    group: list[CaseResult], parts: Sequence[str], common: list[str], bases: set[Case], everywhere: set[str]
) -> RowBlock:
    own = [words for words in cases.shared(group, but=parts) if words not in common]
    wrong = frozenset(row for row, result in enumerate(group) if result.is_wrong)
    bold = wrong | {row for row, result in enumerate(group) if _is_claim(result)}
    codes = [[symptom.code for symptom in result.symptoms if symptom.code not in everywhere] for result in group]
    room = _WIDE_NOTE if any(len(some) > 2 for some in codes) else _NOTE_WIDTH
    notes = [_note(result, bases, some, room) for result, some in zip(group, codes, strict=True)]
    speeds = [rate(cases.speed_of(result).median).removesuffix(" images/s") for result in group]
    return RowBlock(
        title=", ".join([group[0].mode.capitalize(), *own]),
        before=cases.columns(group, parts),
        after=[
            TableColumn("images/s", speeds, ha="right"),
            TableColumn("95 %", [width_text(cases.speed_of(result)) for result in group], ha="right", gap=14),
            TableColumn("speed-up", notes, bold=bold),
        ],
        faint=wrong,
    )


def _note(result: CaseResult, bases: set[Case], codes: Sequence[str], room: int) -> str:
    """The speed-up, as a number only if it is a difference, or why there is none; below it what makes a row doubtful.

    Of a wrong case it is the check that it failed.
    """
    if result.is_wrong:
        return cases.fault_text(result, room)
    first = "baseline" if result.case in bases else ""
    if result.speedup is not None and not first:
        first = f"{significant(result.speedup.ratio)} ×" if _is_claim(result) else result.speedup.verdict
    return "\n".join(filter(None, (first, wrap(", ".join(codes), room))))


def _is_claim(result: CaseResult) -> bool:
    """Whether its speed-up is a difference that may be claimed."""
    return result.speedup is not None and result.speedup.verdict in ("faster", "slower")


def _draw_speeds(axes: Axes, group: list[CaseResult], middles: list[float], bases: set[Case]) -> None:
    """Every row of a block, and its axis: a square is a baseline, and a hollow mark a doubtful case."""
    seen: list[float] = []
    for result, middle in zip(group, middles, strict=True):
        speed, key = cases.speed_of(result), result.case.label
        seen += [speed.low, speed.high, *speed.samples]
        colour, marker = (ORANGE, "s") if result.case in bases else (BLUE, "o")
        mark = WRONG if result.is_wrong else Mark(colour, marker, is_hollow=bool(result.symptoms))
        ends = (speed.low, speed.high)
        if result.is_wrong:
            draw_wrong_band(axes, middle, key)
        draw_estimate(axes, middle, mark=mark, samples=speed.samples, interval=ends, centre=speed.median, name=key)
    scale_across(axes, seen, pixels=CHART, label="images/s")


def _throughput_key(results: Sequence[CaseResult], everywhere: set[str]) -> str:
    """How to read the marks that are there."""
    parts = ["Large mark: the median; bar: its 95 % interval; small dots: the samples, the first on top."]
    if any(result.speedup for result in results):
        parts.append("Speed-up: over the baseline (square) of the same work, in the same rounds.")
    if any(result.symptoms and not result.is_wrong for result in results):
        own = f"all cases are marked {', '.join(sorted(everywhere))}" if everywhere else "for the reason beside it"
        parts.append(f"Hollow: doubtful, {own}.")
    if any(result.is_wrong for result in results):
        parts.append(_WRONG_KEY)
    return " ".join(parts)


def _left_out(record: BenchRecord, results: Sequence[CaseResult]) -> str:
    """Cases that aren't shown, and why."""
    everything, parts = cases.measured(record), []
    if len(results) < len(everything):
        parts.append(f"Shown are {len(results)} of {len(everything)} measured cases: the fastest of each mode.")
        wrong = sum(result.is_wrong for result in everything) - sum(result.is_wrong for result in results)
        parts += [f"Wrong among the others: {plural(wrong, 'case')}."] if wrong else []
    if len(everything) < len(record.cases):
        parts.append(f"Not measured: {plural(len(record.cases) - len(everything), 'case')}.")
    return " ".join(parts)


# --- time to accuracy


@dataclass(frozen=True)
class _Row:
    """A case and its times."""

    result: CaseResult
    times: TimeToAccuracy

    @property
    def order(self) -> tuple[bool, float, float]:
        """Right ones first, the quickest first."""
        medians = (self.times.with_compile.median_s, self.times.without_compile.median_s)
        with_s, without_s = (math.inf if value is None else value for value in medians)
        return self.result.is_wrong, with_s, without_s

    @property
    def missed(self) -> int:
        """Seeds that never reached the target."""
        return len(self.times.epochs) - self.times.reached

    @property
    def targets(self) -> dict[str, Target]:
        """What is drawn: "with" compiling, and "without" if that is another time."""
        both = {"with": self.times.with_compile, "without": self.times.without_compile}
        return both if both["with"] != both["without"] else {"with": both["with"]}


def target_figure(record: BenchRecord) -> Figure | None:
    """Seconds to the target accuracy of every case that was timed; None if none was."""
    rows = [_Row(result, result.time_to_accuracy) for result in record.cases if result.time_to_accuracy]
    rows.sort(key=lambda row: row.order)
    if not rows:
        return None
    results, has_missed = [row.result for row in rows], any(row.missed for row in rows)
    parts, block = cases.varying(results), _target_block(rows, cases.varying(results))
    title, certainty = _target_title(rows, parts)
    lines = [certainty, *cases.setting(record, results, but=parts)]
    times = [value for row in rows for target in row.targets.values() for value in target.seconds if value is not None]
    with figure_style():
        figure, (axes,) = draw_rows([block], title=title, lines=lines, notes=[_target_key(rows)])
        # If every seed of every case missed, the axis goes to one second.
        scale_across(axes, times or [1.0], pixels=CHART, label="seconds", free=_EDGE if has_missed else 0)
        inverse = axes.transAxes + axes.transData.inverted()
        edge_s = float(inverse.transform((1 - _EDGE / CHART, 0.0))[0])  # from where on a seed was missed
        if has_missed:
            axes.axvline(edge_s, color=RULE, linewidth=1.0, linestyle=(0, (2, 2)))
        for row, middle in zip(rows, block.middles, strict=True):
            _draw_times(axes, row, middle, edge_s)
    return figure


def _target_title(rows: Sequence[_Row], parts: Sequence[str]) -> tuple[str, str]:
    """The quickest, if that is sure, and how sure; else what is drawn."""
    right = [row for row in rows if not row.result.is_wrong]
    goal = f"{100 * rows[0].times.target:g} %"
    if not any(row.times.with_compile.median_s is not None for row in right):
        return f"No case reaches {goal} accuracy on most of its seeds", ""
    best, *others = right
    target, has_compiling = best.times.with_compile, any(len(row.targets) > 1 for row in rows)
    reaches = f"{cases.phrase(best.result, parts)} reaches {goal} accuracy"
    took = f"in {significant(target.median_s)} s{', compiling included' if has_compiling else ''}"
    certainty = f"95 % interval of the median: {_interval(target)} s"
    if not others:
        return f"{reaches} {took}", certainty
    lows = [row.times.with_compile.low_s for row in others]
    next_s = min(math.inf if low_s is None else low_s for low_s in lows)
    if target.high_s is None or target.high_s >= next_s:
        return f"Time to {goal} accuracy", ""
    following = f"; the next one's begins at {significant(next_s)} s" if math.isfinite(next_s) else ""
    return f"{reaches} first: {took}", certainty + following


def _interval(target: Target) -> str:
    low, high = _number(target.low_s), _number(target.high_s)
    return low if low == high else f"{low} to {high}"


def _number(value: float | None) -> str:
    return INFINITE if value is None else significant(value)


def _target_block(rows: Sequence[_Row], parts: Sequence[str]) -> RowBlock:
    """Each time of a row has a line of its own."""
    results = [row.result for row in rows]

    def lines(form: Callable[[Target], str]) -> list[str]:
        return ["\n".join(map(form, row.targets.values())) for row in rows]

    after = [
        TableColumn("median, s", lines(lambda target: _number(target.median_s)), ha="right"),
        TableColumn("95 %", lines(_interval)),
        TableColumn("seeds", [str(len(row.times.epochs)) for row in rows], ha="right"),
    ]
    if any(len(row.targets) > 1 for row in rows):
        compiling = ["\n".join(row.targets) if len(row.targets) > 1 else "" for row in rows]
        after.insert(0, TableColumn("compile", compiling))
    wrong = frozenset(row for row, result in enumerate(results) if result.is_wrong)
    if wrong:
        after.append(TableColumn("", [cases.fault_text(result, _NOTE_WIDTH) for result in results], bold=wrong))
    title = f"Seconds from untouched files to {100 * rows[0].times.target:g} % of the test images right"
    return RowBlock(title=title, before=cases.columns(results, parts), after=after, faint=wrong)


def _draw_times(axes: Axes, row: _Row, middle: float, edge_s: float) -> None:
    """Each time of the row on its own line; an interval without an end reaches to where what was missed begins."""
    key = row.result.case.label
    if row.result.is_wrong:
        draw_wrong_band(axes, middle, key)
    for index, (compiling, target) in enumerate(row.targets.items()):
        high_s = edge_s if target.high_s is None else target.high_s
        draw_estimate(
            axes,
            middle + LINE * (index - (len(row.targets) - 1) / 2),
            mark=WRONG if row.result.is_wrong else _COMPILING[compiling],
            samples=target.seconds,
            interval=None if target.low_s is None else (target.low_s, high_s),
            centre=target.median_s,
            name=f"{key}, {compiling} compiling",
            is_open=target.high_s is None,
        )
    if row.missed:
        style: dict[str, Any] = {"ha": "right", "va": "center_baseline", "color": SOFT_INK}
        axes.text(1.0, middle, f"{row.missed} missed", transform=axes.get_yaxis_transform(), **style)


def _target_key(rows: Sequence[_Row]) -> str:
    """How to read the marks that are there."""
    parts = ["Large mark: the median over seeds; bar: its 95 % interval; small dots: the seeds, the first on top."]
    if any(len(row.targets) > 1 for row in rows):
        parts.append("Full circle: compiling included; diamond: without it.")
    if any(row.missed for row in rows):
        parts.append("A seed that missed the target counts as infinite.")
    if any(row.result.is_wrong for row in rows):
        parts.append(_WRONG_KEY)
    return " ".join(parts)
