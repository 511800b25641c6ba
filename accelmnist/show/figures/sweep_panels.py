"""Accuracy by size, and accuracy against what it costs: panels with a line or dots for each activation, on one scale.

By size there is a panel for each output and depth, and only networks whose layers all have one width have a place. By
cost there is a panel for the parameters and one for the time of a training, each with the Pareto front: on it lie the
networks of which no other one is both more accurate and cheaper. Their names stand beside them if there is room, with
their 95 % intervals; all others are dots.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from accelmnist.show.figures.labels import box_around, label_points
from accelmnist.show.figures.scales import scale_accuracy, scale_at, scale_by_decades
from accelmnist.show.figures.sheet import MARGIN, FigureSheet, Points, text_width
from accelmnist.show.figures.style import SMALL_SIZE, SOFT_INK, Mark, figure_style
from accelmnist.show.figures.sweep_groups import best_text, drawn, error_interval, error_of_mean, series_of, setting
from accelmnist.show.units import plural
from accelmnist.sweep.record import CandidateResult, Cost, SweepRecord

_LEGEND_LINE = 28
_LEGEND_MARGIN = 16  # below it
_HANDLE = 60  # pixels before and after a name: the piece of its line, and the gap to the next
_ABOVE = 42  # a panel: its title
_LEFT = MARGIN + 76  # room for the accuracies

_SIZE_WIDTH, _SIZE_HEIGHT = 350, 300
_ACROSS, _DOWN = 30, 74  # between panels: their titles and numbers
_LEAST_WIDTH = 760
_SIZE_NOTE = (
    "Bars: 95 % intervals of the mean, where they are longer than the mark. The scale is logarithmic in the mistakes: "
    "the same step up takes away the same share of them."
)

_COST_WIDTH, _COST_HEIGHT, _BELOW = 820, 460, 92
_COSTS: dict[Cost, tuple[str, str]] = {
    "parameters": ("Accuracy and size", "parameters"),
    "time": ("Accuracy and time", "seconds of one training"),
}
_COST_NOTE = (
    "Line: the Pareto front; no other network is both more accurate and cheaper than one of its own. They are named as "
    "far as there is room, and have their 95 % intervals."
)


def _legend_columns(marks: Mapping[str, Mark], width: int) -> int:
    room = (width - 2 * MARGIN) // (max(map(text_width, marks)) + _HANDLE)
    return min(len(marks), max(1, int(room)))


def _legend_height(marks: Mapping[str, Mark], width: int) -> int:
    return _LEGEND_LINE * math.ceil(len(marks) / _legend_columns(marks, width)) + _LEGEND_MARGIN


def _draw_legend(sheet: FigureSheet, marks: Mapping[str, Mark]) -> None:
    """The series below the heading, each with a piece of its line, in as many rows as it takes."""
    sheet.figure.legend(
        handles=[Line2D([], [], label=name, **mark.style) for name, mark in marks.items()],
        loc="upper left",
        bbox_to_anchor=(MARGIN / sheet.width, 1 - (sheet.top + _LEGEND_MARGIN / 2) / sheet.height),
        ncols=_legend_columns(marks, sheet.width),
        borderaxespad=0,
        borderpad=0.2,
        handlelength=1.6,
        handletextpad=0.5,
        columnspacing=1.6,
    )


def sizes_figure(record: SweepRecord) -> Figure | None:
    """Accuracy by width of the layers; None if no two widths were compared."""
    results = [result for result in drawn(record) if len(set(result.hidden)) == 1]
    widths = sorted({result.hidden[0] for result in results})
    if len(widths) < 2:
        return None
    outputs = [output for output in record.config.outputs if any(result.output == output for result in results)]
    depths = sorted({len(result.hidden) for result in results})
    _, marks = series_of(record)
    width = max(_LEFT + len(outputs) * (_SIZE_WIDTH + _ACROSS) + MARGIN - _ACROSS, _LEAST_WIDTH)
    legend, row_height = _legend_height(marks, width), _ABOVE + _SIZE_HEIGHT + _DOWN
    title, body = f"Accuracy by size: {best_text(record)}", legend + len(depths) * row_height
    ends = [end for result in results for end in error_interval(result)]
    with figure_style():
        sheet = FigureSheet.headed(width, body, title=title, lines=[setting(record)], notes=[_SIZE_NOTE])
        _draw_legend(sheet, marks)
        for row, depth in enumerate(depths):
            for column, output in enumerate(outputs):
                own = [result for result in results if (len(result.hidden), result.output) == (depth, output)]
                if own:
                    left, top = _LEFT + column * (_SIZE_WIDTH + _ACROSS), sheet.top + legend + row * row_height
                    sheet.text(left, top + _ABOVE / 2, f"{plural(depth, 'hidden layer')}, {output}", weight="bold")
                    axes = sheet.add_axes(left=left, top=top + _ABOVE, width=_SIZE_WIDTH, height=_SIZE_HEIGHT)
                    scale_at(axes, widths, pixels=_SIZE_WIDTH)
                    scale_accuracy(axes, "y", ends, pixels=_SIZE_HEIGHT, apart=34)
                    axes.tick_params(axis="y", labelleft=column == 0)
                    axes.set_xlabel("units in each layer" if row == len(depths) - 1 else "")
                    _draw_lines(axes, record, own)
    return sheet.figure


def _draw_lines(axes: Axes, record: SweepRecord, results: Sequence[CandidateResult]) -> None:
    name, marks = series_of(record)
    for series, mark in marks.items():
        own = sorted((result for result in results if name(result) == series), key=lambda result: result.hidden[0])
        for result in own:
            bar: dict[str, Any] = {"color": mark.colour, "linewidth": 1.2, "gid": f"interval of {series}"}
            axes.plot([result.hidden[0]] * 2, error_interval(result), **bar)
        if own:
            axes.plot([result.hidden[0] for result in own], [*map(error_of_mean, own)], gid=series, **mark.style)


def fronts_figure(record: SweepRecord) -> Figure | None:
    """A panel for each cost; None with fewer than two candidates."""
    results = drawn(record)
    if len(results) < 2:
        return None
    _, marks = series_of(record)
    width = _LEFT + _COST_WIDTH + MARGIN
    legend, height = _legend_height(marks, width), _ABOVE + _COST_HEIGHT + _BELOW
    body = legend + len(_COSTS) * height
    with figure_style():
        sheet = FigureSheet.headed(width, body, title=_title(results), lines=[setting(record)], notes=[_COST_NOTE])
        _draw_legend(sheet, marks)
        for index, cost in enumerate(_COSTS):
            _draw_costs(sheet, record, results, cost, sheet.top + legend + index * height)
    return sheet.figure


def _title(results: Sequence[CandidateResult]) -> str:
    """What the smallest network gives up that may be as good as the best."""
    best = results[0]
    level = [result for result in results if result.standing and result.standing.verdict == "within noise"]
    smallest = min([best, *level], key=lambda result: result.parameters)
    if smallest is best:
        return "Accuracy against size and time"
    share = f"{100 * smallest.parameters / best.parameters:.2g} % of the best one's"
    return f"{smallest.network} with {smallest.parameters:,} parameters, {share}, can't be told from it"


def _draw_costs(
    sheet: FigureSheet, record: SweepRecord, results: Sequence[CandidateResult], cost: Cost, top: int
) -> None:
    title, axis_name = _COSTS[cost]
    front = [result for result in results if cost in result.on_front]
    sheet.text(MARGIN, top + _ABOVE / 2, f"{title}: {plural(len(front), 'network')} on the front", weight="bold")
    axes = sheet.add_axes(left=_LEFT, top=top + _ABOVE, width=_COST_WIDTH, height=_COST_HEIGHT)
    axes.set_xlabel(f"{axis_name}, logarithmic")
    scale_by_decades(axes, "x", [_point(result, cost)[0] for result in results], pixels=_COST_WIDTH)
    ends = [end for result in results for end in error_interval(result)]
    scale_accuracy(axes, "y", ends, pixels=_COST_HEIGHT, apart=40)
    name, marks = series_of(record)
    for series, mark in marks.items():
        own = [_point(result, cost) for result in results if name(result) == series]
        small = {**mark.style, "linestyle": "none", "markersize": 3.6, "markeredgewidth": 0.0, "alpha": 0.45}
        if own:
            axes.plot(*zip(*own, strict=True), gid=f"{series} by {cost}", **small)
    # A stair: up to the price of the next network, this one's accuracy is the best to be had.
    stair = sorted(_point(result, cost) for result in front)
    steps: dict[str, Any] = {"color": SOFT_INK, "linewidth": 1.1, "zorder": 1.5, "gid": f"front by {cost}"}
    axes.step(*zip(*stair, strict=True), where="post", **steps)
    for result in front:
        mark, (price, error) = marks[name(result)], _point(result, cost)
        axes.plot([price, price], error_interval(result), color=mark.colour, linewidth=1.2)
        axes.plot(price, error, **{**mark.style, "markersize": 6.0})
    _name_front(axes, results, front, cost, stair)


def _point(result: CandidateResult, cost: Cost) -> tuple[float, float]:
    """What the network costs, and its error."""
    price = float(result.parameters) if cost == "parameters" else max(result.train_s or 0.0, 1e-6)
    return price, error_of_mean(result)


def _name_front(
    axes: Axes, results: Sequence[CandidateResult], front: Sequence[CandidateResult], cost: Cost, stair: Points
) -> None:
    """The hidden layers of each, over no dot, interval or step; the most accurate have the first choice."""
    others = [_point(result, cost) for result in results if result not in front]
    lines: list[Points] = [[(_point(result, cost)[0], end) for end in error_interval(result)] for result in front]
    for (price, error), (next_price, next_error) in pairwise(stair):
        lines += [[(price, error), (next_price, error)], [(next_price, error), (next_price, next_error)]]
    obstacles = [box_around(point, 8, 8) for point in axes.transData.transform(others)] if others else []
    obstacles += [Bbox.union([Bbox(axes.transData.transform(line))]).padded(2) for line in lines]
    names = ["-".join(map(str, result.hidden)) or "none" for result in front]
    label_points(axes, [_point(result, cost) for result in front], names, size=SMALL_SIZE, obstacles=obstacles)
