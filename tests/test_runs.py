"""Two records of several processes each: what changes from process to process is no difference of the program."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from accelmnist.measure.statistics.comparison import compare
from accelmnist.measure.statistics.controls import medians_by_process, widened

ROUNDS = 12  # of a process


def drawn(random: Any, processes: Any, *, between: Any, factor: float = 1.0) -> Any:
    """Speeds, and the process of each: a level of its own for every process, and 2 % of jitter."""
    levels = random.normal(0, between, processes)
    logs = (levels[:, None] + random.normal(0, 0.02, (processes, ROUNDS))).ravel()
    return factor * np.exp(logs), np.repeat(np.arange(processes), ROUNDS).tolist()


def judged(base: Any, new: Any, *, threshold: float = 0.02) -> Any:
    """Both verdicts: of the samples alone, and counting processes."""
    plain = compare(base[0], new[0], paired=False, threshold=threshold)
    medians = [medians_by_process(np.log(speeds), numbers) for speeds, numbers in (base, new)]
    return plain, widened(plain, *medians, threshold=threshold)


def claims(random: Any, trials: Any, *, between: Any, factor: float = 1.0) -> Any:
    found = [
        judged(drawn(random, 5, between=between), drawn(random, 5, between=between, factor=factor))
        for _ in range(trials)
    ]
    return [np.mean([each[way].verdict in ("faster", "slower") for each in found]) for way in (0, 1)]


def test_runs_alike_are_called_different_in_5_percent_at_most() -> None:
    plain, counted = claims(np.random.default_rng(0), 400, between=0.05)
    assert plain > 0.3
    assert counted <= 0.05


def test_a_true_difference_is_found() -> None:
    assert claims(np.random.default_rng(1), 100, between=0.02, factor=1.10)[1] >= 0.95


def test_without_a_difference_between_processes_little_is_lost() -> None:
    assert claims(np.random.default_rng(2), 100, between=0.0, factor=1.05)[1] >= 0.95


def test_interval_and_p_value_are_welchs() -> None:
    """Where processes lie far apart his are the wider ones."""
    random = np.random.default_rng(3)
    base, new = drawn(random, 4, between=0.1), drawn(random, 6, between=0.2)
    plain, counted = judged(base, new)
    medians = [[np.median(np.log(s)[np.array(n) == one]) for one in sorted(set(n))] for s, n in (new, base)]
    theirs = stats.ttest_ind(*medians, equal_var=False)
    low, high = theirs.confidence_interval(0.95)
    assert (math.log(counted.low), math.log(counted.high)) == pytest.approx((low, high))
    assert counted.p_value == pytest.approx(theirs.pvalue)
    assert counted.low < plain.low < counted.ratio == plain.ratio < plain.high < counted.high


@pytest.mark.parametrize("processes", [(1, 5), (5, 1), (1, 1)])
def test_a_side_of_one_process_tells_nothing_of_others(processes: tuple[int, ...]) -> None:
    random = np.random.default_rng(4)
    plain, counted = judged(*(drawn(random, number, between=0.05) for number in processes))
    assert counted == plain


def test_processes_alike_to_the_bit_change_nothing() -> None:
    speeds, numbers = np.full(24, 100.0), [0] * 12 + [1] * 12
    plain, counted = judged((speeds, numbers), (1.1 * speeds, numbers))
    assert (plain.verdict, counted.verdict) == ("faster", "faster")
    assert counted.low == pytest.approx(1.1)


def test_a_claim_of_no_difference_takes_narrow_processes_too() -> None:
    random = np.random.default_rng(5)
    quiet = judged(drawn(random, 8, between=0.0), drawn(random, 8, between=0.0))
    assert [each.verdict for each in quiet] == ["same", "same"]
    apart = judged(drawn(random, 3, between=0.05), drawn(random, 3, between=0.05))
    assert apart[1].verdict == "ambiguous"
