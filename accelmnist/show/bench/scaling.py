"""The page of a benchmark of several ranks: whether they pay and why, each form of training, what carries their sums.

A speed-up is over one rank alone in the same rounds, and stands as what it is, below 1 too. Beside a strong step stands
what it was predicted to take, from what it computes and what a sum takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

from accelmnist.core.text import brief
from accelmnist.measure.record import BenchRecord
from accelmnist.measure.scaling_record import ExchangeProbe, Form, Scaling, ScalingRow, SumModel, SumProbe
from accelmnist.measure.statistics.comparison import are_too_few
from accelmnist.show.bench.cases import arm_of, speed_text, width_text
from accelmnist.show.document import (
    Block,
    Cell,
    Column,
    Headline,
    Points,
    Reason,
    Section,
    Table,
    Text,
    Tone,
    sections_of,
)
from accelmnist.show.run_tables import failure_text
from accelmnist.show.units import UNKNOWN, count, percent, plural, prefixed, rate, seconds, significant, size, spread

_BUSY = 0.05  # of the processors
TITLES: dict[Form, str] = {
    "strong": "Strong scaling: the ranks share every batch",
    "weak": "Weak scaling: batches as many times as large, another training",
    "independent": "Independent trainings: every rank alone, nothing summed",
}
_LEGEND = (
    "A sample is all images over the slowest rank's seconds; ± is the 95 % interval of the median. 'Over one' is the "
    "speed over one rank's at this batch size in the same rounds, 'of ranks' that over their number. 'Apart' is how "
    "far the ranks' own seconds are apart."
)
_PREDICTED = (
    "A step is predicted as 'computes', what the slowest rank computes while the others do, 'sums', one all-reduce by "
    "the probes, and 'loses', what steps of other batch sizes take beyond both; 'yes' says that the step was "
    "measured so, within its interval."
)


@dataclass(frozen=True)
class _Figure:
    """A column: the `text` of every row, and whether it is a number."""

    heading: str
    text: Callable[[ScalingRow], str]
    is_number: bool = True
    tone: Callable[[ScalingRow], Tone] = lambda _: ""

    def cell(self, row: ScalingRow) -> Cell:
        return Cell(self.text(row) or UNKNOWN, tone="bad" if row.is_wrong else self.tone(row))


def scaling_headline(record: BenchRecord) -> Headline:
    """The outcome, from which batch size on several ranks pay, which rank is slow, and what is wrong."""
    word, tone = scaling_outcome(record)
    lines: list[tuple[str, Tone]] = [(sentence, tone) for sentence, tone in _findings(record)]
    return Headline(word=word, tone=tone, text=scaling_extent(record), lines=tuple(lines))


def scaling_line(record: BenchRecord) -> str:
    """The same in one line."""
    outcome = f"{scaling_outcome(record)[0]} {scaling_extent(record)}"
    return "; ".join([outcome, *(sentence for sentence, _ in _findings(record))])


def _of(record: BenchRecord) -> Scaling:
    assert record.scaling is not None
    return record.scaling


def scaling_outcome(record: BenchRecord) -> tuple[str, Tone]:
    """FAIL if a training or a sum was wrong, PASS if none was, with its tone."""
    scaling = _of(record)
    if scaling.is_wrong:
        return "FAIL" if record.status == "done" else f"{record.status.upper()}, FAIL", "bad"
    if record.status != "done":
        return record.status.upper(), "unsure"
    return ("PASS", "good") if any(row.rounds for row in scaling.rows) else ("NOTHING MEASURED", "unsure")


def scaling_extent(record: BenchRecord) -> str:
    """How much was measured."""
    rows = [row for row in _of(record).rows if row.form != "compute"]
    measured, ranks = sum(bool(row.rounds) for row in rows), len(record.ranks) or max(record.config.rank_counts)
    backend = f" over {record.backend}" if record.backend not in (None, "none") else ""
    extent = f"{measured} of {len(rows)} rows measured in {plural(len(record.rounds), 'round')}"
    return f"{plural(ranks, 'rank')}{backend}, {extent}, {seconds(record.elapsed_s)}"


def _findings(record: BenchRecord) -> list[tuple[str, Tone]]:
    scaling = _of(record)
    found: list[tuple[str, Tone]] = [(one.sentence, "strong") for one in scaling.pays]
    predicted = [row.prediction.holds for row in scaling.rows if row.prediction is not None]
    if predicted:
        which = f"{sum(predicted)} of {plural(len(predicted), 'row')}"
        found.append((f"The predicted step lies in the interval of the measured one in {which}", ""))
    found += [(one.sentence, "unsure") for one in scaling.slow]
    if record.message and record.message != record.status:
        found.append((brief(record.message), "bad"))
    for row in scaling.rows:
        if row.verdict is not None and row.is_wrong:
            found.append((f"wrong: {row.title}: {'; '.join(map(failure_text, row.verdict.failures))}", "bad"))
    probes: list[SumProbe | ExchangeProbe] = [*scaling.sums, *scaling.exchanges]
    for probe in probes:
        if probe.wrong:
            wrong = f"{plural(probe.wrong, 'value')} of {count(probe.values)} not as they have to be"
            found.append((f"wrong: {_name(probe)} over {probe.ranks} ranks: {wrong}", "bad"))
    return found


def _name(probe: SumProbe | ExchangeProbe) -> str:
    return f"{'all-reduce' if isinstance(probe, SumProbe) else 'all-to-all'} of {_bytes(probe)}"


def _bytes(probe: SumProbe | ExchangeProbe) -> str:
    return "1 byte" if probe.bytes == 1 else size(probe.bytes)


def scaling_sections(record: BenchRecord) -> list[Section]:
    """Everything below the headline."""
    scaling = _of(record)
    tables = [(TITLES[form], _rows_table(form, scaling)) for form in TITLES]
    notes = [Text(text=f"Note: {brief(note)}", tone="unsure") for note in record.notes]
    if loads := [round_.other_cpu for round_ in record.rounds if round_.other_cpu is not None]:
        used = f"Other processes used {percent(mean(loads), digits=1)} of the processors of rank 0 meanwhile."
        notes.insert(0, Text(text=used, tone="unsure" if mean(loads) > _BUSY else "faint"))
    return sections_of(
        *((title, () if table is None else (table,)) for title, table in tables),
        ("What carries the sums", _carriers(scaling)),
        ("Ranks", (_ranks_table(record),) if record.ranks else ()),
        ("Doubts", notes),
    )


# --- the rows


def _rows_table(form: Form, scaling: Scaling) -> Table | None:
    own = [row for row in scaling.rows if row.form in (form, "single")]
    if not any(row.form == form for row in own):
        return None
    own = sorted(own, key=lambda row: (row.engine, row.precision, row.hidden, row.batch_size, row.ranks))
    names = [one for one in _NAMES if len({one.text(row) for row in own}) > 1 or one.heading in _ALWAYS]
    figures = _figures(form)
    note = f"{_LEGEND} {_PREDICTED}" if form == "strong" else ""
    return Table(
        ident=f"scaling-{form}",
        caption=TITLES[form],
        columns=(
            *(Column(one.heading, one.is_number, "name") for one in names),
            *(Column(one.heading, one.is_number) for one in figures),
            Column("verdict", role="mark"),
        ),
        rows=tuple(tuple(one.cell(row) for one in (*names, *figures, _VERDICT)) for row in own if row.rounds),
        reasons=tuple(
            Reason(names=tuple(one.text(row) for one in names), label=row.title, text=f"skipped: {brief(row.skipped)}")
            for row in own
            if row.skipped
        ),
        has_names=False,
        shared=", ".join(one.text(own[0]) for one in _NAMES if one not in names),
        note=note,
        fit="continue",
    )


_ALWAYS = ("engine", "batch", "ranks")
_NAMES = (
    _Figure("device", lambda row: row.device, is_number=False),
    _Figure("engine", lambda row: row.engine, is_number=False),
    _Figure("precision", lambda row: row.precision, is_number=False),
    _Figure("network", lambda row: row.case.network, is_number=False),
    _Figure("optimizer", lambda row: row.optimizer or "", is_number=False),
    _Figure("threads", lambda row: "" if row.threads is None else plural(row.threads, "thread"), is_number=False),
    _Figure("batch", lambda row: count(row.batch_size)),
    _Figure("ranks", lambda row: str(row.ranks)),
)
_VERDICT = _Figure(
    "verdict",
    lambda row: "" if row.verdict is None else "PASS" if row.verdict.passed else "FAIL",
    is_number=False,
    tone=lambda row: "good" if row.verdict is not None and row.verdict.passed else "",
)


def _figures(form: Form) -> tuple[_Figure, ...]:
    shared = (
        _Figure("images/s", lambda row: speed_text(row.images_per_s), tone=lambda _: "strong"),
        _Figure("over one", _over, tone=_over_tone),
        _Figure("of\nranks", lambda row: percent(row.speedup.ratio / row.ranks if row.speedup else None, digits=0)),
    )
    apart = _Figure("apart", lambda row: percent(row.spread, digits=1))
    if form != "strong":
        return (*shared, apart)
    return (
        *shared,
        _Figure("ms a\nstep", lambda row: _ms(row.step_s)),
        _Figure("predicted", lambda row: _ms(row.prediction.step_s if row.prediction else None)),
        _Figure("computes", lambda row: _ms(row.prediction.compute_s if row.prediction else None)),
        _Figure("sums", lambda row: _ms(row.prediction.sum_s if row.prediction else None)),
        _Figure("loses", lambda row: _ms(row.prediction.lost_s if row.prediction else None)),
        _Figure("so", lambda row: "" if row.prediction is None else "yes" if row.prediction.holds else "no", False),
        apart,
    )


def _over(row: ScalingRow) -> str:
    """The speed-up with its interval, whatever its verdict: below 1 is a finding too."""
    over = row.speedup
    if over is None:
        return "1" if row.form == "single" else ""
    if are_too_few(len(row.rounds)):
        return f"{significant(over.ratio)} too few"
    return f"{significant(over.ratio)} {spread(arm_of(over)):>6}"


def _over_tone(row: ScalingRow) -> Tone:
    outcome = row.speedup.verdict if row.speedup else "same"
    return "bad" if outcome == "slower" else "unsure" if outcome == "ambiguous" else ""


def _ms(value: float | None) -> str:
    return significant(None if value is None else 1e3 * value)


# --- what carries the sums


def _carriers(scaling: Scaling) -> tuple[Block, ...]:
    measured = [probe for probe in scaling.sums if probe.seconds is not None]
    if not measured:
        return ()
    sentences = [
        *map(_model_text, scaling.models),
        *(_exchange_text(one) for one in scaling.exchanges if one.medians_s),
    ]
    return (_sums_table(measured), Points(items=tuple(sentences)))


def _sums_table(measured: Sequence[SumProbe]) -> Table:
    heads = (("ranks", True), ("all-reduce of", True), ("takes", True), ("±", True), ("bus bandwidth", True))
    return Table(
        ident="sums",
        caption="All-reduces of known numbers, measured in the same rounds.",
        columns=(*(Column(*head) for head in heads), Column("wrong values", True), Column("")),
        rows=tuple(tuple(map(Cell, _sum_row(probe))) for probe in measured),
        has_names=False,
    )


def _sum_row(probe: SumProbe) -> tuple[str, ...]:
    assert probe.seconds is not None
    return (
        str(probe.ranks),
        _bytes(probe),
        seconds(probe.seconds.median),
        width_text(probe.seconds),
        prefixed(probe.bus_bytes_per_s, "B/s"),
        f"{count(probe.wrong)} of {count(probe.values)}",
        "a step's" if probe.is_step else "",
    )


def _model_text(model: SumModel) -> str:
    beyond = "" if model.bytes_per_s is None else f", and then {prefixed(model.bytes_per_s, 'B/s')}"
    return (
        f"Around the {size(model.bytes)} of a step, a sum over {model.ranks} ranks takes {seconds(model.latency_s)}"
        f"{beyond}: {seconds(model.sum_s)} in all, fitted to {len(model.fitted)} probes."
    )


def _exchange_text(probe: ExchangeProbe) -> str:
    by_rank = ", ".join(f"rank {rank} {seconds(one)}" for rank, one in enumerate(probe.medians_s))
    return (
        f"All-to-all of {size(probe.bytes)} over {probe.ranks} ranks: {by_rank}; "
        f"the quickest takes {percent(probe.fairness, digits=0)} of the slowest one's time."
    )


def _ranks_table(record: BenchRecord) -> Table:
    columns = (
        Column("rank", True),
        Column("host"),
        Column("device"),
        Column("threads", True),
        Column("images/s alone", True),
    )
    rows = (
        (str(one.rank), one.host, one.device, str(one.threads), rate(one.images_per_s).removesuffix(" images/s"))
        for one in record.ranks
    )
    return Table(
        ident="ranks",
        caption="The fastest of its trainings alone, beside the other ranks'.",
        columns=columns,
        rows=tuple(tuple(map(Cell, row)) for row in rows),
        has_names=False,
    )
