"""What stands in a table of cases: its columns, as text, for the console and for Markdown alike.

A column that no row has a figure for is left out, and so is a part of the name that all rows share. A speed-up is a
number only where the comparison says "faster" or "slower"; else it is the word "same" or "ambiguous".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from accelmnist.measure.record import CaseResult, Latency
from accelmnist.show.bench.figures import has_median, ratio_text, reached_text, share_text, speed_text, target_text
from accelmnist.show.bench.naming import Trait
from accelmnist.show.bench.parts import Part
from accelmnist.show.bench.view import BenchView
from accelmnist.show.theme import BAD, GOOD, LABEL, STRONG, UNSURE
from accelmnist.show.units import UNKNOWN, percent, seconds, significant, size

RANK = "#"
EPOCHS_TO_PAY = "epochs\nto pay"
BASELINE = "baseline"

Words = Callable[[CaseResult], str]


def _plain(_: CaseResult) -> str:
    return ""


@dataclass(frozen=True)
class Column:
    """`text` of every row under `heading`, and the `style` that repeats it in colour; empty text is unknown.

    A heading that is wider than its figures stands in two lines.
    """

    heading: str
    text: Words
    is_number: bool = True
    style: Words = _plain

    def cell(self, result: CaseResult) -> str:
        """The text, with a dash for what is unknown; no rank is no rank."""
        return self.text(result) or ("" if self.heading == RANK else UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """The columns of one table: rank and name, what is compared, what it costs, and whether it is right.

    Where a line is too short for all, the costs go into a table of their own, with rank and name again.
    """

    identity: tuple[Column, ...]
    figures: tuple[Column, ...]
    costs: tuple[Column, ...]
    verdict: Column


def sheet_of(part: Part, view: BenchView) -> Sheet:
    """The columns that `part` needs."""
    figures = _target_figures() if part.kind == "target" else _speed_figures(part, view)
    return Sheet(
        identity=(Column(RANK, _ranks(part), style=lambda _: STRONG), *map(_trait_column, part.naming.varying)),
        figures=_known(figures, part.rows),
        costs=_known(_COSTS, part.rows),
        verdict=Column("", _verdict, is_number=False, style=_verdict_style),
    )


def _known(columns: Sequence[Column], rows: tuple[CaseResult, ...]) -> tuple[Column, ...]:
    return tuple(column for column in columns if any(column.cell(result) != UNKNOWN for result in rows))


def _trait_column(trait: Trait) -> Column:
    return Column(trait.heading, trait.value, trait.is_number)


def _ranks(part: Part) -> Words:
    """The record's own rank; of a time to a target the place among those that have a median."""
    if part.kind != "target":
        return lambda result: "" if result.rank is None else str(result.rank)
    timed = [result for result in part.rows if not result.is_wrong and has_median(result)]
    ranks = {result.case: str(rank) for rank, result in enumerate(timed, start=1)}
    return lambda result: ranks.get(result.case, "")


def _speed_figures(part: Part, view: BenchView) -> tuple[Column, ...]:
    speed = Column("images/s", lambda result: speed_text(result.images_per_s), style=_speed_style)
    over = Column("speed-up", lambda result: _over(result, view), style=_over_style)
    step = Column("ms a\ncall" if part.kind == "throughput" else "ms a\nstep", _step)
    limit = Column("of\nlimit", lambda result: share_text(result.share_of_limit))
    between = Column("between\nprocesses", _between)
    if part.kind == "latency":
        return (*_LATENCIES, speed, over, limit, between)
    return speed, over, step, limit, between


def _speed_style(result: CaseResult) -> str:
    """Doubtful figures stand out; what the doubt is stands below the tables."""
    return UNSURE if result.symptoms else STRONG


def _between(result: CaseResult) -> str:
    return "" if result.process_spread is None else percent(result.process_spread, digits=1)


def _quantile(heading: str, pick: Callable[[Latency], float], style: str = "") -> Column:
    def text(result: CaseResult) -> str:
        return "" if result.latency is None else significant(1e6 * pick(result.latency))

    return Column(heading, text, style=lambda _: style)


_LATENCIES = (
    _quantile("p50 µs", lambda latency: latency.p50_s, STRONG),
    _quantile("p90 µs", lambda latency: latency.p90_s),
    _quantile("p99 µs", lambda latency: latency.p99_s),
)


def _over(result: CaseResult, view: BenchView) -> str:
    over = result.speedup
    if over is None:
        return BASELINE if view.is_baseline(result) else ""
    return ratio_text(over) if over.verdict in ("faster", "slower") else over.verdict


def _over_style(result: CaseResult) -> str:
    verdict = result.speedup.verdict if result.speedup else "same"
    return {"faster": "", "slower": "", "same": LABEL, "ambiguous": UNSURE}[verdict]


def _step(result: CaseResult) -> str:
    return "" if result.step_s is None else significant(1e3 * result.step_s)


def _target_figures() -> tuple[Column, ...]:
    return (
        Column("with compile", lambda result: _middle(result, with_compile=True), style=lambda _: STRONG),
        Column("reached", reached_text, style=_reached_style),
        Column("without compile", lambda result: _middle(result, with_compile=False)),
        Column("epochs", _epochs),
    )


def _middle(result: CaseResult, *, with_compile: bool) -> str:
    made = result.time_to_accuracy
    if made is None:
        return ""
    return target_text(made.with_compile if with_compile else made.without_compile)


def _reached_style(result: CaseResult) -> str:
    made = result.time_to_accuracy
    return UNSURE if made is not None and made.reached < len(made.epochs) else ""


def _epochs(result: CaseResult) -> str:
    made = result.time_to_accuracy
    taken = sorted(epochs for epochs in made.epochs if epochs is not None) if made else []
    if not taken:
        return ""
    return str(taken[0]) if taken[0] == taken[-1] else f"{taken[0]} to {taken[-1]}"


_COSTS = (
    Column("compile", lambda result: "" if result.compile_s is None else seconds(result.compile_s)),
    Column(EPOCHS_TO_PAY, lambda result: _pays_after(result.break_even_epochs)),
    Column("memory", lambda result: "" if result.peak_memory_bytes is None else size(result.peak_memory_bytes)),
    Column("µJ an\nimage", lambda result: _microjoules(result.joules_per_image)),
    Column("accuracy", lambda result: "" if result.accuracy is None else percent(result.accuracy)),
)


def _pays_after(epochs: float | None) -> str:
    return "" if epochs is None else significant(epochs, 2)


def _microjoules(joules: float | None) -> str:
    return "" if joules is None else significant(1e6 * joules)


def _verdict(result: CaseResult) -> str:
    if result.verdict is None:
        return ""
    return "PASS" if result.verdict.passed else "FAIL"


def _verdict_style(result: CaseResult) -> str:
    return {"PASS": GOOD, "FAIL": BAD}.get(_verdict(result), "")
