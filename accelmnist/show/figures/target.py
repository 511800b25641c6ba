"""Time to accuracy: a row for each case, the quickest first, with every seed, the median and its 95 % interval.

A seed that missed the target counts as infinite: it stands at the right edge with the others that missed, and the
interval that reaches it ends in an arrow. With and without compiling are two marks; a case that compiles nothing has
one. The title names the quickest only where its interval ends before that of every other case begins, which is more
than a test of the two medians at 5 % asks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accelmnist.measure.record import BenchRecord, CaseResult, Target, TimeToAccuracy
from accelmnist.show.figures.cases import columns, phrase, setting, varying
from accelmnist.show.figures.layout import LINE, Column, wrap
from accelmnist.show.figures.rows import CHART, Block, draw_rows
from accelmnist.show.figures.scales import scale_by_decades, scale_from_zero, spans_decades
from accelmnist.show.figures.style import BLUE, GREY, ORANGE, RULE, SOFT_INK, Mark, figure_style
from accelmnist.show.units import significant

_WITH, _WITHOUT = Mark(BLUE, "o", BLUE), Mark(ORANGE, "D", "white")
_WRONG = Mark(GREY, "X", GREY)
_SPREAD = 17  # pixels from the first seed's dot to the last one's
_EDGE = 112  # pixels at the right of a chart for what was missed
_NOTE_WIDTH = 130


@dataclass(frozen=True)
class _Row:
    """A case and its times."""

    result: CaseResult
    made: TimeToAccuracy

    @property
    def order(self) -> tuple[bool, float, float]:
        """Right ones first, the quickest first."""
        times = (self.made.with_compile.median_s, self.made.without_compile.median_s)
        with_s, without_s = (math.inf if value is None else value for value in times)
        return self.result.is_wrong, with_s, without_s

    @property
    def missed(self) -> int:
        """Seeds that never reached the target."""
        return len(self.made.epochs) - self.made.reached

    @property
    def targets(self) -> list[tuple[Mark, Target]]:
        """What is drawn: with compiling, and without where that is another time."""
        first = (_WRONG if self.result.is_wrong else _WITH, self.made.with_compile)
        if self.made.with_compile == self.made.without_compile:
            return [first]
        return [first, (_WRONG if self.result.is_wrong else _WITHOUT, self.made.without_compile)]


def target_figure(record: BenchRecord) -> Figure | None:
    """Seconds to the target accuracy of every case that was timed; None where none was."""
    rows = [_Row(result, result.time_to_accuracy) for result in record.cases if result.time_to_accuracy]
    rows.sort(key=lambda row: row.order)
    if not rows:
        return None
    results = [row.result for row in rows]
    parts = varying(results)
    title, certainty = _title(rows, parts)
    lines = [certainty, *setting(record, results, but=parts)]
    with figure_style():
        sheet, (chart,) = draw_rows([_block(rows, parts)], title=title, lines=lines, footer=[_key(rows)])
        _scale(chart.axes, rows)
        for row, middle in zip(rows, chart.middles, strict=True):
            _draw_row(chart.axes, row, middle)
    return sheet.figure


def _title(rows: Sequence[_Row], parts: Sequence[str]) -> tuple[str, str]:
    """The quickest, where that is sure, and how sure; else what is drawn."""
    right = [row for row in rows if not row.result.is_wrong]
    goal = f"{100 * rows[0].made.target:g} %"
    known = [row for row in right if row.made.with_compile.median_s is not None]
    if not known:
        return f"No case reaches {goal} accuracy on most of its seeds", ""
    first, *others = [(row, row.made.with_compile) for row in right]
    row, best = first
    took = (
        f"{significant(best.median_s)} s{', compiling included' if any(len(row.targets) > 1 for row in rows) else ''}"
    )
    interval = f"95 % interval of the median: {_interval(best)} s"
    if not others:
        return f"{phrase(row.result, parts)} reaches {goal} accuracy in {took}", interval
    next_s = min(math.inf if other.low_s is None else other.low_s for _, other in others)
    if best.high_s is None or best.high_s >= next_s:
        return f"Time to {goal} accuracy", ""
    following = f"; the next one's begins at {significant(next_s)} s" if math.isfinite(next_s) else ""
    return f"{phrase(row.result, parts)} reaches {goal} accuracy first: in {took}", interval + following


def _interval(target: Target) -> str:
    low, high = (_number(value) for value in (target.low_s, target.high_s))
    return low if low == high else f"{low} to {high}"


def _number(value: float | None) -> str:
    return "∞" if value is None else significant(value)


def _block(rows: Sequence[_Row], parts: Sequence[str]) -> Block:
    results = [row.result for row in rows]
    after = [
        Column(heading="compile", cells=tuple(_lines(row, ("with", "without")) for row in rows)),
        Column(heading="median, s", cells=_cells(rows, lambda target: _number(target.median_s)), across="right"),
        Column(heading="95 %", cells=_cells(rows, _interval)),
        Column(heading="seeds", cells=tuple(str(len(row.made.epochs)) for row in rows), across="right"),
    ]
    if not any(len(row.targets) > 1 for row in rows):
        del after[0]
    wrong = frozenset(place for place, result in enumerate(results) if result.is_wrong)
    if wrong:
        after.append(Column(heading="", cells=tuple(_fault(result) for result in results), bold=wrong))
    title = f"Seconds from untouched files to {100 * rows[0].made.target:g} % of the test images right"
    return Block(title=title, before=columns(results, parts), after=tuple(after), faint=wrong)


def _lines(row: _Row, texts: Sequence[str]) -> str:
    """A line for each time of the row."""
    return "\n".join(texts[: len(row.targets)]) if len(row.targets) > 1 else ""


def _cells(rows: Sequence[_Row], form: Callable[[Target], str]) -> tuple[str, ...]:
    return tuple("\n".join(form(target) for _, target in row.targets) for row in rows)


def _fault(result: CaseResult) -> str:
    if not result.is_wrong or result.verdict is None:
        return ""
    return "\n".join(["wrong", *(wrap(check.name, _NOTE_WIDTH) for check in result.verdict.failures[:1])])


def _scale(axes: Axes, rows: Sequence[_Row]) -> None:
    times = [value for row in rows for _, target in row.targets for value in target.seconds if value is not None]
    free = _EDGE if any(row.missed for row in rows) else 0
    times = times or [1.0]  # where every seed of every case missed
    if spans_decades(times):
        scale_by_decades(axes, "x", min(times), max(times), pixels=CHART, free=free)
    else:
        scale_from_zero(axes, "x", max(times), pixels=CHART, free=free)
    axes.set_xlabel("seconds, logarithmic" if spans_decades(times) else "seconds")
    if free:
        axes.axvline(_edge(axes), color=RULE, linewidth=1.0, linestyle=(0, (2, 2)))


def _edge(axes: Axes) -> float:
    """Where, in seconds, what was missed begins."""
    inverse = axes.transAxes + axes.transData.inverted()
    return float(inverse.transform((1 - _EDGE / CHART, 0.0))[0])


def _draw_row(axes: Axes, row: _Row, middle: float) -> None:
    key = row.result.case.label
    if row.result.is_wrong:
        axes.axhspan(middle - 16, middle + 16, facecolor="none", edgecolor=RULE, hatch="////", linewidth=0, gid=key)
    for place, (mark, target) in enumerate(row.targets):
        down = middle + LINE * (place - (len(row.targets) - 1) / 2)
        _draw_target(axes, mark, target, down, f"{key}, {('with', 'without')[place]} compiling")
    if row.missed:
        style: dict[str, Any] = {"ha": "right", "va": "center_baseline", "color": SOFT_INK}
        axes.text(1.0, middle, f"{row.missed} missed", transform=axes.get_yaxis_transform(), **style)


def _draw_target(axes: Axes, mark: Mark, target: Target, down: float, name: str) -> None:
    """The seeds, over them the interval, to the edge where it is infinite, and the median."""
    downs = down + np.linspace(-0.5, 0.5, len(target.seconds)) * (_SPREAD if len(target.seconds) > 1 else 0)
    reached = [(value, at) for value, at in zip(target.seconds, downs, strict=True) if value is not None]
    if reached:
        across, at = zip(*reached, strict=True)
        axes.scatter(across, at, s=9, color=mark.colour, alpha=0.5, linewidths=0, zorder=2.5, gid=f"seeds of {name}")
    if target.low_s is not None:
        high = _edge(axes) if target.high_s is None else target.high_s
        bar: dict[str, Any] = {"color": mark.colour, "linewidth": 1.4, "gid": f"interval of {name}"}
        axes.plot([target.low_s, target.low_s, target.low_s, high], down + np.array([-6, 6, 0, 0]), **bar)
        end = ">" if target.high_s is None else "|"
        axes.plot([high], [down], color=mark.colour, marker=end, markersize=6, markeredgewidth=1.4)
    if target.median_s is not None:
        axes.plot(
            [target.median_s],
            [down],
            markersize=7.4 if mark is _WRONG else 5.4,
            zorder=3,
            gid=f"median of {name}",
            **mark.style,
        )


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
