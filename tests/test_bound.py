"""What holds a case back, by made-up limits: the arithmetic to the digit, every kind, every sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from accelmnist.core.config import ModelConfig
from accelmnist.core.hardware import CpuFacts
from accelmnist.core.records import Launches
from accelmnist.measure.limit_keys import Limit, LimitKey, LimitKind, new_limit
from accelmnist.measure.limits import bound as module
from accelmnist.measure.limits.bound import Rates, explain, find_bound, working_set_key, workload_key
from accelmnist.measure.limits.cost import cost_of, product_flops
from accelmnist.measure.limits.held import held_back
from accelmnist.measure.plan import Case
from accelmnist.measure.record import Bound, CaseResult, Round
from accelmnist.measure.statistics.summary import summarize
from tests.samples import sample_environment

CASE = Case(
    mode="training",
    device="cpu",
    engine="eager",
    precision="fp32",
    batch_size=256,
    hidden=(256,),
    optimizer="adamw",
)
COST = cost_of(CASE)
PRODUCTS = product_flops(ModelConfig(hidden=(256,)), 256, "training")


def limit(kind: LimitKind, rate: float | None, *, case: Case = CASE) -> Limit:
    """The limit of this kind that `case` depends on."""
    by_case = {"workload": workload_key, "working set": working_set_key}
    shapes = {"matmul": (1024,), "memory": (1 << 28,)}
    precision = case.precision if kind == "matmul" else None
    if kind in by_case:
        key = by_case[kind](case)
    else:
        key = LimitKey(
            kind=kind, device=case.device, precision=precision, threads=case.threads, shape=shapes.get(kind, ())
        )
    return replace(new_limit(key), rate=None if rate is None else summarize([rate]))


def rates_taking(
    *,
    compute_s: float | None = 1e-9,
    memory_s: float | None = 1e-9,
    dispatch_s: float | None = 1e-12,
    workload_s: float | None = -1.0,
    working_set: float | None = None,
) -> Rates:
    """Rates of the limits at which COST takes so long: the parts of the bound; `dispatch_s` is of one operation.

    The products run at the square one's rate unless told otherwise.
    """
    if workload_s == -1.0:
        workload_s = compute_s and compute_s * PRODUCTS / COST.flops
    rates: dict[LimitKind, float | None] = {
        "matmul": compute_s and COST.flops / compute_s,
        "memory": memory_s and COST.bytes / memory_s,
        "dispatch": dispatch_s and 1 / dispatch_s,
        "workload": workload_s and PRODUCTS / workload_s,
        "working set": working_set,
    }
    return {kind: rate for kind, rate in rates.items() if rate}


def launches(operations: float = 31, *, replays: float = 0.0) -> Launches:
    return Launches(operations=operations, host_syncs=0.0, graph_replays=replays)


COUNTED = launches()


def bound_of(rates: Rates, *, step_s: float = 1e-3, counted: Launches | None = COUNTED, **fields: Any) -> Bound:
    found = find_bound(replace(CASE, **fields), step_s=step_s, cost=COST, rates=rates, launches=counted)
    assert found is not None
    return found


def test_the_parts_to_the_digit() -> None:
    rates: Rates = {"matmul": 400e9, "workload": 50e9, "memory": 10e9, "working set": 40e9, "dispatch": 1e6}
    found = bound_of(rates, step_s=2e-3)
    assert found.compute_s == COST.flops / 400e9
    assert found.memory_s == COST.bytes / 40e9
    assert found.launch_s == pytest.approx(31e-6, rel=1e-12)
    assert found.workload_s == pytest.approx(PRODUCTS / 50e9, rel=1e-12)
    assert found.bound_s == found.compute_s > found.memory_s, "the larger of the two"
    assert found.share == pytest.approx(found.compute_s / 2e-3, rel=1e-12)
    assert found.flops_per_s == pytest.approx(COST.flops / 2e-3, rel=1e-12)
    slow = bound_of({kind: rate for kind, rate in rates.items() if kind != "working set"}, step_s=2e-3)
    assert slow.bound_s == slow.memory_s == COST.bytes / 10e9 > slow.compute_s
    assert found.step_s == 2e-3


def test_products_that_are_faster_than_the_square_one_set_the_limit() -> None:
    rates: Rates = {"matmul": 100e9, "workload": 120e9, "memory": 1e12}
    found = bound_of(rates, step_s=COST.flops / 120e9)
    assert found.compute_s == COST.flops / 120e9
    assert found.share == pytest.approx(1.0), "eager does all of the work: it is not above the limit"
    assert bound_of(rates | {"workload": 80e9}).compute_s == COST.flops / 100e9


def test_a_small_copy_that_is_slower_than_the_memory_is_no_limit() -> None:
    slow = rates_taking(memory_s=1e-4, working_set=1e6)
    assert bound_of(slow).memory_s == pytest.approx(1e-4)
    alone: Rates = {"matmul": 1e12, "working set": 1e9}
    assert bound_of(alone).memory_s == pytest.approx(COST.bytes / 1e9)


def test_compute_bound() -> None:
    found = bound_of(rates_taking(compute_s=0.87e-3), precision="bf16")
    assert found.kind == "compute"
    assert found.sentence == "compute-bound: 87 % of this CPU's bf16 rate"
    assert bound_of(rates_taking(compute_s=0.8e-3), device="cuda:1").sentence == (
        "compute-bound: 80 % of cuda:1's fp32 rate"
    )
    assert bound_of(rates_taking(compute_s=0.8e-3), engine="fused").sentence == (
        "compute-bound: 80 % of this CPU's fp32 rate by the dense count; it leaves out zeros"
    )


def test_memory_bound() -> None:
    found = bound_of(rates_taking(memory_s=0.71e-3, compute_s=0.5e-3))
    assert found.kind == "memory"
    assert found.sentence == "memory-bound: 71 % of this CPU's copy rate at 4.01 MB"


def test_launch_bound() -> None:
    limits = rates_taking(dispatch_s=190e-6 / 31)
    eager = bound_of(limits, step_s=214e-6, device="cuda:0")
    assert eager.kind == "launch"
    start = "launch-bound: 31 launches a step cost 190 of 214 µs; "
    assert eager.sentence == start + "a graph or a compiled step would help"
    assert bound_of(limits, step_s=214e-6).sentence == start + "a compiled step would help"


@pytest.mark.parametrize(
    ("device", "engine", "replays", "advice"),
    [
        ("cuda:0", "eager", 0, "a graph or a compiled step"),
        ("cuda:0", "compiled", 0, "a graph"),
        ("cuda:0", "compiled", 1, "a larger batch"),
        ("cuda:0", "cuda_graph", 1, "a larger batch"),
        ("cpu", "compiled", 0, "a larger batch"),
        ("cpu", "fused", 0, "a larger batch"),
        ("mps", "eager", 0, "a compiled step"),
    ],
)
def test_nobody_is_told_to_do_what_they_do(device: str, engine: str, replays: int, advice: str) -> None:
    limits = rates_taking(dispatch_s=0.9e-3 / 31)
    found = bound_of(limits, device=device, engine=engine, counted=launches(replays=replays))
    assert found.sentence.endswith(f"ms; {advice} would help")


def test_one_launch_of_a_call() -> None:
    found = bound_of(rates_taking(dispatch_s=40e-6), step_s=42e-6, counted=launches(1), mode="inference")
    assert found.sentence == "launch-bound: 1 launch a call cost 40 of 42 µs; a compiled call would help"


def test_shape_bound() -> None:
    found = bound_of(rates_taking(compute_s=0.4e-3, workload_s=0.9e-3))
    assert found.kind == "shape"
    share = 100 * 0.4 / 0.9 * PRODUCTS / COST.flops
    assert 40 < share < 44
    assert found.sentence == (
        f"shape-bound: the matrix products take 0.9 of 1 ms, at {share:.0f} % of this CPU's fp32 rate"
    )


def test_overhead_bound() -> None:
    found = bound_of(rates_taking(compute_s=0.2e-3, workload_s=0.25e-3))
    assert found.kind == "overhead"
    assert found.sentence == (
        "overhead-bound: the matrix products take 0.25 of 1 ms, the operations in between the rest; "
        "a compiled step would help"
    )
    near = bound_of(rates_taking(compute_s=0.55e-3, workload_s=0.6e-3))
    assert near.kind == "overhead", "the products run near the square rate: their shape is not to blame"


def test_products_that_take_longer_alone() -> None:
    """A compiler may make better products than the library: then their time says nothing of the step."""
    all_of_it = bound_of(rates_taking(compute_s=0.4e-3, workload_s=1.2e-3), engine="compiled")
    assert all_of_it.kind == "shape"
    assert "the matrix products take all of 1 ms" in all_of_it.sentence
    fused = bound_of(rates_taking(compute_s=0.4e-3, workload_s=1.2e-3), engine="fused")
    assert "the matrix products would take all of 1 ms" in fused.sentence


def test_above_the_limit() -> None:
    found = bound_of(rates_taking(compute_s=1.3e-3), engine="fused")
    assert found.kind == "above"
    assert found.share == pytest.approx(1.3)
    assert found.sentence == (
        "above the dense limit: 130 % of this CPU's fp32 rate, so it does less than the dense count"
    )
    assert bound_of(rates_taking(compute_s=1.3e-3)).sentence == (
        "above the dense limit: 130 % of this CPU's fp32 rate, so it does less than the dense count or the limit is "
        "too low"
    )
    copies = bound_of(rates_taking(memory_s=1.3e-3))
    assert copies.sentence == (
        "above the memory limit: 130 % of this CPU's copy rate at 4.01 MB, so it moves less than the count"
    )
    assert bound_of(rates_taking(compute_s=1.04e-3)).kind == "compute", "some percent may be noise"


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ({"compute_s": module.ABOVE * 1.001e-3}, "above"),
        ({"compute_s": module.ABOVE * 0.999e-3}, "compute"),
        ({"compute_s": module.NEAR_LIMIT * 1.001e-3}, "compute"),
        ({"compute_s": module.NEAR_LIMIT * 0.999e-3}, "overhead"),
        ({"memory_s": module.NEAR_LIMIT * 1.001e-3}, "memory"),
        ({"memory_s": module.NEAR_LIMIT * 0.999e-3}, "overhead"),
        ({"dispatch_s": module.MOST * 1.001e-3 / 31}, "launch"),
        ({"dispatch_s": module.MOST * 0.999e-3 / 31}, "overhead"),
        ({"dispatch_s": 0.7e-3 / 31, "compute_s": 0.71e-3}, "compute"),
        ({"dispatch_s": 0.7e-3 / 31, "compute_s": 0.69e-3}, "launch"),
        ({"dispatch_s": 0.7e-3 / 31, "memory_s": 0.71e-3}, "memory"),
        ({"dispatch_s": 0.7e-3 / 31, "workload_s": 0.71e-3}, "shape"),
        ({"workload_s": module.MOST * 1.001e-3}, "shape"),
        ({"workload_s": module.MOST * 0.999e-3}, "overhead"),
    ],
)
def test_the_edges_between_the_kinds(parts: dict[str, Any], kind: str) -> None:
    """A share within a thousandth of a threshold; what isn't named takes no time."""
    assert bound_of(rates_taking(**parts)).kind == kind


@pytest.mark.parametrize(("square_share", "kind"), [(0.79, "shape"), (0.81, "overhead")])
def test_products_are_to_blame_where_they_are_far_from_the_square_rate(square_share: float, kind: str) -> None:
    own = PRODUCTS / 0.55e-3
    rates = rates_taking(workload_s=0.55e-3) | {"matmul": own / square_share}
    assert bound_of(rates).kind == kind


def test_what_was_not_measured_is_said() -> None:
    uncounted = bound_of(rates_taking(workload_s=0.3e-3), counted=None)
    assert uncounted.launch_s is None
    assert uncounted.kind == "overhead"
    assert uncounted.sentence.endswith("a compiled step would help (the launches not measured)")
    undispatched = bound_of(rates_taking(workload_s=0.9e-3, compute_s=0.4e-3, dispatch_s=None))
    assert undispatched.launch_s is None
    assert undispatched.sentence.endswith("of this CPU's fp32 rate (the launches not measured)")
    unshaped = bound_of(rates_taking(compute_s=0.2e-3, workload_s=None))
    assert unshaped.workload_s is None
    assert unshaped.sentence == (
        "overhead-bound: the arithmetic would take 0.2 of 1 ms at this CPU's fp32 rate, what else the step does "
        "the rest (the products at these shapes not measured)"
    )
    neither = bound_of(rates_taking(workload_s=None), counted=None)
    assert neither.sentence.endswith("(the launches and the products at these shapes not measured)")


@pytest.mark.parametrize("missing", ["compute_s", "memory_s"])
def test_there_is_no_bound_without_arithmetic_and_copies(missing: str) -> None:
    assert find_bound(CASE, step_s=1e-3, cost=COST, rates=rates_taking(**{missing: None}), launches=COUNTED) is None


@pytest.mark.parametrize(
    ("step_s", "times"),
    [
        (2e-6, "1.8 of 2 µs"),
        (214e-6, "193 of 214 µs"),
        (0.9994e-3, "899 of 999 µs"),
        (2.5e-3, "2.25 of 2.5 ms"),
        (4, "3.6 of 4 s"),
    ],
)
def test_times_have_the_unit_of_the_whole(step_s: float, times: str) -> None:
    found = bound_of(rates_taking(compute_s=1e-12, memory_s=1e-12, dispatch_s=0.9 * step_s / 31), step_s=step_s)
    assert f"31 launches a step cost {times};" in found.sentence


def measured(**fields: Any) -> CaseResult:
    figures = {"images_per_s": summarize([256 / 1e-3]), "cost": COST, "launches": COUNTED}
    return CaseResult.of(CASE, **(figures | fields))


def recorded_limits() -> list[Limit]:
    """Those of CASE among those of another, as a record has them."""
    other = replace(CASE, precision="bf16", threads=2)
    rates: dict[LimitKind, float] = {
        "matmul": COST.flops / 0.87e-3,
        "workload": PRODUCTS / 0.9e-3,
        "memory": 1e9,
        "working set": 1e12,
        "dispatch": 1e6,
    }
    return [
        limit(kind, rate if case is CASE else 1.0, case=case) for kind, rate in rates.items() for case in (other, CASE)
    ]


def test_a_result_is_explained_from_the_record_alone() -> None:
    found = explain(measured(), recorded_limits())
    assert found.bound is not None
    assert found.bound.sentence == "compute-bound: 87 % of this CPU's fp32 rate"
    assert found.bound.launch_s == pytest.approx(31e-6)
    assert found.share_of_limit == found.bound.share == pytest.approx(0.87)
    assert replace(found, bound=None, share_of_limit=None) == measured()


def test_a_precision_that_is_emulated_is_said_to_be_held_to_the_rate_that_was_measured() -> None:
    emulated = [replace(one, computed_in="tf32") if one.kind == "matmul" else one for one in recorded_limits()]
    found = explain(measured(), emulated)
    assert found.bound is not None
    assert found.bound.sentence == "compute-bound: 87 % of this CPU's tf32 rate"


@pytest.mark.parametrize("fields", [{"images_per_s": None}, {"cost": None}])
def test_a_result_without_samples_or_cost_is_not_explained(fields: dict[str, Any]) -> None:
    found = explain(measured(**fields), recorded_limits())
    assert (found.bound, found.share_of_limit) == (None, None)
    assert explain(measured(), []).bound is None


# --- what held it back


def held(*rounds: tuple[float | None, tuple[str, ...]], device: str = "cuda:0", quota: float | None = None) -> str:
    """What is said where each round saw this clock, and this holding it down."""
    seen = {
        number: Round(
            number=number,
            process=0,
            clocks={} if clock is None else {device: clock},
            held={device: reasons} if reasons else {},
        )
        for number, (clock, reasons) in enumerate(rounds, 1)
    }
    result = replace(measured(), device=device, rounds=tuple(seen))
    return held_back(result, seen, replace(sample_environment(), cpu=CpuFacts(quota=quota)))


@pytest.mark.parametrize(
    ("rounds", "said"),
    [
        ([(0.6, ("heat",)), (0.6, ()), (0.7, ())], "was held down by heat in 1 of 3 rounds, at 60 % of its maximum"),
        ([(None, ("power brake", "heat"))], "was held down by heat and power brake in 1 of 1 rounds"),
        ([(0.9, ("power cap",)), (0.9, ())], "was held down by power cap in 1 of 2 rounds, at 90 % of its maximum"),
        ([(0.9, ("power cap",)), (0.9, ()), (0.9, ())], ""),  # in one round of three
        ([(0.97, ("power cap",))], ""),  # a cap that costs next to nothing
        ([(0.97, ("heat",))], "was held down by heat in 1 of 1 rounds"),
        ([(0.7, ()), (0.9, ()), (0.7, ())], "reached 70 % of its maximum"),
        ([(0.8, ()), (1.0, ())], ""),
        ([(None, ())], ""),
    ],
)
def test_a_clock_that_was_held_down_is_named(rounds: list[Any], said: str) -> None:
    assert held(*rounds) == (said and f"; cuda:0's clock {said}")
    assert held(*rounds, device="cpu") == (said and f"; this CPU's clock {said}")


def test_a_quota_is_named_of_the_cpu_and_of_nothing_else() -> None:
    rounds = [(None, ("quota",)), (None, ())]
    said = "; a quota of 0.5 processors held its threads back in 1 of 2 rounds"
    assert held(*rounds, device="cpu", quota=0.5) == said
    assert held((None, ()), device="cpu", quota=1.5) == "; a quota of 1.5 processors was there, and held nothing back"
    assert held(*rounds, quota=0.5) == ""


def test_the_sentence_of_a_bound_ends_with_what_held_it() -> None:
    found = explain(measured(), recorded_limits(), held="; this CPU's clock was held down by heat in 1 of 2 rounds")
    assert found.bound is not None
    beginning = "compute-bound: 87 % of this CPU's fp32 rate; this CPU's clock was held down by heat"
    assert found.bound.sentence.startswith(beginning)
