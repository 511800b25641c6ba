"""Is one case faster than another? A ratio of speeds with its interval, and a verdict that may be "ambiguous".

Faster or slower takes two things at once: a significant difference (p below 5 %), and one above a threshold (2 %),
since with enough samples any difference turns significant. "Same" is a claim too: the whole 95 % interval has to lie
within the threshold. Everything else is ambiguous, and takes more rounds or a quieter machine.

Samples are speeds, higher is better; of times, give the reciprocals. A ratio above 1 means that `new` is faster. All is
worked out on logarithms, so that swapping the two inverts the ratio, its interval and the verdict, and "2 %" is one
factor, 1.02, both ways.

Two forms:

- Paired: both cases ran in the same rounds, close together and in random order. Each round gives one ratio, in which a
  drift of the machine, or a neighbour's stall that hits both, cancels. The test is Wilcoxon's signed-rank test.
- Two records, taken at different times. Nothing cancels by itself: a machine that is 3 % slower today makes everything
  "slower", and no test can see it. Hence `limits`, the hardware's own rate that the same round measured beside each
  sample: a speed divided by it says which share of this machine, as it was right then, the case got. It costs the
  noise of the limit's samples, and it holds as far as the case and the limit depend on the same thing. The test is Mann
  and Whitney's.

Estimate and interval are the tests' own: the median of all means of two of the log ratios (paired), or of all
differences of two logarithms, one from each side (Hodges and Lehmann, "Estimates of location based on rank tests",
Annals of Mathematical Statistics 34, 1963). The interval holds exactly the ratios which the test would not reject, so
the two never disagree; a few stalls move neither; and on bell-shaped noise it takes a third
fewer rounds than a ratio of medians would.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.errors import RecordError
from accelmnist.measure.statistics.summary import CONFIDENCE, Samples, as_samples, minimum_samples, thinned

Outcome = Literal["faster", "slower", "same", "ambiguous"]
Ranks = NDArray[np.intp]
Limits = tuple[Sequence[float], Sequence[float]]

THRESHOLD = 0.02
_APART = 0.1  # by which two processes of one program may differ
_SIGNIFICANCE = 1 - CONFIDENCE


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`ratio` is the speed of new over base with its 95 % interval; `p_value` is that of "there is no difference"."""

    ratio: float
    low: float
    high: float
    verdict: Outcome
    p_value: float


def compare(
    base: Sequence[float],
    new: Sequence[float],
    *,
    paired: bool,
    limits: Limits | None = None,
    threshold: float = THRESHOLD,
) -> Comparison:
    """Compare the speeds of two cases, `paired` by round or from two records.

    `limits` are the hardware's rates beside the samples of base and of new, one each; pairs need none. With fewer than
    6 pairs, or 6 samples a side, the verdict is ambiguous, and of fewer than 4 the interval is all that was seen.
    RecordError if a sample isn't a finite number above 0, or the numbers of samples don't match.
    """
    assert limits is None or not paired, "within a round the limit cancels"
    before, after = (thinned(log) for log in logarithms(base, new, limits))
    comparison = _judge(_of_pairs(before, after) if paired else _of_records(before, after), threshold)
    return replace(comparison, verdict="ambiguous") if are_too_few(before.size, after.size) else comparison


def compare_processes(
    base: Sequence[Sequence[float]], new: Sequence[Sequence[float]], *, threshold: float = THRESHOLD
) -> Comparison:
    """Compare two programs by several processes of each, whose speeds are paired by process and by round.

    Two processes of one program differ for as long as they live: of eager by some tenths of a per cent, or by more.
    So every pair of processes counts once, by the middle of its rounds' ratios: from 6 pairs on by the paired test
    above, of 2 to 5 by Student's, which takes the differences between them for normal. A single pair says nothing of
    the next: what it shows is no verdict below a tenth.
    """
    each = [compare(ours, theirs, paired=True, threshold=threshold) for ours, theirs in zip(base, new, strict=True)]
    ratios = [comparison.ratio for comparison in each]
    if len(each) == 1:
        alone = _with_verdict(each[0], _APART)
        return replace(alone, verdict="ambiguous") if alone.verdict == "same" else alone
    if not are_too_few(len(each)):
        return compare([1.0] * len(each), ratios, paired=True, threshold=threshold)
    from scipy.special import stdtr, stdtrit

    logs = np.log(ratios)
    middle, error, freedom = float(logs.mean()), float(logs.std(ddof=1)) / math.sqrt(logs.size), logs.size - 1
    arm = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    p_value = 2 * float(stdtr(freedom, -abs(middle) / error)) if error else 0.0
    low, high = math.exp(middle - arm), math.exp(middle + arm)
    whole = Comparison(ratio=math.exp(middle), low=low, high=high, verdict="ambiguous", p_value=p_value)
    return _with_verdict(whole, threshold)


def _with_verdict(comparison: Comparison, threshold: float) -> Comparison:
    middle, low, high = map(math.log, (comparison.ratio, comparison.low, comparison.high))
    return replace(comparison, verdict=verdict_of(middle, low, high, comparison.p_value, threshold))


def are_too_few(*counts: int) -> bool:
    """Whether a side has fewer samples than an interval of its own median takes.

    Of pairs, no fewer can be significant. Mann and Whitney's test would call 4 samples a side significant, of which
    neither median is known.
    """
    return min(counts) < minimum_samples()


def logarithms(base: Sequence[float], new: Sequence[float], limits: Limits | None) -> tuple[Samples, Samples]:
    """Logarithms of the samples of both sides, divided by their limits if there are any."""
    logs = [np.log(as_samples(side)) for side in (base, new)]
    if limits:
        logs = [_share_of_limit(log, limit) for log, limit in zip(logs, limits, strict=True)]
    return logs[0], logs[1]


def regressed(comparison: Comparison, *, fail_on: float) -> bool:
    """Whether new is slower, significantly, and base at least `1 + fail_on` times as fast.

    The comparison's threshold holds too: give `compare` one that is no higher than `fail_on`.
    """
    return comparison.verdict == "slower" and comparison.ratio * (1 + fail_on) <= 1


@dataclass(frozen=True)
class _Contrasts:
    """Sorted estimates of the log ratio, one for each pair of samples; `deviation` is that of the count above 0."""

    values: Samples
    deviation: float


def _of_pairs(base: Samples, new: Samples) -> _Contrasts:
    """Means of two rounds' log ratios, each with itself too (Walsh averages): n (n + 1) / 2.

    Those above 0 are as many as Wilcoxon's sum of positive ranks.
    """
    if base.size != new.size:
        raise RecordError(f"{base.size} samples can't be paired with {new.size}", remedy="Give both cases' same rounds")
    ratios, count = new - base, base.size
    first, second = _pairs_of(count)
    deviation = math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
    return _Contrasts(np.sort((ratios[first] + ratios[second]) / 2), deviation)


@lru_cache(maxsize=64)
def _pairs_of(count: int) -> tuple[Ranks, Ranks]:
    first, second = np.triu_indices(count)
    return first, second


def _of_records(base: Samples, new: Samples) -> _Contrasts:
    """Differences of all samples of new from all of base: n m, and those above 0 are Mann and Whitney's U."""
    deviation = math.sqrt(base.size * new.size * (base.size + new.size + 1) / 12)
    return _Contrasts(np.sort(np.subtract.outer(new, base), axis=None), deviation)


def _judge(contrasts: _Contrasts, threshold: float) -> Comparison:
    values, p_value, rank = contrasts.values, _p_value(contrasts), _interval_rank(contrasts)
    estimate = float(values[(values.size - 1) // 2] + values[values.size // 2]) / 2
    low, high = (float(values[end]) for end in (max(rank, 0), -1 - max(rank, 0)))
    verdict = verdict_of(estimate, low, high, p_value, threshold) if rank >= 0 else "ambiguous"
    ratio, low, high = math.exp(estimate), math.exp(low), math.exp(high)
    return Comparison(ratio=ratio, low=low, high=high, verdict=verdict, p_value=p_value)


def verdict_of(estimate: float, low: float, high: float, p_value: float, threshold: float) -> Outcome:
    """What a log ratio says, with its interval and p-value: see the module's docstring."""
    edge = math.log1p(threshold)
    if p_value < _SIGNIFICANCE and abs(estimate) > edge:
        return "faster" if estimate > 0 else "slower"
    return "same" if -edge <= low and high <= edge else "ambiguous"


def _p_value(contrasts: _Contrasts) -> float:
    """Two-sided, by the normal approximation with the continuity correction; zeros count half on either side.

    From 6 pairs or 4 samples a side on it is within 0.007 of the exact one, if that is below 0.1.
    """
    values = contrasts.values
    surplus = abs(int((values > 0).sum()) - int((values < 0).sum())) / 2
    return math.erfc(max(surplus - 0.5, 0) / contrasts.deviation / math.sqrt(2))


def _interval_rank(contrasts: _Contrasts) -> int:
    """How many contrasts the interval leaves out at either end: the most that the test would reject; -1 for none."""
    margin = NormalDist().inv_cdf(1 - _SIGNIFICANCE / 2) * contrasts.deviation
    return math.ceil(contrasts.values.size / 2 - 0.5 - margin) - 1


def _share_of_limit(speeds: Samples, limit: Sequence[float]) -> Samples:
    rates = as_samples(limit)
    if rates.size != speeds.size:
        raise RecordError(f"{speeds.size} samples have {rates.size} limits", remedy="Give one a sample, or none")
    share: Samples = speeds - np.log(rates)
    return share
