"""What holds a case back: arithmetic from counted work and measured limits to a kind, a share and a sentence.

The parts of a step, each as long as it would take alone:

    compute   all counted flops at the rate of the square product, or of the case's own products where that is higher
    memory    all counted bytes at the rate of a copy as large as the step's working set
    workload  the matrix products at their own shapes, as fast as the library runs them
    launch    every operation that the host starts, a replayed graph being one, at the cost of a dispatch

The bound is the larger of compute and memory (Williams, Waterman and Patterson, "Roofline", Communications of the ACM
52, 2009), and the share of it that a case reaches is bound over step. The first of these that holds names the case:

    above     the share is above 105 %: the case does less than is counted
    launch    the launches are the largest part, and at least half of the step
    compute, memory  the share is at least 60 %
    shape     the products take at least half of the step, at less than 80 % of the square product's rate
    overhead  none of them: neither the limits nor the products nor the launches account for the step

Rates are medians over all rounds of a benchmark. The parts don't add up to the step: a GPU works while the host
launches, and each product is a launch too. What was not measured is None, and the sentence says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from accelmnist.core.config import ModelConfig
from accelmnist.core.records import Launches
from accelmnist.measure.limits.bound_words import describe_bound
from accelmnist.measure.limits.case_limits import CaseLimits, limits_of, rate_of
from accelmnist.measure.limits.cost import product_flops
from accelmnist.measure.plan import Case
from accelmnist.measure.record import Bound, BoundKind, CaseResult, Limit, StepCost

ABOVE = 1.05  # rates move by some percent from round to round: only beyond that less work is the explanation
NEAR_LIMIT = 0.6  # a well written library reaches 70 to 95 % of its own square product's rate; some is lost in between
MOST = 0.5  # a part that is at least half of the step outweighs all others together
FAR_FROM_SQUARE = 0.8  # below, a larger batch or width would make the products notably faster


def explain(result: CaseResult, limits: Iterable[Limit]) -> CaseResult:
    """`result` with its bound and its share of the limit.

    Both are None where the case has no samples, or the limits that a bound takes were not measured.
    """
    own = limits_of(result.case, limits)
    bound = None
    if result.step_s is not None and result.cost is not None:
        bound = find_bound(result.case, step_s=result.step_s, cost=result.cost, limits=own, launches=result.launches)
    return replace(result, bound=bound, share_of_limit=bound.share if bound else None)


def find_bound(
    case: Case, *, step_s: float, cost: StepCost, limits: CaseLimits, launches: Launches | None
) -> Bound | None:
    """The bound of a step that took `step_s` seconds; None where no matrix product or no copy was measured."""
    rate, bandwidth = _arithmetic(limits), _bandwidth(limits)
    if rate is None or bandwidth is None:
        return None
    compute_s, memory_s = cost.flops / rate, cost.bytes / bandwidth
    bound_s = max(compute_s, memory_s)
    unnamed = Bound(
        kind="overhead",
        sentence="",
        step_s=step_s,
        bound_s=bound_s,
        compute_s=compute_s,
        memory_s=memory_s,
        launch_s=_launch_s(limits, launches),
        workload_s=_workload_s(case, limits),
        flops_per_s=cost.flops / step_s,
        share=bound_s / step_s,
    )
    square_share = _square_share(limits)
    bound = replace(unnamed, kind=_kind(unnamed, square_share))
    return replace(bound, sentence=describe_bound(case, bound, cost, launches, square_share=square_share))


def _arithmetic(limits: CaseLimits) -> float | None:
    """The square product's rate; a rate that other products reached is no higher than what is possible.

    On a processor that others use too, a large product is always interrupted and small ones sometimes aren't.
    """
    square, own = rate_of(limits.matmul), rate_of(limits.workload)
    return square if square is None or own is None else max(square, own)


def _bandwidth(limits: CaseLimits) -> float | None:
    """The faster copy: a cache is no slower than the memory, so a small copy that is shows what starting it costs."""
    rates = [rate for rate in (rate_of(limits.working_set), rate_of(limits.memory)) if rate is not None]
    return max(rates, default=None)


def _launch_s(limits: CaseLimits, launches: Launches | None) -> float | None:
    rate = rate_of(limits.dispatch)
    if launches is None or rate is None:
        return None
    return launches.operations / rate


def _workload_s(case: Case, limits: CaseLimits) -> float | None:
    rate = rate_of(limits.workload)
    if rate is None:
        return None
    return product_flops(ModelConfig(hidden=case.hidden), case.batch_size, case.mode) / rate


def _square_share(limits: CaseLimits) -> float | None:
    """The rate of the products at their own shapes, over that of the square one."""
    own, square = rate_of(limits.workload), rate_of(limits.matmul)
    return None if own is None or square is None else own / square


def _kind(bound: Bound, square_share: float | None) -> BoundKind:
    launch_s, workload_s = bound.launch_s or 0.0, bound.workload_s or 0.0
    if bound.share > ABOVE:
        return "above"
    if launch_s >= MOST * bound.step_s and launch_s >= max(bound.bound_s, workload_s):
        return "launch"
    if bound.share >= NEAR_LIMIT:
        return "compute" if bound.compute_s >= bound.memory_s else "memory"
    if workload_s >= MOST * bound.step_s and square_share is not None and square_share < FAR_FROM_SQUARE:
        return "shape"
    return "overhead"
