"""The sides of one benchmark against each other, by the rounds that both took part in: a drift of the machine cancels.

The judgement is that of two records, but for the limits: within a round nothing has to be divided out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from accelmnist.core.errors import RecordError
from accelmnist.core.text import brief
from accelmnist.measure.compare.case_comparison import CaseComparison, Rules
from accelmnist.measure.compare.compared_record import Fact
from accelmnist.measure.compare.comparison_report import ComparisonReport, Difference, RecordName, judged_together
from accelmnist.measure.conclusion import over_side, own_of
from accelmnist.measure.plan import OURS
from accelmnist.measure.record import BenchRecord, CaseResult, SideFacts


def compare_sides(
    record: BenchRecord, name: str, rules: Rules, *, base: str | None = None, new: str | None = None
) -> ComparisonReport:
    """Hold the side `new`, or this program, against the side `base`, or every other one; raises RecordError."""
    known = [side.name for side in record.config.beside]
    if not known:
        raise RecordError(f"{name} has one side alone", remedy="Give a second record, or measure by bench --beside")
    for side in (base, new):
        if side not in (None, OURS, *known):
            raise RecordError(f"{name} has no side {side!r}", remedy=f"It has {', '.join([OURS, *known])}")
    new = None if new == OURS else new
    bases: list[str | None] = [one for one in known if one != new]
    if base is not None:
        bases = [None if base == OURS else base]
    is_named = len(bases) > 1
    rows = [_row(result, record, new, rules, is_named=is_named) for result in record.cases if result.side in bases]
    rows = judged_together(rows, rules)
    failed = [result for result in record.cases if result.side in (*bases, new) and result.status == "failed"]
    if not any(row.comparison for row in rows):
        remedy = f"{failed[0].side or OURS}: {failed[0].skipped}" if failed else "Measure for longer"
        raise RecordError(f"{name}: its sides have no measured case in common", remedy=remedy)
    broken_off = [result for result in failed if result.images_per_s is not None]
    return ComparisonReport(
        passed=not any(row.fails for row in rows) and not (failed and rules.fail_on is not None),
        tool="accelmnist bench",
        base=RecordName(name=f"{name}: {', '.join(one or OURS for one in bases)}", created=record.created),
        new=RecordName(name=f"{name}: {new or OURS}", created=record.created),
        rules=rules,
        warnings=tuple(f"{result.label} broke off: {brief(result.skipped or '')}" for result in broken_off),
        differences=tuple(_differences(record, bases, new)),
        counts=dict(Counter(row.outcome for row in rows)),
        compared=sum(row.comparison is not None for row in rows),
        cannot_fail=(),
        rows=tuple(rows),
        same_rounds=True,
    )


def _row(base: CaseResult, record: BenchRecord, new: str | None, rules: Rules, *, is_named: bool) -> CaseComparison:
    """What became of a case of a base and of the one that is held against it."""
    results = {result.case: result for result in record.cases}
    rounds = {round_.number: round_ for round_ in record.rounds}
    case = own_of(base.case, results, new)
    partner = None if case is None else results[case]
    over = None if partner is None or base.is_wrong else over_side(partner, base, rounds, rules.threshold)
    counts = [
        0 if one is None or one.images_per_s is None else len(one.images_per_s.samples) for one in (base, partner)
    ]
    axes = base.axes | ({} if is_named else {"side": ""})
    row = CaseComparison(
        key=base.label, axes=axes, outcome="in neither", samples=(counts[0], counts[1]), reason=base.skipped
    )
    if over is not None and partner is not None and partner.images_per_s and base.images_per_s:
        plain = partner.images_per_s.median / base.images_per_s.median
        return replace(row, outcome=over.verdict, comparison=over, ratio_of_medians=plain, reason=None)
    if base.is_wrong:
        return replace(row, outcome="wrong in base", reason=", ".join(_failures(base)))
    if base.images_per_s is None:
        return replace(row, outcome="only in new" if partner else "in neither")
    reason = "there is no right case of it"
    return replace(row, outcome="only in base", reason=reason, fails=rules.fail_on is not None)


def _failures(result: CaseResult) -> Iterator[str]:
    return (check.name for check in (result.verdict.failures if result.verdict else ()))


def _differences(record: BenchRecord, bases: list[str | None], new: str | None) -> Iterator[Difference]:
    """What both sides say of themselves, and the variables that their commands set."""
    sides = {side.name: side for side in record.sides}
    theirs = sides.get(new or OURS)
    for base in bases:
        own = sides.get(base or OURS)
        if own is None or theirs is None or own.failure or theirs.failure:
            continue
        one, other = _facts(own), _facts(theirs)
        prefix = f"{own.name}: " if len(bases) > 1 else ""
        for name in one | other:
            is_told = name in own.settings | theirs.settings or (name in one and name in other)
            if is_told and one.get(name) != other.get(name):
                yield Difference(name=f"{prefix}{name}", base=one.get(name), new=other.get(name))


def _facts(side: SideFacts) -> dict[str, Fact]:
    known = {} if side.threads is None else {"threads": side.threads}
    return {**side.versions, **known, **side.settings}
