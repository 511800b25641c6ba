"""What holds a case back, in a sentence that an engineer can act on, from the numbers alone.

It names the device and the precision, what a part takes of the whole, and what would help, if that is known: never what
the case has already. It names what was not measured and could have been another cause.
"""

from __future__ import annotations

from accelmnist.core.records import Launches
from accelmnist.measure.plan import Case
from accelmnist.measure.record import Bound, StepCost

_GRAPHLESS_ENGINES = ("eager", "compiled")
_OWN_KERNELS = ("fused", "persistent")  # which call no library; on the CPU they leave out zeros


def describe_bound(
    case: Case, bound: Bound, cost: StepCost, launches: Launches | None, *, square_share: float | None
) -> str:
    """The sentence for `bound.kind`; `square_share` is the rate of the case's own products over the square one's."""
    share = f"{100 * bound.share:.0f} %"
    copy_rate = f"{_whose(case)} copy rate at {cost.working_set_bytes / 1e6:.3g} MB"
    if bound.kind == "above":
        return _above(case, bound, share, copy_rate)
    if bound.kind == "compute":
        return f"compute-bound: {share} of {_rate_of(case)}{_skipping(case)}"
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
    skips = _leaves_out_zeros(case)
    cause = (
        "it does less than the dense count" if skips else "it does less than the dense count or the limit is too low"
    )
    return f"above the dense limit: {share} of {_rate_of(case)}, so {cause}"


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


def _skipping(case: Case) -> str:
    return " by the dense count; it leaves out zeros" if _leaves_out_zeros(case) else ""


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
