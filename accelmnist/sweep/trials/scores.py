"""What many seeds of one configuration say together: the spread of their scores, and whether one stands apart.

The interval of a mean is Student's, mean ± t s / sqrt(n) with n - 1 degrees of freedom, which holds for so few and so
similar values as accuracies over seeds. A seed is held against the median of all of them. What it may differ by is the
spread that was measured between seeds (`reference.tolerances`), or that of these seeds where it is larger: as many
deviations of theirs, estimated by 1.4826 times the median absolute deviation, which one that stands apart can't widen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from accelmnist.core.records import Check, SeedSpread, TrialFigures
from accelmnist.training.reference.tolerances import DEVIATIONS, seed_spread_limit

CONFIDENCE = 0.95
_TO_DEVIATIONS = 1.4826  # of a normal distribution, from its median absolute deviation
_MANY_IMAGES = 1000  # of a test set on which a full score is a fault


def spread_of(values: Sequence[float]) -> SeedSpread | None:
    """Mean, deviation and interval of one value a seed; None without any."""
    count = len(values)
    if count == 0:
        return None
    mean = float(np.mean(values))
    if count == 1:
        return SeedSpread(mean=mean)
    from scipy.special import stdtrit  # here: a run of one seed does without it

    deviation = float(np.std(values, ddof=1))
    arm = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * deviation / math.sqrt(count)
    return SeedSpread(mean=mean, deviation=deviation, low=mean - arm, high=mean + arm)


def check_seeds(trials: Sequence[TrialFigures], *, images: int) -> Check:
    """No seed failed, was always right, or stands apart from the others on `images` test images."""
    faults = [fault for trial in trials if (fault := _fault(trial, trials, images))]
    detail = "; ".join(faults) or "failed or stand apart"
    reason = "the spread between seeds, measured, or that of these seeds where it is larger"
    return Check.at_most("all seeds", len(faults), 0.0, detail=detail, reason=reason)


def _fault(trial: TrialFigures, trials: Sequence[TrialFigures], images: int) -> str | None:
    if trial.error is not None or trial.accuracy is None:
        return f"seed {trial.seed}: {trial.error or 'no result'}"
    if trial.accuracy == 1.0 and images >= _MANY_IMAGES:
        return f"seed {trial.seed} is always right"
    middle, limit = _allowed([each.accuracy for each in trials if each.accuracy is not None], images)
    difference = trial.accuracy - middle
    return f"seed {trial.seed} is {100 * difference:+.2f} points off" if abs(difference) > limit else None


def _allowed(accuracies: Sequence[float], images: int) -> tuple[float, float]:
    """The median, and how far from it a seed may be."""
    middle = float(np.median(accuracies))
    own = DEVIATIONS * _TO_DEVIATIONS * float(np.median(np.abs(np.array(accuracies) - middle)))
    return middle, max(own, seed_spread_limit("accuracy", 1 - middle, images))
