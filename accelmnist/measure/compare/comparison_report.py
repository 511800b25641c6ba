"""Two records against each other: which cases they share, what became of each, and whether that is a failure.

`case_comparison` judges a case by itself. A case that is wrong in NEW and was right in BASE is a failure whatever the
rules.

With `fail_on`, a regression is a failure too: significant, above the threshold, and base at least `1 + fail_on` times
as fast (`comparison.regressed`). One case alone gives a false alarm in 5 % at most; of 20 cases, one would in 64 %. So
the failures take the p-values after Holm's correction over all compared cases, which holds the chance of any false
alarm at 5 % however the cases depend on each other (Holm, "A simple sequentially rejective multiple test procedure",
Scandinavian Journal of Statistics 6, 1979). The verdict of a row is that of the case by itself; `spared` marks those
that only the correction keeps from failing, and `cannot_fail` those with too few samples to fail alone whatever they
are. With `fail_on` it is a failure as well if NEW tried a case that BASE measured, and came to no end with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from accelmnist.core.errors import RecordError
from accelmnist.core.files import SCHEMA_VERSION
from accelmnist.measure.compare.case_comparison import CaseComparison, CaseOutcome, Rules, compare_case
from accelmnist.measure.compare.compared_record import ComparedRecord, Fact, Tool
from accelmnist.measure.statistics.comparison import compare, regressed
from accelmnist.measure.statistics.summary import CONFIDENCE

_SIGNIFICANCE = 1 - CONFIDENCE
_BUSY_SHARE = 0.02  # of the processors' time; below, as much of a case's time is within what is called the same
_ENOUGH = 50  # samples a side with which a p-value can be as small as any number of cases asks for


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A fact in which the two differ; None is unknown, or not there. Of lists, what only one of them holds."""

    name: str
    base: Fact
    new: Fact


@dataclass(frozen=True, kw_only=True)
class RecordName:
    """Which record it was: as it was given, and when it was made."""

    name: str
    created: str


@dataclass(frozen=True, kw_only=True)
class ComparisonReport:
    """The whole comparison. `compared` is the number of cases that Holm's correction counts."""

    schema_version: int = SCHEMA_VERSION
    kind: Literal["comparison"] = "comparison"
    passed: bool
    tool: Tool
    base: RecordName
    new: RecordName
    rules: Rules
    warnings: tuple[str, ...]
    differences: tuple[Difference, ...]
    counts: dict[CaseOutcome, int]
    compared: int
    cannot_fail: tuple[str, ...]
    rows: tuple[CaseComparison, ...]
    same_rounds: bool = False  # whether the two are sides of one benchmark


def compare_records(base: ComparedRecord, new: ComparedRecord, rules: Rules) -> ComparisonReport:
    """Compare every case; RecordError if the two are of different tools, or no case was measured in both."""
    if base.tool != new.tool:
        raise RecordError(
            f"{base.name} is of {base.tool} and {new.name} of {new.tool}", remedy="Give two records of one tool"
        )
    rows = judged_together([compare_case(key, base, new, rules) for key in base.series | new.series], rules)
    if not any(row.comparison or row.fails or row.outcome.startswith("wrong") for row in rows):
        raise RecordError(
            f"{base.name} and {new.name} have no measured case in common", remedy="Measure the same cases"
        )
    if rules.fail_on is not None and any(row.alone for row in rows) and not any(row.by_process for row in rows):
        raise RecordError(
            f"--fail-on: {base.name} or {new.name} is of one process, and can't tell what changes from one to the next",
            remedy="Run both in turn, three times or more, and give the two folders of files",
        )
    return ComparisonReport(
        passed=not any(row.fails for row in rows),
        tool=base.tool,
        base=RecordName(name=base.name, created=base.created),
        new=RecordName(name=new.name, created=new.created),
        rules=rules,
        warnings=tuple(_warnings(base, new, divided=any(row.divided_by for row in rows))),
        differences=tuple(_differences(base, new)),
        counts=dict(Counter(row.outcome for row in rows)),
        compared=sum(row.comparison is not None for row in rows),
        cannot_fail=_cannot_fail(rows, rules),
        rows=tuple(rows),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given: below 5 % if the step-down procedure rejects at 5 %."""
    adjusted, least = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = least
    return adjusted


def judged_together(rows: Sequence[CaseComparison], rules: Rules) -> list[CaseComparison]:
    """The rows with what follows from all of them together."""
    compared = [row.comparison for row in rows if row.comparison]
    adjusted = iter(holm([comparison.p_value for comparison in compared]))
    decided = []
    for row in rows:
        if row.comparison is not None:
            family_p = next(adjusted)
            beyond = rules.fail_on is not None and regressed(row.comparison, fail_on=rules.fail_on)
            holds = family_p < _SIGNIFICANCE
            row = replace(row, family_p=family_p, fails=beyond and holds, spared=beyond and not holds)
        decided.append(row)
    return decided


def _cannot_fail(rows: Sequence[CaseComparison], rules: Rules) -> tuple[str, ...]:
    """The cases that could not fail alone however slow they were: their least p is too large for so many cases."""
    compared = [row for row in rows if row.comparison and rules.fail_on is not None]
    return tuple(row.key for row in compared if row.alone or _least_p(*row.samples) * len(compared) >= _SIGNIFICANCE)


@lru_cache(maxsize=256)
def _least_p(base: int, new: int) -> float:
    """The p-value if all samples of one side are above all of the other; 1 if they are too few for a verdict."""
    clearest = compare([1.0] * min(base, _ENOUGH), [2.0] * min(new, _ENOUGH), paired=False)
    return clearest.p_value if clearest.verdict == "faster" else 1.0


def _warnings(base: ComparedRecord, new: ComparedRecord, *, divided: bool) -> Iterable[str]:
    parts = [part for part in base.machine if base.machine[part] != new.machine.get(part, base.machine[part])]
    if parts:
        verb = "differs" if len(parts) == 1 else "differ"
        shares = ", and a ratio is one of shares of each machine's limits; --raw compares the speeds" if divided else ""
        yield f"{' and '.join(parts)} {verb}: this compares machines, not versions{shares}"
    several = len(base.runs) > 1 and len(new.runs) > 1
    if several and (base.runs[-1] <= new.runs[0] or new.runs[-1] <= base.runs[0]):
        yield "base and new were not run in turn: a drift of the machine from one to the other looks like a difference"
    for record in (base, new):
        if record.state is not None:
            yield f"{record.name} is of a benchmark that is {record.state}"
        if record.other_cpu is not None and record.other_cpu > _BUSY_SHARE:
            used = f"{100 * record.other_cpu:.0f} % of the processors"
            yield (
                f"{record.name} was measured while other processes used {used}: "
                "some cases lose more by that than others, and than the limits"
            )


def _differences(base: ComparedRecord, new: ComparedRecord) -> Iterable[Difference]:
    for name in base.facts | new.facts:
        one, other = base.facts.get(name), new.facts.get(name)
        if isinstance(one, tuple) and isinstance(other, tuple):
            one, other = _unshared(one, other), _unshared(other, one)
        if one != other:
            yield Difference(name=name, base=one, new=other)


def _unshared(items: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(item for item in items if item not in others)
