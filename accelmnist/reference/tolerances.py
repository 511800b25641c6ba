"""The table of limits."""

from dataclasses import dataclass

FIRST_STEPS = 16


@dataclass(frozen=True)
class Tolerance:
    limit: float
    reason: str


@dataclass(frozen=True)
class Tolerances:
    logits: Tolerance
    first_steps: Tolerance
    typical_step: Tolerance
    worst_step: Tolerance


def tolerances(precision):
    t = Tolerance(1.0, "tbd")
    return Tolerances(t, t, t, t)


def seed_spread_limit(name, error, images):
    return 1.0
