"""Accuracy against what it costs: parameters, and the time of a training; with the Pareto front of each.

On the front lie the networks of which no other one is both more accurate and cheaper. Their names stand beside them
where there is room, with their 95 % intervals; all others are dots.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accelmnist.show.figures.accuracy_axis import error_of, scale_accuracy
from accelmnist.show.figures.layout import LINE, Heading, draw_lines, text_width, wrap
from accelmnist.show.figures.placing import Box, place_around
from accelmnist.show.figures.scales import scale_by_decades
from accelmnist.show.figures.style import INK, MARGIN, SMALL_SIZE, SOFT_INK, Sheet, add_axes, figure_style
from accelmnist.show.figures.sweep_parts import draw_key, drawn, interval_of, key_width, mean_of, series_of, setting
from accelmnist.show.units import plural
from accelmnist.sweep.record import CandidateResult, Cost, SweepRecord

_WIDTH, _HEIGHT = 820, 460
_LEFT = MARGIN + 76
_KEY = 44
_ABOVE, _BELOW = 44, 92
_TICK_GAP = 40
_CLEAR = 9  # pixels around a mark that no name touches
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
    width = math.ceil(max(_LEFT + _WIDTH + MARGIN, key_width(list(marks))))
    with figure_style():
        heading = Heading.fit(_title(results), [setting(record)], width)
        notes = wrap(_NOTE, width - 2 * MARGIN).split("\n")
        tops = [heading.height + _KEY + place * (_ABOVE + _HEIGHT + _BELOW) for place in range(3)]
        sheet = Sheet(width, tops[-1] + LINE * len(notes) + MARGIN)
        heading.draw(sheet)
        draw_key(sheet, marks, left=MARGIN, top=heading.height + _KEY / 2)
        draw_lines(sheet, notes, left=MARGIN, top=tops[-1])
        for cost, top in zip(_COSTS, tops[:2], strict=True):
            _draw_panel(sheet, record, results, cost, top)
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


def _draw_panel(sheet: Sheet, record: SweepRecord, results: Sequence[CandidateResult], cost: Cost, top: int) -> None:
    title, axis_name = _COSTS[cost]
    front = [result for result in results if cost in result.on_front]
    sheet.text(MARGIN, top + _ABOVE / 2, f"{title}: {plural(len(front), 'network')} on the front", weight="bold")
    axes = add_axes(sheet.figure, left=_LEFT, top=top + _ABOVE, width=_WIDTH, height=_HEIGHT)
    axes.set_xlabel(f"{axis_name}, logarithmic")
    prices = [_price(result, cost) for result in results]
    scale_by_decades(axes, "x", min(prices), max(prices), pixels=_WIDTH)
    seen = [end for result in results for end in interval_of(result)]
    scale_accuracy(axes, "y", seen, pixels=_HEIGHT, apart=_TICK_GAP)
    _draw_points(axes, record, results, cost)
    _draw_front(axes, record, front, cost)
    _name_front(sheet, axes, results, front, cost, top + _ABOVE)


def _price(result: CandidateResult, cost: Cost) -> float:
    return float(result.parameters) if cost == "parameters" else max(result.train_s or 0.0, 1e-6)


def _place(result: CandidateResult, cost: Cost) -> tuple[float, float]:
    return _price(result, cost), error_of(mean_of(result))


def _draw_points(axes: Axes, record: SweepRecord, results: Sequence[CandidateResult], cost: Cost) -> None:
    name, marks = series_of(record)
    for series, mark in marks.items():
        own = [_place(result, cost) for result in results if name(result) == series]
        if own:
            across, down = zip(*own, strict=True)
            axes.plot(across, down, linestyle="none", alpha=0.45, gid=f"{series} by {cost}", **_small(mark.style))


def _small(style: dict[str, Any]) -> dict[str, Any]:
    return {**style, "markersize": 3.6, "markeredgewidth": 0.0}


def _draw_front(axes: Axes, record: SweepRecord, front: Sequence[CandidateResult], cost: Cost) -> None:
    """A stair: up to the price of the next network, this one's accuracy is the best to be had."""
    name, marks = series_of(record)
    ordered = sorted(front, key=lambda result: _price(result, cost))
    across, down = zip(*(_place(result, cost) for result in ordered), strict=True)
    axes.step(across, down, where="post", color=SOFT_INK, linewidth=1.1, zorder=1.5, gid=f"front by {cost}")
    for result in ordered:
        mark, (price, _) = marks[name(result)], _place(result, cost)
        ends = [error_of(end) for end in interval_of(result)]
        axes.plot([price, price], ends, color=mark.colour, linewidth=1.2)
        axes.plot(*_place(result, cost), **{**mark.style, "markersize": 6.0})


def _name_front(
    sheet: Sheet,
    axes: Axes,
    results: Sequence[CandidateResult],
    front: Sequence[CandidateResult],
    cost: Cost,
    top: int,
) -> None:
    """The hidden layers of each, beside its mark where that is free; the most accurate have the first choice."""
    whole = Box(_LEFT, top, _LEFT + _WIDTH, top + _HEIGHT)
    points = _pixels(sheet, axes, [_place(result, cost) for result in front])
    others = _pixels(sheet, axes, [_place(result, cost) for result in results if result not in front])
    names = ["-".join(map(str, result.hidden)) or "none" for result in front]
    sizes = [(text_width(name, size=SMALL_SIZE) + 6, 20.0) for name in names]
    obstacles = [*(Box.around(*place, 8, 8) for place in others), *_bars(sheet, axes, front, cost), *_stairs(points)]
    boxes = place_around(points, sizes, within=whole, clear=_CLEAR, obstacles=obstacles)
    for name, box, point in zip(names, boxes, points, strict=True):
        if box.middle != point:  # else there was no room
            sheet.text(*box.middle, name, across="center", size=SMALL_SIZE, color=INK)


def _bars(sheet: Sheet, axes: Axes, front: Sequence[CandidateResult], cost: Cost) -> list[Box]:
    """The intervals that are drawn, as what no name may cover."""
    boxes = []
    for result in front:
        ends = [(_price(result, cost), error_of(end)) for end in interval_of(result)]
        (across, low), (_, high) = _pixels(sheet, axes, ends)
        boxes.append(Box(across - 3, min(low, high), across + 3, max(low, high)))
    return boxes


def _stairs(points: Sequence[tuple[float, float]]) -> list[Box]:
    """The steps of the line through `points`."""
    boxes = []
    for (across, down), (next_across, next_down) in pairwise(sorted(points)):
        boxes.append(Box(across, down - 2, next_across, down + 2))
        boxes.append(Box(next_across - 2, min(down, next_down), next_across + 2, max(down, next_down)))
    return boxes


def _pixels(sheet: Sheet, axes: Axes, places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Places in the axes as pixels from the top left of the sheet."""
    if not places:
        return []
    return [(float(across), sheet.height - float(down)) for across, down in axes.transData.transform(places)]
