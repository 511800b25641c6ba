"""The answer in a few lines, as plain text: is all of it right, what is the fastest, and how much was measured."""

from __future__ import annotations

from collections import Counter

from accelmnist.core.text import brief
from accelmnist.measure.beside.verdict import regressions
from accelmnist.measure.conclusion import paired
from accelmnist.measure.record import BenchRecord, CaseResult, Target
from accelmnist.measure.statistics.comparison import are_too_few
from accelmnist.show.bench.beside import beside_lines
from accelmnist.show.bench.cases import arm_of, has_median, reached_text, reason_text, target_text
from accelmnist.show.bench.scaling import scaling_line
from accelmnist.show.bench.view import BenchView, Part
from accelmnist.show.document import Headline, Tone
from accelmnist.show.run_tables import failure_text
from accelmnist.show.units import plural, rate, seconds, significant, spread

_NOTHING = "NOTHING MEASURED"
_DOES = {"training": "trains", "latency": "classifies single images", "throughput": "classifies batches"}


def headline(view: BenchView) -> Headline:
    """The outcome and how much was measured, what is fastest, and every wrong row with what failed."""
    (word, tone), record = outcome_of(view), view.record
    lines: list[tuple[str, Tone]] = [(sentence, "strong") for sentence in leaders(view)]
    if message := message_of(view):
        lines.append((message, "unsure" if record.status == "interrupted" else "bad"))
    lines += [(f"wrong: {view.label(result)}: {failures_text(result)}", "bad") for result in view.wrong]
    lines += [(f"{view.label(result)} {reason_text(result)}", "bad") for result in view.broken]
    lines += beside_lines(view)
    return Headline(word=word, tone=tone, text=extent(view), lines=tuple(lines))


def outcome_of(view: BenchView) -> tuple[str, Tone]:
    """FAIL if a row is wrong or broken or no seed reached the target, PASS if all measured rows are right; its tone.

    The tone is "unsure" if that is no judgement of the results.
    """
    record = view.record
    timed = [result.time_to_accuracy for result in record.cases if result.time_to_accuracy is not None]
    if record.status == "done" and not view.measured and not view.wrong:
        return _NOTHING, "unsure"
    is_bad = bool(view.wrong or view.broken or regressions(record))
    if is_bad or (timed and not any(times.reached for times in timed)):
        return "FAIL" if record.status == "done" else f"{record.status.upper()}, FAIL", "bad"
    if record.status != "done":
        return record.status.upper(), "unsure"
    if any(result.verdict is None for result in view.measured):
        return "DONE, not verified", "unsure"
    return "PASS", "good"


def failures_text(result: CaseResult) -> str:
    """The failed checks of a row with their values and limits."""
    return brief("; ".join(map(failure_text, result.verdict.failures))) if result.verdict else ""


def nothing_text(view: BenchView) -> str:
    """One sentence on why no case has a figure, by the reason that most of them share; empty if one has."""
    cases = view.record.cases
    if not cases or outcome_of(view)[0] != _NOTHING:
        return ""
    (reason, number), *others = Counter(reason_text(result).removeprefix("skipped: ") for result in cases).most_common()
    of_how_many = f" ({number} of {plural(len(cases), 'case')})" if others else ""
    return f"Nothing was measured: {reason}{of_how_many}"


def message_of(view: BenchView) -> str:
    """Why the benchmark ended as it did, unless the outcome says it already."""
    record = view.record
    return "" if record.message is None or record.message == record.status else brief(record.message)


def extent(view: BenchView) -> str:
    """How much was measured: "17 of 19 cases measured in 24 rounds, 2 min 51 s"."""
    record = view.record
    rounds = f" in {plural(len(record.rounds), 'round')}" if record.rounds else ""
    cases = plural(len(record.cases), "case")
    return f"{len(view.measured)} of {cases} measured{rounds}, {seconds(record.elapsed_s)}"


def leaders(view: BenchView) -> tuple[str, ...]:
    """A sentence for the fastest right row of every table of training, or of inference if nothing was trained."""
    trained = [part for part in view.parts if part.kind in ("training", "target")]
    return tuple(filter(None, (_leader(part, view) for part in trained or view.parts)))


def _leader(part: Part, view: BenchView) -> str:
    right = [result for result in part.rows if not result.is_wrong]
    if part.kind == "target":
        return _quickest([result for result in right if has_median(result)], part, view)
    if not right:
        return ""
    first = max(right, key=lambda result: result.images_per_s.median if result.images_per_s else 0.0)
    others = [result for result in right if result not in (first, view.baseline(first))]
    # The rounds that both took part in leave open which of the two is the faster.
    tied = [other for other in others if (over := paired(first, other)) is not None and over.verdict != "slower"]
    return f"{view.brief(first)} {_DOES[part.kind]} fastest, {_pace(first, view)}{_also(tied, view)}"


def _also(level: list[CaseResult], view: BenchView) -> str:
    """The cases that may be as fast as the first."""
    return f"; not clearly slower: {', '.join(map(view.brief, level))}" if level else ""


def _pace(first: CaseResult, view: BenchView) -> str:
    """The speed, and a speed-up in words, no more than the comparison claims."""
    assert first.images_per_s is not None
    speed, base, over = rate(first.images_per_s.median), view.baseline(first), first.speedup
    if base is None or base is first:
        return speed
    name = view.brief(base)
    if are_too_few(len(first.images_per_s.samples)):
        return f"{speed}, too few rounds to compare it with {name}"
    if over is None:
        return f"{speed}, not compared with {name}"
    if over.verdict in ("faster", "slower"):
        return f"{speed}, {significant(over.ratio)} times as fast as {name} ({spread(arm_of(over))})"
    return f"{speed}, {'as fast as' if over.verdict == 'same' else 'not to be told apart from'} {name}"


def _quickest(timed: list[CaseResult], part: Part, view: BenchView) -> str:
    if not timed or timed[0].time_to_accuracy is None:
        return f"{part.title}: no right case gets there with half of its seeds" if part.rows else ""
    fastest = timed[0].time_to_accuracy.with_compile
    level = [result for result in timed[1:] if _overlaps(fastest, result)]
    took = f"{target_text(fastest)}, {reached_text(timed[0])} seeds"
    return f"{part.title}: {view.brief(timed[0])} is quickest, {took}{_also(level, view)}"


def _overlaps(first: Target, other: CaseResult) -> bool:
    """Whether the interval of `other` begins before that of the first ends."""
    low = other.time_to_accuracy.with_compile.low_s if other.time_to_accuracy else None
    return low is not None and (first.high_s is None or low <= first.high_s)


def format_line(record: BenchRecord) -> str:
    """The outcome first, then how much was measured, what is fastest, every wrong row; or why nothing was measured."""
    if record.scaling is not None:
        return scaling_line(record)
    view = BenchView(record)
    wrong = [f"wrong: {view.label(result)} ({failures_text(result)})" for result in view.wrong]
    broken = [f"{view.label(result)} {reason_text(result)}" for result in view.broken]
    outcome = f"{outcome_of(view)[0]} {extent(view)}"
    said = (*leaders(view), *wrong, *broken, *(line for line, _ in beside_lines(view)))
    return "; ".join(filter(None, (outcome, message_of(view), *said, nothing_text(view))))
