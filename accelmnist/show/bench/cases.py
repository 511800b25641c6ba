"""The tables of a benchmark, its cases and the limits of the hardware, and their figures as text.

A column that no row has a figure for is left out, and so is a part of the name that all rows share. A speed-up is a
number only if the comparison says "faster" or "slower"; else it is the word "same" or "ambiguous". A "±" is the longer
arm of the 95 % interval as a share of the figure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from accelmnist.core.text import brief
from accelmnist.measure.limit_keys import Limit
from accelmnist.measure.record import CaseResult, Latency, Target
from accelmnist.measure.statistics.comparison import Comparison
from accelmnist.measure.statistics.summary import Summary, relative_half_width
from accelmnist.show.bench.view import BenchView, Part
from accelmnist.show.document import Cell, Column, ColumnRole, Reason, Table, Tone
from accelmnist.show.units import UNKNOWN, percent, plural, prefixed, seconds, significant, size, spread

_RANK = "#"
_BASELINE = "baseline"
_NUMBER = re.compile(r"^-?[\d,]*\.?\d+")
INFINITE = "∞"


def width_text(summary: Summary) -> str:
    """The interval's longer arm: "±0.8 %"; too few samples have none."""
    width = relative_half_width(summary)
    return spread(width) if math.isfinite(width) else "too few"


def speed_text(speed: Summary | None) -> str:
    """Images a second with their interval: "141,640 ±0.8 %", the second as wide in every row."""
    return "" if speed is None else f"{speed.median:,.0f} {width_text(speed):>6}"


def arm_of(over: Comparison) -> float:
    """The longer arm of a ratio's interval, as a share of it."""
    return max(over.high / over.ratio - 1, 1 - over.low / over.ratio)


def target_text(target: Target) -> str:
    """The median and its interval in seconds: "3.96 s (3.77 to 4.35)", and "∞ (2.35 to ∞)" if most seeds missed."""
    if target.median_s is None:
        low, high = (INFINITE if end is None else significant(end) for end in (target.low_s, target.high_s))
        return f"{INFINITE} ({low} to {high})"
    middle = significant(target.median_s)
    decimals = len(middle.partition(".")[2])
    low, high = (INFINITE if end is None else f"{end:,.{decimals}f}" for end in (target.low_s, target.high_s))
    return f"{middle} s ({low} to {high})"


def reached_text(result: CaseResult) -> str:
    """How many seeds reached the target: "9 of 10"."""
    times = result.time_to_accuracy
    return "" if times is None else f"{times.reached} of {len(times.epochs)}"


def has_median(result: CaseResult) -> bool:
    """Whether at least half of the seeds reached the target."""
    return result.time_to_accuracy is not None and result.time_to_accuracy.with_compile.median_s is not None


def reason_text(result: CaseResult) -> str:
    """Why a case has no figures, or was given up, led by what became of it if the reason doesn't say so itself."""
    if result.skipped is None:
        return "the result is wrong" if result.is_wrong else "not reached"
    reason = brief(result.skipped)
    return reason if reason.startswith(result.status) else f"{result.status}: {reason}"


# --- the cases


@dataclass(frozen=True)
class CaseColumn:
    """The `text` of every row under `heading`, and the `tone` that repeats it in colour; empty text is unknown.

    A heading that is wider than its figures stands in two lines.
    """

    heading: str
    text: Callable[[CaseResult], str]
    is_number: bool = True
    tone: Callable[[CaseResult], Tone] = lambda _: ""
    role: ColumnRole = "figure"

    def cell(self, result: CaseResult) -> Cell:
        """The text, with a dash for what is unknown; no rank is no rank. In a wrong row everything is red."""
        text = self.text(result) or ("" if self.heading == _RANK else UNKNOWN)
        number = _NUMBER.match(text) if self.is_number else None
        value = float(number.group().replace(",", "")) if number else None
        return Cell(text, value, "bad" if result.is_wrong else self.tone(result))


def cases_table(part: Part, view: BenchView, *, note: str = "") -> Table:
    """One part of the benchmark: its rows, then the cases that were not measured, each with its reason."""
    traits = [CaseColumn(trait.heading, trait.value, trait.is_number, role="name") for trait in part.naming.varying]
    figures = (*(_TARGETS if part.kind == "target" else _speed_figures(part, view)), *_COSTS)
    columns = (
        CaseColumn(_RANK, _ranks(part), tone=lambda _: "strong", role="name"),
        *traits,
        *(column for column in figures if any(column.cell(result).text != UNKNOWN for result in part.rows)),
        CaseColumn(
            "verdict",
            lambda result: "" if result.verdict is None else "PASS" if result.verdict.passed else "FAIL",
            is_number=False,
            tone=lambda result: "good" if result.verdict is not None and result.verdict.passed else "",
            role="mark",
        ),
    )
    return Table(
        ident="cases-" + re.sub(r"[^a-z0-9]+", "-", part.title.lower()).strip("-"),
        caption=part.title,
        columns=tuple(Column(column.heading, column.is_number, column.role) for column in columns),
        rows=tuple(tuple(column.cell(result) for column in columns) for result in part.rows),
        reasons=tuple(_reason(result, part) for result in part.unmeasured),
        has_names=False,
        shared=part.naming.shared,
        note=note,
        fit="continue",
    )


def _reason(result: CaseResult, part: Part) -> Reason:
    return Reason(
        names=("", *(trait.value(result) for trait in part.naming.varying)),
        label=part.naming.label(result),
        text=reason_text(result),
        tone="bad" if result.is_wrong else "unsure" if result.status == "failed" else "",
    )


def _ranks(part: Part) -> Callable[[CaseResult], str]:
    """The record's own rank; of a time to a target the rank among those that have a median."""
    if part.kind != "target":
        return lambda result: "" if result.rank is None else str(result.rank)
    timed = [result for result in part.rows if not result.is_wrong and has_median(result)]
    ranks = {result.case: str(rank) for rank, result in enumerate(timed, start=1)}
    return lambda result: ranks.get(result.case, "")


_BETWEEN = CaseColumn("between\nprocesses", lambda result: percent(result.process_spread, digits=1))


def _speed_figures(part: Part, view: BenchView) -> tuple[CaseColumn, ...]:
    """Doubtful speeds stand out; what the doubt is stands below the tables."""
    call = "ms a\ncall" if part.kind == "throughput" else "ms a\nstep"
    step = () if part.kind == "latency" else (CaseColumn(call, lambda result: _scaled(1e3, result.step_s)),)
    return (
        *(_LATENCIES if part.kind == "latency" else ()),
        CaseColumn(
            "images/s",
            lambda result: speed_text(result.images_per_s),
            tone=lambda result: "unsure" if result.symptoms else "strong",
        ),
        CaseColumn("speed-up", lambda result: _over(result, view), tone=_over_tone),
        *step,
        CaseColumn("of\nlimit", _share_text),
        *(() if view.record.config.beside else (_BETWEEN,)),  # of sides the ratios count processes
    )


def _scaled(factor: float, value: float | None) -> str:
    return significant(None if value is None else factor * value)


def _quantile(heading: str, pick: Callable[[Latency], float], tone: Tone = "") -> CaseColumn:
    def text(result: CaseResult) -> str:
        return _scaled(1e6, None if result.latency is None else pick(result.latency))

    return CaseColumn(heading, text, tone=lambda _: tone)


_LATENCIES = (
    _quantile("p50 µs", lambda latency: latency.p50_s, "strong"),
    _quantile("p90 µs", lambda latency: latency.p90_s),
    _quantile("p99 µs", lambda latency: latency.p99_s),
)


def _over(result: CaseResult, view: BenchView) -> str:
    """A ratio with its interval, "1.75 ±0.5 %", or the comparison's word."""
    over = result.speedup
    if over is None:
        return _BASELINE if view.is_baseline(result) else ""
    is_clear = over.verdict in ("faster", "slower")
    return f"{significant(over.ratio)} {spread(arm_of(over)):>6}" if is_clear else over.verdict


def _over_tone(result: CaseResult) -> Tone:
    tones: dict[str, Tone] = {"faster": "", "slower": "", "same": "faint", "ambiguous": "unsure"}
    return tones[result.speedup.verdict if result.speedup else "same"]


def _share_text(result: CaseResult) -> str:
    """A share to two significant digits: "83 %", "0.63 %"."""
    return "" if result.share_of_limit is None else f"{significant(100 * result.share_of_limit, 2)} %"


def _middle(result: CaseResult, *, with_compile: bool) -> str:
    times = result.time_to_accuracy
    if times is None:
        return ""
    return target_text(times.with_compile if with_compile else times.without_compile)


def _reached_tone(result: CaseResult) -> Tone:
    times = result.time_to_accuracy
    return "unsure" if times is not None and times.reached < len(times.epochs) else ""


def _epochs(result: CaseResult) -> str:
    times = result.time_to_accuracy
    taken = sorted({epochs for epochs in times.epochs if epochs is not None}) if times else []
    return " to ".join(map(str, dict.fromkeys((taken[0], taken[-1])))) if taken else ""


_TARGETS = (
    CaseColumn("with compile", lambda result: _middle(result, with_compile=True), tone=lambda _: "strong"),
    CaseColumn("reached", reached_text, tone=_reached_tone),
    CaseColumn("without compile", lambda result: _middle(result, with_compile=False)),
    CaseColumn("epochs", _epochs),
)
_COSTS = (
    CaseColumn("compile", lambda result: seconds(result.compile_s), role="cost"),
    CaseColumn("epochs\nto pay", lambda result: significant(result.break_even_epochs, 2), role="cost"),
    CaseColumn("memory", lambda result: size(result.peak_memory_bytes), role="cost"),
    CaseColumn("µJ an\nimage", lambda result: _scaled(1e6, result.joules_per_image), role="cost"),
    CaseColumn("accuracy", lambda result: percent(result.accuracy), role="cost"),
)


# --- the limits


def limits_table(limits: Sequence[Limit]) -> Table:
    """A row for each limit of the hardware."""
    return Table(
        ident="limits",
        caption="What the hardware can do, measured in the same rounds.",
        columns=(Column("device"), Column("limit"), Column("rate", True), Column("±", True), Column("what ran")),
        rows=tuple(tuple(map(Cell, limit_row(limit))) for limit in limits),
        has_names=False,
    )


def limit_row(limit: Limit) -> tuple[str, ...]:
    """Its device, what it is of, how fast that is, with which interval, and what ran."""
    details = [limit.detail, "" if limit.threads is None else plural(limit.threads, "thread")]
    name = "thread fork-join" if limit.kind == "meeting" else limit.kind
    kind = name if limit.precision is None else f"{name} {limit.precision}"
    width = UNKNOWN if limit.rate is None else width_text(limit.rate)
    return limit.device, kind, _rate_text(limit), width, ", ".join(filter(None, details))


def _rate_text(limit: Limit) -> str:
    """The rate with its unit; operations as what one of them takes: "170 GFLOP/s", "21.0 GB/s", "4.02 µs each"."""
    if limit.rate is None:
        return UNKNOWN
    if limit.unit == "operations/s":
        return f"{significant(1e6 / limit.rate.median)} µs each"
    return prefixed(limit.rate.median, {"flop/s": "FLOP/s", "bytes/s": "B/s"}[limit.unit])
