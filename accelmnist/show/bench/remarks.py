"""What has to be said of a benchmark beside its tables, as plain text: bounds, doubts, the measurement's own cost.

A symptom's hint is what was seen and, after a colon, what to do about it. Cases with the same symptom share the advice,
and what was seen in each stands below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean

from accelmnist.measure.record import BenchRecord, CaseResult
from accelmnist.measure.statistics.comparison import THRESHOLD
from accelmnist.show.bench.parts import is_measured
from accelmnist.show.bench.view import BenchView
from accelmnist.show.units import percent, seconds, significant

_HARNESS_LIMIT = 0.01  # of a region
_LEAST_SHARE = 0.0001  # what two digits can say
_AMBIGUOUS = "more rounds, longer regions or a quieter machine would tell whether there is a difference"


@dataclass(frozen=True)
class Doubt:
    """A reason not to trust some figures: its name, what to do, and what was seen in which cases."""

    code: str
    advice: str
    seen: tuple[str, ...]


def doubts_of(view: BenchView) -> list[Doubt]:
    """Every symptom by its name and advice, and the comparisons that came to nothing."""
    measured = sum(map(is_measured, view.record.cases))
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for result in view.record.cases:
        for code, sight, advice in _doubts(result):
            found.setdefault((code, advice), {}).setdefault(sight, []).append(view.label(result))
    return [
        Doubt(code, advice, tuple(f"{_listed(labels, measured)}: {sight}" for sight, labels in sights.items()))
        for (code, advice), sights in found.items()
    ]


def _listed(labels: list[str], measured: int) -> str:
    return "all cases" if len(labels) == measured > 1 else ", ".join(labels)


def _doubts(result: CaseResult) -> list[tuple[str, str, str]]:
    """Name, what was seen, what to do."""
    found: list[tuple[str, str, str]] = []
    for symptom in result.symptoms:
        sight, _, advice = symptom.hint.partition(": ")
        found.append((symptom.code, sight, advice))
    over = result.speedup
    if over is not None and over.verdict == "ambiguous":
        interval = f"between {significant(over.low)} and {significant(over.high)} times its baseline"
        found.append(("ambiguous", interval, _AMBIGUOUS))
    return found


def harness_text(record: BenchRecord) -> str:
    """What the measurement itself costs, or nothing where that is unknown."""
    harness = record.harness
    if harness is None:
        return ""
    known = harness.share is not None
    share = f", at most {percent(max(harness.share or 0.0, _LEAST_SHARE))} of one" if known else ""
    return f"Measuring costs {seconds(harness.empty_region_s)} a region{share}."


def harness_is_heavy(record: BenchRecord) -> bool:
    """Whether the measurement takes more than it may."""
    return record.harness is not None and (record.harness.share or 0.0) > _HARNESS_LIMIT


def load_text(record: BenchRecord) -> str:
    """What other processes took meanwhile, or nothing where that was not seen."""
    shares = [round_.other_cpu for round_ in record.rounds if round_.other_cpu is not None]
    if not shares:
        return ""
    return f"Other processes used {percent(mean(shares), digits=1)} of the processors meanwhile."


def legend_of(view: BenchView) -> str:
    """How to read the figures of a record."""
    record = view.record
    parts = []
    if any(result.images_per_s for result in record.cases):
        parts.append("± is the 95 % interval of the median.")
    if over := baselines_text(view):
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


def baselines_text(view: BenchView) -> str:
    """What the speed-ups divide by: "eager fp32 on cpu", or nothing where there are none."""
    found: dict[str, None] = {}
    for result in view.record.cases:
        base = view.baseline(result) if result.speedup is not None else None
        if base is not None:
            found[f"{base.engine} {base.precision} on {base.device}"] = None
    return " or ".join(found)
