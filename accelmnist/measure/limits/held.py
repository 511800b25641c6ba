"""What held a case back that is none of its own doing: a clock below its maximum, or a control group's quota.

Named are heat, the power brake and the hardware's slowdown if they were seen in any round of the case: they are no
estimate. A power cap and chosen clocks are the rule for large cards, so they are named if they were there in half of
the rounds and the clock stood below 95 % of its maximum by the median. A clock that nothing is known to hold down is
named below 75 %: many processors reach no more than that on all cores at once, or with wide vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from accelmnist.core.records import Environment
from accelmnist.device.nvml import HELD_DOWN, names_of
from accelmnist.measure.record import CaseResult, Round

_ALWAYS = names_of(HELD_DOWN) or ()
_NEAR_MAXIMUM, _LOW = 0.95, 0.75


def held_back(result: CaseResult, rounds: Mapping[int, Round], environment: Environment | None) -> str:
    """The end of a sentence, "; cuda:0's clock was held down by heat in 3 of 12 rounds"; empty if nothing held it."""
    own = [rounds[number] for number in result.rounds]
    device = result.device
    clocks = [round_.clocks[device] for round_ in own if device in round_.clocks]
    clock = median(clocks) if clocks else None
    seen = [set(round_.held.get(device, ())) for round_ in own]
    quota = environment.cpu.quota if environment is not None and environment.cpu is not None else None
    parts = [_clock(device, clock, seen)]
    if device == "cpu" and quota is not None:
        times = sum("quota" in reasons for reasons in seen)
        did = f"held its threads back in {times} of {len(own)} rounds" if times else "was there, and held nothing back"
        parts.append(f"a quota of {quota:.3g} processors {did}")
    return "".join(f"; {part}" for part in parts if part)


def _clock(device: str, clock: float | None, seen: list[set[str]]) -> str:
    """What is to be said of the clock of `device`, by its share of the maximum and what was seen in each round."""
    is_low = clock is not None and clock < _NEAR_MAXIMUM
    often = [name for name in dict.fromkeys(name for reasons in seen for name in reasons) if name != "quota"]
    named = [
        name
        for name in sorted(often, key=lambda one: (one not in _ALWAYS, one))
        if name in _ALWAYS or (is_low and 2 * sum(name in reasons for reasons in seen) >= len(seen))
    ]
    whose = "this CPU's" if device == "cpu" else f"{device}'s"
    if named:
        times = sum(bool(reasons & set(named)) for reasons in seen)
        at = f", at {100 * clock:.0f} % of its maximum" if clock is not None and is_low else ""
        return f"{whose} clock was held down by {' and '.join(named)} in {times} of {len(seen)} rounds{at}"
    return f"{whose} clock reached {100 * clock:.0f} % of its maximum" if clock is not None and clock < _LOW else ""
