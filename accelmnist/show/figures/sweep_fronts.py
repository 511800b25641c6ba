"""Accuracy against what it costs: parameters, and the time of a training; with the Pareto front of each.

On the front lie the networks of which no other one is both more accurate and cheaper. Their names stand beside them
if there is room, with their 95 % intervals; all others are dots.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from accelmnist.show.figures.labels import box_around, label_points
from accelmnist.show.figures.scales import error_of, scale_accuracy, scale_by_decades
from accelmnist.show.figures.sheet import MARGIN, FigureSheet
from accelmnist.show.figures.style import SMALL_SIZE, SOFT_INK, figure_style
from accelmnist.show.figures.sweep_parts import (
    draw_legend,
    drawn,
    interval_of,
    legend_height,
    mean_of,
    series_of,
    setting,
)
from accelmnist.show.units import plural
from accelmnist.sweep.record import CandidateResult, Cost, SweepRecord

_WIDTH, _HEIGHT = 820, 460
_LEFT = MARGIN + 76
_ABOVE, _BELOW = 44, 92
_TICK_GAP = 40
_COSTS: dict[Cost, tuple[str, str]] = {
    "parameters": ("Accuracy and size", "parameters"),
    "time": ("Accuracy and time", "seconds of one training"),
}
_NOTE = (
    "Line: the Pareto front; no other network is both more accurate and cheaper than one of its own. They are named as "
    "far as there is room, and have their 95 % intervals."
)


def fronts_figure(record: SweepRecord) -> Figure | None:
    """A panel for each cost; None with fewer than two candidates."""
    results = drawn(record)
    if len(results) < 2:
        return None
    _, marks = series_of(record)
    width = _LEFT + _WIDTH + MARGIN
    key, panel = legend_height(marks, width), _ABOVE + _HEIGHT + _BELOW
    with figure_style():
        body = key + len(_COSTS) * panel
        sheet = FigureSheet.headed(width, body, title=_title(results), lines=[setting(record)], notes=[_NOTE])
        draw_legend(sheet, marks)
        for index, cost in enumerate(_COSTS):
            _draw_panel(sheet, record, results, cost, sheet.top + key + index * panel)
    return sheet.figure


def _title(results: Sequence[CandidateResult]) -> str:
    """What the smallest network gives up that may be as good as the best."""
    best = results[0]
    level = [result for result in results if result.standing and result.standing.verdict == "within noise"]
    smallest = min([best, *level], key=lambda result: result.parameters)
    if smallest is best:
        return "Accuracy against size and time"
    share = smallest.parameters / best.parameters
    return (
        f"{smallest.network} with {smallest.parameters:,} parameters, {100 * share:.2g} % of the best one's, "
        "can't be told from it"
    )


def _draw_panel(
    sheet: FigureSheet, record: SweepRecord, results: Sequence[CandidateResult], cost: Cost, top: int
) -> None:
    title, axis_name = _COSTS[cost]
    front = [result for result in results if cost in result.on_front]
    sheet.text(MARGIN, top + _ABOVE / 2, f"{title}: {plural(len(front), 'network')} on the front", weight="bold")
    axes = sheet.add_axes(left=_LEFT, top=top + _ABOVE, width=_WIDTH, height=_HEIGHT)
    axes.set_xlabel(f"{axis_name}, logarithmic")
    scale_by_decades(axes, "x", [_price(result, cost) for result in results], pixels=_WIDTH)
    seen = [end for result in results for end in interval_of(result)]
    scale_accuracy(axes, "y", seen, pixels=_HEIGHT, apart=_TICK_GAP)
    _draw_points(axes, record, results, cost)
    _draw_front(axes, record, front, cost)
    _name_front(axes, results, front, cost)


def _price(result: CandidateResult, cost: Cost) -> float:
    return float(result.parameters) if cost == "parameters" else max(result.train_s or 0.0, 1e-6)


def _point(result: CandidateResult, cost: Cost) -> tuple[float, float]:
    return _price(result, cost), error_of(mean_of(result))


def _draw_points(axes: Axes, record: SweepRecord, results: Sequence[CandidateResult], cost: Cost) -> None:
    name, marks = series_of(record)
    for series, mark in marks.items():
        own = [_point(result, cost) for result in results if name(result) == series]
        small = {**mark.style, "linestyle": "none", "markersize": 3.6, "markeredgewidth": 0.0, "alpha": 0.45}
        if own:
            axes.plot(*zip(*own, strict=True), gid=f"{series} by {cost}", **small)


def _draw_front(axes: Axes, record: SweepRecord, front: Sequence[CandidateResult], cost: Cost) -> None:
    """A stair: up to the price of the next network, this one's accuracy is the best to be had."""
    name, marks = series_of(record)
    ordered = sorted(_point(result, cost) for result in front)
    stair = zip(*ordered, strict=True)
    axes.step(*stair, where="post", color=SOFT_INK, linewidth=1.1, zorder=1.5, gid=f"front by {cost}")
    for result in front:
        mark, price = marks[name(result)], _price(result, cost)
        ends = [error_of(end) for end in interval_of(result)]
        axes.plot([price, price], ends, color=mark.colour, linewidth=1.2)
        axes.plot(*_point(result, cost), **{**mark.style, "markersize": 6.0})


def _name_front(axes: Axes, results: Sequence[CandidateResult], front: Sequence[CandidateResult], cost: Cost) -> None:
    """The hidden layers of each, beside its mark if there is room; the most accurate have the first choice."""
    others = [_point(result, cost) for result in results if result not in front]
    obstacles = [box_around(point, 8, 8) for point in axes.transData.transform(others)] if others else []
    for result in front:
        low, high = interval_of(result)
        obstacles.append(_box_of(axes, (_price(result, cost), error_of(low)), (_price(result, cost), error_of(high))))
    points = [_point(result, cost) for result in front]
    for (price, error), (next_price, next_error) in pairwise(sorted(points)):
        obstacles.append(_box_of(axes, (price, error), (next_price, error)))
        obstacles.append(_box_of(axes, (next_price, error), (next_price, next_error)))
    names = ["-".join(map(str, result.hidden)) or "none" for result in front]
    label_points(axes, points, names, size=SMALL_SIZE, obstacles=obstacles)


def _box_of(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> Bbox:
    """The pixels that a line from `start` to `end` takes, with what it is wide."""
    return Bbox.union([Bbox(axes.transData.transform((start, end)))]).padded(2)
