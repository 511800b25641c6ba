"""The figures of a sweep: accuracy by activation and output, by size, and against what it costs.

By group there is a row for each combination, ordered by its best network; all networks of a row are dots, so that a
combination which is good only in some sizes shows its tail. By size there is a panel for each output and depth, and
only networks whose layers all have one width have a place. By cost there is a panel for the parameters and one for the
time of a training, each with the Pareto front: on it lie the networks of which no other one is both more accurate and
cheaper. Their names stand beside them if there is room, with their 95 % intervals; all others are dots.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from accelmnist.show.figures.chart import box_around, error_of, label_points, scale_accuracy, scale_at, scale_by_decades
from accelmnist.show.figures.sheet import (
    MARGIN,
    SMALL_SIZE,
    SOFT_INK,
    FigureSheet,
    Mark,
    Points,
    figure_style,
    series_mark,
    text_width,
)
from accelmnist.show.figures.table import CHART, RowBlock, TableColumn, draw_estimate, draw_rows
from accelmnist.show.units import percent, plural
from accelmnist.sweep.record import CandidateResult, Cost, SweepRecord, label_of

_PARTS = ("activation", "output", "optimizer")  # of a group
_TICK_GAP = 74
_GROUPS_NOTE = (
    "Dots: every network of the row; large mark: the best of them, with its 95 % interval. The scale is logarithmic in "
    "the mistakes."
)

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


# --- what the three share: the networks that are drawn, their colours, and what is said of them


@dataclass(frozen=True)
class _Network:
    """A candidate that is drawn: its series, its mean accuracy and error, and the 95 % interval of the error."""

    result: CandidateResult
    series: str
    accuracy: float
    interval: tuple[float, float]

    @property
    def error(self) -> float:
        """What is drawn of the mean validation accuracy."""
        return error_of(self.accuracy)


def _networks(record: SweepRecord) -> tuple[list[_Network], dict[str, Mark]]:
    """The candidates with an accuracy, the most accurate first; of several learning rates the best alone.

    With them comes the mark of each series, in the order in which people think of activations, so that each keeps its
    colour. An interval that isn't known is the mean twice.
    """
    has_several = len({result.optimizer for result in record.candidates}) > 1

    def name(result: CandidateResult) -> str:
        return f"{result.activation}, {result.optimizer}" if has_several else result.activation

    order = {"relu": 0, "tanh": 1, "sigmoid": 2}
    names = sorted(set(map(name, record.candidates)), key=lambda each: (order.get(each.split(",")[0], 3), each))
    seen = dict[tuple[object, ...], _Network]()
    for result in record.ranked:
        accuracy = result.accuracy
        assert accuracy is not None
        ends = (accuracy.mean, accuracy.mean)
        if accuracy.low is not None and accuracy.high is not None:
            ends = (accuracy.high, accuracy.low)
        network = _Network(result, name(result), accuracy.mean, (error_of(ends[0]), error_of(ends[1])))
        seen.setdefault((result.hidden, result.activation, result.output, result.optimizer), network)
    return list(seen.values()), {each: series_mark(index) for index, each in enumerate(names)}


def _setting(record: SweepRecord) -> str:
    """What was trained, how often, and what judged it."""
    training, data = record.config.training, record.data
    images = f"{data.validation_images:,} images of {data.dataset} held out" if data else "images held out"
    seeds = plural(record.config.seeds, "seed")
    tuned = ", learning rate tuned for each" if record.config.tune_rates else ""
    return f"Mean accuracy over {seeds} on {images}; {training.epochs} epochs, batches of {training.batch_size}{tuned}."


def _best_text(record: SweepRecord, networks: Sequence[_Network]) -> str:
    """The first of the ranks in words."""
    return f"the best is {label_of(networks[0].result, record)} with {percent(networks[0].accuracy)}"


# --- by group


def groups_figure(record: SweepRecord) -> Figure | None:
    """Accuracy by activation, output and optimizer; None if there is only one combination of them."""
    networks, marks = _networks(record)
    groups: dict[tuple[str, ...], list[_Network]] = {}  # each, and all of them, the most accurate first
    for network in networks:
        groups.setdefault(tuple(getattr(network.result, part) for part in _PARTS), []).append(network)
    if len(groups) < 2:
        return None
    best = [group[0] for group in groups.values()]
    varying = [part for part in _PARTS if len({getattr(result, part) for result in record.candidates}) > 1]
    block = RowBlock(
        title="Validation accuracy",
        before=tuple(TableColumn(part, [getattr(network.result, part) for network in best]) for part in varying),
        after=(
            TableColumn("best network", [network.result.network for network in best]),
            TableColumn("accuracy", [percent(network.accuracy) for network in best], ha="right"),
            TableColumn("behind", [*map(_behind, best)], bold=frozenset({0})),
        ),
    )
    title = f"Accuracy by {' and '.join(varying)}: {_best_text(record, networks)}"
    with figure_style():
        figure, (axes,) = draw_rows([block], title=title, lines=[_setting(record)], notes=[_GROUPS_NOTE])
        errors = [network.error for network in networks]
        ends = [end for network in best for end in network.interval]
        scale_accuracy(axes, "x", [*errors, *ends], pixels=CHART, apart=_TICK_GAP)
        axes.set_xlabel("validation accuracy")
        for first, group, middle in zip(best, groups.values(), block.middles, strict=True):
            draw_estimate(
                axes,
                middle,
                mark=marks[first.series],
                samples=[network.error for network in group],
                interval=first.interval,
                centre=first.error,
                name=f"{first.result.activation} {first.result.output}",
            )
    return figure


def _behind(network: _Network) -> str:
    """Points behind the best, or that this may be chance."""
    standing = network.result.standing
    if standing is None or standing.verdict == "best":
        return standing.verdict if standing else ""
    return f"{100 * standing.gap:.2f}{', may be noise' if standing.verdict == 'within noise' else ''}"


# --- by size, and by cost


def _legend_rows(marks: Mapping[str, Mark], width: int) -> tuple[int, int]:
    """The columns that a legend has room for in `width` pixels, and the pixels of its height."""
    room = (width - 2 * MARGIN) // (max(map(text_width, marks)) + _HANDLE)
    columns = min(len(marks), max(1, int(room)))
    return columns, _LEGEND_LINE * math.ceil(len(marks) / columns) + _LEGEND_MARGIN


def _draw_legend(sheet: FigureSheet, marks: Mapping[str, Mark]) -> None:
    """The series below the heading, each with a piece of its line, in as many rows as it takes."""
    sheet.figure.legend(
        handles=[Line2D([], [], label=name, **mark.style) for name, mark in marks.items()],
        loc="upper left",
        bbox_to_anchor=(MARGIN / sheet.width, 1 - (sheet.top + _LEGEND_MARGIN / 2) / sheet.height),
        ncols=_legend_rows(marks, sheet.width)[0],
        borderaxespad=0,
        borderpad=0.2,
        handlelength=1.6,
        handletextpad=0.5,
        columnspacing=1.6,
    )


def sizes_figure(record: SweepRecord) -> Figure | None:
    """Accuracy by width of the layers; None if no two widths were compared."""
    everything, marks = _networks(record)
    networks = [network for network in everything if len(set(network.result.hidden)) == 1]
    widths = sorted({network.result.hidden[0] for network in networks})
    if len(widths) < 2:
        return None
    outputs = [output for output in record.config.outputs if any(one.result.output == output for one in networks)]
    depths = sorted({len(network.result.hidden) for network in networks})
    width = max(_LEFT + len(outputs) * (_SIZE_WIDTH + _ACROSS) + MARGIN - _ACROSS, _LEAST_WIDTH)
    (_, legend), row_height = _legend_rows(marks, width), _ABOVE + _SIZE_HEIGHT + _DOWN
    title, body = f"Accuracy by size: {_best_text(record, everything)}", legend + len(depths) * row_height
    ends = [end for network in networks for end in network.interval]
    with figure_style():
        sheet = FigureSheet.headed(width, body, title=title, lines=[_setting(record)], notes=[_SIZE_NOTE])
        _draw_legend(sheet, marks)
        for (row, depth), (column, output) in product(enumerate(depths), enumerate(outputs)):
            own = [one for one in networks if (len(one.result.hidden), one.result.output) == (depth, output)]
            if own:
                left, top = _LEFT + column * (_SIZE_WIDTH + _ACROSS), sheet.top + legend + row * row_height
                sheet.text(left, top + _ABOVE / 2, f"{plural(depth, 'hidden layer')}, {output}", weight="bold")
                axes = sheet.add_axes(left=left, top=top + _ABOVE, width=_SIZE_WIDTH, height=_SIZE_HEIGHT)
                scale_at(axes, widths, pixels=_SIZE_WIDTH)
                scale_accuracy(axes, "y", ends, pixels=_SIZE_HEIGHT, apart=34)
                axes.tick_params(axis="y", labelleft=column == 0)
                axes.set_xlabel("units in each layer" if row == len(depths) - 1 else "")
                _draw_lines(axes, own, marks)
    return sheet.figure


def _draw_lines(axes: Axes, networks: Sequence[_Network], marks: Mapping[str, Mark]) -> None:
    for series, mark in marks.items():
        own = sorted((one for one in networks if one.series == series), key=lambda one: one.result.hidden[0])
        widths = [network.result.hidden[0] for network in own]
        for width, network in zip(widths, own, strict=True):
            bar: dict[str, Any] = {"color": mark.colour, "linewidth": 1.2, "gid": f"interval of {series}"}
            axes.plot([width, width], network.interval, **bar)
        if own:
            axes.plot(widths, [network.error for network in own], gid=series, **mark.style)


def fronts_figure(record: SweepRecord) -> Figure | None:
    """A panel for each cost; None with fewer than two candidates."""
    networks, marks = _networks(record)
    if len(networks) < 2:
        return None
    width = _LEFT + _COST_WIDTH + MARGIN
    (_, legend), height = _legend_rows(marks, width), _ABOVE + _COST_HEIGHT + _BELOW
    title, body = _fronts_title([network.result for network in networks]), legend + len(_COSTS) * height
    with figure_style():
        sheet = FigureSheet.headed(width, body, title=title, lines=[_setting(record)], notes=[_COST_NOTE])
        _draw_legend(sheet, marks)
        for index, cost in enumerate(_COSTS):
            _draw_costs(sheet, networks, marks, cost, sheet.top + legend + index * height)
    return sheet.figure


def _fronts_title(results: Sequence[CandidateResult]) -> str:
    """What the smallest network gives up that may be as good as the best."""
    best = results[0]
    level = [result for result in results if result.standing and result.standing.verdict == "within noise"]
    smallest = min([best, *level], key=lambda result: result.parameters)
    if smallest is best:
        return "Accuracy against size and time"
    share = f"{100 * smallest.parameters / best.parameters:.2g} % of the best one's"
    return f"{smallest.network} with {smallest.parameters:,} parameters, {share}, can't be told from it"


def _draw_costs(
    sheet: FigureSheet, networks: Sequence[_Network], marks: Mapping[str, Mark], cost: Cost, top: int
) -> None:
    title, axis_name = _COSTS[cost]
    front = [network for network in networks if cost in network.result.on_front]
    sheet.text(MARGIN, top + _ABOVE / 2, f"{title}: {plural(len(front), 'network')} on the front", weight="bold")
    axes = sheet.add_axes(left=_LEFT, top=top + _ABOVE, width=_COST_WIDTH, height=_COST_HEIGHT)
    axes.set_xlabel(f"{axis_name}, logarithmic")
    scale_by_decades(axes, "x", [_point(network, cost)[0] for network in networks], pixels=_COST_WIDTH)
    ends = [end for network in networks for end in network.interval]
    scale_accuracy(axes, "y", ends, pixels=_COST_HEIGHT, apart=40)
    for series, mark in marks.items():
        own = [_point(network, cost) for network in networks if network.series == series]
        small = {**mark.style, "linestyle": "none", "markersize": 3.6, "markeredgewidth": 0.0, "alpha": 0.45}
        if own:
            axes.plot(*zip(*own, strict=True), gid=f"{series} by {cost}", **small)
    # A stair: up to the price of the next network, this one's accuracy is the best to be had.
    stair = sorted(_point(network, cost) for network in front)
    steps: dict[str, Any] = {"color": SOFT_INK, "linewidth": 1.1, "zorder": 1.5, "gid": f"front by {cost}"}
    axes.step(*zip(*stair, strict=True), where="post", **steps)
    for network in front:
        mark, (price, error) = marks[network.series], _point(network, cost)
        axes.plot([price, price], network.interval, color=mark.colour, linewidth=1.2)
        axes.plot(price, error, **{**mark.style, "markersize": 6.0})
    _name_front(axes, networks, front, cost, stair)


def _point(network: _Network, cost: Cost) -> tuple[float, float]:
    """What the network costs, and its error."""
    result = network.result
    price = float(result.parameters) if cost == "parameters" else max(result.train_s or 0.0, 1e-6)
    return price, network.error


def _name_front(axes: Axes, networks: Sequence[_Network], front: Sequence[_Network], cost: Cost, stair: Points) -> None:
    """The hidden layers of each, over no dot, interval or step; the most accurate have the first choice."""
    others = [_point(network, cost) for network in networks if network not in front]
    lines: list[Points] = [[(_point(network, cost)[0], end) for end in network.interval] for network in front]
    for (price, error), (next_price, next_error) in pairwise(stair):
        lines += [[(price, error), (next_price, error)], [(next_price, error), (next_price, next_error)]]
    obstacles = [box_around(point, 8, 8) for point in axes.transData.transform(others)] if others else []
    obstacles += [Bbox.union([Bbox(axes.transData.transform(line))]).padded(2) for line in lines]
    names = ["-".join(map(str, network.result.hidden)) or "none" for network in front]
    label_points(axes, [_point(network, cost) for network in front], names, size=SMALL_SIZE, obstacles=obstacles)
