"""Throughput: a row for each measured case, the fastest first, with the median, its 95 % interval and every sample.

The samples are drawn one below the other in the order of the rounds, so that two groups show as two columns of dots and
a drift as a slanted one. A wrong case stands below the ranked ones, grey and hatched, with the check that it failed.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accelmnist.measure.plan import MODES, Case
from accelmnist.measure.record import BenchRecord, CaseResult
from accelmnist.show.bench.figures import width_text
from accelmnist.show.figures.cases import (
    baseline_cases,
    by_speed,
    claim,
    columns,
    fault_text,
    foremost,
    measured,
    median,
    phrase,
    setting,
    shared,
    speed_of,
    varying,
)
from accelmnist.show.figures.scales import scale_across
from accelmnist.show.figures.sheet import wrap
from accelmnist.show.figures.style import BLUE, ORANGE, WRONG, Mark, figure_style
from accelmnist.show.figures.table import CHART, RowBlock, TableColumn, draw_estimate, draw_rows, draw_wrong_band
from accelmnist.show.units import plural, rate, significant

_NOTE_WIDTH, _WIDE_NOTE = 130, 240  # the latter if a case has more than two symptoms


def throughput_figure(record: BenchRecord) -> Figure | None:
    """Images/s of the measured cases, a block for each mode; None if nothing was measured."""
    everything = measured(record)
    results = foremost(everything)
    if not results:
        return None
    bases, parts = baseline_cases(record), varying(results)
    groups = [by_speed([result for result in results if result.mode == mode]) for mode in MODES]
    groups = [group for group in groups if group]
    everywhere = _common_codes(results)
    blocks = [_block(group, parts, shared(results, but=parts), bases, everywhere) for group in groups]
    title, certainty = claim(record) or (_plain_title(everything, parts), "")
    lines = [certainty, *setting(record, results, but=parts)]
    with figure_style():
        figure, charts = draw_rows(blocks, title=title, lines=lines, notes=[_key(results), _left_out(record, results)])
        for group, block, axes in zip(groups, blocks, charts, strict=True):
            _draw(axes, group, block.middles, bases)
    return figure


def _plain_title(results: Sequence[CaseResult], parts: Sequence[str]) -> str:
    if len(results) > 1:
        return f"Throughput of {plural(len(results), 'case')}"
    return f"{phrase(results[0], parts)}: {rate(median(results[0]))} in {results[0].mode}"


def _block(
    group: list[CaseResult], parts: Sequence[str], common: list[str], bases: set[Case], everywhere: set[str]
) -> RowBlock:
    own = [words for words in shared(group, but=parts) if words not in common]
    bold = frozenset(row for row, result in enumerate(group) if _is_claim(result) or result.is_wrong)
    room = _WIDE_NOTE if any(len(_codes(result, everywhere)) > 2 for result in group) else _NOTE_WIDTH
    speeds = tuple(rate(median(result)).removesuffix(" images/s") for result in group)
    return RowBlock(
        title=", ".join([group[0].mode.capitalize(), *own]),
        before=columns(group, parts),
        after=(
            TableColumn(heading="images/s", cells=speeds, ha="right"),
            TableColumn(
                heading="95 %", cells=tuple(width_text(speed_of(result)) for result in group), ha="right", gap=14
            ),
            TableColumn(
                heading="speed-up",
                cells=tuple(_note(result, bases, _codes(result, everywhere), room) for result in group),
                bold=bold,
            ),
        ),
        faint=frozenset(row for row, result in enumerate(group) if result.is_wrong),
    )


def _note(result: CaseResult, bases: set[Case], codes: Sequence[str], room: int) -> str:
    """The speed-up, or why there is none; below it what makes the row doubtful or wrong."""
    if result.is_wrong:
        return fault_text(result, room)
    first = "baseline" if result.case in bases else _speedup(result)
    return "\n".join(filter(None, (first, wrap(", ".join(codes), room))))


def _codes(result: CaseResult, everywhere: set[str]) -> list[str]:
    """What makes the case doubtful, without what makes all of them so."""
    return [symptom.code for symptom in result.symptoms if symptom.code not in everywhere]


def _common_codes(results: Sequence[CaseResult]) -> set[str]:
    """The symptoms that every one of several cases has, which are written once."""
    return set.intersection(*(set(_codes(result, set())) for result in results)) if len(results) > 1 else set()


def _speedup(result: CaseResult) -> str:
    """A number only if the comparison found a difference; else its verdict."""
    if result.speedup is None:
        return ""
    return f"{significant(result.speedup.ratio)} ×" if _is_claim(result) else result.speedup.verdict


def _is_claim(result: CaseResult) -> bool:
    """Whether its speed-up is a difference that may be claimed."""
    return result.speedup is not None and result.speedup.verdict in ("faster", "slower")


def _draw(axes: Axes, group: list[CaseResult], middles: list[float], bases: set[Case]) -> None:
    """Every row of a block, and its axis."""
    for result, middle in zip(group, middles, strict=True):
        speed, key = speed_of(result), result.case.label
        if result.is_wrong:
            draw_wrong_band(axes, middle, key)
        draw_estimate(
            axes,
            middle,
            mark=_mark(result, is_baseline=result.case in bases),
            samples=speed.samples,
            interval=(speed.low, speed.high),
            centre=speed.median,
            name=key,
        )
    seen = [
        value for result in group for value in (speed_of(result).low, speed_of(result).high, *speed_of(result).samples)
    ]
    scale_across(axes, seen, pixels=CHART, label="images/s")


def _mark(result: CaseResult, *, is_baseline: bool) -> Mark:
    """A square for a baseline, hollow if the case is doubtful."""
    if result.is_wrong:
        return WRONG
    colour, marker = (ORANGE, "s") if is_baseline else (BLUE, "o")
    return Mark(colour, marker, "white" if result.symptoms else colour)


def _key(results: Sequence[CaseResult]) -> str:
    """How to read the marks that are there."""
    parts = ["Large mark: the median; bar: its 95 % interval; small dots: the samples, the first on top."]
    if any(result.speedup for result in results):
        parts.append("Speed-up: over the baseline (square) of the same work, in the same rounds.")
    if any(result.symptoms and not result.is_wrong for result in results):
        everywhere = sorted(_common_codes(results))
        own = f"all cases are marked {', '.join(everywhere)}" if everywhere else "for the reason beside it"
        parts.append(f"Hollow: doubtful, {own}.")
    if any(result.is_wrong for result in results):
        parts.append("Grey: its result is wrong, so it has no rank.")
    return " ".join(parts)


def _left_out(record: BenchRecord, results: Sequence[CaseResult]) -> str:
    """Cases that aren't shown, and why."""
    everything, parts = measured(record), []
    if len(results) < len(everything):
        parts.append(f"Shown are {len(results)} of {len(everything)} measured cases: the fastest of each mode.")
        wrong = sum(result.is_wrong for result in everything) - sum(result.is_wrong for result in results)
        parts += [f"Wrong among the others: {plural(wrong, 'case')}."] if wrong else []
    if len(everything) < len(record.cases):
        parts.append(f"Not measured: {plural(len(record.cases) - len(everything), 'case')}.")
    return " ".join(parts)
