"""The roofline: how much arithmetic each case gets done a second, beneath what the hardware allows.

Both axes are logarithmic. Points are numbered, and named in the list below the chart, as the roofs are: names beside
forty points would cover each other. Short ticks are the step's own matrix products alone, at their shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accelmnist.measure.plan import MODES
from accelmnist.measure.record import BenchRecord
from accelmnist.show.figures.cases import columns, foremost, measured, setting, varying
from accelmnist.show.figures.labels import box_around, label_points
from accelmnist.show.figures.roofs import Point, Roof, points_of, roofs_of
from accelmnist.show.figures.scales import scale_by_decades
from accelmnist.show.figures.sheet import MARGIN, FigureSheet
from accelmnist.show.figures.style import DPI, Mark, figure_style
from accelmnist.show.figures.table import TableColumn, draw_table, table_width
from accelmnist.show.units import UNKNOWN, percent, plural, prefixed, significant

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


@dataclass(frozen=True, kw_only=True)
class _MarkedTable:
    """Rows below the chart, each with the marks of a roof or a point at its head."""

    columns: tuple[TableColumn, ...]
    marks: tuple[Mark, ...]
    is_line: bool

    @property
    def width(self) -> int:
        return _KEY + table_width(self.columns)

    @property
    def height(self) -> int:
        return _ROW * (len(self.marks) + 1)


def roofline_figure(record: BenchRecord) -> Figure | None:
    """The roofs and the cases; None where no case has counted work and a measured limit."""
    roofs = roofs_of(record)
    known = [point.result for point in points_of(measured(record), roofs)]
    points = points_of(foremost(known), roofs)
    if not points:
        return None
    used = [roof for roof in roofs if any(point.roof is roof for point in points)]
    with figure_style():
        return _draw(record, points, used, left_out=len(known) - len(points))


def _draw(record: BenchRecord, points: Sequence[Point], roofs: Sequence[Roof], *, left_out: int) -> Figure:
    tables = (_roof_table(roofs), _point_table(points))
    width = max(_LEAST_WIDTH, *(2 * MARGIN + table.width for table in tables))
    results = [point.result for point in points]
    lines = [_EXPLAINED, _remark(points, left_out), *setting(record, results, but=varying(results))]
    body = _ABOVE + _HEIGHT + _BELOW + tables[0].height + _BETWEEN + tables[1].height
    sheet = FigureSheet.headed(width, body, title=_title(points), lines=lines)
    top, chart_width = sheet.top + _ABOVE, width - _LEFT - MARGIN
    sheet.text(MARGIN, top - _ABOVE / 2 - 4, "Arithmetic done, flop/s", weight="bold")
    axes = sheet.add_axes(left=_LEFT, top=top, width=chart_width, height=_HEIGHT)
    _draw_chart(axes, points, roofs, chart_width)
    _number_points(axes, points)
    _draw_list(sheet, tables[0], top + _HEIGHT + _BELOW)
    _draw_list(sheet, tables[1], top + _HEIGHT + _BELOW + tables[0].height + _BETWEEN)
    return sheet.figure


def _remark(points: Sequence[Point], left_out: int) -> str:
    """What a reader must know of the points above a roof, and of those that aren't there."""
    above = sum(point.is_above and not point.result.is_wrong for point in points)
    said = []
    if above:
        verb = "lies" if above == 1 else "lie"
        said.append(f"{plural(above, 'case')} {verb} above: not all the work or traffic that is counted is done there.")
    if left_out:
        said.append(f"Shown are {len(points)} of {len(points) + left_out} cases: the fastest of each mode.")
    return " ".join(said)


def _title(points: Sequence[Point]) -> str:
    """How near to its limit a case of each mode gets; not which one, since several may be level."""
    said: list[str] = []
    for mode in MODES:
        own = [point for point in points if point.result.mode == mode and not point.result.is_wrong]
        shares = [point.share for point in own if not point.is_above]
        said += [f"{percent(max(shares), digits=0)}{'' if said else ' of the limit'} in {mode}"] if shares else []
    return f"Up to {', '.join(said)}" if said else f"Roofline of {plural(len(points), 'case')}"


def _roof_table(roofs: Sequence[Roof]) -> _MarkedTable:
    names = [f"{roof.matmul.device} {roof.matmul.precision}" for roof in roofs]
    ways = [(roof.matmul.device, roof.matmul.precision) for roof in roofs]
    if len(set(ways)) < len(ways):
        threads = [roof.matmul.threads for roof in roofs]
        names = [name + (f" {plural(n, 'thread')}" if n else "") for name, n in zip(names, threads, strict=True)]
    cells = {
        "arithmetic": [prefixed(roof.flops_per_s, "FLOP/s") for roof in roofs],
        "memory": [prefixed(roof.memory, "B/s") for roof in roofs],
        "from the cache, dashed": [prefixed(roof.working_set, "B/s") for roof in roofs],
    }
    if not any(roof.working_set for roof in roofs):
        del cells["from the cache, dashed"]
    numbers = (TableColumn(heading=name, cells=tuple(own), ha="right") for name, own in cells.items())
    first = TableColumn(heading="roof", cells=tuple(names))
    return _MarkedTable(columns=(first, *numbers), marks=tuple(roof.mark for roof in roofs), is_line=True)


def _point_table(points: Sequence[Point]) -> _MarkedTable:
    results = [point.result for point in points]
    numbers = TableColumn(heading="", cells=tuple(str(number) for number in range(1, len(points) + 1)), ha="right")
    modes = TableColumn(heading="mode", cells=tuple(result.mode for result in results))
    names = (modes, *columns(results, varying(results)))[0 if len(set(modes.cells)) > 1 else 1 :]
    figures = {
        "flop/byte": [significant(point.intensity) for point in points],
        "done": [prefixed(point.flops_per_s, "FLOP/s") for point in points],
        "of limit": [percent(point.share, digits=0 if point.share >= 0.1 else 1) for point in points],
    }
    right = [TableColumn(heading=name, cells=tuple(cells), ha="right") for name, cells in figures.items()]
    bounds = TableColumn(heading="bound", cells=tuple(_bound(point) for point in points))
    marks = tuple(point.mark for point in points)
    return _MarkedTable(columns=(numbers, *names, *right, bounds), marks=marks, is_line=False)


def _bound(point: Point) -> str:
    """What holds the case back, or that it is wrong."""
    if point.result.is_wrong:
        return "wrong"
    return UNKNOWN if point.result.bound is None else point.result.bound.kind


def _draw_list(sheet: FigureSheet, table: _MarkedTable, top: float) -> None:
    downs = [top + _ROW * (row + 1.5) for row in range(len(table.marks))]
    draw_table(sheet, table.columns, downs, left=MARGIN + _KEY, heading=top + _ROW / 2)
    for mark, down in zip(table.marks, downs, strict=True):
        if table.is_line:
            sheet.line([(MARGIN, down), (MARGIN + 32, down)], color=mark.colour)
        else:
            sheet.line([(MARGIN + 16, down)], linestyle="none", **mark.style)


def _draw_chart(axes: Axes, points: Sequence[Point], roofs: Sequence[Roof], width: int) -> None:
    intensities = [point.intensity for point in points] + [ridge for roof in roofs for ridge in roof.ridges]
    scale_by_decades(axes, "x", intensities, pixels=width, least=_LEAST_RANGE)
    axes.set_xlabel("arithmetic intensity, flop a byte moved")
    lowest = min(point.intensity for point in points)
    rates = [point.flops_per_s for point in points] + [point.products_alone for point in points if point.products_alone]
    rates += [rate for roof in roofs for rate in (roof.flops_per_s, roof.at(lowest))]
    scale_by_decades(axes, "y", rates, pixels=_HEIGHT, least=_LEAST_RANGE)
    axes.grid(visible=True, axis="both")
    for roof in roofs:
        _draw_roof(axes, roof)
    ticks = {
        (point.intensity, point.products_alone): point.roof.mark.colour for point in points if point.products_alone
    }
    for (intensity, rate), colour in ticks.items():
        axes.plot(
            [intensity], [rate], color=colour, marker="_", markersize=_TICK, markeredgewidth=1.4, gid="products alone"
        )
    for place, point in enumerate(points, start=1):
        axes.plot([point.intensity], [point.flops_per_s], gid=f"point {place}", zorder=3, **point.mark.style)


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


def _number_points(axes: Axes, points: Sequence[Point]) -> None:
    """The number of each point, over no point and no tick."""
    ticks = [(point.intensity, point.products_alone) for point in points if point.products_alone]
    pixels = axes.transData.transform(ticks) if ticks else ()
    obstacles = [box_around(tick, _TICK * DPI / 72, 4) for tick in pixels]
    places = [(point.intensity, point.flops_per_s) for point in points]
    label_points(axes, places, [str(number) for number in range(1, len(points) + 1)], obstacles=obstacles)
