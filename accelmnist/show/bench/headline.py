"""The answer in a few lines, as plain text: is all of it right, what is the fastest, and how much was measured."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from accelmnist.core.records import Check
from accelmnist.measure.limits.crossover import paired
from accelmnist.measure.record import BenchRecord, CaseResult, Target
from accelmnist.measure.statistics.comparison import Comparison, are_too_few
from accelmnist.show.bench.figures import arm_of, has_median, reached_text, target_text
from accelmnist.show.bench.naming import one_line
from accelmnist.show.bench.pages import reason_text
from accelmnist.show.bench.parts import Part, is_measured
from accelmnist.show.bench.view import BenchView
from accelmnist.show.units import plural, rate, seconds, significant, spread

NOTHING = "NOTHING MEASURED"
_DOES = {"training": "trains", "latency": "classifies single images", "throughput": "classifies batches"}


@dataclass(frozen=True)
class Outcome:
    """How a benchmark ended, in a `word`; `passed` is None where that is no judgement of its results."""

    word: str
    passed: bool | None


def outcome_of(record: BenchRecord) -> Outcome:
    """FAIL where a row is wrong or no seed reached the target, PASS where every measured row is right."""
    measured = [result for result in record.cases if is_measured(result)]
    timed = [made for made in (result.time_to_accuracy for result in record.cases) if made is not None]
    if record.status == "done" and not measured and not wrong_of(record):
        return Outcome(NOTHING, None)
    if wrong_of(record) or (timed and not any(made.reached for made in timed)):
        return Outcome("FAIL" if record.status == "done" else f"{record.status.upper()}, FAIL", False)
    if record.status != "done":
        return Outcome(record.status.upper(), None)
    if any(result.verdict is None for result in measured):
        return Outcome("DONE, not verified", None)
    return Outcome("PASS", True)


def wrong_of(record: BenchRecord) -> tuple[CaseResult, ...]:
    """The rows whose result is not right."""
    return tuple(result for result in record.cases if result.is_wrong)


def failures_text(result: CaseResult) -> str:
    """The failed checks of a row with their values and limits."""
    return one_line("; ".join(map(_failure, result.verdict.failures))) if result.verdict else ""


def _failure(check: Check) -> str:
    if check.value is None:
        return f"{check.name} ({check.detail})"
    return f"{check.name} is {check.value:.4g}" + ("" if check.limit is None else f", limit {check.limit:.4g}")


def nothing_text(record: BenchRecord) -> str:
    """One sentence on why no case has a figure, by the reason that most of them share; nothing where one has."""
    if outcome_of(record).word != NOTHING:
        return ""
    (reason, number), *others = Counter(
        reason_text(result).removeprefix("skipped: ") for result in record.cases
    ).most_common()
    of_how_many = f" ({number} of {plural(len(record.cases), 'case')})" if others else ""
    return f"Nothing was measured: {reason}{of_how_many}"


def message_of(record: BenchRecord) -> str:
    """Why the benchmark ended as it did, where the outcome doesn't say it already."""
    return "" if record.message is None or record.message == record.status else one_line(record.message)


def extent(record: BenchRecord) -> str:
    """How much was measured: "17 of 19 cases measured in 24 rounds, 2 min 51 s"."""
    done = sum(map(is_measured, record.cases))
    rounds = f" in {plural(len(record.rounds), 'round')}" if record.rounds else ""
    return f"{done} of {plural(len(record.cases), 'case')} measured{rounds}, {seconds(record.elapsed_s)}"


def leaders(view: BenchView) -> tuple[str, ...]:
    """A sentence for the fastest right row of every table of training, or of inference where nothing was trained."""
    trained = [part for part in view.parts if part.kind in ("training", "target")]
    return tuple(filter(None, (_leader(part, view) for part in trained or view.parts)))


def _leader(part: Part, view: BenchView) -> str:
    right = [result for result in part.rows if not result.is_wrong]
    if part.kind == "target":
        return _quickest([result for result in right if has_median(result)], part, view)
    if not right:
        return ""
    first = max(right, key=_speed)
    named = (first, view.baseline(first))
    tied = [result for result in right if result not in named and _is_level(first, result)]
    return f"{view.brief(first)} {_DOES[part.kind]} fastest, {_pace(first, view)}{_also(tied, view)}"


def _also(level: list[CaseResult], view: BenchView) -> str:
    """The cases that may be as fast as the first."""
    return f"; not clearly slower: {', '.join(map(view.brief, level))}" if level else ""


def _pace(first: CaseResult, view: BenchView) -> str:
    assert first.images_per_s is not None
    base = view.baseline(first)
    if base is None or base is first:
        return rate(first.images_per_s.median)
    few = are_too_few(len(first.images_per_s.samples))
    base_name = view.brief(base)
    over = f"too few rounds to compare it with {base_name}" if few else speedup_text(first.speedup, base_name)
    return f"{rate(first.images_per_s.median)}, {over}"


def _speed(result: CaseResult) -> float:
    return result.images_per_s.median if result.images_per_s else 0.0


def _is_level(first: CaseResult, other: CaseResult) -> bool:
    """Whether the rounds that both took part in leave open which of the two is the faster."""
    against = paired(first, other)
    return against is not None and against.verdict != "slower"


def _quickest(timed: list[CaseResult], part: Part, view: BenchView) -> str:
    if not timed or timed[0].time_to_accuracy is None:
        return f"{part.title}: no right case gets there with half of its seeds" if part.rows else ""
    made = timed[0].time_to_accuracy.with_compile
    level = [result for result in timed[1:] if _overlaps(made, result)]
    took = f"{target_text(made)}, {reached_text(timed[0])} seeds"
    return f"{part.title}: {view.brief(timed[0])} is quickest, {took}{_also(level, view)}"


def _overlaps(first: Target, other: CaseResult) -> bool:
    """Whether the interval of `other` begins before that of the first ends."""
    low = other.time_to_accuracy.with_compile.low_s if other.time_to_accuracy else None
    return low is not None and (first.high_s is None or low <= first.high_s)


def speedup_text(over: Comparison | None, base: str) -> str:
    """A speed-up over the case called `base` in words, no more than the comparison claims."""
    if over is None:
        return f"not compared with {base}"
    if over.verdict in ("faster", "slower"):
        return f"{significant(over.ratio)} times as fast as {base} ({spread(arm_of(over))})"
    return f"as fast as {base}" if over.verdict == "same" else f"not to be told apart from {base}"
