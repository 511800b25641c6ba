"""What holds a case back: arithmetic from counted work and measured limits to a kind, a share and a sentence.

The parts of a step, each as long as it would take alone:

    compute   all counted flops at the rate of the square product, or of the case's own products if that is higher
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
launches, and each product is a launch too. The sentence is made from the numbers alone, for an engineer to act on: it
says what would help, if that is known, and what was not measured and could have been another cause.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from accelmnist.core.config import ModelConfig
from accelmnist.core.records import Launches
from accelmnist.measure.limit_keys import Limit, LimitKey, LimitKind
from accelmnist.measure.limits.cost import cost_of, product_flops
from accelmnist.measure.plan import Case
from accelmnist.measure.record import BenchRecord, Bound, BoundKind, CaseResult, StepCost
from accelmnist.measure.statistics.summary import Summary, summarize

Rates = dict[LimitKind, float]

# A smaller copy says more of the cost of starting it than of a cache: some 1 µs on a CPU and 3 µs on a GPU.
_SMALLEST_COPY = {"cpu": 1 << 20, "other": 1 << 24}
ABOVE = 1.05  # rates move by some percent from round to round: only beyond that less work is the explanation
NEAR_LIMIT = 0.6  # a well written library reaches 70 to 95 % of its own square product's rate; some is lost in between
MOST = 0.5  # a part that is at least half of the step outweighs all others together
_GRAPHLESS_ENGINES = ("eager", "compiled")
_OWN_KERNELS = ("fused", "persistent")  # which call no library; on the CPU they leave out zeros
FAR_FROM_SQUARE = 0.8  # below, a larger batch or width would make the products notably faster


def workload_key(case: Case) -> LimitKey:
    """The matrix products of a case's step: the engine and the optimizer don't change them."""
    return LimitKey(
        kind="workload",
        device=case.device,
        precision=case.precision,
        threads=case.threads,
        shape=(case.batch_size, *ModelConfig(hidden=case.hidden).sizes),
        mode=case.mode,
    )


def working_set_key(case: Case) -> LimitKey:
    """The copy that stands for what a step of `case` touches: the nearest power of two, so that few result."""
    nearest: int = 1 << round(math.log2(cost_of(case).working_set_bytes))
    size = max(nearest, _SMALLEST_COPY.get(case.device, _SMALLEST_COPY["other"]))
    return LimitKey(kind="working set", device=case.device, threads=case.threads, shape=(size,))


def rates_of(case: Case, limits: Iterable[Limit]) -> Rates:
    """The medians of those of `limits` that `case` depends on and that were measured."""
    return {kind: _median_rate(limit) for kind, limit in _limits_of(case, limits).items()}


def _limits_of(case: Case, limits: Iterable[Limit]) -> dict[LimitKind, Limit]:
    """Those of `limits` that `case` depends on and that were measured; of several square products the fastest."""
    own = {"workload": workload_key(case), "working set": working_set_key(case)}
    found: dict[LimitKind, Limit] = {}
    for limit in limits:
        ran_as_case = (limit.device, limit.threads) == (case.device, case.threads)
        if limit.rate is None or not ran_as_case or limit.precision not in (None, case.precision):
            continue
        if own.get(limit.kind, limit.what) == limit.what:
            found[limit.kind] = max(found.get(limit.kind, limit), limit, key=_median_rate)
    return found


def _median_rate(limit: Limit) -> float:
    return 0.0 if limit.rate is None else limit.rate.median


def share_by_round(result: CaseResult, record: BenchRecord) -> Summary | None:
    """The share of the limit of every round by itself, from the limits that it measured; None if no round has them.

    What slows the machine down for some rounds slows both, so the interval holds what doesn't cancel.
    """
    if result.images_per_s is None or result.cost is None:
        return None
    rounds, limits = {one.number: one for one in record.rounds}, _limits_of(result.case, record.limits)
    shares = []
    for number, speed in zip(result.rounds, result.images_per_s.samples, strict=True):
        taken = rounds[number].limits
        rates: Rates = {kind: taken[limit.key] for kind, limit in limits.items() if limit.key in taken}
        step_s = result.batch_size / speed
        bound = find_bound(result.case, step_s=step_s, cost=result.cost, rates=rates, launches=None)
        shares += [] if bound is None else [bound.share]
    return summarize(shares) if shares else None


def explain(result: CaseResult, limits: Iterable[Limit], *, held: str = "") -> CaseResult:
    """`result` with its bound and share of the limit: None without samples, or the limits that a bound takes.

    `held` ends the sentence: see `limits.held`.
    """
    bound, case = None, result.case
    if result.step_s is not None and result.cost is not None:
        found = _limits_of(case, limits)
        if "matmul" in found and found["matmul"].computed_in is not None:
            case = replace(case, precision=found["matmul"].computed_in)  # the rate that it is held to, in the sentence
        rates: Rates = {kind: _median_rate(limit) for kind, limit in found.items()}
        bound = find_bound(case, step_s=result.step_s, cost=result.cost, rates=rates, launches=result.launches)
    if bound is not None:
        bound = replace(bound, sentence=f"{bound.sentence}{held}")
    return replace(result, bound=bound, share_of_limit=bound.share if bound else None)


def find_bound(case: Case, *, step_s: float, cost: StepCost, rates: Rates, launches: Launches | None) -> Bound | None:
    """The bound of a step that took `step_s` seconds; None if no matrix product or no copy was measured."""
    square, products = rates.get("matmul"), rates.get("workload")
    # A cache is no slower than the memory, so a small copy that is shows what starting it costs.
    copies = [rates[kind] for kind in ("working set", "memory") if kind in rates]
    if square is None or not copies:
        return None
    # A rate that other products reached is no higher than what is possible: on a processor that others use too, a large
    # product is always interrupted and small ones sometimes aren't.
    compute_s = cost.flops / max(square, products or 0.0)
    memory_s = cost.bytes / max(copies)
    bound_s = max(compute_s, memory_s)
    dispatch, flops = rates.get("dispatch"), product_flops(ModelConfig(hidden=case.hidden), case.batch_size, case.mode)
    unnamed = Bound(
        kind="overhead",
        sentence="",
        step_s=step_s,
        bound_s=bound_s,
        compute_s=compute_s,
        memory_s=memory_s,
        launch_s=None if launches is None or dispatch is None else launches.operations / dispatch,
        workload_s=None if products is None else flops / products,
        flops_per_s=cost.flops / step_s,
        share=bound_s / step_s,
    )
    square_share = None if products is None else products / square
    bound = replace(unnamed, kind=_kind(unnamed, square_share))
    return replace(bound, sentence=describe_bound(case, bound, cost, launches, square_share=square_share))


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


def describe_bound(
    case: Case, bound: Bound, cost: StepCost, launches: Launches | None, *, square_share: float | None
) -> str:
    """The sentence for `bound.kind`; `square_share` is the rate of the case's own products over the square one's."""
    share = f"{100 * bound.share:.0f} %"
    copy_rate = f"{_whose(case)} copy rate at {cost.working_set_bytes / 1e6:.3g} MB"
    if bound.kind == "above":
        return _above(case, bound, share, copy_rate)
    if bound.kind == "compute":
        skipping = " by the dense count; it leaves out zeros" if _leaves_out_zeros(case) else ""
        return f"compute-bound: {share} of {_rate_of(case)}{skipping}"
    if bound.kind == "memory":
        return f"memory-bound: {share} of {copy_rate}"
    if bound.kind == "launch":
        assert launches is not None, "it is launch-bound by its launches"
        return _launch_bound(case, bound, launches)
    if bound.kind == "shape":
        assert square_share is not None, "it is shape-bound by its products"
        at = f"at {100 * square_share:.0f} % of {_rate_of(case)}"
        return f"shape-bound: {_products(case, bound)}, {at}{_hedge(bound)}"
    return f"overhead-bound: {_overhead(case, bound, launches)}{_hedge(bound)}"


def _above(case: Case, bound: Bound, share: str, copy_rate: str) -> str:
    if bound.compute_s < bound.memory_s:
        return f"above the memory limit: {share} of {copy_rate}, so it moves less than the count"
    doubt = "" if _leaves_out_zeros(case) else " or the limit is too low"
    return f"above the dense limit: {share} of {_rate_of(case)}, so it does less than the dense count{doubt}"


def _launch_bound(case: Case, bound: Bound, launches: Launches) -> str:
    what = "step" if case.mode == "training" else "call"
    count = f"{launches.operations:.0f} launch{'' if round(launches.operations) == 1 else 'es'} a {what}"
    return f"launch-bound: {count} cost {_of(bound.launch_s, bound.step_s)}; {_advice(case, launches)} would help"


def _overhead(case: Case, bound: Bound, launches: Launches | None) -> str:
    if bound.workload_s is None:
        alone = f"the arithmetic would take {_of(bound.compute_s, bound.step_s)} at {_rate_of(case)}"
        return f"{alone}, what else the step does the rest"
    return f"{_products(case, bound)}, the operations in between the rest; {_advice(case, launches)} would help"


def _products(case: Case, bound: Bound) -> str:
    """What the library's products take, or would take if the engine called the library."""
    verb = "would take" if case.engine in _OWN_KERNELS else "take"
    return f"the matrix products {verb} {_of(bound.workload_s, bound.step_s)}"


def _leaves_out_zeros(case: Case) -> bool:
    return case.engine in _OWN_KERNELS and case.device == "cpu"


def _hedge(bound: Bound) -> str:
    """What wasn't measured and could have been another cause."""
    missing = (("the launches", bound.launch_s), ("the products at these shapes", bound.workload_s))
    unknown = [name for name, seconds in missing if seconds is None]
    return f" ({' and '.join(unknown)} not measured)" if unknown else ""


def _advice(case: Case, launches: Launches | None) -> str:
    """What would start fewer operations, or more work with each: nothing that the case has already."""
    replays = launches is not None and launches.graph_replays > 0
    can_replay = case.device.startswith("cuda") and case.engine in _GRAPHLESS_ENGINES and not replays
    what = "step" if case.mode == "training" else "call"
    ways = (["a graph"] if can_replay else []) + ([f"a compiled {what}"] if case.engine == "eager" else [])
    return " or ".join(ways) or "a larger batch"


def _whose(case: Case) -> str:
    return "this CPU's" if case.device == "cpu" else f"{case.device}'s"


def _rate_of(case: Case) -> str:
    return f"{_whose(case)} {case.precision} rate"


def _of(part_s: float | None, whole_s: float) -> str:
    """ "190 of 214 µs", in the unit that suits the whole; a part of all, or more by noise, is "all of 214 µs"."""
    assert part_s is not None
    factor, unit = next(
        ((factor, unit) for factor, unit in ((1e6, "µs"), (1e3, "ms")) if whole_s * factor < 999.5), (1.0, "s")
    )
    part = "all" if part_s >= 0.995 * whole_s else f"{part_s * factor:.3g}"
    return f"{part} of {whole_s * factor:.3g} {unit}"
