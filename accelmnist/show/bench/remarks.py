"""What has to be said of a benchmark beside its tables, as plain text: bounds, doubts, the measurement's own cost.

A symptom's hint is what was seen and, after a colon, what to do about it. Cases with the same symptom share the advice,
and what was seen in each stands below it.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import mean

from accelmnist.measure.record import BenchRecord, CaseResult
from accelmnist.measure.statistics.comparison import THRESHOLD
from accelmnist.show.bench.view import BenchView, one_line
from accelmnist.show.document import Block, Remark, Remarks, Text
from accelmnist.show.units import percent, seconds, significant

_HARNESS_LIMIT = 0.01  # of a region
_LEAST_SHARE = 0.0001  # what two digits can say
_AMBIGUOUS = "more rounds, longer regions or a quieter machine would tell whether there is a difference"


def bounds(view: BenchView) -> tuple[Remarks, ...]:
    """By table, every case that was explained, with the sentence that does."""
    explained = []
    for part in view.parts:
        items = tuple(
            Remark(name=part.naming.label(row), text=row.bound.sentence) for row in part.rows if row.bound is not None
        )
        if items and part.kind != "target":
            explained.append(Remarks(title=part.title, items=items))
    return tuple(explained) if len(explained) > 1 else tuple(replace(remarks, title="") for remarks in explained)


def doubts(view: BenchView) -> tuple[Block, ...]:
    """Every symptom by its name and advice, what came to nothing, and what the measurement itself took."""
    record, symptoms = view.record, _symptoms(view)
    blocks: list[Block] = [Remarks(items=symptoms, tone="unsure")] if symptoms else []
    if not symptoms and any(result.images_per_s for result in record.cases):
        blocks.append(Text(text="No figure has a symptom."))
    if cost := _harness_text(record):
        is_heavy = record.harness is not None and (record.harness.share or 0.0) > _HARNESS_LIMIT
        blocks.append(Text(text=cost, tone="unsure" if is_heavy else "faint"))
    if load := _load_text(record):
        blocks.append(Text(text=load, tone="faint"))
    return (*blocks, *(Text(text=f"Note: {one_line(note)}", tone="unsure") for note in record.notes))


def _symptoms(view: BenchView) -> tuple[Remark, ...]:
    """Each with its advice once, and what was seen in which cases."""
    seen: dict[tuple[str, str], dict[str, list[str]]] = {}
    for result in view.record.cases:
        for code, sight, advice in _doubts(result):
            seen.setdefault((code, advice), {}).setdefault(sight, []).append(view.label(result))
    return tuple(
        Remark(
            name=code,
            text=advice,
            details=tuple(f"{_listed(labels, view)}: {sight}" for sight, labels in sights.items()),
        )
        for (code, advice), sights in seen.items()
    )


def _listed(labels: list[str], view: BenchView) -> str:
    return "all cases" if len(labels) == len(view.measured) > 1 else ", ".join(labels)


def _doubts(result: CaseResult) -> list[tuple[str, str, str]]:
    """Name, what was seen, what to do."""
    seen: list[tuple[str, str, str]] = []
    for symptom in result.symptoms:
        sight, _, advice = symptom.hint.partition(": ")
        seen.append((symptom.code, sight, advice))
    over = result.speedup
    if over is not None and over.verdict == "ambiguous":
        interval = f"between {significant(over.low)} and {significant(over.high)} times its baseline"
        seen.append(("ambiguous", interval, _AMBIGUOUS))
    return seen


def _harness_text(record: BenchRecord) -> str:
    """What the measurement itself costs, or nothing if that is unknown."""
    harness = record.harness
    if harness is None:
        return ""
    known = harness.share is not None
    share = f", at most {percent(max(harness.share or 0.0, _LEAST_SHARE))} of one" if known else ""
    return f"Measuring costs {seconds(harness.empty_region_s)} a region{share}."


def _load_text(record: BenchRecord) -> str:
    """What other processes took meanwhile, or nothing if that was not seen."""
    shares = [round_.other_cpu for round_ in record.rounds if round_.other_cpu is not None]
    if not shares:
        return ""
    return f"Other processes used {percent(mean(shares), digits=1)} of the processors meanwhile."


def legend_of(view: BenchView) -> str:
    """How to read the figures of a record."""
    record, parts = view.record, []
    if any(result.images_per_s for result in record.cases):
        parts.append("± is the 95 % interval of the median.")
    if over := _baselines_text(view):
        parts.append(f"Speed-up is over {over} doing the same work; 'same' is within {percent(THRESHOLD, digits=0)}.")
    if any(result.share_of_limit is not None for result in record.cases):
        parts.append("'Of limit' is the share of the speed that the measured limits of the hardware allow.")
    if any((result.share_of_limit or 0.0) > 1 for result in record.cases):
        parts.append("It can exceed 100 %: the limit counts every product, and fused skips pixels that are zero.")
    if any(result.break_even_epochs is not None for result in record.cases):
        parts.append("After the 'epochs to pay', compiling has paid for itself.")
    if any(result.time_to_accuracy is not None for result in record.cases):
        parts.append(
            "Time to accuracy: from untouched files on, evaluation included; median over the seeds, its 95 % interval, "
            "and ∞ where a seed never got there."
        )
    return " ".join(parts)


def _baselines_text(view: BenchView) -> str:
    """What the speed-ups divide by: "eager fp32 on cpu", or nothing if there are none."""
    bases = [view.baseline(result) for result in view.record.cases if result.speedup is not None]
    named = (f"{base.engine} {base.precision} on {base.device}" for base in bases if base is not None)
    return " or ".join(dict.fromkeys(named))
