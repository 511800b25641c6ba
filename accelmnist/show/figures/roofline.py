"""The roofline: how much arithmetic each case gets done a second, beneath what the hardware allows.

Arithmetic intensity is the counted operations of a step over its counted bytes. Below the ridge a roof is slanted,
memory bandwidth times intensity; above it is flat, the rate of a large matrix product (Williams, Waterman and
Patterson, "Roofline: an insightful visual performance model for multicore architectures", Communications of the ACM 52,
2009). If what a step touches fits into the cache, a second slanted roof says how fast that is. If the products of a
step alone were measured, a short tick says how high its point would lie if nothing else took time.

Both axes are logarithmic. Points are numbered, and named in the list below the chart, as the roofs are: names beside
forty points would cover each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accelmnist.measure.limit_keys import Limit, LimitKind
from accelmnist.measure.limits.bound import ABOVE
from accelmnist.measure.plan import MODES
from accelmnist.measure.record import BenchRecord, CaseResult
from accelmnist.show.figures.cases import by_speed, columns, foremost, measured, setting, varying
from accelmnist.show.figures.chart import box_around, label_points, scale_by_decades
from accelmnist.show.figures.sheet import DPI, MARGIN, WRONG, FigureSheet, Mark, figure_style, series_mark
from accelmnist.show.figures.table import TableColumn, draw_table, table_width
from accelmnist.show.units import UNKNOWN, percent, plural, prefixed, significant

_NOTABLE = 1.1  # a working set's rate over that of memory, from which on it has a roof of its own
_LEAST_WIDTH = 1000
_HEIGHT = 560
_LEFT = MARGIN + 76  # room for the numbers of the vertical axis
_ABOVE = 40  # what the vertical axis is of
_BELOW = 92  # the numbers of the horizontal axis, and what they are
_KEY = 48  # the mark, or the piece of a line, at the head of a row
_ROW = 30
_BETWEEN = 24
_LEAST_RANGE = 50.0  # of an axis, largest over smallest
_TICK = 11.0  # points of the width of a tick
_DASHES = (0, (5, 2))
_EXPLAINED = (
    "Each point is a case: the higher, the more arithmetic it gets done a second. No program that does all the counted "
    "work can rise above its roof: memory sets the slanted part, arithmetic the flat one. Short ticks: how "
    "high a case would lie if only its matrix products took time."
)


@dataclass(frozen=True)
class Roof:
    """What a device allows at a precision: flop/s, and bytes/s from memory and from the cache, if known."""

    matmul: Limit
    flops_per_s: float
    memory: float | None
    working_set: float | None
    mark: Mark

    def at(self, intensity: float) -> float:
        """The flop/s that memory and arithmetic allow."""
        return self.flops_per_s if self.memory is None else min(self.flops_per_s, self.memory * intensity)


@dataclass(frozen=True)
class Point:
    """A case beneath its roof; `products_alone` is the flop/s it would reach if only its matrix products took time."""

    result: CaseResult
    roof: Roof
    intensity: float
    flops_per_s: float
    products_alone: float | None

    @property
    def mark(self) -> Mark:
        """That of its roof, or grey."""
        return WRONG if self.result.is_wrong else self.roof.mark

    @property
    def share(self) -> float:
        """How much it reaches of its limit: the record's own bound, or else the roof."""
        bound = self.result.bound
        return bound.share if bound else self.flops_per_s / self.roof.at(self.intensity)

    @property
    def is_above(self) -> bool:
        """Whether it lies above its limit by more than rates move from round to round."""
        return self.share > ABOVE


def _roofs(record: BenchRecord) -> list[Roof]:
    """A roof for each precision and number of threads, by its fastest matrix product, in the order of the record."""
    fastest: dict[Any, tuple[float, Limit]] = {}
    for limit in record.limits:
        if limit.kind == "matmul" and limit.rate:
            way, rate = (limit.device, limit.precision, limit.threads), limit.rate.median
            fastest[way] = max(fastest.get(way, (rate, limit)), (rate, limit), key=itemgetter(0))
    roofs: list[Roof] = []
    for rate, limit in fastest.values():
        memory, cache = _highest(record, "memory", limit), _highest(record, "working set", limit)
        working_set = cache if cache and (memory is None or cache > _NOTABLE * memory) else None
        roofs.append(Roof(limit, rate, memory, working_set, series_mark(len(roofs))))
    return roofs


def _highest(record: BenchRecord, kind: LimitKind, roof: Limit) -> float | None:
    """The highest rate of this kind on the roof's device, with as many threads if that was measured."""
    own = [limit for limit in record.limits if limit.kind == kind and limit.device == roof.device]
    same = [limit for limit in own if limit.threads == roof.threads]
    return max((limit.rate.median for limit in same or own if limit.rate), default=None)


def _points(results: Sequence[CaseResult], roofs: Sequence[Roof]) -> list[Point]:
    """The cases of which both the work and a roof are known, in order of mode and speed."""
    points = []
    for result in sorted(by_speed(results), key=lambda result: MODES.index(result.mode)):
        cost, step_s, way = result.cost, result.step_s, (result.device, result.precision)
        own = [roof for roof in roofs if (roof.matmul.device, roof.matmul.precision) == way]
        if own and cost is not None and step_s is not None and cost.flops and cost.bytes:
            roof = min(own, key=lambda roof: roof.matmul.threads != result.threads)
            alone_s = result.bound.workload_s if result.bound else None
            alone = cost.flops / alone_s if alone_s else None
            points.append(Point(result, roof, cost.flops / cost.bytes, cost.flops / step_s, alone))
    return points


def roofline_figure(record: BenchRecord) -> Figure | None:
    """The roofs and the cases; None if no case has counted work and a measured limit."""
    everything = _roofs(record)
    known = [point.result for point in _points(measured(record), everything)]
    points = _points(foremost(known), everything)
    if not points:
        return None
    roofs = [roof for roof in everything if any(point.roof is roof for point in points)]
    results = [point.result for point in points]
    roof_columns, point_columns = _roof_columns(roofs), _point_columns(points)
    width = max(_LEAST_WIDTH, *(2 * MARGIN + _KEY + table_width(table) for table in (roof_columns, point_columns)))
    lines = [_EXPLAINED, _remark(points, len(known)), *setting(record, results, but=varying(results))]
    body = _ABOVE + _HEIGHT + _BELOW + _ROW * (len(roofs) + 1) + _BETWEEN + _ROW * (len(points) + 1)
    with figure_style():
        sheet = FigureSheet.headed(width, body, title=_title(points), lines=lines)
        top, chart_width = sheet.top + _ABOVE, width - _LEFT - MARGIN
        sheet.text(MARGIN, top - _ABOVE / 2 - 4, "Arithmetic done, flop/s", weight="bold")
        axes = sheet.add_axes(left=_LEFT, top=top, width=chart_width, height=_HEIGHT)
        _draw_chart(axes, points, roofs, chart_width)
        middles = _draw_list(sheet, roof_columns, top + _HEIGHT + _BELOW)
        for roof, middle in zip(roofs, middles, strict=True):
            sheet.line([(MARGIN, middle), (MARGIN + 32, middle)], color=roof.mark.colour)
        middles = _draw_list(sheet, point_columns, middles[-1] + _ROW / 2 + _BETWEEN)
        for point, middle in zip(points, middles, strict=True):
            sheet.line([(MARGIN + 16, middle)], linestyle="none", **point.mark.style)
    return sheet.figure


def _remark(points: Sequence[Point], known: int) -> str:
    """What a reader must know of the points above a roof, and of those of all `known` that aren't there."""
    above = sum(point.is_above and not point.result.is_wrong for point in points)
    lie = f"{plural(above, 'case')} {'lies' if above == 1 else 'lie'} above"
    remarks = [f"{lie}: not all the work or traffic that is counted is done there."] if above else []
    if len(points) < known:
        remarks.append(f"Shown are {len(points)} of {known} cases: the fastest of each mode.")
    return " ".join(remarks)


def _title(points: Sequence[Point]) -> str:
    """How near to its limit a case of each mode gets; not which one, since several may be level."""
    shares: list[str] = []
    for mode in MODES:
        own = [point for point in points if point.result.mode == mode and not point.result.is_wrong]
        best = max((point.share for point in own if not point.is_above), default=None)
        if best is not None:
            shares.append(f"{percent(best, digits=0)}{'' if shares else ' of the limit'} in {mode}")
    return f"Up to {', '.join(shares)}" if shares else f"Roofline of {plural(len(points), 'case')}"


def _numbers(cells: Mapping[str, Sequence[str]]) -> list[TableColumn]:
    return [TableColumn(heading, own, ha="right") for heading, own in cells.items()]


def _roof_columns(roofs: Sequence[Roof]) -> list[TableColumn]:
    names = [f"{roof.matmul.device} {roof.matmul.precision}{_instead(roof.matmul)}" for roof in roofs]
    if len(set(names)) < len(names):
        threads = [roof.matmul.threads for roof in roofs]
        names = [name + (f" {plural(n, 'thread')}" if n else "") for name, n in zip(names, threads, strict=True)]
    cells = {
        "arithmetic": [prefixed(roof.flops_per_s, "FLOP/s") for roof in roofs],
        "memory": [prefixed(roof.memory, "B/s") for roof in roofs],
    }
    if any(roof.working_set for roof in roofs):
        cells["from the cache, dashed"] = [prefixed(roof.working_set, "B/s") for roof in roofs]
    return [TableColumn("roof", names), *_numbers(cells)]


def _instead(matmul: Limit) -> str:
    """What its precision is computed in, where the device has no instructions for it."""
    return "" if matmul.computed_in is None else f", in {matmul.computed_in}"


def _point_columns(points: Sequence[Point]) -> list[TableColumn]:
    results = [point.result for point in points]
    modes = [result.mode for result in results]
    figures = {
        "flop/byte": [significant(point.intensity) for point in points],
        "done": [prefixed(point.flops_per_s, "FLOP/s") for point in points],
        "of limit": [percent(point.share, digits=0 if point.share >= 0.1 else 1) for point in points],
    }
    bounds = ["wrong" if r.is_wrong else UNKNOWN if r.bound is None else r.bound.kind for r in results]
    return [
        *_numbers({"": [str(number) for number in range(1, len(points) + 1)]}),
        *([TableColumn("mode", modes)] if len(set(modes)) > 1 else []),
        *columns(results, varying(results)),
        *_numbers(figures),
        TableColumn("bound", bounds),
    ]


def _draw_list(sheet: FigureSheet, table: Sequence[TableColumn], top: float) -> list[float]:
    """Draw the table with room for a mark at the head of each row; returns the middles of its rows."""
    middles = [top + _ROW * (row + 1.5) for row in range(len(table[0].cells))]
    draw_table(sheet, table, middles, left=MARGIN + _KEY, heading=top + _ROW / 2)
    return middles


def _draw_chart(axes: Axes, points: Sequence[Point], roofs: Sequence[Roof], width: int) -> None:
    ridges = [roof.flops_per_s / rate for roof in roofs for rate in (roof.memory, roof.working_set) if rate]
    intensities = [*(point.intensity for point in points), *ridges]
    scale_by_decades(axes, "x", intensities, pixels=width, least=_LEAST_RANGE)
    axes.set_xlabel("arithmetic intensity, flop a byte moved")
    lowest = min(point.intensity for point in points)
    rates = [point.flops_per_s for point in points] + [point.products_alone for point in points if point.products_alone]
    rates += [rate for roof in roofs for rate in (roof.flops_per_s, roof.at(lowest))]
    scale_by_decades(axes, "y", rates, pixels=_HEIGHT, least=_LEAST_RANGE)
    axes.grid(visible=True, axis="both")
    for roof in roofs:
        _draw_roof(axes, roof)
    ticks = {(point.intensity, point.products_alone): point.roof.mark for point in points if point.products_alone}
    style: dict[str, Any] = {"marker": "_", "markersize": _TICK, "markeredgewidth": 1.4, "gid": "products alone"}
    for (intensity, rate), mark in ticks.items():
        axes.plot(intensity, rate, color=mark.colour, **style)
    places = [(point.intensity, point.flops_per_s) for point in points]
    for number, (point, place) in enumerate(zip(points, places, strict=True), start=1):
        axes.plot(*place, gid=f"point {number}", zorder=3, **point.mark.style)
    # The number of each point stands over no point and no tick.
    pixels = axes.transData.transform([*ticks]) if ticks else ()
    obstacles = [box_around(tick, _TICK * DPI / 72, 4) for tick in pixels]
    label_points(axes, places, [str(number) for number in range(1, len(points) + 1)], obstacles=obstacles)


def _draw_roof(axes: Axes, roof: Roof) -> None:
    """From edge to edge; the dashed one ends where the other has the same height."""
    first, last = axes.get_xlim()
    ridge = max(first, roof.flops_per_s / roof.memory) if roof.memory else first
    heights = [roof.at(intensity) for intensity in (first, ridge, last)]
    axes.plot([first, ridge, last], heights, color=roof.mark.colour, gid=f"roof {roof.matmul.key}")
    if roof.working_set:
        corner = roof.flops_per_s / roof.working_set
        heights = [roof.working_set * first, roof.flops_per_s, roof.flops_per_s]
        style: dict[str, Any] = {"linestyle": _DASHES, "linewidth": 1.2, "gid": f"cache {roof.matmul.key}"}
        axes.plot([first, corner, max(corner, ridge)], heights, color=roof.mark.colour, **style)
    axes.set_xlim(first, last)
