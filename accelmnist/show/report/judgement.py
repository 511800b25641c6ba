"""The chapter on whether the result of a run is right: every check, and the same training by the reference."""

from __future__ import annotations

from accelmnist.core.records import RunRecord, Verdict
from accelmnist.show.document import Block, Missing, Points, Section, Text
from accelmnist.show.run_tables import checks_table, reference_table


def judgement_chapter(record: RunRecord) -> Section:
    """PASS or FAIL, and by which figures."""
    blocks: list[Block] = []
    verdict = record.verdict
    if verdict is None:
        blocks.append(Missing(text=f"The result was not verified: the run is {record.status}."))
    else:
        blocks += [Text(text=_lead(verdict), lead=True), *_failures(verdict), checks_table(verdict)]
    if record.reference is not None and record.metrics is not None:
        blocks.append(reference_table(record, record.metrics, record.reference))
    return Section(ident="judgement", title="Is it right?", blocks=tuple(blocks))


def _lead(verdict: Verdict) -> str:
    checks = len(verdict.checks)
    held = f"The result was held against {verdict.reference}"
    if verdict.passed:
        return f"PASS. {held}: all {checks} checks hold."
    return f"FAIL. {held}: {len(verdict.failures)} of {checks} checks do not hold."


def _failures(verdict: Verdict) -> list[Block]:
    lines = tuple(f"{check.name}: {check.detail}. {check.reason}." for check in verdict.failures)
    return [Points(title="Failed", items=lines)] if lines else []
