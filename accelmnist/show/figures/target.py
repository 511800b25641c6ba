"""Time to accuracy: a row for each case, the quickest first, with every seed, the median and its 95 % interval.

A seed that missed the target counts as infinite: it stands at the right edge with the others that missed, and the
interval that reaches it ends in an arrow. With and without compiling are two marks; a case that compiles nothing has
one. The title names the quickest only if its interval ends before that of every other case begins, which is more
than a test of the two medians at 5 % asks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accelmnist.measure.record import BenchRecord, CaseResult, Target, TimeToAccuracy
from accelmnist.show.figures.cases import columns, fault_text, phrase, setting, varying
from accelmnist.show.figures.scales import scale_across
from accelmnist.show.figures.sheet import LINE
from accelmnist.show.figures.style import BLUE, ORANGE, RULE, SOFT_INK, WRONG, Mark, figure_style
from accelmnist.show.figures.table import CHART, RowBlock, TableColumn, draw_estimate, draw_rows, draw_wrong_band
from accelmnist.show.units import significant

_WITH, _WITHOUT = Mark(BLUE, "o", BLUE), Mark(ORANGE, "D", "white")
_EDGE = 112  # pixels at the right of a chart for what was missed
_NOTE_WIDTH = 130


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
    def targets(self) -> list[tuple[Mark, Target]]:
        """What is drawn: with compiling, and without if that is another time."""
        with_mark, without_mark = (WRONG, WRONG) if self.result.is_wrong else (_WITH, _WITHOUT)
        both = [(with_mark, self.times.with_compile), (without_mark, self.times.without_compile)]
        return both[:1] if self.times.with_compile == self.times.without_compile else both


def target_figure(record: BenchRecord) -> Figure | None:
    """Seconds to the target accuracy of every case that was timed; None if none was."""
    rows = [_Row(result, result.time_to_accuracy) for result in record.cases if result.time_to_accuracy]
    rows.sort(key=lambda row: row.order)
    if not rows:
        return None
    results = [row.result for row in rows]
    parts = varying(results)
    title, certainty = _title(rows, parts)
    lines = [certainty, *setting(record, results, but=parts)]
    with figure_style():
        block = _block(rows, parts)
        figure, (axes,) = draw_rows([block], title=title, lines=lines, notes=[_key(rows)])
        _scale(axes, rows)
        for row, middle in zip(rows, block.middles, strict=True):
            _draw_row(axes, row, middle)
    return figure


def _title(rows: Sequence[_Row], parts: Sequence[str]) -> tuple[str, str]:
    """The quickest, if that is sure, and how sure; else what is drawn."""
    right = [row for row in rows if not row.result.is_wrong]
    goal = f"{100 * rows[0].times.target:g} %"
    if not any(row.times.with_compile.median_s is not None for row in right):
        return f"No case reaches {goal} accuracy on most of its seeds", ""
    best, *others = right
    target, has_compiling = best.times.with_compile, any(len(row.targets) > 1 for row in rows)
    reaches = f"{phrase(best.result, parts)} reaches {goal} accuracy"
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
    low, high = (_number(value) for value in (target.low_s, target.high_s))
    return low if low == high else f"{low} to {high}"


def _number(value: float | None) -> str:
    return "∞" if value is None else significant(value)


def _block(rows: Sequence[_Row], parts: Sequence[str]) -> RowBlock:
    results = [row.result for row in rows]
    after = [
        TableColumn(heading="compile", cells=tuple(_lines(row, ("with", "without")) for row in rows)),
        TableColumn(heading="median, s", cells=_cells(rows, lambda target: _number(target.median_s)), ha="right"),
        TableColumn(heading="95 %", cells=_cells(rows, _interval)),
        TableColumn(heading="seeds", cells=tuple(str(len(row.times.epochs)) for row in rows), ha="right"),
    ]
    if not any(len(row.targets) > 1 for row in rows):
        del after[0]
    wrong = frozenset(row for row, result in enumerate(results) if result.is_wrong)
    if wrong:
        after.append(
            TableColumn(heading="", cells=tuple(fault_text(result, _NOTE_WIDTH) for result in results), bold=wrong)
        )
    title = f"Seconds from untouched files to {100 * rows[0].times.target:g} % of the test images right"
    return RowBlock(title=title, before=columns(results, parts), after=tuple(after), faint=wrong)


def _lines(row: _Row, texts: Sequence[str]) -> str:
    """A line for each time of the row."""
    return "\n".join(texts[: len(row.targets)]) if len(row.targets) > 1 else ""


def _cells(rows: Sequence[_Row], form: Callable[[Target], str]) -> tuple[str, ...]:
    return tuple("\n".join(form(target) for _, target in row.targets) for row in rows)


def _scale(axes: Axes, rows: Sequence[_Row]) -> None:
    times = [value for row in rows for _, target in row.targets for value in target.seconds if value is not None]
    free = _EDGE if any(row.missed for row in rows) else 0
    times = times or [1.0]  # if every seed of every case missed
    scale_across(axes, times, pixels=CHART, label="seconds", free=free)
    if free:
        axes.axvline(_edge(axes), color=RULE, linewidth=1.0, linestyle=(0, (2, 2)))


def _edge(axes: Axes) -> float:
    """Where, in seconds, what was missed begins."""
    inverse = axes.transAxes + axes.transData.inverted()
    return float(inverse.transform((1 - _EDGE / CHART, 0.0))[0])


def _draw_row(axes: Axes, row: _Row, middle: float) -> None:
    """Each time of the row on its own line; an interval without an end reaches to where what was missed begins."""
    key = row.result.case.label
    if row.result.is_wrong:
        draw_wrong_band(axes, middle, key)
    for index, (mark, target) in enumerate(row.targets):
        high_s = _edge(axes) if target.high_s is None else target.high_s
        draw_estimate(
            axes,
            middle + LINE * (index - (len(row.targets) - 1) / 2),
            mark=mark,
            samples=target.seconds,
            interval=None if target.low_s is None else (target.low_s, high_s),
            centre=target.median_s,
            name=f"{key}, {('with', 'without')[index]} compiling",
            is_open=target.high_s is None,
        )
    if row.missed:
        style: dict[str, Any] = {"ha": "right", "va": "center_baseline", "color": SOFT_INK}
        axes.text(1.0, middle, f"{row.missed} missed", transform=axes.get_yaxis_transform(), **style)


def _key(rows: Sequence[_Row]) -> str:
    """How to read the marks that are there."""
    parts = ["Large mark: the median over seeds; bar: its 95 % interval; small dots: the seeds, the first on top."]
    if any(len(row.targets) > 1 for row in rows):
        parts.append("Full circle: compiling included; diamond: without it.")
    if any(row.missed for row in rows):
        parts.append("A seed that missed the target counts as infinite.")
    if any(row.result.is_wrong for row in rows):
        parts.append("Grey: its result is wrong, so it has no rank.")
    return " ".join(parts)
