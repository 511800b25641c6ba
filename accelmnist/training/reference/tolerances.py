"""The one table of limits that a verdict rests on, each with its reason.

Rounding. A result in a precision with unit roundoff u differs from float64's by a few u times the length of the sums
behind it; the limits are four to twenty times the largest difference that was measured, over every way of running and
five configurations, so that rounding passes and a fault does not. u is 6e-8 for fp32, 5e-4 for tf32 and fp16, 4e-3
for bf16.

Drift. Training amplifies rounding, so the losses of later steps have wider limits than those of the first. Some
trainings are chaotic, mostly those with a high learning rate whose loss nears 0: two runs of the same code on one and
on two threads then part within a few epochs. Where a run exceeds the limits of drift, the reference is trained once
more from weights nudged by one rounding of the run's precision, and the run may drift three times as far as that,
epoch by epoch. So this comparison may doubt, and never condemns: what a chaotic
training hides, the audit finds.

Seeds. What a score may differ by is taken from how much it differs between seeds: training that is right can't be
closer to the reference than luck allows, and one that is off by more than luck is wrong. The spread is stated in
units of the binomial standard deviation sqrt(e (1 - e) / n), for an error rate e on n images, so that it carries over
to other scores and sets.

`python -m bench.studies.seed_spread` measures all of it; `results/seed-spread.json` is the record that these numbers
come from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from accelmnist.core.config import Precision

Score = Literal["accuracy", "macro F1", "class F1"]


@dataclass(frozen=True)
class Tolerance:
    """The largest value that passes, and why it is that."""

    limit: float
    reason: str


@dataclass(frozen=True)
class Tolerances:
    """The limits of one precision, all relative; `rounding` is its unit roundoff.

    `logits` is the largest error of a logit over the largest logit; `typical_step` and `worst_step` the difference of
    losses from the reference's over their epoch's mean.
    """

    rounding: float
    logits: Tolerance
    typical_step: Tolerance
    worst_step: Tolerance


_TABLE: dict[Precision, Tolerances] = {
    "fp32": Tolerances(
        rounding=2.0**-24,
        logits=Tolerance(5e-6, "fp32 rounds at 6e-8; 4e-7 was measured"),
        typical_step=Tolerance(0.03, "rounding amplified by training; 0.008 was measured"),
        worst_step=Tolerance(0.2, "rounding amplified by training; 0.05 was measured"),
    ),
    "tf32": Tolerances(
        rounding=2.0**-11,
        logits=Tolerance(5e-3, "tf32 rounds inputs at 5e-4, as fp16 does; not measured yet, so fp16's limit"),
        typical_step=Tolerance(0.04, "rounding amplified by training; not measured yet, so fp16's limit"),
        worst_step=Tolerance(0.25, "rounding amplified by training; not measured yet, so fp16's limit"),
    ),
    "bf16": Tolerances(
        rounding=2.0**-8,
        logits=Tolerance(2e-2, "bf16 rounds at 4e-3; 4.3e-3 was measured"),
        typical_step=Tolerance(0.1, "rounding amplified by training; 0.026 was measured"),
        worst_step=Tolerance(0.8, "rounding amplified by training; 0.21 was measured"),
    ),
    "fp16": Tolerances(
        rounding=2.0**-11,
        logits=Tolerance(5e-3, "fp16 rounds at 5e-4; 5.4e-4 was measured"),
        typical_step=Tolerance(0.04, "rounding amplified by training; 0.009 was measured"),
        worst_step=Tolerance(0.25, "rounding amplified by training; 0.06 was measured"),
    ),
}

# How much further than the reference itself, nudged by one rounding, a run may drift where training is chaotic.
NUDGE_FACTOR = 3.0

# Standard deviation over seeds in binomial units, the largest of the configurations that were measured.
SEED_SPREAD: dict[Score, float] = {"accuracy": 0.8, "macro F1": 0.81, "class F1": 0.76}
# Two seeds differ by sqrt(2) standard deviations; four of those are passed by chance once in 16,000 comparisons.
DEVIATIONS = 4 * math.sqrt(2)
# Share of the images that two seeds put into other cells of the confusion matrix, over the error rate: the largest.
CELLS_OF_ERROR = 0.37


def tolerances(precision: Precision) -> Tolerances:
    """The limits for a run in `precision`."""
    return _TABLE[precision]


def seed_spread_limit(score: Score, error: float, images: int) -> float:
    """How far `score` may be from the reference's, whose error rate is `error` on `images` images.

    At an error rate of 0 the binomial deviation would vanish; a single image is then allowed to differ.
    """
    deviation = math.sqrt(max(error * (1 - error), 1 / images) / images)
    return DEVIATIONS * SEED_SPREAD[score] * deviation


def cells_limit(error: float, images: int) -> float:
    """Share of the images that may lie in other cells of the confusion matrix than the reference's."""
    return 2 * CELLS_OF_ERROR * max(error, 1 / images)
