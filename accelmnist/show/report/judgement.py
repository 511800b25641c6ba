"""The chapter on whether the result of a run is right: every check, and the same training by the reference."""

from __future__ import annotations

from accelmnist.core.metrics import Metrics
from accelmnist.core.records import Check, ReferenceRun, RunRecord, Verdict
from accelmnist.show.report.document import Block, Cell, Chapter, Column, Missing, Points, Table, Text, Tone
from accelmnist.show.units import UNKNOWN, fraction, percent, rate, seconds


def judgement_chapter(record: RunRecord) -> Chapter:
    """PASS or FAIL, and by which figures."""
    blocks: list[Block] = []
    verdict = record.verdict
    if verdict is None:
        blocks.append(Missing(text=f"The result was not verified: the run is {record.status}."))
    else:
        blocks += [Text(text=_lead(verdict), lead=True), *_failures(verdict), _checks(verdict)]
    if record.reference is not None and record.metrics is not None:
        blocks.append(_reference(record, record.metrics, record.reference))
    return Chapter(ident="judgement", title="Is it right?", blocks=tuple(blocks))


def outcome(record: RunRecord) -> tuple[str, Tone]:
    """What became of a run, in a word, with its tone."""
    if record.status != "done":
        return record.status.upper(), "unsure" if record.status in ("running", "interrupted") else "bad"
    if record.verdict is None:
        return "DONE, not verified", "unsure"
    return ("PASS", "good") if record.verdict.passed else ("FAIL", "bad")


def _lead(verdict: Verdict) -> str:
    checks = len(verdict.checks)
    held = f"The result was held against {verdict.reference}"
    if verdict.passed:
        return f"PASS. {held}: all {checks} checks hold."
    return f"FAIL. {held}: {len(verdict.failures)} of {checks} checks do not hold."


def _failures(verdict: Verdict) -> list[Block]:
    said = tuple(f"{check.name}: {check.detail}. {check.reason}." for check in verdict.failures)
    return [Points(title="Failed", items=said)] if said else []


def _checks(verdict: Verdict) -> Table:
    return Table(
        ident="checks",
        caption="The checks, their limits, and where the limits come from.",
        columns=(
            Column("check"),
            Column("verdict"),
            Column("value", True),
            Column("limit", True),
            Column("what it is, and why this limit"),
        ),
        rows=tuple(map(_check, verdict.checks)),
    )


def _check(check: Check) -> tuple[Cell, ...]:
    return (
        Cell(check.name),
        Cell("PASS", 1.0, "good") if check.passed else Cell("FAIL", 0.0, "bad"),
        Cell(_figure(check.value), check.value),
        Cell(_figure(check.limit), check.limit),
        Cell("; ".join(filter(None, (check.detail, check.reason)))),
    )


def _figure(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.4g}"


def _reference(record: RunRecord, metrics: Metrics, reference: ReferenceRun) -> Table:
    ours, theirs = record.timing.images_per_s, reference.images_per_s
    other = reference.metrics
    rows = (
        (
            "test accuracy",
            percent(metrics.accuracy),
            percent(other.accuracy),
            f"{100 * (metrics.accuracy - other.accuracy):+.2f} points",
        ),
        (
            "macro F1",
            fraction(metrics.macro_f1),
            fraction(other.macro_f1),
            f"{metrics.macro_f1 - other.macro_f1:+.4f}",
        ),
        ("training time", seconds(record.timing.train_s), seconds(reference.train_s), ""),
        ("speed", rate(ours), rate(theirs), f"{ours / theirs:.2f} times" if ours and theirs else ""),
    )
    return Table(
        ident="reference",
        caption="Beside the same training on the CPU in eager float32.",
        columns=(Column("figure"), Column("this run", True), Column("reference", True), Column("difference", True)),
        rows=tuple(tuple(map(Cell, row)) for row in rows),
    )
