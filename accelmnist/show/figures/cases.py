"""Names of cases in the figures of a benchmark: what tells them apart, what they share, and what may be claimed.

A case has eight parts, and a label with all of them is unreadable: a label holds those that differ between the cases
drawn, and the headings hold the others. A claim, such as "compiled is 1.75 times eager at batch 256", is made only
if the record's own comparison says faster, which takes significance and an effect above its threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

from accelmnist.measure.plan import MODES, Case
from accelmnist.measure.record import BenchRecord, CaseResult
from accelmnist.measure.statistics.summary import Summary
from accelmnist.show.bench.view import TRAITS, BenchView, Trait
from accelmnist.show.figures.sheet import wrap
from accelmnist.show.figures.table import TableColumn
from accelmnist.show.units import plural, significant

MOST_CASES = 40

# The parts of a case beside its mode, by their headings, in the order of a label.
PARTS: dict[str, Trait] = {trait.heading: trait for trait in TRAITS}
WAY = ("device", "engine", "precision")  # of running the same work


def measured(record: BenchRecord) -> list[CaseResult]:
    """The cases that have samples."""
    return [result for result in record.cases if result.images_per_s is not None]


def speed_of(result: CaseResult) -> Summary:
    """Images/s of a measured case."""
    assert result.images_per_s is not None
    return result.images_per_s


def by_speed(results: Sequence[CaseResult]) -> list[CaseResult]:
    """The right ones, the fastest first, and then the wrong ones, which have no rank."""
    return sorted(results, key=lambda result: (result.is_wrong, -speed_of(result).median))


def foremost(results: Sequence[CaseResult], most: int = MOST_CASES) -> list[CaseResult]:
    """The `most` fastest, as many of each mode as there is room for: any inference is faster than any training."""
    ranks: dict[Case, int] = {}
    for mode in MODES:
        own = by_speed([result for result in results if result.mode == mode])
        ranks |= {result.case: rank for rank, result in enumerate(own)}
    kept = sorted(results, key=lambda result: ranks[result.case])[:most]
    return [result for result in results if any(result is one for one in kept)]


def phrase(result: CaseResult, parts: Sequence[str]) -> str:
    """Parts of the case in words: "cpu compiled fp32 batch 256"."""
    return " ".join(filter(None, (PARTS[part].words(result) for part in parts)))


def varying(results: Sequence[CaseResult], parts: Sequence[str] = tuple(PARTS)) -> tuple[str, ...]:
    """Those of `parts` that differ between cases of one mode, and the engine in any case."""
    differing = {
        part
        for part in parts
        for mode in MODES
        if len({PARTS[part].value(result) for result in results if result.mode == mode}) > 1
    }
    return tuple(part for part in parts if part in differing or part == "engine")


def shared(results: Sequence[CaseResult], *, but: Sequence[str] = ()) -> list[str]:
    """What all of `results` have in common, in words, without the parts in `but`."""
    kept = [part for part in PARTS if part not in but and len({PARTS[part].value(result) for result in results}) == 1]
    return [words for part in kept if (words := phrase(results[0], (part,)))] if results else []


def fault_text(result: CaseResult, width: int) -> str:
    """That the case is wrong, and below it the first check that failed, wrapped to `width` pixels; or nothing."""
    failures = result.verdict.failures[:1] if result.verdict else ()
    return "\n".join(["wrong", *(wrap(check.name, width) for check in failures)]) if result.is_wrong else ""


def columns(results: Sequence[CaseResult], parts: Sequence[str]) -> list[TableColumn]:
    """A column for each of `parts`."""
    traits = [PARTS[part] for part in parts]
    return [
        TableColumn(one.heading, [*map(one.value, results)], "right" if one.is_number else "left") for one in traits
    ]


def setting(record: BenchRecord, results: Sequence[CaseResult], *, but: Sequence[str]) -> list[str]:
    """The lines below a title: the work that `results` share; their hardware, torch and the date as far as known."""
    dataset = "own images" if record.config.data.folder else record.config.data.dataset
    used, environment = {result.device for result in results}, record.environment
    hardware: dict[str, None] = {}
    for info in record.devices:
        if info.name in used:
            cores = environment.cores if environment and info.name == "cpu" else None
            hardware[f"{info.hardware} ({plural(cores, 'core')})" if cores else info.hardware] = None
    software = f"torch {environment.torch}" if environment else ""
    unfinished = "" if record.status == "done" else f"{record.status}: the figures so far"
    machine = filter(None, (", ".join(hardware), software, record.created[:10], unfinished))
    return [", ".join([*shared(results, but=but), dataset]), "; ".join(machine)]


def baseline_cases(record: BenchRecord) -> set[Case]:
    """All cases that a speed-up divides by."""
    view = BenchView(record)
    bases = (view.baseline(result) for result in record.cases if result.speedup is not None)
    return {base.case for base in bases if base is not None and base.speedup is None}


def claim(record: BenchRecord) -> tuple[str, str] | None:
    """What the first in rank is to its baseline, at which size, and how sure that is; None unless it is faster."""
    first = [result for result in measured(record) if result.rank == 1 and not result.is_wrong]
    if not first:
        return None
    best = min(first, key=lambda result: (MODES.index(result.mode), -speed_of(result).median))
    base, over = BenchView(record).baseline(best), best.speedup
    if base is None or over is None or over.verdict != "faster":
        return None
    parts, results = varying([best, base], (*WAY, "threads")), measured(record)
    sizes = ("batch", *(part for part in ("network", "optimizer") if part in varying(results)))
    mode = f"in {best.mode} " if len({result.mode for result in results}) > 1 else ""
    scope = f"{mode}at {', '.join(phrase(best, (size,)) for size in sizes)}"
    sentence = f"{phrase(best, parts)} is {significant(over.ratio)} times {phrase(base, parts)} {scope}"
    interval = f"{significant(over.low)} to {significant(over.high)}"
    return sentence, f"95 % interval of the ratio: {interval}, from pairs of the same round"
