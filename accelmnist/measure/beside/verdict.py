"""What a benchmark beside other programs says: the pairs, and whether this program got slower."""

from __future__ import annotations

from accelmnist.measure.compare.comparison_report import holm
from accelmnist.measure.conclusion import own_of
from accelmnist.measure.record import BenchRecord, CaseResult
from accelmnist.measure.statistics.comparison import Comparison

_SIGNIFICANCE = 0.05

Pair = tuple[CaseResult, CaseResult, Comparison]


def pairs_of(record: BenchRecord) -> list[Pair]:
    """This program's case, that of another side, and the speed of the first over the second's."""
    results = {result.case: result for result in record.cases}
    pairs = []
    for case, result in results.items():
        own = None if result.beside is None else own_of(case, results)
        if own is not None and result.beside is not None:
            pairs.append((results[own], result, result.beside))
    return pairs


def regressions(record: BenchRecord) -> list[Pair]:
    """The pairs in which this program is slower by what `--fail-on` says.

    A ratio counts from half of that share on, so that a difference of just that share is found; and it has to be
    significant, all pairs together (Holm).
    """
    if record.config.fail_on is None:
        return []
    pairs = pairs_of(record)
    adjusted = holm([over.p_value for *_, over in pairs])
    return [
        pair
        for pair, p_value in zip(pairs, adjusted, strict=True)
        if pair[2].verdict == "slower" and p_value < _SIGNIFICANCE
    ]
